"""Which operations must wait because an earlier one of the same person is undecided. Pure.

Within one delivery, nothing of a person is sent to an API after something earlier of theirs failed
there without a final answer. The two APIs are apart: a message never holds back what goes to the
Track API, and waits itself only for what changes its person.
"""

from typing import Final, Literal

from attrs import Factory, define

from walker_dest_customerio.operations import Message, Occurrence, Operation

ApiName = Literal["track", "app"]

_APIS: Final[tuple[ApiName, ...]] = ("track", "app")


def api_of(operation: Operation) -> ApiName:
    """Return the API that an operation goes to."""
    return "app" if isinstance(operation, Message) else "track"


@define
class BlockedPeople:
    """The people of whom something is undecided, by the API that it goes to."""

    _by_api: dict[ApiName, set[str]] = Factory(lambda: {api: set() for api in _APIS})
    _with_pending_change: set[str] = Factory(set)
    """People of whom a change (identify, device, merge, suppression) is undecided."""

    def add(self, operation: Operation, people: tuple[str, ...]) -> None:
        """Note an undecided operation of these people."""
        self._by_api[api_of(operation)].update(people)
        if not isinstance(operation, Message | Occurrence):
            self._with_pending_change.update(people)

    def contains(self, operation: Operation, people: tuple[str, ...]) -> bool:
        """Tell whether an operation of these people must wait."""
        if not self._by_api[api_of(operation)].isdisjoint(people):
            return True
        return isinstance(operation, Message) and not self._with_pending_change.isdisjoint(people)
