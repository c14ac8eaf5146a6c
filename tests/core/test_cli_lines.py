"""Lines of events as they come."""

import bz2
import gzip
import io
import itertools
import json
import lzma
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walker_collector import EventError, WalkerError
from walker_collector.sources.file import lines
from walker_collector.sources.file.lines import Lines, name_of, parse, read_lines


class Pieces(io.BytesIO):
    """A stream that has a few bytes at a time."""

    def __init__(self, pieces: list[bytes]) -> None:
        super().__init__()
        self.pieces = [piece for piece in pieces if piece]

    def read1(self, size: int | None = -1, /) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


def read(*pieces: bytes) -> list[Lines]:
    return list(read_lines(Pieces(list(pieces))))


def numbered(*pieces: bytes) -> list[tuple[int, bytes]]:
    return [line for group in read(*pieces) for line in group.numbered()]


@given(st.lists(st.text("ab\n ", max_size=6).map(str.encode)))
def test_lines_are_the_same_however_they_come(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    expected = [(at, text) for at, text in enumerate(whole.split(b"\n"), 1) if text.strip()]
    assert numbered(*pieces) == expected


def test_what_is_complete_is_not_kept_waiting() -> None:
    stream = Pieces([b'{"a":1}\n{"b"', b":2}\n"])
    assert next(read_lines(stream)) == Lines(1, [b'{"a":1}'])
    assert stream.pieces == [b":2}\n"]


@pytest.mark.parametrize("pieces", [[b"\xef\xbb\xbf{}\n{}"], [b"\xef\xbb", b"\xbf{}", b"\n{}"]])
def test_byte_order_mark_belongs_to_no_line(pieces: list[bytes]) -> None:
    assert numbered(*pieces) == [(1, b"{}"), (2, b"{}")]


def test_byte_order_mark_of_a_single_line_without_end() -> None:
    assert numbered(b"\xef\xbb\xbf{}") == [(1, b"{}")]


@pytest.mark.parametrize("cut", [1, 3, 7, 50])
def test_endless_line_is_passed_over_and_the_rest_goes_on(
    cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "LONGEST", 5)
    whole = b"{}\n" + b"x" * 40 + b"\n{}\n\n" + b"y" * 30 + b"\n{}"
    pieces = [whole[at : at + cut] for at in range(0, len(whole), cut)]
    found = numbered(*pieces)
    assert [number for number, _ in found] == [1, 2, 3, 5, 6]
    bad = [number for number, text in found if not is_object(text)]
    assert bad == [2, 5]


def is_object(text: bytes) -> bool:
    try:
        return parse(text, 1_000) == {}
    except EventError:
        return False


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (gzip.compress(b"{}\n", mtime=0), "gzip"),
        (b"\x28\xb5\x2f\xfd\x00", "zstd"),
        (bz2.compress(b"{}"), "bzip2"),
        (lzma.compress(b"{}"), "xz"),
        ("{}\n".encode("utf-16"), "iconv"),
    ],
)
def test_file_that_is_no_text_is_told_by_its_kind(text: bytes, reason: str) -> None:
    with pytest.raises(WalkerError, match=reason):
        read(text)


def test_line_whose_values_would_take_many_times_its_length_is_not_parsed() -> None:
    text = b'{"a": [' + b"1," * 2_000_000 + b"1]}"
    with pytest.raises(EventError, match=r"has 4,000,010 bytes; an event has 1,000 at most"):
        parse(text, 1_000)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"nope", "not JSON"),
        (b'{"name": "order complete"', "not JSON"),
        (b"\xff{}", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "expected a JSON object"),
        (b"null", "expected a JSON object"),
    ],
)
def test_line_that_holds_no_object_is_refused(text: bytes, problem: str) -> None:
    with pytest.raises(EventError, match=problem):
        parse(text)


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**30, -(10**300)])
def test_integer_that_would_become_another_is_refused(number: int) -> None:
    text = f'{{"name": "a b", "user": {{"id": {number}}}}}'.encode()
    with pytest.raises(EventError, match=r"beyond 64 bits \(\d+ digits\), .*; send it as text"):
        parse(text)


@given(st.integers(-(2**63), 2**64 - 1))
def test_integer_of_64_bits_is_read_exactly(number: int) -> None:
    assert parse(f'{{"id": {number}}}'.encode()) == {"id": number}


def test_long_digits_that_are_no_integer_are_read() -> None:
    digits = "1" * 40
    line = f'{{"text": "{digits}", "fraction": 0.{digits}, "big": 1.{digits}e3}}'
    assert parse(line.encode()) == json.loads(line)


def test_deep_line_with_a_long_number_is_read_or_refused_as_nested_too_deeply() -> None:
    text = b'{"a":' * 1_000 + b"1" * 19 + b"}" * 1_000
    try:
        assert parse(text).keys() == {"a"}  # since 3.13 Python's JSON goes this deep
    except EventError as error:
        assert "nested too deeply" in str(error)  # noqa: PT017  # either is right


def test_windows_line_ends_are_read() -> None:
    assert [parse(text) for _, text in numbered(b'{"a": 1}\r\n\r\n{"b": 2}\r\n')] == [
        {"a": 1},
        {"b": 2},
    ]


@pytest.mark.parametrize(("event", "name"), [({"name": "a b"}, "a b"), ({"name": 1}, None)])
def test_name_is_a_name_or_none(event: object, name: str | None) -> None:
    assert name_of(event) == name
    assert name_of(None) is None


def test_line_that_comes_in_many_pieces_takes_time_by_its_length_alone() -> None:
    pieces = itertools.chain([b"{"], itertools.repeat(b"x" * 10, 200_000), [b"}\n"], [b""])
    began = time.process_time()
    (lines,) = read_lines(io.BytesIO(), lambda stream: next(pieces))
    assert [len(text) for text in lines.texts] == [2_000_002]
    assert time.process_time() - began < 5  # by its square: half a minute
