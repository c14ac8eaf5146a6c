"""The base of all operations of Customer.io.

An operation never changes after it is made. Still the classes are not frozen: several are made per
event, and that would take three times as long. Keyword arguments would take twice as long, so the
common ones are made with positional arguments.
"""

from typing import Any, ClassVar, Literal

from attrs import define

from walker_dest_customerio import limits
from walker_dest_customerio.identify_cache import IdentifyMemory
from walker_dest_customerio.identity import ExactId, identifiers

Json = dict[str, Any]
Call = list[Any]
ApiName = Literal["track", "app"]

DOT_SEGMENTS = (".", "..")


@define
class Operation:
    """One operation of Customer.io.

    part: its name.
    api: the API that it goes to.
    exclusive: nothing else of the same person may share its request, as the order within one is not
        promised and here decides who exists afterwards.
    is_remembered: its delivery changes the identify memory.
    guarded: the rule setting that makes it, if no untrusted sender may cause it; else "".
    """

    part: ClassVar[str]
    api: ClassVar[ApiName] = "track"
    exclusive: ClassVar[bool] = False
    is_remembered: ClassVar[bool] = False
    guarded: ClassVar[str] = ""

    @property
    def call(self) -> Call:
        """The call as `walker simulate` prints it."""
        raise NotImplementedError

    @property
    def guard(self) -> str:
        """The rule setting that no untrusted sender may use to cause this one; else ""."""
        return self.guarded

    @property
    def progress_part(self) -> str:
        """Its name in the progress of an event, unique there."""
        return self.part

    @property
    def people(self) -> tuple[str, ...]:
        """Keys of the persons concerned, besides the event's own."""
        return ()

    @property
    def objects(self) -> tuple[str, ...]:
        """Keys of the objects concerned."""
        return ()

    @property
    def fences(self) -> tuple[str, ...]:
        """Keys that nothing else in its request may have: there the order would count."""
        return ()

    def send(self, client: Any) -> Any:
        """Make the call through an SDK client; raises the client's errors."""
        raise NotImplementedError

    def entry(self) -> Json | None:
        """Return the entry in a v2 batch, or None if it needs a request of its own."""
        raise NotImplementedError

    def problem(self, now: float) -> str | None:
        """Return the reason that Customer.io would refuse it, or None; `now` is in unix seconds."""
        return None

    def path_problem(self) -> str | None:
        """Return the reason that no request of its own can carry it, or None."""
        return None

    def size_problem(self) -> str | None:
        """Return the reason that it is too large, or None; slow, as it encodes the operation."""
        return None

    def note(self, memory: IdentifyMemory, now: float) -> None:
        """Update the memory after this operation was delivered at `now` (unix s)."""

    def doubt(self, memory: IdentifyMemory) -> None:
        """Update the memory while it is unknown whether this operation was delivered."""


def id_problem(id_: str, what: str = "the id") -> str | None:
    if 2 < len(id_) <= limits.PERSON_ID // 4:  # no character takes more than four bytes
        return None
    if id_ in DOT_SEGMENTS:
        return f"{what} is one or two dots, which cannot stand in the path of a request"
    return length_problem(what, id_, limits.PERSON_ID)


def exact_id_problem(id_: str) -> str | None:
    """Return the reason that version 1, which guesses the kind of an id, would misread it."""
    if type(id_) is ExactId:
        return "an id that looks like an email address or a cio_ id can only be sent in a batch"
    return None


def length_problem(what: str, text: str, limit: int) -> str | None:
    if limits.is_longer(text, limit):
        size = len(text.encode("utf-8", "replace"))
        return f"{what} has {size:,} bytes; Customer.io takes at most {limit}"
    return None


@define
class PersonOperation(Operation):
    """An operation on one person; `person` is a customer id."""

    person: str

    def problem(self, now: float) -> str | None:
        return id_problem(self.person)

    def path_problem(self) -> str | None:
        return exact_id_problem(self.person)

    def person_entry(self, action: str, **rest: Any) -> Json:
        named = identifiers(self.person)
        return {"type": "person", "identifiers": named, "action": action, **rest}
