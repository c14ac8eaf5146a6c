"""Transactional messages of the App API."""

from typing import Any

from attrs import define

from walker_collector import Rejected
from walker_dest_customerio import limits
from walker_dest_customerio.encode import dumps
from walker_dest_customerio.identity import person_keys
from walker_dest_customerio.operations.base import Call, Json, Operation


@define
class Message(Operation):
    """A transactional message: never sent twice, as the App API cannot detect duplicates.

    `request` is the body as Customer.io documents it. Earlier operations of its event come
    before it and later ones after it, so it is `exclusive`.
    """

    api = "app"
    exclusive = True

    request: Json

    @property
    def call(self) -> Call:
        return [self.part, self.request]

    @property
    def people(self) -> tuple[str, ...]:
        named = self.request.get("identifiers")
        return person_keys(named) if isinstance(named, dict) else ()

    def problem(self, now: float) -> str | None:
        request = self.request
        when = request.get("send_at", 0)
        if type(when) is not int:
            return "send_at is no time; give unix seconds or ISO 8601"
        if when > now + limits.SEND_AHEAD:
            return f"send_at is more than {limits.SEND_AHEAD // 86_400} days ahead"
        files = request.get("attachments")
        if isinstance(files, dict):
            size = sum(len(file) for file in files.values() if isinstance(file, str))
            if size > limits.ATTACHMENTS:
                return f"attachments of {size:,} bytes; Customer.io takes {limits.ATTACHMENTS:,}"
        try:
            size = len(dumps(request, "it"))
        except Rejected as error:
            return error.reason
        if size > limits.APP_REQUEST:
            return f"{size:,} bytes of JSON; Customer.io takes at most {limits.APP_REQUEST:,}"
        return None

    def entry(self) -> None:
        return None


@define
class SendEmail(Message):
    """A transactional email."""

    part = "send_email"
    guarded = "sendEmail"

    def problem(self, now: float) -> str | None:
        count = limits.recipients(self.request)
        if count > limits.RECIPIENTS:
            return f"{count} recipients; Customer.io takes at most {limits.RECIPIENTS}"
        return super().problem(now)

    def send(self, client: Any) -> Any:
        return client.send_email(self.request)


@define
class SendPush(Message):
    """A transactional push notification."""

    part = "send_push"
    guarded = "sendPush"

    def send(self, client: Any) -> Any:
        return client.send_push(self.request)


MESSAGE_PARTS = tuple(kind.part for kind in Message.__subclasses__())
"""The parts of a delivery that are messages to people."""
