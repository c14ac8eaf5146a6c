"""The state of a sandbox, as tests read it."""

from collections.abc import Callable
from typing import TypeVar

from walker_dest_customerio.sandbox import views
from walker_dest_customerio.sandbox.received import JsonObject
from walker_dest_customerio.sandbox.record import RequestRecord
from walker_dest_customerio.sandbox.service import Service
from walker_dest_customerio.sandbox.workspace import Workspace

View = TypeVar("View")


class SandboxState:
    """The state of a sandbox; the properties return copies."""

    def __init__(self, service: Service) -> None:
        self._service = service

    @property
    def people(self) -> dict[str, JsonObject]:
        """People by id (else email, phone, cio_<id>): attributes, devices, events and more."""
        return self._service.view(views.people_view)

    @property
    def events(self) -> list[JsonObject]:
        """All stored events: people's, anonymous ones and invites, in the order of arrival."""
        return self._service.view(views.all_events_view)

    @property
    def anonymous_events(self) -> dict[str, list[JsonObject]]:
        """The events without a person yet, by anonymous_id."""
        return self._service.view(views.anonymous_view)

    @property
    def messages(self) -> list[JsonObject]:
        """Transactional messages: channel, delivery_id, queued_at, person, suppressed, request."""
        return self._service.view(lambda workspace: [dict(item) for item in workspace.messages])

    @property
    def suppressed(self) -> list[str]:
        """Suppressed identifiers."""
        return self._service.view(views.suppressed_view)

    @property
    def ignored(self) -> list[JsonObject]:
        """Operations accepted with 200 but without effect: operation, person, reason."""
        return self._service.view(lambda workspace: [dict(item) for item in workspace.ignored])

    @property
    def requests(self) -> list[RequestRecord]:
        """The latest 10,000 API requests, oldest first."""
        return self._service.requests()

    @property
    def counters(self) -> JsonObject:
        """Requests, endpoints, statuses, faults, operations, rejected, duplicates, ignored,
        largest_batch."""
        return self._service.counters()

    def state(self) -> JsonObject:
        """Return the state as GET /sandbox/state does."""
        return self._service.state()

    def view(self, make: Callable[[Workspace], View]) -> View:
        """Return the result of `make`, a copy of part of the state, while nothing changes."""
        return self._service.view(make)

    def wait_for(self, condition: Callable[[Workspace], bool], timeout: float) -> bool:
        """Wait until a condition holds, looked at after each request; False after `timeout` s."""
        return self._service.wait_for(condition, timeout)

    def wait_for_requests(self, count: int, timeout: float = 5.0) -> list[RequestRecord]:
        """Wait for `count` requests since the last reset; TimeoutError after `timeout` s."""
        return self._service.wait_for_requests(count, timeout)
