"""Split JSON documents into events: an array, or objects that span several lines."""

import json
import re
from typing import Final

from attrs import define

from walker_collector.errors import WalkerError

_DOCUMENT: Final = re.compile(rb'\s*(?:\[|\{[ \t\r]*\n\s*["}])')
"""An array, or an object with a line break after its brace: in NDJSON that is a bad line."""
_UNDECIDED: Final = re.compile(rb"\s*(?:\{\s*)?")
_SPACE: Final = re.compile(r"\s*")
_COMMA: Final = re.compile(r"\s*,\s*")
_DECODER: Final = json.JSONDecoder()
ADVICE: Final = "events are JSON objects, one per line (NDJSON); `jq -c . FILE` writes them so"
ADVICE_ON_ARRAY: Final = "write each of its events on a line: `jq -c '.[]' FILE`"


def is_document(head: bytes) -> bool | None:
    """Return whether a file with this beginning is a document rather than NDJSON.

    None if it takes more bytes to tell.
    """
    if _DOCUMENT.match(head):
        return True
    return None if _UNDECIDED.fullmatch(head) else False


def split_document(body: bytes) -> list[tuple[int, bytes]]:
    """Return number and JSON of each event; the number is its position in an array, or its line.

    Raises WalkerError with the place of the first error, if the text is not JSON.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise WalkerError(f"not UTF-8 text (byte {error.start}); {ADVICE}") from None
    splitter = _Splitter(text, _after_space(text, 0))
    return splitter.array() if text.startswith("[", splitter.at) else splitter.objects()


@define
class _Splitter:
    """Cuts values out of `text`, from `at` on."""

    text: str
    at: int

    def array(self) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        self.at = _after_space(self.text, self.at + 1)
        while not self.text.startswith("]", self.at):
            if found:
                self._expect_comma()
            found.append((len(found) + 1, self._value()))
            self.at = _after_space(self.text, self.at)
        if (end := _after_space(self.text, self.at + 1)) < len(self.text):
            raise self._not_json("more text after the array", end)
        return found

    def objects(self) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        line, counted = 1, 0
        while self.at < len(self.text):
            line += self.text.count("\n", counted, self.at)
            counted = self.at
            found.append((line, self._value()))
            self.at = _after_space(self.text, self.at)
        return found

    def _value(self) -> bytes:
        begin = self.at
        try:
            _, self.at = _DECODER.raw_decode(self.text, begin)
        except json.JSONDecodeError as error:
            raise self._not_json(error.msg, error.pos) from None
        except (RecursionError, ValueError):  # ValueError: an integer of thousands of digits
            raise self._not_json("nested too deeply, or a number too long", begin) from None
        return self.text[begin : self.at].encode()

    def _expect_comma(self) -> None:
        comma = _COMMA.match(self.text, self.at)
        if comma is None:
            raise self._not_json("expected a comma or the end of the array", self.at)
        self.at = comma.end()

    def _not_json(self, reason: str, at: int) -> WalkerError:
        line = self.text.count("\n", 0, at) + 1
        column = at - self.text.rfind("\n", 0, at)
        return WalkerError(f"not JSON: {reason} (line {line}, column {column}); {ADVICE}")


def _after_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at
