"""Transactional messages of the App API, one class for each channel."""

from collections.abc import Iterable
from typing import Any, ClassVar, Final

from attrs import define

from walker_collector import Rejected
from walker_dest_customerio import limits
from walker_dest_customerio.encode import dumps
from walker_dest_customerio.identity import person_keys
from walker_dest_customerio.operations.base import Call, Json, Operation

_SHARED: Final[tuple[str, ...]] = (
    *("transactional_message_id", "identifiers", "message_data", "send_at", "language"),
    *("disable_message_retention", "queue_draft", "auto_create"),
)


@define
class Message(Operation):
    """A transactional message: never sent twice, as the App API cannot detect duplicates.

    `request` is the body as Customer.io documents it. Earlier operations of its event come
    before it and later ones after it, so it is `exclusive`. Its part has the name of the rule
    setting that makes it.

    fields: all that the App API takes in the body; empty if they are not checked.
    required: the fields without which it refuses the message.
    """

    api = "app"
    exclusive = True
    fields: ClassVar[tuple[str, ...]] = ()
    required: ClassVar[tuple[str, ...]] = ()

    request: Json

    @property
    def call(self) -> Call:
        return [self.part, self.request]

    @property
    def people(self) -> tuple[str, ...]:
        named = self.request.get("identifiers")
        return person_keys(named) if isinstance(named, dict) else ()

    @classmethod
    def fields_problem(cls, fields: Iterable[str]) -> str | None:
        """Return the reason that a message with these fields is refused, or None.

        Unknown fields are not quoted: a mapping may make them of data.
        """
        names = set(fields)
        for name in cls.required:
            if name not in names:
                return f"{name} is missing"
        if cls.fields and not names <= set(cls.fields):
            return f"it has a field that Customer.io does not take; known: {', '.join(cls.fields)}"
        return None

    def problem(self, now: float) -> str | None:
        request = self.request
        present = (name for name, value in request.items() if value not in ("", None, {}))
        if (fault := self.fields_problem(present)) is not None:
            return fault
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
            return f"{count:,} recipients; Customer.io takes at most {limits.RECIPIENTS}"
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


@define
class _TemplateMessage(Message):
    """A message with the content of a template at Customer.io, to a person that it names."""

    fields = _SHARED
    required = ("transactional_message_id", "identifiers")


@define
class SendSms(_TemplateMessage):
    """A transactional SMS; `to` is a phone number, by default that of the person."""

    part = "send_sms"
    guarded = "sendSms"
    fields = ("to", *_SHARED, "send_to_unsubscribed")

    def send(self, client: Any) -> Any:
        return client.send_sms(self.request)


@define
class SendWhatsapp(_TemplateMessage):
    """A transactional WhatsApp message; `to` is a phone number, by default that of the person."""

    part = "send_whatsapp"
    guarded = "sendWhatsapp"
    fields = ("to", *_SHARED, "send_to_unsubscribed", "tracked")

    def send(self, client: Any) -> Any:
        return client.send_whatsapp(self.request)


@define
class SendInApp(_TemplateMessage):
    """A transactional in-app message, which the person's devices show."""

    part = "send_in_app"
    guarded = "sendInApp"

    def send(self, client: Any) -> Any:
        return client.send_in_app(self.request)


@define
class SendInbox(_TemplateMessage):
    """A transactional message for an inbox that the application shows."""

    part = "send_inbox"
    guarded = "sendInbox"

    def send(self, client: Any) -> Any:
        return client.send_inbox_message(self.request)


MESSAGES: Final[tuple[type[Message], ...]] = (
    SendEmail,
    SendPush,
    SendSms,
    SendWhatsapp,
    SendInApp,
    SendInbox,
)
"""The messages of an event, in the order of their sending."""
MESSAGE_PARTS = tuple(kind.part for kind in MESSAGES)
"""The parts of a delivery that are messages to people."""
