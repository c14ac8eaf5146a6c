import pytest

from walker_collector.text import counted, describe, storable, with_article


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


@pytest.mark.parametrize(
    ("count", "thing", "shown"),
    [
        (0, "event", "0 events"),
        (1, "event", "1 event"),
        (1482, "event", "1,482 events"),
        (2, "delivery", "2 deliveries"),
        (2, "day", "2 days"),
        (1, "batch", "1 batch"),
        (3, "batch", "3 batches"),
        (2, "dead letter", "2 dead letters"),
    ],
)
def test_count_has_its_noun_in_the_right_number(count: int, thing: str, shown: str) -> None:
    assert counted(count, thing) == shown


def test_noun_has_its_article() -> None:
    assert [with_article(noun) for noun in ("object", "list", "extension", "UUID")] == [
        "an object",
        "a list",
        "an extension",
        "a UUID",
    ]
