"""The kit for plugins that are clients: rates, Retry-After, statuses, checks of settings."""

import math
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from attrs import define, field, frozen
from hypothesis import given
from hypothesis import strategies as st

from tests.support import join
from walker_collector import DestinationDown, Rejected, RetryLater, Secret
from walker_collector.clients import (
    RateLimiter,
    credential,
    error_for_status,
    filled,
    https_origin,
    positive,
    retry_after,
    sendable_headers,
    tls_context,
    web_address,
)

# --- rates ---------------------------------------------------------------------------------------


@define
class Clock:
    """A clock that moves only when someone sleeps."""

    now: float = 0.0
    slept: list[float] = field(factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_calls_come_no_faster_than_the_rate() -> None:
    clock = Clock()
    limiter = RateLimiter(100, clock, clock.sleep)
    for _ in range(510):
        limiter.wait()
    assert 4.99 < clock.now < 5.01


def test_a_burst_after_a_rest_is_a_tenth_of_a_seconds_worth() -> None:
    clock = Clock()
    limiter = RateLimiter(100, clock, clock.sleep)
    clock.now = 60.0
    for _ in range(10):
        limiter.wait()
    assert clock.slept == []
    limiter.wait()
    assert len(clock.slept) == 1


def test_slow_rate_lets_the_first_call_go_at_once() -> None:
    clock = Clock()
    limiter = RateLimiter(0.5, clock, clock.sleep)
    limiter.wait()
    assert clock.now == 0
    limiter.wait()
    assert clock.now == 2


def test_reserved_turns_queue_behind_each_other() -> None:
    limiter = RateLimiter(20, Clock())
    assert [limiter.reserve() for _ in range(4)] == pytest.approx([0, 0, 0.05, 0.1])


@given(
    rate=st.floats(0.1, 1_000),
    gaps=st.lists(st.floats(0, 3), min_size=2, max_size=200),
)
def test_rate_is_never_exceeded_but_by_a_burst(rate: float, gaps: list[float]) -> None:
    clock = Clock()
    limiter, starts = RateLimiter(rate, clock), []
    for gap in gaps:
        clock.now += gap
        starts.append(clock.now + limiter.reserve())
    span = starts[-1] - starts[0]
    assert len(starts) <= rate * span + max(1, rate / 10) + 1e-6
    assert starts == sorted(starts)


@given(
    rate=st.floats(0.5, 1_000),
    leases=st.lists(st.integers(0, 2), min_size=8, max_size=8),
    moves=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 2), st.floats(0, 2)), max_size=20),
)
def test_processes_that_share_a_rate_do_not_exceed_it_together(
    rate: float, leases: list[int], moves: list[tuple[int, int, float]]
) -> None:
    clock, calls = Clock(), 0
    limiters = [
        RateLimiter(rate, clock, share=lambda n=n: leases.count(n) / 8)  # type: ignore[misc]
        for n in range(3)
    ]
    turns = [0.0] * 3

    def run(until: float) -> None:
        """Have each process that has leases call as often as it may."""
        nonlocal calls
        while ready := [n for n in range(3) if turns[n] <= until and n in leases]:
            n = min(ready, key=lambda n: turns[n])
            clock.now = max(clock.now, turns[n])
            turns[n] = clock.now + limiters[n].reserve()
            calls += 1
        clock.now = until

    for lease, process, seconds in moves:
        run(clock.now + seconds)
        leases[lease] = process
    run(clock.now + 10 / rate)
    # Whoever delivers to all has a burst; a move may find a call reserved at either side.
    assert calls <= rate * clock.now + rate / 10 + 3 + 2 * 3 + 2 * len(moves)


def test_a_process_with_a_part_of_a_rate_keeps_to_it() -> None:
    clock, share = Clock(), [0.25]
    limiter = RateLimiter(100, clock, clock.sleep, lambda: share[0])
    for _ in range(250):
        limiter.wait()
    assert 9.8 < clock.now < 10.2
    share[0] = 1.0  # it has taken over the parts of the others
    for _ in range(500):
        limiter.wait()
    assert 14.7 < clock.now < 15.3
    share[0] = 0.0  # it has given all up: its last calls go on as before
    for _ in range(100):
        limiter.wait()
    assert 15.7 < clock.now < 16.3


def test_threads_share_a_limiter() -> None:
    limiter, turns = RateLimiter(10, Clock()), []

    def reserve() -> None:
        turns.extend([limiter.reserve() for _ in range(250)])

    threads = [threading.Thread(target=reserve) for _ in range(4)]
    for thread in threads:
        thread.start()
    join(*threads)
    assert sorted(turns) == pytest.approx([turn / 10 for turn in range(1_000)])


@pytest.mark.parametrize("rate", [0, -1, math.inf, math.nan])
def test_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="a number above 0"):
        RateLimiter(rate)


# --- Retry-After ---------------------------------------------------------------------------------

NOW = 1_445_412_480.0  # Wed, 21 Oct 2015 07:28:00 GMT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        (" 0 ", 0.0),
        ("17", 17.0),
        ("Wed, 21 Oct 2015 07:28:10 GMT", 10.0),
        ("Wed, 21 Oct 2015 07:28:10 -0000", 10.0),
        ("Wed, 21 Oct 2015 07:28:30", 30.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("1.5", None),
        ("NaN", None),
        ("-1e999", None),
        ("²", None),
        ("٣", None),
        ("Fri, 31 Dec 9999999999 23:59:59 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@pytest.mark.parametrize("value", ["999999999", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_retry_after_is_no_longer_than_the_longest_wait(value: str) -> None:
    assert retry_after(value, NOW) == 86_400
    assert retry_after(value, NOW, longest=3_600) == 3_600


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+(:\d+)? \S*"))
def test_any_text_is_a_wait_or_none(value: str) -> None:
    seconds = retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= 86_400


# --- statuses ------------------------------------------------------------------------------------


@given(st.integers(100, 599))
def test_every_status_has_one_meaning(status: int) -> None:
    error = error_for_status(status, "the service answered", 7)
    expected: Any = (
        type(None)
        if 200 <= status < 300
        else RetryLater
        if status in (402, 407, 408, 418, 421, 425, 426, 429) or status >= 500 or status < 200
        else DestinationDown
        if status in (401, 403) or status < 400
        else Rejected
        if status in (*range(400, 418), 422, 424, 428, 431, 451)
        else RetryLater
    )
    assert isinstance(error, expected)
    assert not isinstance(error, RetryLater) or error.after == 7


@pytest.mark.parametrize(
    ("status", "advice"), [(401, "settings.token"), (403, "settings.token"), (302, "settings.url")]
)
def test_error_for_a_person_says_which_setting_to_check(status: int, advice: str) -> None:
    error = error_for_status(
        status,
        f"the service answered {status}",
        credentials="check settings.token",
        address="check settings.url",
    )
    assert isinstance(error, DestinationDown)
    assert error.reason.startswith(f"the service answered {status}: ")
    assert error.reason.endswith(f"; check {advice}")


# --- TLS -----------------------------------------------------------------------------------------


def test_authorities_of_a_file_are_trusted_instead_of_the_systems(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    (authority,) = tls_context(str(tmp_path / "ca.pem")).get_ca_certs()
    assert (("organizationName", f"trustme v{trustme.__version__}"),) in authority["subject"]
    assert tls_context(None).verify_mode == ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file or directory"), ("no PEM", "not a PEM file of certificates")],
)
def test_file_without_authorities_stops_the_destination(
    content: str | None, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "ca.pem"
    if content:
        path.write_text(content)
    with pytest.raises(DestinationDown) as caught:
        tls_context(str(path), "settings.caFile")
    assert caught.value.reason == f"settings.caFile: {path}: {reason}"


# --- checks of settings --------------------------------------------------------------------------

Check = Callable[[Any, Any, Any], None]


@pytest.mark.parametrize(
    ("check", "good"),
    [
        (filled, "x"),
        (filled, None),
        (positive, 0.1),
        (positive, None),
        (web_address, "http://localhost"),
        (web_address, "https://user:secret@example.org:8443/in?key=1"),
        (web_address, "https://[::1]:8443/in"),
        (web_address, "http://me@[fe80::1%25eth0]/"),
        (web_address, None),
        (https_origin, "https://proxy"),
        (https_origin, "https://proxy:8443/"),
        (https_origin, None),
        (credential, "abc!~123"),
        (credential, Secret("abc:123")),
        (credential, None),
        (sendable_headers, {"X-Key": "\t a value \u00fc", "a": Secret("b")}),
    ],
)
def test_good_setting_passes(check: Check, good: Any) -> None:
    check(None, None, good)


@pytest.mark.parametrize(
    ("check", "bad", "message"),
    [
        (filled, "", "must not be empty"),
        (positive, 0, "must be more than 0, got 0"),
        (web_address, "ftp://x", "must be http://host/"),
        (web_address, "https:///x", "must be http://host/"),
        (web_address, "https://exam ple.org", "must be http://host/"),
        (web_address, "https://example.org/\n", "must be http://host/"),
        (web_address, "https://example.org:99999", "[Pp]ort"),
        (web_address, "https://example.org:0", "port must be 1 to 65535"),
        (web_address, "https://[bad", "must be http://host/"),
        (web_address, "http://[v1.x]/", "has no valid host name"),
        (web_address, "http://[v1.a:b]:80/", "has no valid host name"),
        (https_origin, "http://proxy", "must be https://host"),
        (https_origin, "https://proxy/path", "must be https://host"),
        (https_origin, "https://user:password@proxy", "must be https://host"),
        (https_origin, "https://proxy\u200b", "must be https://host"),
        (https_origin, "https://proxy:0", "port must be 1 to 65535"),
        (credential, "abc\n", "holds a line break"),
        (credential, Secret(" abc"), "holds a space"),
        (credential, "\ufeffabc", r"holds the character U\+FEFF"),
        (sendable_headers, {"a b": "x"}, "'a b' is not the name of a header"),
        (sendable_headers, {"a": Secret("x\r\nb: c")}, "the value of a has characters"),
    ],
)
def test_bad_setting_is_refused(check: Check, bad: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        check(None, None, bad)
    assert "abc" not in str(caught.value)


def test_checks_keep_the_type_of_a_field() -> None:
    @frozen
    class Settings:
        token: Secret = field(validator=[filled, credential])
        url: str = field(validator=web_address)
        timeout: int = field(default=10_000, validator=positive)

    settings = Settings(Secret("x"), "https://example.org")
    assert settings.token.reveal() + settings.url == "xhttps://example.org"
