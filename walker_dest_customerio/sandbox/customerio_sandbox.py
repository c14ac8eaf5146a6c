"""The sandbox for tests of applications and flows: lookups that wait, and fail with the state."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from attrs import define, field

from walker_dest_customerio.sandbox import arrivals
from walker_dest_customerio.sandbox.app_endpoints import CHANNELS
from walker_dest_customerio.sandbox.arrivals import Device, Event, Message, Object, Person
from walker_dest_customerio.sandbox.background import Sandbox
from walker_dest_customerio.sandbox.faults import Fault
from walker_dest_customerio.sandbox.flow_settings import (
    read_flow,
    require_customerio,
    with_settings,
)
from walker_dest_customerio.sandbox.received import JsonObject
from walker_dest_customerio.sandbox.record import RequestRecord
from walker_dest_customerio.sandbox.workspace import Workspace

Arrival = TypeVar("Arrival")
Id = str | int
"""An id as tests name it: numbers arrive as text, like those in events."""
Names = frozenset[str] | None
"""All identifiers of a wanted person; None is anybody."""

TIMEOUT: Final = 5.0
"""Seconds that a lookup waits."""
_SHOWN: Final = 20
"""Arrivals that a failure lists."""


@define(eq=False)
class CustomerioSandbox:
    """A local Customer.io for one test; the fixture `customerio_sandbox`.

        def test_an_order_arrives(customerio_sandbox):
            with Collector.from_config(customerio_sandbox.flow("flow.json")) as collector:
                collector.push("order complete", data={"total": 55}, user={"id": "ines"})
                customerio_sandbox.event("Order Completed", person="ines", data={"total": 55})

    `person`, `event`, `message`, `device` and `object` return what arrived, and wait for it: at
    most `timeout` seconds, 0 for no wait. AssertionError, with all that is there, tells that there
    is none, or more than one. Ids may be numbers; `person` may be any identifier of theirs. The
    properties return copies of everything, without a wait.
    """

    sandbox: Sandbox = field(repr=lambda sandbox: sandbox.track_url)

    # --- where to send -----------------------------------------------------------------------

    def settings(self) -> dict[str, str]:
        """Return settings of the destination `customerio` that send to this sandbox."""
        return self.sandbox.settings()

    def environment(self) -> dict[str, str]:
        """Return the variables CIO_SITE_ID, CIO_API_KEY, CIO_TRACK_URL and so on."""
        return self.sandbox.environment()

    def flow(self, source: str | Path | Mapping[str, Any]) -> dict[str, Any]:
        """Return a flow (a JSON or TOML file, or a mapping), with Customer.io sending here.

        For `Collector.from_config`. Other destinations stay as they are. Raises ValueError for a
        flow without a destination of Customer.io: nothing of it would arrive here.
        """
        content = read_flow(source)
        require_customerio(content, "the flow" if isinstance(source, Mapping) else str(source))
        return with_settings(content, self.settings())

    # --- faults ------------------------------------------------------------------------------

    def fault(self, kind: str, **options: Any) -> Fault:
        """Let the next request fail, or `times=` of them; raises FaultError if it is invalid."""
        return self.sandbox.fault(kind, **options)

    def clear_faults(self) -> None:
        """Remove all faults and end the requests that hang."""
        self.sandbox.clear_faults()

    def reset(self) -> None:
        """Forget everything that arrived; faults stay in force."""
        self.sandbox.reset()

    # --- everything that arrived -------------------------------------------------------------

    @property
    def people(self) -> list[Person]:
        """The people, in the order in which they were created."""
        return self.sandbox.view(arrivals.people_of)

    @property
    def events(self) -> list[Event]:
        """Events, page views and screens of people and visitors, in the order of arrival."""
        return self.sandbox.view(arrivals.events_of)

    @property
    def messages(self) -> list[Message]:
        """The transactional messages, in the order of arrival."""
        return self.sandbox.view(arrivals.messages_of)

    @property
    def devices(self) -> list[Device]:
        """The devices of all people."""
        return self.sandbox.view(arrivals.devices_of)

    @property
    def objects(self) -> list[Object]:
        """The objects, in the order in which they were created."""
        return self.sandbox.view(arrivals.objects_of)

    @property
    def suppressed(self) -> list[str]:
        """Suppressed identifiers."""
        return self.sandbox.suppressed

    @property
    def ignored(self) -> list[JsonObject]:
        """Operations accepted with 200 but without effect: operation, person, reason."""
        return self.sandbox.ignored

    @property
    def requests(self) -> list[RequestRecord]:
        """The latest 10,000 requests, oldest first."""
        return self.sandbox.requests

    # --- one thing that must have arrived, or arrive soon --------------------------------------

    def person(
        self,
        identifier: Id,
        *,
        attributes: Mapping[str, Any] | None = None,
        timeout: float = TIMEOUT,
    ) -> Person:
        """Return the person with this id, email, phone or cio_id, once they have `attributes`."""
        __tracebackhide__ = True
        return _one(
            self.sandbox,
            arrivals.people_of,
            lambda person, _: person.has(str(identifier)) and _has(person.attributes, attributes),
            f"person {str(identifier)!r}{_with('attributes', attributes)}",
            timeout,
        )

    def event(
        self,
        name: str,
        *,
        person: Id | None = None,
        data: Mapping[str, Any] | None = None,
        timeout: float = TIMEOUT,
    ) -> Event:
        """Return the event, page view or screen of this name, with at least this data.

        person: an identifier of its person, or the anonymous id of a visitor; None: anybody's.
        """
        __tracebackhide__ = True
        return _one(
            self.sandbox,
            arrivals.events_of,
            lambda event, names: (
                event.name == name
                and _is(names, event.person, event.anonymous_id)
                and _has(event.data, data)
            ),
            f"event {name!r}{_of(person)}{_with('data', data)}",
            timeout,
            person,
        )

    def message(
        self,
        channel: str,
        *,
        person: Id | None = None,
        request: Mapping[str, Any] | None = None,
        timeout: float = TIMEOUT,
    ) -> Message:
        """Return the message of this channel, with at least this request.

        channel: email, push, sms, whatsapp, in_app or inbox_message; ValueError for another.
        """
        __tracebackhide__ = True
        if channel not in CHANNELS:
            raise ValueError(f"unknown channel {channel!r}; known: {', '.join(CHANNELS)}")
        return _one(
            self.sandbox,
            arrivals.messages_of,
            lambda message, names: (
                message.channel == channel
                and _is(names, message.person)
                and _has(message.request, request)
            ),
            f"{channel}{_of(person)}{_with('request', request)}",
            timeout,
            person,
        )

    def device(self, token: Id, *, person: Id | None = None, timeout: float = TIMEOUT) -> Device:
        """Return the device with this token."""
        __tracebackhide__ = True
        return _one(
            self.sandbox,
            arrivals.devices_of,
            lambda device, names: device.token == str(token) and _is(names, device.person),
            f"device {str(token)!r}{_of(person)}",
            timeout,
            person,
        )

    def object(
        self,
        type_id: Id,
        id: Id,
        *,
        attributes: Mapping[str, Any] | None = None,
        timeout: float = TIMEOUT,
    ) -> Object:
        """Return the object of this type and id, once it has `attributes`."""
        __tracebackhide__ = True
        return _one(
            self.sandbox,
            arrivals.objects_of,
            lambda found, _: (
                (found.type_id, found.id) == (str(type_id), str(id))
                and _has(found.attributes, attributes)
            ),
            f"object {str(id)!r} of type {type_id}{_with('attributes', attributes)}",
            timeout,
        )

    def wait_until(
        self, condition: Callable[[], bool], description: str, timeout: float = TIMEOUT
    ) -> None:
        """Wait until a condition on this sandbox holds, looked at after each request.

        AssertionError, with `description` and all that arrived, after `timeout` seconds.
        """
        __tracebackhide__ = True
        if not self.sandbox.wait_for(lambda _: condition(), timeout):
            everything = [*self.people, *self.events, *self.messages, *self.objects]
            raise AssertionError(
                _failure(self.sandbox, f"{description}: not so", timeout, everything)
            )


def _one(
    sandbox: Sandbox,
    look: Callable[[Workspace], Sequence[Arrival]],
    fits: Callable[[Arrival, Names], bool],
    wanted: str,
    timeout: float,
    person: Id | None = None,
) -> Arrival:
    """Return the only arrival that fits, as soon as there is one.

    `fits` gets the names of the wanted person, too.
    """
    __tracebackhide__ = True

    def there_and_fitting(workspace: Workspace) -> tuple[Sequence[Arrival], list[Arrival]]:
        there = look(workspace)
        names = None if person is None else arrivals.names_of(workspace, str(person))
        return there, [arrival for arrival in there if fits(arrival, names)]

    sandbox.wait_for(lambda workspace: bool(there_and_fitting(workspace)[1]), timeout)
    there, fitting = sandbox.view(there_and_fitting)
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise AssertionError(f"{len(fitting)} times {wanted}:{_listed(fitting)}")
    raise AssertionError(_failure(sandbox, f"no {wanted}", timeout, there))


def _failure(sandbox: Sandbox, problem: str, timeout: float, there: Sequence[Any]) -> str:
    """Return a message with all that is there, and how requests were answered."""
    waited = f" after {timeout:g} s" if timeout else ""
    counters = sandbox.counters
    lines = [
        f"{problem}{waited}; there is {f'this:{_listed(there)}' if there else 'nothing'}",
        f"requests by status: {counters['statuses'] or 'none'}",
        *(f"ignored: {note}" for note in sandbox.ignored[-_SHOWN:]),
    ]
    if counters["rejected"]:
        lines.append(f"operations refused: {counters['rejected']}")
    return "\n".join(lines)


def _has(content: Mapping[str, Any], wanted: Mapping[str, Any] | None) -> bool:
    """Return whether all that is wanted is in the content, with equal values."""
    if wanted is None:
        return True
    return all(key in content and content[key] == value for key, value in wanted.items())


def _is(names: Names, *keys: str | None) -> bool:
    """Return whether one of these keys is among the person's names."""
    return names is None or not names.isdisjoint(keys)


def _of(person: Id | None) -> str:
    return "" if person is None else f" of {str(person)!r}"


def _with(part: str, wanted: Mapping[str, Any] | None) -> str:
    return "" if wanted is None else f" with {part} {dict(wanted)}"


def _listed(there: Sequence[Any]) -> str:
    lines = "".join(f"\n  {item}" for item in there[:_SHOWN])
    more = len(there) - _SHOWN
    return f"{lines}\n  and {more} more" if more > 0 else lines
