"""JSON that is no NDJSON: an array of events, or objects over several lines."""

import json
import re
from typing import Final

from attrs import define

from walker_collector.errors import WalkerError

_BEGINNING: Final = re.compile(rb'\s*(?:\[|\{[ \t\r]*\n\s*["}])')
_UNDECIDED: Final = re.compile(rb"\s*(?:\{\s*)?")
_GAP: Final = re.compile(r"[\s]*")
_COMMA: Final = re.compile(r"\s*,\s*")
_DECODER: Final = json.JSONDecoder()
ADVICE: Final = "events are JSON objects, one per line (NDJSON); `jq -c` writes them so"


def is_document(head: bytes) -> bool | None:
    """Return whether a file that begins so is an array, or an object over several lines.

    None where that cannot be told yet.
    """
    if _BEGINNING.match(head):
        return True
    return None if _UNDECIDED.fullmatch(head) else False


def values_of(body: bytes) -> list[tuple[int, bytes]]:
    """Return the JSON of each event with its number: its position in an array, else its line.

    Raises WalkerError where the text is no JSON, with the place.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise WalkerError(f"not UTF-8 text (byte {error.start}); {ADVICE}") from None
    reader = _Reader(text, _after(_GAP, text, 0))
    if text.startswith("[", reader.at):
        return reader.array()
    return reader.objects()


@define
class _Reader:
    text: str
    at: int

    def array(self) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        self.at = _after(_GAP, self.text, self.at + 1)
        while not self.text.startswith("]", self.at):
            if found:
                self._expect_comma()
            found.append((len(found) + 1, self._value()))
            self.at = _after(_GAP, self.text, self.at)
        if (end := _after(_GAP, self.text, self.at + 1)) < len(self.text):
            raise self._no_json("more text after the array", end)
        return found

    def objects(self) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        line, counted = 1, 0
        while self.at < len(self.text):
            line += self.text.count("\n", counted, self.at)
            counted = self.at
            found.append((line, self._value()))
            self.at = _after(_GAP, self.text, self.at)
        return found

    def _value(self) -> bytes:
        begin = self.at
        try:
            _, self.at = _DECODER.raw_decode(self.text, begin)
        except json.JSONDecodeError as error:
            raise self._no_json(error.msg, error.pos) from None
        except (RecursionError, ValueError):  # ValueError: an integer of thousands of digits
            raise self._no_json("nested too deeply, or a number too long", begin) from None
        return self.text[begin : self.at].encode()

    def _expect_comma(self) -> None:
        comma = _COMMA.match(self.text, self.at)
        if comma is None:
            raise self._no_json("expected a comma or the end of the array", self.at)
        self.at = comma.end()

    def _no_json(self, reason: str, at: int) -> WalkerError:
        line = self.text.count("\n", 0, at) + 1
        column = at - self.text.rfind("\n", 0, at)
        return WalkerError(f"not JSON: {reason} (line {line}, column {column}); {ADVICE}")


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at
