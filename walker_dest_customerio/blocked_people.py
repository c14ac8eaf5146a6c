"""People with an undecided operation: their later operations must wait. Pure.

Within one delivery, nothing of a person is sent to an API after something earlier of theirs failed
there without a final answer. The APIs are independent: a message never blocks the Track API, and
waits only for changes of its person.
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
    """People with an undecided operation, per API."""

    _by_api: dict[ApiName, set[str]] = Factory(lambda: {api: set() for api in _APIS})
    _with_pending_change: set[str] = Factory(set)
    # A change is an identify, a device, a merge or a suppression; an event changes nobody, so that
    # messages need not wait for one.

    def add(self, operation: Operation, people: tuple[str, ...]) -> None:
        """Block these people behind an undecided operation."""
        self._by_api[api_of(operation)].update(people)
        if not isinstance(operation, Message | Occurrence):
            self._with_pending_change.update(people)

    def contains(self, operation: Operation, people: tuple[str, ...]) -> bool:
        """Tell whether an operation of these people must wait."""
        if not self._by_api[api_of(operation)].isdisjoint(people):
            return True
        return isinstance(operation, Message) and not self._with_pending_change.isdisjoint(people)
