"""Transactional messages of every channel: fields, recipients, fates, and the ids of deliveries."""

import inspect
import logging
from functools import partial
from pathlib import Path
from typing import Any

import customerio as sdk
import pytest

from tests.customerio.test_settings import KEYS, PLACE, load, problems_of
from tests.customerio.whole import PATIENCE, delivered, flow_of, simulated
from tests.emulator import Emulator, Reset
from walker_collector import Collector
from walker_dest_customerio.destination import CustomerioDestination
from walker_dest_customerio.operations import MESSAGES, Message
from walker_dest_customerio.sandbox import Sandbox

TEMPLATES = {
    "sendSms": "sms",
    "sendWhatsapp": "whatsapp",
    "sendInApp": "in_app",
    "sendInbox": "inbox_message",
}
SDK_REQUESTS = {
    "sendSms": sdk.SendSMSRequest,
    "sendWhatsapp": sdk.SendWhatsAppRequest,
    "sendInApp": sdk.SendInAppRequest,
    "sendInbox": sdk.SendInboxMessageRequest,
}
TEMPLATE: dict[str, Any] = {
    "transactional_message_id": {"value": "parcel"},
    "identifiers": {"map": {"id": "user.id"}},
    "message_data": {"map": {"n": "data.n"}},
}
EVERY = {key: {"map": TEMPLATE} for key in TEMPLATES}
EVENT = {"name": "parcel send", "id": "e1", "user": {"id": "u1"}, "data": {"n": 7}}
SENT = {
    "transactional_message_id": "parcel",
    "identifiers": {"id": "u1"},
    "message_data": {"n": 7},
}

templates = pytest.mark.parametrize("key", TEMPLATES)
deliveries = pytest.mark.parametrize("delivery", ["batch", "single"])


def kind_of(key: str) -> type[Message]:
    return next(kind for kind in MESSAGES if kind.guarded == key)


@templates
def test_fields_are_those_of_the_request_class_of_the_sdk(key: str) -> None:
    known = set(inspect.signature(SDK_REQUESTS[key].__init__).parameters) - {"self"}
    assert set(kind_of(key).form.known) == known | {"auto_create"}


@deliveries
def test_every_channel_is_sent_before_its_event(customerio: Sandbox, delivery: str) -> None:
    assert delivered(customerio, EVENT, rule={"settings": EVERY}, delivery=delivery) == []
    sent = [(message["channel"], message["request"]) for message in customerio.messages]
    assert sent == [(channel, SENT) for channel in TEMPLATES.values()]
    assert [event["name"] for event in customerio.events] == ["parcel send"]
    last = customerio.requests[-1].path
    assert last == ("/api/v2/batch" if delivery == "batch" else "/api/v1/customers/u1/events")


def test_simulation_names_every_message() -> None:
    (result,) = simulated(EVENT, rule={"skip": True, "settings": EVERY})
    parts = ["send_sms", "send_whatsapp", "send_in_app", "send_inbox"]
    assert result.calls == [[part, SENT] for part in parts]
    assert set(parts) < set(CustomerioDestination.message_parts)


@deliveries
def test_message_without_an_answer_is_not_sent_again_and_costs_nothing_else(
    tmp_path: Path, delivery: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Emulator(tmp_path, messages=[Reset("accepted")]) as emulator:
        settings = emulator.settings(delivery=delivery)
        flow = flow_of(settings, {"settings": EVERY}, retry={"base": 1})
        with Collector.from_config(flow) as collector:
            collector.push(EVENT)
            assert collector.flush(PATIENCE)
            (letter,) = collector.dead()
            assert "send_sms: the message may have been sent" in letter.reason
            assert "send_whatsapp" not in letter.reason
            collector.replay([letter], without_messages=True)
            assert collector.flush(PATIENCE)
            assert collector.dead() == []
    actions = [operation.action for operation in emulator.accepted]
    assert sorted(actions) == sorted([*(f"send_{end}" for end in TEMPLATES.values()), "event"])
    (retried,) = [text for text in caplog.messages if "failed events will be retried" in text]
    assert retried.endswith("; send_sms may have been sent, and will not be sent again")
    assert emulator.violations == []


@templates
def test_missing_or_unknown_field_is_a_mistake_of_the_flow(key: str) -> None:
    settings = {**KEYS, "appApiKey": "app"}

    def problems(fields: dict[str, Any]) -> list[str]:
        return problems_of(settings, {"order": {"*": {"settings": {key: {"map": fields}}}}})

    place = f"{PLACE}.mapping.order.*.settings.{key}"
    without = {name: value for name, value in TEMPLATE.items() if name != "identifiers"}
    assert problems(without) == [f"{place}: identifiers is missing"]
    (problem,) = problems({**TEMPLATE, "subject": {"value": "Hi"}})
    start = f"{place}: Customer.io does not take 'subject'; known: "
    assert problem.startswith(start)
    assert "transactional_message_id" in problem
    load(settings, {"order": {"*": {"settings": {key: {"map": TEMPLATE}}}}})


@templates
def test_fields_that_only_the_event_decides_are_checked_before_the_message_is_sent(
    customerio: Sandbox, key: str
) -> None:
    whole = {"skip": True, "settings": {key: "data.message"}}
    for message, reason in (
        ({**SENT, "subject": "secret"}, "it has a field that Customer.io does not take"),
        ({**SENT, "identifiers": {}}, "identifiers is missing"),
        ({**SENT, "transactional_message_id": ""}, "transactional_message_id is missing"),
    ):
        event = {**EVENT, "data": {"message": message}}
        (result,) = simulated(event, rule=whole)
        assert (result.status, result.calls) == ("invalid", [])
        (letter,) = delivered(customerio, event, rule=whole)
        assert reason in letter.reason
        assert "secret" not in letter.reason
    assert customerio.messages == []


def test_delivery_id_is_logged_and_passed_on(
    customerio: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[tuple[str, str, Any]] = []

    def record(delivery_id: str, message: str, event: Any) -> None:
        seen.append((delivery_id, message, event["id"]))
        raise ValueError("u1@post.example")

    rule = {"skip": True, "settings": {key: EVERY[key] for key in ("sendSms", "sendInbox")}}
    with caplog.at_level(logging.INFO):
        assert delivered(customerio, EVENT, rule=rule, onMessageSent=record) == []
    assert seen == [("sandbox-000001", "send_sms", "e1"), ("sandbox-000002", "send_inbox", "e1")]
    assert "event e1: send_sms is sandbox-000001" in caplog.messages
    assert (
        "destination customerio: event e1: onMessageSent raised ValueError; "
        "send_sms is sent, as sandbox-000001"
    ) in caplog.messages
    assert "post.example" not in caplog.text
    assert len(customerio.messages) == 2


async def record_later(delivery_id: str, message: str, event: Any) -> None:
    """Record nothing: nobody awaits it."""


class Recorder:
    async def __call__(self, delivery_id: str, message: str, event: Any) -> None:
        await record_later(delivery_id, message, event)


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (record_later, "is async, and would never run; it must be a plain function"),
        (partial(record_later, "x"), "is async, and would never run; it must be a plain function"),
        (Recorder(), "is async, and would never run; it must be a plain function"),
        (lambda: None, "must take (delivery_id, message, event), not ()"),
        (lambda event: None, "must take (delivery_id, message, event), not (event)"),
        (
            lambda a, b, c, *, d: None,
            "must take (delivery_id, message, event), not (a, b, c, *, d)",
        ),
    ],
)
def test_function_that_cannot_be_called_is_a_mistake_of_the_flow(
    function: Any, problem: str
) -> None:
    place = f"{PLACE}.settings.onMessageSent"
    assert problems_of({**KEYS, "onMessageSent": function}) == [f"{place}: {problem}"]


def test_functions_that_take_a_message_or_are_not_imported_are_right() -> None:
    for function in (print, lambda *given: None, lambda a, b, c, d=None: None):
        load({**KEYS, "onMessageSent": function})
    load({**KEYS, "onMessageSent": "not.installed:record"}, imports=False)


def test_coroutine_of_a_plain_function_is_told(
    customerio: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    rule = {"skip": True, "settings": {"sendSms": EVERY["sendSms"]}}
    wrapped = lambda *given: record_later(*given)  # noqa: E731  # a plain function, at a glance
    assert delivered(customerio, EVENT, rule=rule, onMessageSent=wrapped) == []
    assert "event e1: onMessageSent returned a coroutine, which is not run" in caplog.text


@pytest.mark.parametrize("odd", ["7", '"x\\ny"', '""', f'"{"x" * 201}"', "{}"])
def test_delivery_id_of_another_shape_is_left_out(
    customerio: Sandbox, caplog: pytest.LogCaptureFixture, odd: str
) -> None:
    customerio.fault("garbage", status=200, path="/v1/send", body=f'{{"delivery_id": {odd}}}')
    rule = {"skip": True, "settings": {"sendSms": EVERY["sendSms"]}}
    seen: list[Any] = []
    with caplog.at_level(logging.INFO):
        assert (
            delivered(customerio, EVENT, rule=rule, onMessageSent=lambda *given: seen.append(given))
            == []
        )
    assert seen == []
    assert "send_sms is" not in caplog.text
