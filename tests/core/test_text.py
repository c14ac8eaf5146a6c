import pytest

from walker_collector.text import describe, storable


class _Unspeakable(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("refused", "refused"),
        ("half a \ud800 pair", "half a ? pair"),
        ("x" * 600, "x" * 500),
        (None, "None"),
        (_Unspeakable(), "<_Unspeakable without a text>"),
        ("\N{GRINNING FACE}" * 600, "\N{GRINNING FACE}" * 500),
    ],
)
def test_text_of_others_is_storable_and_bounded(given: object, kept: str) -> None:
    assert storable(given) == kept
    storable(given).encode()


def test_integers_with_too_many_digits_are_named_by_their_type() -> None:
    assert storable(10**5000) == "<int without a text>"


def test_exceptions_are_described_by_type_and_text() -> None:
    assert describe(KeyError("total")) == "KeyError: 'total'"
    assert describe(ValueError()) == "ValueError"
    assert describe(_Unspeakable()) == "_Unspeakable: <_Unspeakable without a text>"
