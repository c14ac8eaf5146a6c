import orjson
import pytest

from walker_collector import DestinationDown, Rejected, RetryLater, WalkerError
from walker_dest_customerio.responses import (
    APP,
    TRACK,
    Api,
    NotProcessed,
    RequestRejected,
    batch_errors,
    error_for_response,
    error_messages,
    is_api_response,
)

NOW = 1_700_000_000.0


def answer(
    status: int, content: object = None, api: Api = TRACK, region: str = "us", **headers: str
) -> WalkerError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return error_for_response(api, status, named, orjson.dumps(content), region, NOW)


@pytest.mark.parametrize("status", [402, 407, 408, 418, 421, 425, 429, 499, 503])
def test_request_that_was_not_taken_is_retried(status: int) -> None:
    assert isinstance(answer(status), NotProcessed)


@pytest.mark.parametrize("status", [500, 501, 502, 504, 522, 524, 101])
def test_error_of_the_server_is_retried_though_it_may_have_had_its_effect(status: int) -> None:
    error = answer(status)
    assert isinstance(error, RetryLater)
    assert not isinstance(error, NotProcessed)


@pytest.mark.parametrize("status", [400, 404, 405, 409, 413, 422])
def test_request_that_can_never_succeed_is_refused(status: int) -> None:
    error = answer(status)
    assert isinstance(error, RequestRejected)
    assert error.status == status


def test_bad_credentials_stop_the_destination_and_name_the_settings() -> None:
    for api, setting in ((TRACK, "settings.apiKey"), (APP, "settings.appApiKey")):
        error = answer(401, api=api)
        assert isinstance(error, DestinationDown)
        assert setting in error.reason


def test_redirect_stops_the_destination_and_names_the_other_region() -> None:
    error = answer(301, {"errors": [{"detail": "wrong datacenter", "status": "301"}]})
    assert isinstance(error, DestinationDown)
    assert "set settings.region to 'eu'" in error.reason
    assert "wrong datacenter" in error.reason
    assert "settings.region to 'us'" in str(answer(307, region="eu"))


def test_track_api_that_forbids_stops_the_destination() -> None:
    assert isinstance(answer(403), DestinationDown)


@pytest.mark.parametrize(
    "said", ["attachment type is not allowed", "Push messaging is not enabled for your workspace."]
)
def test_app_api_that_forbids_a_message_refuses_that_message(said: str) -> None:
    assert isinstance(answer(403, {"meta": {"error": said}}, APP), Rejected)


@pytest.mark.parametrize(
    "said", ["your account is not approved", "workspace is set to Do Not Send"]
)
def test_app_api_that_forbids_all_messages_stops_the_destination(said: str) -> None:
    assert isinstance(answer(403, {"meta": {"error": said}}, APP), DestinationDown)


def test_wait_that_was_asked_for_is_passed_on() -> None:
    for status in (429, 503, 500):
        error = answer(status, Retry_After="17")
        assert isinstance(error, RetryLater)
        assert error.after == 17


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"meta": {"error": "name cannot be blank"}}, ["name cannot be blank"]),
        ({"meta": {"errors": ["one", "too long"]}}, ["one", "too long"]),
        (
            {"errors": [{"reason": "invalid", "field": "name", "message": "is too long"}]},
            ["name: is too long (invalid)"],
        ),
        ({"errors": [{"detail": "wrong datacenter", "status": "301"}]}, ["wrong datacenter"]),
        ({"errors": [{"reason": "required"}, 7, None]}, ["required"]),
        ({"errors": "oops", "meta": []}, []),
        ([], []),
        (None, []),
    ],
)
def test_messages_are_found_in_every_shape(content: object, said: list[str]) -> None:
    assert error_messages(orjson.dumps(content)) == said


def test_body_that_is_no_json_says_nothing() -> None:
    assert error_messages(b"<html>") == []
    assert not is_api_response(b"<html>")
    assert not is_api_response(b"[]")
    assert not is_api_response(b"")
    assert is_api_response(b"{}\n")


def test_message_as_long_as_a_letter_is_cut() -> None:
    assert len(error_messages(orjson.dumps({"meta": {"error": "name " * 10_000}}))[0]) < 300


QUOTED = (
    "ines@private.example",
    "Ines Private",
    "4917612345678",
    "sk_live_51H",
    "a\x00b",
    "\u202e",
)


@pytest.mark.parametrize("quoted", QUOTED)
@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 413, 418, 422, 429, 500, 503, 999])
def test_reason_quotes_nothing_that_may_be_data(status: int, quoted: str) -> None:
    shapes: list[object] = [
        {"meta": {"error": f"value for attribute '{quoted}' cannot be longer than 1000 bytes"}},
        {"meta": {"errors": [quoted, [quoted], {quoted: quoted}]}},
        {"errors": [{"field": quoted, "reason": quoted, "message": quoted, "detail": quoted}]},
        {"errors": [{"field": [quoted], "reason": {quoted: 1}, "message": [quoted]}, quoted]},
        {"error": quoted, "message": {quoted: quoted}, "detail": [quoted]},
        {"errors": {quoted: quoted}},
        {quoted: quoted},
        [quoted],
        quoted,
    ]
    for api in (TRACK, APP):
        for shape in shapes:
            reason = str(answer(status, shape, api))
            assert quoted not in reason
            assert not {"Ines", "Private", "example", "4917612345678"} & set(reason.split())
            assert len(reason) < 1_000
            assert reason.isprintable()


def test_reason_keeps_the_words_of_a_published_message() -> None:
    said = {"meta": {"errors": ["value for attribute 'note' cannot be longer than 1000 bytes"]}}
    reason = "Track API answered 400: value for attribute ... cannot be longer than 1000 bytes"
    assert str(answer(400, said)) == reason
    fields = {"errors": [{"field": "attributes.plan", "reason": "too_long", "message": "pro!"}]}
    assert str(answer(400, fields)) == "Track API answered 400: attributes.plan: too long"


def test_reason_lists_a_few_of_many_messages() -> None:
    said = {
        "meta": {
            "errors": [f"{word} is required" for word in ["a", "b", "c", "d", "e", "f", "g"]] * 100
        }
    }
    assert str(answer(400, said)).count(";") <= 5


def test_items_of_a_batch_come_with_their_index_if_they_have_one() -> None:
    body = orjson.dumps(
        {
            "errors": [
                {"batch_index": 1, "reason": "invalid", "field": "name", "message": "is blank"},
                {"batch_index": 1, "message": "again"},
                {"reason": "invalid"},
                {"batch_index": True},
                {"batch_index": "2"},
                "text",
            ]
        }
    )
    assert batch_errors(body) == [
        (1, "name: is blank (invalid)"),
        (1, "again"),
        (None, "invalid"),
        (-1, "no reason given"),
        (-1, "no reason given"),
        (None, "text"),
    ]
    assert batch_errors(b"{}") == []
