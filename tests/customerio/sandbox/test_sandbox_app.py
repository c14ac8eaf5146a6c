"""The App API: transactional messages."""

import base64
from typing import Any

import pytest
import requests
from customerio import (
    APIClient,
    CustomerIOException,
    SendEmailRequest,
    SendInAppRequest,
    SendInboxMessageRequest,
    SendPushRequest,
    SendSMSRequest,
    SendWhatsAppRequest,
)

from tests.customerio.sandbox.conftest import NOW, Web
from walker_dest_customerio.sandbox import Sandbox

EMAIL = {"to": "a@b.c", "transactional_message_id": 3, "identifiers": {"id": "u1"}}
TEMPLATE = {"transactional_message_id": "parcel", "identifiers": {"id": "u1"}}
PUSH = {"transactional_message_id": "welcome", "identifiers": {"id": "u1"}}


@pytest.fixture
def bearer(sandbox: Sandbox, web: Web) -> Web:
    web.session.auth = None
    web.session.headers["Authorization"] = f"Bearer {sandbox.app_api_key}"
    return web


def send(bearer: Web, channel: str, request: dict[str, Any]) -> requests.Response:
    return bearer("POST", f"/v1/send/{channel}", json=request)


def test_email_is_queued_and_recorded(app: APIClient, sandbox: Sandbox) -> None:
    request = SendEmailRequest(
        to="a@b.c",
        transactional_message_id=3,
        identifiers={"id": "u1"},
        message_data={"name": "Ann"},
        headers='[{"name": "X-A", "value": "1"}]',
    )
    request.attach("a.txt", "hello")
    assert app.send_email(request) == {"delivery_id": "sandbox-000001", "queued_at": NOW}
    (message,) = sandbox.messages
    assert (message["channel"], message["person"], message["suppressed"]) == ("email", "u1", False)
    assert message["request"]["message_data"] == {"name": "Ann"}
    assert list(sandbox.people) == ["u1"]


def test_scheduled_email_repeats_its_time(app: APIClient) -> None:
    answer = app.send_email({**EMAIL, "send_at": NOW + 60})
    assert answer["send_at"] == NOW + 60
    assert "send_at" not in app.send_email({**EMAIL, "send_at": NOW - 60})


def test_email_with_its_own_content_needs_no_stored_message(app: APIClient) -> None:
    content = {"body": "hi", "subject": "Hello", "from": "me@b.c"}
    assert app.send_email({"to": "a@b.c", **content})["queued_at"] == NOW


def test_push_adds_its_device(app: APIClient, sandbox: Sandbox) -> None:
    device = {"token": "T", "platform": "ios"}
    app.send_push(SendPushRequest(**PUSH, device=device, custom_payload={"ios": {}}))
    assert sandbox.people["u1"]["devices"] == {"T": {"platform": "ios"}}
    assert sandbox.messages[0]["channel"] == "push"


def test_other_channels_take_the_requests_of_the_sdk(app: APIClient, sandbox: Sandbox) -> None:
    app.send_sms(SendSMSRequest(**TEMPLATE, to="+15551234567", send_to_unsubscribed=False))
    app.send_whatsapp(SendWhatsAppRequest(**TEMPLATE, to="+15551234567", tracked=True))
    app.send_in_app(SendInAppRequest(**TEMPLATE, message_data={"parcel": 7}))
    app.send_inbox_message(SendInboxMessageRequest(**TEMPLATE, language="de"))
    channels = [message["channel"] for message in sandbox.messages]
    assert channels == ["sms", "whatsapp", "in_app", "inbox_message"]
    assert {message["person"] for message in sandbox.messages} == {"u1"}


def test_message_to_a_suppressed_person_is_recorded_as_such(
    app: APIClient, sandbox: Sandbox, web: Web
) -> None:
    web("POST", "/api/v1/customers/u1/suppress")
    app.send_email(EMAIL)
    assert [(one["person"], one["suppressed"]) for one in sandbox.messages] == [(None, True)]
    assert sandbox.people == {}


def test_unknown_cio_id_creates_nobody(app: APIClient, sandbox: Sandbox) -> None:
    app.send_email({**EMAIL, "identifiers": {"cio_id": "a3000001"}})
    assert sandbox.people == {}


@pytest.mark.parametrize(
    ("channel", "request_", "message"),
    [
        ("email", {"transactional_message_id": 3}, "to is required"),
        ("email", {"to": "a@b.c", "subject": "x", "from": "me@b.c"}, "body is required"),
        ("email", {**EMAIL, "to": ["a@b.c"]}, "to must be a string"),
        ("email", {**EMAIL, "messageData": {}}, "unknown field messageData"),
        ("email", {**EMAIL, "identifiers": {}}, "identifiers must have exactly one"),
        ("email", {**EMAIL, "identifiers": {"id": "1", "email": "a@b.c"}}, "exactly one"),
        ("email", {**EMAIL, "identifiers": {"id": 5}}, "exactly one"),
        ("email", {**EMAIL, "transactional_message_id": 1.5}, "a number or a trigger name"),
        ("email", {**EMAIL, "message_data": []}, "message_data must be an object"),
        ("email", {**EMAIL, "send_at": NOW + 90 * 86_400 + 1}, "at most 90 days ahead"),
        ("email", {**EMAIL, "send_at": "soon"}, "send_at must be an integer"),
        ("email", {**EMAIL, "tracked": "yes"}, "tracked must be a boolean"),
        ("email", {**EMAIL, "cc": ",".join(["x@y.z"] * 15)}, "more than 15 recipients"),
        ("email", {**EMAIL, "attachments": {"a.txt": "?"}}, "base64"),
        ("email", {**EMAIL, "attachments": {"a.txt": 5}}, "base64"),
        ("email", {**EMAIL, "headers": "{"}, "headers must be"),
        ("email", {**EMAIL, "headers": 5}, "headers must be"),
        ("push", {"identifiers": {"id": "u1"}}, "transactional_message_id is required"),
        ("push", {"transactional_message_id": 3}, "identifiers is required"),
        ("push", {**PUSH, "sound": "loud"}, "sound must be default or none"),
        ("push", {**PUSH, "custom_data": "x"}, "custom_data must be an object"),
        ("push", {**PUSH, "custom_device": {"token": "T"}}, "custom_device must have"),
        ("push", {**PUSH, "subject": "x"}, "unknown field subject"),
        ("push", {**PUSH, "title": 5}, "title must be a string"),
        ("sms", {"identifiers": {"id": "u1"}}, "transactional_message_id is required"),
        ("sms", {**TEMPLATE, "tracked": True}, "unknown field tracked"),
        ("sms", {**TEMPLATE, "to": 49}, "to must be a string"),
        ("whatsapp", {**TEMPLATE, "subject": "x"}, "unknown field subject"),
        ("whatsapp", {"transactional_message_id": 3}, "identifiers is required"),
        ("in_app", {**TEMPLATE, "to": "x"}, "unknown field to"),
        ("in_app", {**TEMPLATE, "send_to_unsubscribed": True}, "unknown field send_to_unsub"),
        ("inbox_message", {**TEMPLATE, "message_data": []}, "message_data must be an object"),
    ],
)
def test_message_is_rejected(
    bearer: Web, sandbox: Sandbox, channel: str, request_: dict[str, Any], message: str
) -> None:
    answer = send(bearer, channel, request_)
    assert answer.status_code == 400
    assert message in answer.json()["meta"]["error"]
    assert sandbox.messages == []


def test_fifteen_recipients_are_accepted(bearer: Web) -> None:
    request = {**EMAIL, "cc": ",".join(["x@y.z"] * 7), "bcc": ",".join(["x@y.z"] * 7)}
    assert send(bearer, "email", request).status_code == 200


def test_headers_may_be_a_list(bearer: Web) -> None:
    request = {**EMAIL, "headers": [{"name": "X-A", "value": "1"}]}
    assert send(bearer, "email", request).status_code == 200


def test_attachments_are_limited_in_total(bearer: Web) -> None:
    half = base64.b64encode(b"x" * 750_000).decode()
    request = {**EMAIL, "attachments": {"a": half, "b": half}}
    assert send(bearer, "email", request).status_code == 200
    answer = send(bearer, "email", {**EMAIL, "attachments": {"a": half, "b": half + "eHh4"}})
    assert answer.status_code == 413
    assert answer.json() == {"meta": {"error": "Total attachment size exceeds the limit"}}


@pytest.mark.parametrize("body", [b"{", b"[]", b" " * (2048 * 1024 + 1)])
def test_request_must_be_json_of_at_most_2048_kb(bearer: Web, body: bytes) -> None:
    answer = bearer("POST", "/v1/send/email", data=body)
    assert answer.status_code == 400
    assert answer.json()["meta"]["error"] == (
        "Request entity must be JSON encoded and not exceed 2048 KB"
    )


def test_wrong_credentials_are_refused(app: APIClient, web: Web, sandbox: Sandbox) -> None:
    app.http.headers["Authorization"] = "Bearer wrong"
    with pytest.raises(CustomerIOException, match=r"^401"):
        app.send_push(PUSH)
    assert send(web, "email", EMAIL).status_code == 401
    assert sandbox.messages == []


def test_other_path_is_refused_in_json(bearer: Web) -> None:
    answer = bearer("GET", "/v1/send/email")
    assert answer.status_code == 405
    assert answer.json() == {"meta": {"error": "method not allowed"}}
