"""Read the dead letters, and the names of their parts, that an application passes."""

from collections.abc import Iterable, Mapping
from typing import Any

from walker_collector.delivery.worker import DestinationWorker
from walker_collector.errors import EventError
from walker_collector.intake.reading import readable
from walker_collector.naming import hint
from walker_collector.spool import DeadLetter
from walker_collector.text import storable


def by_destination(call: str, letters: Iterable[Any]) -> dict[str, list[DeadLetter]]:
    """Return dead letters by destination; raises EventError, naming the call, for anything else."""
    if not isinstance(letters, Iterable):
        raise EventError(f"{call}: takes dead letters of dead(), not {type(letters).__name__}")
    found: dict[str, list[DeadLetter]] = {}
    for letter in readable(lambda: list(letters)):
        if not isinstance(letter, DeadLetter):
            raise EventError(f"{call}: takes dead letters of dead(), not {type(letter).__name__}")
        found.setdefault(letter.destination, []).append(letter)
    return found


def parts_to_leave_out(
    names: Iterable[str],
    letters: Mapping[str, list[DeadLetter]],
    workers: Iterable[DestinationWorker],
) -> list[str]:
    """Return names of parts as a list.

    Raises EventError for a part that no letter has and no destination declares.
    """
    known = {part for found in letters.values() for letter in found for part in letter.parts}
    known |= {part for worker in workers for part in worker.message_parts}
    parts = list(names)
    for part in parts:
        if not isinstance(part, str) or part not in known:
            shown = storable(part, 80)
            there_are = hint(shown, known, "there are") if known else "; these have no parts"
            raise EventError(f"replay: there is no part {shown} to leave out{there_are}")
    return parts
