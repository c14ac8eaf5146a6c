"""Faults on demand, as clients meet them."""

import threading
import time
from typing import Any

import pytest
import requests
from customerio import CustomerIO, CustomerIOException
from hypothesis import given
from hypothesis import strategies as st

from tests.customerio.sandbox.conftest import Web
from walker_dest_customerio.sandbox import Fault, FaultError, Sandbox
from walker_dest_customerio.sandbox.faults import FaultQueue, fault_from

PERSON = "/api/v1/customers/u1"
BATCH = "/api/v2/batch"


def put(web: Web) -> requests.Response:
    return web("PUT", PERSON, json={"plan": "pro"})


def test_status_comes_so_many_times_and_applies_nothing(web: Web, sandbox: Sandbox) -> None:
    sandbox.fault("status", status=503, retry_after=1, times=2)
    answers = [put(web) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert answers[0].headers["Retry-After"] == "1"
    assert "Retry-After" not in answers[2].headers
    assert [request.operations for request in sandbox.requests] == [0, 0, 1]


def test_429_may_come_without_retry_after(web: Web, sandbox: Sandbox) -> None:
    sandbox.fault("status", status=429, body='{"meta":{"error":"slow down"}}')
    answer = put(web)
    assert answer.status_code == 429
    assert "Retry-After" not in answer.headers
    assert answer.json() == {"meta": {"error": "slow down"}}


def test_faults_are_consumed_in_order(web: Web, sandbox: Sandbox) -> None:
    for status in (500, 502, 429):
        sandbox.fault("status", status=status)
    assert [put(web).status_code for _ in range(4)] == [500, 502, 429, 200]
    assert sandbox.counters["faults"] == {"status": 3}


def test_sdk_retries_through_a_short_outage(track: CustomerIO, sandbox: Sandbox) -> None:
    sandbox.fault("status", status=500, times=2)
    with CustomerIO(
        sandbox.site_id, sandbox.api_key, host=sandbox.track_url, retries=3, backoff_factor=0
    ) as client:
        client.http.verify, client.http.trust_env = sandbox.ca_file, False
        client.identify("u1", plan="pro")
    assert [request.status for request in sandbox.requests] == [500, 500, 200]


def test_latency_slows_down_and_lets_the_next_fault_act(web: Web, sandbox: Sandbox) -> None:
    sandbox.fault("latency", ms=60, times=None)
    sandbox.fault("status", status=500)
    started = time.monotonic()
    assert [put(web).status_code, put(web).status_code] == [500, 200]
    assert time.monotonic() - started >= 0.12


def test_base_latency_slows_every_request_down() -> None:
    with Sandbox(latency_ms=60) as sandbox:
        web = Web(sandbox)
        started = time.monotonic()
        assert put(web).status_code == 200
        assert time.monotonic() - started >= 0.06
        web.session.close()


def test_hang_ends_with_the_clients_patience(track: CustomerIO, sandbox: Sandbox) -> None:
    track.identify("u1", plan="free")  # the connection stands; the patience is for the answer
    sandbox.fault("hang")
    track.timeout = 0.1
    with pytest.raises(CustomerIOException, match="Read timed out"):
        track.identify("u1", plan="pro")
    assert sandbox.wait_for_requests(2)[1].status is None
    assert sandbox.people["u1"]["attributes"] == {"plan": "free"}


def test_hang_ends_when_faults_are_cleared(web: Web, sandbox: Sandbox) -> None:
    sandbox.fault("hang", times=None)
    failures: list[Exception] = []

    def ask() -> None:
        try:
            put(web)
        except requests.ConnectionError as error:
            failures.append(error)

    client = threading.Thread(target=ask)
    client.start()
    sandbox.wait_for_requests(1)
    sandbox.clear_faults()
    client.join(5)
    assert len(failures) == 1
    assert put(web).status_code == 200


def test_reset_comes_before_the_answer_and_applies_nothing(web: Web, sandbox: Sandbox) -> None:
    sandbox.fault("reset")
    with pytest.raises(requests.ConnectionError):
        put(web)
    assert sandbox.people == {}
    assert put(web).status_code == 200


def test_applied_request_may_lose_its_answer(web: Web, sandbox: Sandbox) -> None:
    sandbox.fault("reset", apply=True)
    with pytest.raises(requests.ConnectionError):
        put(web)
    assert sandbox.people["u1"]["attributes"] == {"plan": "pro"}
    (request,) = sandbox.requests
    assert (request.status, request.operations, request.fault) == (None, 1, "reset")


def test_body_may_break_off(web: Web, sandbox: Sandbox) -> None:
    sandbox.fault("reset_body")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        put(web)
    assert sandbox.requests[0].status == 200


def test_redirect_leads_to_another_host_and_loses_method_and_credentials(
    web: Web, sandbox: Sandbox
) -> None:
    sandbox.fault("redirect")
    answer = web("POST", BATCH, json={"batch": []})
    assert answer.history[0].status_code == 301
    assert answer.history[0].json() == {"errors": [{"detail": "wrong datacenter", "status": "301"}]}
    assert answer.url == f"https://localhost:{sandbox.port}{BATCH}"
    assert [request.method for request in sandbox.requests] == ["POST", "GET"]
    assert answer.status_code == 405
    assert "Authorization" not in answer.request.headers


def test_redirect_goes_back_from_localhost(sandbox: Sandbox, web: Web) -> None:
    sandbox.fault("redirect", times=2)
    web.base = web.base.replace("127.0.0.1", "localhost")
    answer = web("PUT", PERSON, json={}, allow_redirects=False)
    assert answer.headers["Location"] == f"{sandbox.track_url}{PERSON}"


def test_redirect_may_lead_anywhere_with_any_status(web: Web, sandbox: Sandbox) -> None:
    sandbox.fault("redirect", status=307, location="/sandbox/state")
    answer = web("POST", BATCH, json={}, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (307, "/sandbox/state")


@pytest.mark.parametrize("status", [200, 207])
def test_garbage_is_no_json(web: Web, sandbox: Sandbox, status: int) -> None:
    sandbox.fault("garbage", status=status)
    answer = put(web)
    assert answer.status_code == status
    with pytest.raises(requests.exceptions.JSONDecodeError):
        answer.json()


def test_fault_may_be_limited_to_a_path(web: Web, sandbox: Sandbox) -> None:
    sandbox.fault("status", status=500, path="/api/v2/", times=None)
    assert put(web).status_code == 200
    assert web("POST", BATCH, json={}).status_code == 500


def test_sandbox_paths_suffer_no_faults(web: Web, sandbox: Sandbox) -> None:
    sandbox.fault("status", status=500, times=None)
    assert web("GET", "/sandbox/state").status_code == 200
    assert sandbox.faults()[0]["remaining"] is None


def test_faults_are_scripted_over_http(web: Web, sandbox: Sandbox) -> None:
    script = [{"kind": "status", "status": 429, "retry_after": 2}, {"kind": "reset", "times": 5}]
    answer = web.faults(script)
    assert [fault["remaining"] for fault in answer.json()] == [1, 5]
    assert put(web).status_code == 429
    assert [fault["kind"] for fault in web("GET", "/sandbox/faults").json()] == ["reset"]
    assert web("DELETE", "/sandbox/faults").json() == {}
    assert put(web).status_code == 200
    assert web.faults({"kind": "garbage"}).json()[0]["kind"] == "garbage"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([5], "a fault must be an object"),
        ({}, "kind is missing"),
        ({"kind": "earthquake"}, "unknown kind"),
        ({"kind": ["reset"]}, "unknown kind"),
        ({"kind": "reset", "time": 3}, "unknown key 'time'"),
        ({"kind": "reset", "times": 0}, "times cannot be 0"),
        ({"kind": "reset", "times": True}, "times cannot be True"),
        ({"kind": "reset", "every": 0}, "every cannot be 0"),
        ({"kind": "reset", "probability": 1.5}, "probability cannot be 1.5"),
        ({"kind": "reset", "path": None}, "path cannot be None"),
        ({"kind": "reset", "apply": 1}, "apply cannot be 1"),
        ({"kind": "reset", "seed": "x"}, "seed cannot be 'x'"),
        ({"kind": "latency", "ms": -1}, "ms cannot be -1"),
        ({"kind": "status", "status": 99}, "status cannot be 99"),
        ({"kind": "status", "retry_after": -1}, "retry_after cannot be -1"),
        ({"kind": "status", "body": 5}, "body cannot be 5"),
        ({"kind": "redirect", "location": 5}, "location cannot be 5"),
    ],
)
def test_impossible_fault_is_refused_with_the_reason(
    web: Web, sandbox: Sandbox, content: Any, message: str
) -> None:
    answer = web.faults(content)
    assert answer.status_code == 400
    assert message in answer.json()["meta"]["error"]
    assert sandbox.faults() == []


def test_fault_script_must_be_json(web: Web) -> None:
    assert web("POST", "/sandbox/faults", data=b"[").status_code == 400


def test_impossible_fault_raises_in_python(sandbox: Sandbox) -> None:
    with pytest.raises(FaultError, match="unknown kind; one of latency, status"):
        sandbox.fault("earthquake")


def hits(fault: Fault, count: int) -> list[bool]:
    queue = FaultQueue()
    queue.add([fault])
    return [queue.next_for(PERSON).fault is not None for _ in range(count)]


@given(every=st.integers(1, 9), times=st.integers(1, 5))
def test_every_nth_request_is_hit_so_many_times(every: int, times: int) -> None:
    fault = Fault(kind="reset", every=every, times=times)
    expected = [n % every == 0 and n <= every * times for n in range(1, 51)]
    assert hits(fault, 50) == expected


@given(seed=st.integers(), probability=st.floats(0, 1))
def test_chance_is_fixed_by_the_seed(seed: int, probability: float) -> None:
    fault = Fault(kind="reset", probability=probability, seed=seed, times=None)
    assert hits(fault, 50) == hits(fault, 50)
    assert probability > 0 or not any(hits(fault, 50))
    assert probability < 1 or all(hits(fault, 50))


@given(
    st.fixed_dictionaries(
        {"kind": st.text() | st.sampled_from(["status", "hang"])},
        optional={
            name: st.none() | st.booleans() | st.integers() | st.floats() | st.text()
            for name in ("times", "every", "probability", "ms", "status", "retry_after", "other")
        },
    )
)
def test_any_json_is_a_fault_or_refused(content: dict[str, Any]) -> None:
    try:
        fault = fault_from(content)
    except FaultError:
        return
    assert fault.every > 0
    assert 0 <= fault.probability <= 1
