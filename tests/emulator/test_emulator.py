"""The emulator keeps to the API reference, and goes wrong as it is told."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.emulator import (
    Answer,
    Emulator,
    Fault,
    Garbage,
    Poison,
    Raw,
    Refuse,
    Reset,
    Slow,
    TooLarge,
    outage,
)
from tests.emulator.arrivals import doubles, inversions, numbers
from tests.emulator.server import CREDENTIALS

TRACK = urllib3.make_headers(basic_auth=f"{CREDENTIALS.site_id}:{CREDENTIALS.api_key}")
APP = {"Authorization": f"Bearer {CREDENTIALS.app_api_key}"}


class Client:
    """Asks the emulator; every request once."""

    def __init__(self, emulator: Emulator) -> None:
        settings = emulator.settings()
        self._url = settings["trackUrl"]
        self._pool = urllib3.PoolManager(ca_certs=settings["caFile"], retries=False)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        given = {**(APP if path.startswith("/v1/") else TRACK), **headers}
        answer = self._pool.request(method, self._url + path, json=body, headers=given, timeout=10)
        self.headers = answer.headers
        try:
            return answer.status, json.loads(answer.data)
        except json.JSONDecodeError:
            return answer.status, answer.data

    def batch(self, *items: dict[str, Any]) -> tuple[int, Any]:
        return self.ask("POST", "/api/v2/batch", {"batch": list(items)})

    def close(self) -> None:
        self._pool.clear()


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    with Emulator(tmp_path) as emulator:
        yield emulator


@pytest.fixture
def client(emulator: Emulator) -> Iterator[Client]:
    client = Client(emulator)
    yield client
    client.close()


def ulid(n: int) -> str:
    return f"{n:026d}"


def event(n: int, person: str = "u1", **parts: Any) -> dict[str, Any]:
    return {
        "type": "person",
        "identifiers": {"id": person},
        "action": "event",
        "name": "cart add",
        "id": ulid(n),
        "attributes": {"n": n},
        **parts,
    }


def test_batch_is_kept_in_order_and_a_repeated_event_once(
    emulator: Emulator, client: Client
) -> None:
    assert client.batch(event(1), event(2)) == (200, {})
    assert client.batch(event(2), event(3)) == (200, {})
    assert [item.data["n"] for item in emulator.accepted] == [1, 2, 3]
    assert [item.data["n"] for item in emulator.repeated] == [2]
    assert emulator.violations == []


def test_calls_of_version_1_and_messages_are_kept(emulator: Emulator, client: Client) -> None:
    asked = [
        ("PUT", "/api/v1/customers/u%2F1", {"plan": "pro", "_timestamp": 1_700_000_000}),
        ("POST", "/api/v1/customers/u1/events", {"name": "a b", "data": {"n": 1}}),
        ("POST", "/api/v1/events", {"name": "a b", "anonymous_id": "s1", "data": {}}),
        ("DELETE", "/api/v1/customers/u1", {}),
        ("POST", "/api/v1/customers/u1/suppress", {}),
        ("PUT", "/api/v1/customers/u1/devices", {"device": {"id": "t", "platform": "ios"}}),
        ("DELETE", "/api/v1/customers/u1/devices/t", None),
        ("POST", "/api/v1/merge_customers", {"primary": {"id": "a"}, "secondary": {"id": "b"}}),
        ("POST", "/v1/send/email", {"to": "a@b.c", "identifiers": {"id": "u1"}}),
    ]
    for method, path, body in asked:
        status, _ = client.ask(method, path, body)
        assert (status, emulator.violations) == (200, [])
    assert [(item.action, item.person) for item in emulator.accepted] == [
        ("identify", "id:u/1"),
        ("event", "id:u1"),
        ("event", "anonymous_id:s1"),
        ("delete", "id:u1"),
        ("suppress", "id:u1"),
        ("add_device", "id:u1"),
        ("delete_device", "id:u1"),
        ("merge", "id:a"),
        ("send_email", "id:u1"),
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"identifiers": {"id": 1}}, "string of 1 to 150 bytes"),
        ({"identifiers": {"id": "a", "email": "b"}}, "exactly one identifier"),
        ({"id": "e1"}, "no ULID"),
        ({"name": " "}, "name cannot be blank"),
        ({"name": "n" * 101}, "100 bytes"),
        ({"timestamp": 1.5}, "unix seconds"),
        ({"timestamp": 1_700_000_000_000}, "unix seconds"),
        ({"data": {}}, "v2 calls it attributes"),
        ({"action": "track"}, "action 'track'"),
        ({"attributes": {"text": "x" * 33_000}}, "32 kb"),
        ({"action": "identify", "attributes": {"text": "x" * 1_001}}, "1000 bytes"),
        ({"action": "identify", "attributes": {"n" * 151: 1}}, "150 bytes"),
        ({"action": "identify", "attributes": {f"k{n}": n for n in range(301)}}, "300 attributes"),
    ],
)
def test_invalid_operation_is_refused_by_its_index_and_the_others_accepted(
    emulator: Emulator, client: Client, change: dict[str, Any], reason: str
) -> None:
    status, answer = client.batch(event(1), event(2, **change), event(3))
    assert status == 207
    assert [error["batch_index"] for error in answer["errors"]] == [1]
    assert [item.data["n"] for item in emulator.accepted] == [1, 3]
    assert reason in emulator.violations[0]


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("POST", "/api/v2/batch", {"batch": []}, {}, 400),
        ("POST", "/api/v2/batch", {"batch": [event(1)]}, {"Authorization": "Basic eA=="}, 401),
        ("POST", "/api/v2/batch", {"batch": [{"x": "x" * 500_000}]}, {}, 413),
        ("POST", "/v1/send/email", {"to": "a@b.c"}, {"Authorization": "Bearer x"}, 401),
        ("DELETE", "/api/v1/customers/u1/devices/..", None, {}, 400),
        ("DELETE", "/api/v1/customers/u1/", None, {}, 404),
        ("PUT", "/api/v1/customers/u1", {"a": "x" * 1_001}, {}, 400),
        ("POST", "/api/v1/customers/u1/events", {"name": "a b", "data": ""}, {}, 400),
    ],
)
def test_invalid_request_is_refused_and_told(
    emulator: Emulator,
    client: Client,
    method: str,
    path: str,
    body: Any,
    headers: dict[str, str],
    status: int,
) -> None:
    path = path.replace("..", "%2E%2E")
    assert client.ask(method, path, body, **headers)[0] == status
    assert emulator.accepted == []
    assert len(emulator.violations) == 1


@pytest.mark.parametrize(
    ("fault", "status", "kept"),
    [
        (Answer(500), 500, []),
        (Answer(429, retry_after="1"), 429, []),
        (Garbage(), 200, []),
        (Raw(b"no HTTP"), None, []),
        (TooLarge(1), 413, []),
        (TooLarge(2), 200, [1, 2]),
        (Refuse(), 207, [1]),
        (Slow(0.01), 200, [1, 2]),
        (Reset("unread"), None, []),
        (Reset("read"), None, []),
        (Reset("accepted"), None, [1, 2]),
    ],
)
def test_script_decides_how_a_request_goes_wrong(
    emulator: Emulator, client: Client, fault: Fault, status: int | None, kept: list[int]
) -> None:
    emulator.script = [None, fault]
    assert client.batch(event(0)) == (200, {})
    try:
        answered, _ = client.batch(event(1), event(2))
        assert client.headers.get("Retry-After") == getattr(fault, "retry_after", None)
    except urllib3.exceptions.HTTPError:
        answered = None
    assert answered == status
    assert [item.data["n"] for item in emulator.accepted] == [0, *kept]
    again, _ = client.batch(event(1), event(2))
    refused = {2} if fault == Refuse() else set()
    assert (again, numbers(emulator.refused)) == (207 if refused else 200, refused)
    assert numbers(emulator.accepted) == {0, 1, 2} - refused


def test_207_without_an_index_leaves_open_which_operation_is_meant(
    emulator: Emulator, client: Client
) -> None:
    emulator.script = [Refuse(indexed=False)]
    status, answer = client.batch(event(1), event(2), event(3))
    assert status == 207
    assert "batch_index" not in answer["errors"][0]
    assert numbers(emulator.accepted) == {1, 3}


def test_poison_makes_each_request_with_it_go_wrong(emulator: Emulator, client: Client) -> None:
    emulator.poison = [
        Poison(lambda item: item.person == "id:ann", Answer(503), times=2),
        Poison(lambda item: item.data.get("n") == 7, Refuse()),
    ]
    assert client.batch(event(1), event(2, "ann"))[0] == 503
    assert client.batch(event(1))[0] == 200
    assert client.batch(event(2, "ann"))[0] == 503
    assert client.batch(event(2, "ann"))[0] == 200
    status, answer = client.batch(event(6), event(7), event(8))
    assert (status, answer["errors"][0]["batch_index"]) == (207, 1)
    assert numbers(emulator.accepted) == {1, 2, 6, 8}


def test_messages_have_a_script_of_their_own(emulator: Emulator, client: Client) -> None:
    emulator.messages = [Answer(500)]
    assert client.batch(event(1))[0] == 200
    mail = {"to": "a@b.c", "message_data": {"n": 1}}
    assert client.ask("POST", "/v1/send/email", mail)[0] == 500
    assert client.ask("POST", "/v1/send/email", mail)[0] == 200


def test_what_came_too_late_or_twice_is_found(emulator: Emulator, client: Client) -> None:
    client.batch(event(2), event(1), event(3), event(1, id=ulid(9)))
    for _ in range(2):
        client.ask("POST", "/v1/send/email", {"to": "a@b.c", "message_data": {"n": 1}})
    assert inversions(emulator.accepted) == ["id:u1: 1 after 2"]
    assert doubles(emulator.accepted) == ["event 1: 2 ids", "send_email 1: 2 times"]


def test_outage_is_decided_by_its_seed() -> None:
    assert outage(3) == outage(3) != outage(4)
    assert 5 < sum(fault is not None for fault in outage(3)) < 26
