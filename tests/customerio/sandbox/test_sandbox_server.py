"""The server: its state over HTTP, its life cycle, its log."""

import base64
import socket
import threading
from pathlib import Path

import pytest
import requests

from tests.customerio.sandbox.conftest import NOW, Clock, Web
from tests.support import join
from walker_dest_customerio import sandbox as package
from walker_dest_customerio.sandbox import RequestRecord, Sandbox
from walker_dest_customerio.sandbox.faults import KINDS

PERSON = "/api/v1/customers/u%2F1"


def test_state_is_json_without_credentials(web: Web, sandbox: Sandbox) -> None:
    web("PUT", PERSON, json={"plan": "pro"})
    web("POST", f"{PERSON}/events", json={"name": "seen"})
    web("POST", "/api/v1/events", json={"name": "seen", "anonymous_id": "a1"})
    web.session.auth = None
    state = web("GET", "/sandbox/state").json()
    assert state == sandbox.state()
    assert state.keys() == {
        *("people", "anonymous_events", "invites", "messages", "objects", "suppressed"),
        *("ignored", "counters"),
    }
    assert state["people"]["u/1"] == {
        "id": "u/1",
        "email": None,
        "phone": None,
        "cio_id": "a3000001",
        "attributes": {"plan": "pro"},
        "devices": {},
        "events": sandbox.events[:1],
        "anonymous_ids": [],
        "relationships": [],
        "edited_at": NOW,
    }
    assert state["anonymous_events"] == {"a1": sandbox.events[1:]}
    assert state["counters"] == {
        "requests": 3,
        "endpoints": {
            "PUT /api/v1/customers/{identifier}": 1,
            "POST /api/v1/customers/{identifier}/events": 1,
            "POST /api/v1/events": 1,
        },
        "statuses": {"200": 3},
        "faults": {},
        "operations": 3,
        "rejected": 0,
        "largest_batch": {"operations": 0, "bytes": 0},
        "duplicates": 0,
        "ignored": 0,
    }


def test_reset_forgets_all_but_faults(web: Web, sandbox: Sandbox) -> None:
    empty = sandbox.state()
    sandbox.fault("status", path="/api/v2/")
    web("PUT", PERSON, json={})
    assert web("DELETE", "/sandbox/state").json() == {}
    assert sandbox.state() == empty
    assert sandbox.requests == []
    assert len(sandbox.faults()) == 1
    web("PUT", PERSON, json={})
    sandbox.reset()
    assert sandbox.state() == empty


def test_requests_are_logged(web: Web, sandbox: Sandbox, clock: Clock) -> None:
    clock.now += 7
    answer = web("PUT", PERSON, json={"plan": "pro"})
    size = len(answer.request.body or b"")
    expected = RequestRecord(
        method="PUT",
        path=PERSON,
        endpoint="PUT /api/v1/customers/{identifier}",
        status=200,
        time=NOW + 7.0,
        operations=1,
        bytes=size,
    )
    assert sandbox.requests == [expected]
    assert web("GET", "/sandbox/requests").json()[0]["path"] == PERSON


def test_unknown_path_is_a_404_in_json_and_logged(web: Web, sandbox: Sandbox) -> None:
    answer = web("POST", "/api/v3/batch", data=b"123")
    assert answer.status_code == 404
    assert answer.json() == {"meta": {"error": "not found"}}
    assert sandbox.counters["endpoints"] == {"unknown": 1}
    assert web("GET", "/sandbox/nowhere").status_code == 404
    assert sandbox.counters["requests"] == 1


def test_giant_body_is_refused(web: Web) -> None:
    answer = web("PUT", PERSON, data=b" " * (32 * 1024 * 1024 + 1))
    assert answer.status_code == 413


def test_deeply_nested_data_can_be_read_back(web: Web, sandbox: Sandbox) -> None:
    nested: object = 1
    for _ in range(250):
        nested = [nested]
    assert web("POST", f"{PERSON}/events", json={"name": "x", "data": {"a": nested}}).ok
    assert web("GET", "/sandbox/state").json() == sandbox.state()


def test_credentials_are_chosen_by_the_caller() -> None:
    with Sandbox(site_id="s", api_key="k", app_api_key="a", region="eu") as sandbox:
        assert sandbox.settings() == {
            "siteId": "s",
            "apiKey": "k",
            "appApiKey": "a",
            "trackUrl": sandbox.track_url,
            "apiUrl": sandbox.api_url,
            "caFile": sandbox.ca_file,
        }
        web = Web(sandbox)
        assert web("GET", "/api/v1/accounts/region").json()["data_center"] == "eu"
        web.session.auth = None
        odd = base64.b64encode(b"s:\xff").decode()
        headers = {"Authorization": f"Basic {odd}"}
        assert web("PUT", PERSON, json={}, headers=headers).status_code == 401
        web.session.close()


def test_ca_file_is_kept_where_asked_and_temporary_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    with Sandbox(ca_file=path) as sandbox:
        assert sandbox.ca_file == str(path)
    assert "BEGIN CERTIFICATE" in path.read_text()
    with Sandbox() as sandbox:
        temporary = Path(sandbox.ca_file)
        assert temporary.exists()
    assert not temporary.exists()


def test_other_cas_do_not_vouch_for_the_sandbox(sandbox: Sandbox) -> None:
    with Sandbox() as other, pytest.raises(requests.exceptions.SSLError):
        requests.get(sandbox.state_url, verify=other.ca_file, timeout=10)


def test_taken_port_is_an_error(sandbox: Sandbox) -> None:
    second = Sandbox(port=sandbox.port)
    with pytest.raises(OSError, match="address already in use"):
        second.start()
    second.close()


def test_stop_refuses_connections_and_start_goes_on_with_the_same_state(
    web: Web, sandbox: Sandbox
) -> None:
    web("PUT", PERSON, json={"plan": "pro"})
    port = sandbox.port
    sandbox.stop()
    sandbox.stop()
    sandbox.clear_faults()
    with pytest.raises(requests.ConnectionError):
        web("PUT", PERSON, json={"plan": "free"})
    sandbox.start()
    assert sandbox.port == port
    assert web("PUT", PERSON, json={"seats": 1}).status_code == 200
    assert sandbox.people["u/1"]["attributes"] == {"plan": "pro", "seats": 1}


def test_stop_ends_requests_that_hang(web: Web, sandbox: Sandbox) -> None:
    sandbox.fault("hang")
    failures: list[Exception] = []

    def ask() -> None:
        try:
            web("PUT", PERSON, json={})
        except requests.ConnectionError as error:
            failures.append(error)

    client = threading.Thread(target=ask)
    client.start()
    sandbox.wait_for_requests(1)
    sandbox.stop()
    client.join(5)
    assert len(failures) == 1


@pytest.mark.parametrize(
    ("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("localhost", "localhost"), ("::1", "[::1]")]
)
def test_url_is_one_that_clients_can_use(host: str, shown: str) -> None:
    if host == "::1" and not _has_ipv6():
        pytest.skip("no IPv6 here")
    with Sandbox(host=host) as sandbox:
        assert sandbox.track_url == f"https://{shown}:{sandbox.port}"
        web = Web(sandbox)
        assert web("GET", "/sandbox/state").status_code == 200
        web.session.close()


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def test_waiting_in_vain_says_what_came(sandbox: Sandbox) -> None:
    with pytest.raises(TimeoutError, match="0 requests after 0 s, not 1"):
        sandbox.wait_for_requests(1, timeout=0)


def test_snapshots_are_copies(web: Web, sandbox: Sandbox) -> None:
    web("PUT", PERSON, json={"nested": {"a": 1}})
    sandbox.people["u/1"]["attributes"]["nested"]["a"] = 2
    assert sandbox.people["u/1"]["attributes"]["nested"]["a"] == 1


def test_many_clients_at_once_lose_nothing(sandbox: Sandbox) -> None:
    def ask(name: str) -> None:
        web = Web(sandbox)
        for number in range(20):
            web.entity(action="event", identifiers={"id": name}, name=f"{number}")
        web.session.close()

    clients = [threading.Thread(target=ask, args=(f"u{n}",)) for n in range(8)]
    for client in clients:
        client.start()
    join(*clients)
    people = sandbox.people
    assert sorted(people) == [f"u{n}" for n in range(8)]
    for person in people.values():
        assert [event["name"] for event in person["events"]] == [f"{n}" for n in range(20)]


def test_package_has_only_the_names_it_offers() -> None:
    assert all(hasattr(package, name) for name in package.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        package.__getattr__("Nonsense")


@pytest.mark.parametrize("path", ["/", "/sandbox", "/sandbox/"])
def test_root_names_the_addresses_and_the_faults(path: str, web: Web, sandbox: Sandbox) -> None:
    answer = web("GET", path)
    assert answer.status_code == 200
    about = answer.json()
    assert "local Customer.io" in about["about"]
    named = {name.removeprefix("GET ") for name in about if name.startswith("GET ")}
    assert [web("GET", name).status_code for name in named] == [200] * 3
    assert about["kinds of faults"].keys() == KINDS.keys()
    assert sandbox.requests == []
