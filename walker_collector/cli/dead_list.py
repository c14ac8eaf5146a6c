"""The list of dead letters: their reasons with counts, then the letters."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from attrs import define, field

from walker_collector.cli.output import print_table
from walker_collector.cli.streams import say
from walker_collector.events import MARKS, decode
from walker_collector.moments import moment
from walker_collector.spool import DeadLetter
from walker_collector.text import counted

_LETTERS: Final = 20
"""Letters that are listed unless --limit says otherwise."""
_REASONS: Final = 20
"""Reasons that are listed, the most frequent ones."""


@define
class Reason:
    """A reason of one destination, and its letters, oldest first."""

    destination: str
    text: str
    letters: list[DeadLetter] = field(factory=list)

    @property
    def period(self) -> str:
        """The time of the first death, and of the last one if that is another."""
        times = sorted(letter.died_at for letter in self.letters)
        first, last = moment(times[0]), moment(times[-1])
        return first if first == last else f"{first} to {last}"


def by_reason(letters: Iterable[DeadLetter]) -> list[Reason]:
    """Return the reasons of dead letters, the most frequent first."""
    found: dict[tuple[str, str], Reason] = {}
    for letter in letters:
        key = letter.destination, letter.reason
        found.setdefault(key, Reason(*key)).letters.append(letter)
    return sorted(found.values(), key=lambda reason: -len(reason.letters))


def print_list(letters: Sequence[DeadLetter], limit: int | None) -> None:
    """Print the reasons, numbered, then the oldest letters, each with the number of its reason.

    `limit`: letters to list; None: the usual number.
    """
    reasons = by_reason(letters)
    say(f"{counted(len(letters), 'dead letter')}, {counted(len(reasons), 'reason')}")
    for line in _reason_lines(reasons):
        say(line)
    shown = letters[: _LETTERS if limit is None else limit]
    if shown:
        say("")
        _print_letters(shown, {_key(reason): n for n, reason in enumerate(reasons, 1)})
    if more := len(letters) - len(shown):
        say("")
        say(f"{counted(more, 'more letter')}: --limit N lists more, --json all")


def _reason_lines(reasons: Sequence[Reason]) -> Iterator[str]:
    for number, reason in enumerate(reasons[:_REASONS], 1):
        yield ""
        yield f"{number}. {counted(len(reason.letters), 'letter')} of {reason.destination}"
        yield f"   {reason.period}"
        yield f"   {reason.text}"
    if (more := len(reasons) - _REASONS) > 0:
        yield ""
        yield f"{counted(more, 'more reason')}; --json has all"


def _print_letters(letters: Sequence[DeadLetter], numbers: dict[tuple[str, str], int]) -> None:
    headers = ("event id", "reason", "name", "died", "parts")
    rows = []
    for letter in letters:
        event = event_of(letter)
        parts = ", ".join(f"{part} {state}" for part, state in letter.parts.items())
        number = numbers[letter.destination, letter.reason]
        rows.append((event["id"], number, event["name"], moment(letter.died_at), parts))
    # Only destinations that make several calls per event have parts.
    columns = len(headers) if any(letter.parts for letter in letters) else -1
    print_table(headers[:columns], [row[:columns] for row in rows])


def _key(reason: Reason) -> tuple[str, str]:
    return reason.destination, reason.text


def event_of(letter: DeadLetter) -> dict[str, Any]:
    """Return the event of a dead letter; of a damaged one, its number as its id."""
    nothing = {"id": f"number {letter.seq}", "name": "?"}
    try:
        event = {**nothing, **decode(letter.body)}
    except (TypeError, ValueError):
        return nothing
    return {key: value for key, value in event.items() if key not in MARKS}
