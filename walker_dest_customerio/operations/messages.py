"""Transactional messages of the App API, one class for each channel."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from attrs import define, field

from walker_collector import Rejected
from walker_dest_customerio import limits
from walker_dest_customerio.encode import dumps
from walker_dest_customerio.identity import person_keys
from walker_dest_customerio.operations.base import Call, Json, Operation
from walker_dest_customerio.operations.form import (
    UNKNOWN,
    Check,
    Form,
    a_switch,
    an_id,
    an_object,
)

_SWITCHES: Final = (
    *("disable_message_retention", "queue_draft", "auto_create", "send_to_unsubscribed"),
    *("tracked", "fake_bcc", "disable_css_preprocessing"),
)
_SHARED: Final = (
    *("message_data", "send_at", "language"),
    *("disable_message_retention", "queue_draft", "auto_create"),
)
_OF_EMAIL: Final = (
    *("identifiers", *_SHARED, "send_to_unsubscribed", "tracked", "fake_bcc"),
    *("disable_css_preprocessing", "cc", "bcc", "from", "reply_to", "subject", "preheader"),
    *("body", "body_plain", "body_amp", "attachments", "headers"),
)
_OF_PUSH: Final = (
    *("to", *_SHARED, "send_to_unsubscribed", "title", "message", "image_url", "link", "sound"),
    *("custom_data", "custom_payload", "custom_device"),
)
_KINDS: Final = ("id", "email", "cio_id")


def _a_person(value: Any) -> str | None:
    is_one = (
        isinstance(value, Mapping)
        and len(value) == 1
        and all(
            kind in _KINDS and (name is UNKNOWN or not an_id(name)) for kind, name in value.items()
        )
    )
    return None if is_one else "an object with exactly one of id, email and cio_id, a text"


def _a_template(value: Any) -> str | None:
    return "a number or a trigger name" if an_id(value) else None


_CHECKS: Final[Mapping[str, Check]] = {
    "transactional_message_id": _a_template,
    "identifiers": _a_person,
    "message_data": an_object,
    "attachments": an_object,
    "custom_data": an_object,
    "custom_payload": an_object,
    "custom_device": an_object,
    **dict.fromkeys(_SWITCHES, a_switch),
}


def _template(*optional: str) -> Form:
    """Return the form of a message with the content of a template, to a person that it names."""
    required = ("transactional_message_id", "identifiers")
    return Form(required, (*optional, *_SHARED), strict=True, checks=_CHECKS)


@define
class Message(Operation):
    """A transactional message: never sent twice, as the App API cannot detect duplicates.

    `request` is the body as Customer.io documents it. Earlier operations of its event come
    before it and later ones after it, so it is `exclusive`. Its part has the name of the rule
    setting that makes it.

    form: all that the App API takes in the body.
    is_sent_anyway: walkerOS sends this one in whatever form, and to people it does not know.
    quoted: the fields that the flow names; others may be data.
    """

    api = "app"
    exclusive = True
    form: ClassVar[Form]
    is_sent_anyway: ClassVar[bool] = False

    request: Json
    quoted: tuple[str, ...] = field(default=(), eq=False, repr=False)

    @property
    def call(self) -> Call:
        return [self.part, self.request]

    @property
    def people(self) -> tuple[str, ...]:
        named = self.request.get("identifiers")
        return person_keys(named) if isinstance(named, dict) else ()

    def form_problem(self) -> str | None:
        """Return why the App API refuses the fields of the body, or None."""
        return self.form.problem(self.request, self.quoted)

    def problem(self, now: float) -> str | None:
        request = self.request
        if (fault := self.form_problem()) is not None:
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
    is_sent_anyway = True
    form = Form(
        ("to", "transactional_message_id"),
        _OF_EMAIL,
        strict=True,
        checks=_CHECKS,
        instead={"transactional_message_id": ("body", "subject", "from")},
    )

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
    is_sent_anyway = True
    form = Form(("transactional_message_id", "identifiers"), _OF_PUSH, strict=True, checks=_CHECKS)

    def send(self, client: Any) -> Any:
        return client.send_push(self.request)


@define
class SendSms(Message):
    """A transactional SMS; `to` is a phone number, by default that of the person."""

    part = "send_sms"
    guarded = "sendSms"
    form = _template("to", "send_to_unsubscribed")

    def send(self, client: Any) -> Any:
        return client.send_sms(self.request)


@define
class SendWhatsapp(Message):
    """A transactional WhatsApp message; `to` is a phone number, by default that of the person."""

    part = "send_whatsapp"
    guarded = "sendWhatsapp"
    form = _template("to", "send_to_unsubscribed", "tracked")

    def send(self, client: Any) -> Any:
        return client.send_whatsapp(self.request)


@define
class SendInApp(Message):
    """A transactional in-app message, which the person's devices show."""

    part = "send_in_app"
    guarded = "sendInApp"
    form = _template()

    def send(self, client: Any) -> Any:
        return client.send_in_app(self.request)


@define
class SendInbox(Message):
    """A transactional message for an inbox that the application shows."""

    part = "send_inbox"
    guarded = "sendInbox"
    form = _template()

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
