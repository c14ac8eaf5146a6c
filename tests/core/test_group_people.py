"""The people of events that are pushed together are those of events that are pushed one by one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.people_model import USERS
from tests.core.support import MARKETING, WITHDRAWN, Record, flow, plugin, running, until
from tests.forms import examples
from walker_collector import Collector, DestinationDown, PushResult
from walker_collector.config import DestinationConfig, RuleConfig
from walker_collector.hookspecs import Received
from walker_collector.intake.event_group import EventGroup
from walker_collector.intake.open_keys import OpenKeys

_KEYS = [("id", name) for name in "uv"]
_KEYS += [("device", name) for name in "de"] + [("session", name) for name in "stxy"]
_EVENTS = st.lists(st.tuples(USERS, st.booleans()), max_size=8)
_SAID = st.lists(st.tuples(USERS, st.sampled_from([MARKETING, WITHDRAWN])), max_size=3)


@contextmanager
def _waiting() -> Iterator[Collector]:
    """Run a collector whose events all wait, are held, or are dropped."""

    def down(context: Any) -> None:
        raise DestinationDown("as this test wants it")

    taking = plugin(lambda event, context: None, init=down)
    destinations = {
        "open": (taking, DestinationConfig()),
        "holding": (taking, DestinationConfig(consent=MARKETING)),
        "dropping": (taking, DestinationConfig(consent=MARKETING, queue=False)),
    }
    with running(flow(destinations)) as collector:
        yield collector


def _received(user: dict[str, str], trusted: bool) -> Received:
    return Received({"name": "page view", "user": user}, trusted=trusted)


def _accepted(collector: Collector, groups: list[list[Received]]) -> list[Any]:
    """Return the statuses of events, then for each key the number of events that it erases."""
    results = [result for group in groups for result in collector.push_from(None, group)]
    statuses = [result.destinations for result in results if isinstance(result, PushResult)]
    assert len(statuses) == len(results)
    return [*statuses, *(collector.forget({kind: name}) for kind, name in _KEYS)]


def _assert_as_one_by_one(before: list[Any], said: list[Any], together: list[Any]) -> None:
    found = []
    for as_group in (True, False):
        with _waiting() as collector:
            for user, trusted in before:
                collector.push_from(None, [_received(user, trusted)])
            for user, update in said:
                collector.consent(update, user)
            events = [_received(user, trusted) for user, trusted in together]
            groups = [events] if as_group else [[event] for event in events]
            found.append(_accepted(collector, groups))
    assert found[0] == found[1]


@given(_EVENTS, _SAID, _EVENTS)
@examples(15)
def test_events_of_a_group_are_of_the_people_that_they_are_of_one_by_one(
    before: list[Any], said: list[Any], together: list[Any]
) -> None:
    _assert_as_one_by_one(before, said, together)


@pytest.mark.parametrize(
    ("known", "granting", "news", "later"),
    [
        ("u s", "d", "u d", "u s"),  # the person gets the consent of the device
        ("u s", "d", "u d", "s"),
        ("d t", "u", "u d", "t"),  # the device becomes the person's
        ("d s", "u", "u s", "d"),
        ("u s", "v", "v s", "s"),  # somebody else signs in
        ("u s", "d", "s d", "u s"),  # without an id
        ("u s", "d", "s d", "u"),
    ],
)
@pytest.mark.parametrize("trusted", [True, False])
def test_event_behind_news_that_concern_it_is_decided_after_them(
    known: str, granting: str, news: str, later: str, trusted: bool
) -> None:
    user_of = {kind_of[1]: kind_of[0] for kind_of in _KEYS}
    first, device, other, last = (
        {user_of[name]: name for name in names.split()} for names in (known, granting, news, later)
    )
    together = [(other, True), (last, trusted)]
    _assert_as_one_by_one([(first, True)], [(device, MARKETING)], together)


def test_event_of_a_known_person_is_decided_at_once_behind_news_of_somebody_else() -> None:
    decided = []
    add = EventGroup.add

    def noted(self: EventGroup, item: Any, position: Any = None) -> None:
        decided.append(isinstance(item, tuple))
        add(self, item, position)

    known, other = {"id": "u", "session": "s"}, {"id": "v", "session": "t"}
    with _waiting() as collector:
        collector.push_from(None, [_received(known, True)])
        EventGroup.add = noted  # type: ignore[method-assign]  # nothing else shows it
        try:
            collector.push_from(None, [_received(user, True) for user in (other, known, other)])
        finally:
            EventGroup.add = add  # type: ignore[method-assign]  # as before
    assert decided == [False, True, False]


@pytest.mark.parametrize("durable", [False, True], ids=["memory", "durable"])
def test_event_goes_by_what_its_person_has_granted_also_if_the_sign_in_comes_in_its_group(
    durable: bool, tmp_path: Path
) -> None:
    got = Record()
    # The sign-in itself goes nowhere, so that no newer event of the person is taken.
    rules = {"session": {"start": RuleConfig(ignore=True)}}
    config = DestinationConfig(consent=MARKETING, mapping=rules)
    flow_ = flow({"there": (plugin(got.push), config)}, tmp_path / "spool.db" if durable else None)
    with running(flow_) as collector:
        collector.consent(MARKETING, {"id": "v"})
        collector.push_many(
            [
                {"name": "page view", "user": {"session": "x"}},
                {"name": "session start", "user": {"id": "v", "session": "x"}},
            ]
        )
        until(lambda: len(got.events) == 1)
        assert collector.status().destinations["there"].held == 0


def test_object_of_consent_that_changes_between_events_decides_on_each_as_it_came() -> None:
    granted = [True, False, True, False]
    consent = {"marketing": False}

    def reusing() -> Iterator[dict[str, Any]]:
        for at, consent["marketing"] in enumerate(granted):  # two identifiers: who is it?
            user = {"id": f"u{at}", "device": f"d{at}"}
            yield {"name": "page view", "user": user, "consent": consent}

    with _waiting() as collector:
        results = collector.push_many(reusing())
    statuses = [result.destinations["holding"] for result in results]
    assert statuses == ["accepted" if grants else "held" for grants in granted]


def test_news_concern_the_people_and_keys_that_they_name() -> None:
    keys = OpenKeys()
    assert not keys.may_concern({"id": "u"}, "id:u")
    keys.add(["session:y"])  # nothing follows from a key alone
    assert not keys.may_concern({"session": "y", "id": "u"}, "id:u")
    keys.add(["id:u", "session:s"])
    assert keys.may_concern({"session": "t"}, "id:u")
    assert keys.may_concern({"session": "t"}, "~id:u")
    assert keys.may_concern({"session": "s"}, "id:v")
    assert keys.may_concern({"session": "t"}, "session:t")  # who may be merged into u
    assert not keys.may_concern({"session": "t", "id": "v"}, "id:v")
    assert not keys.may_concern({}, "")
    keys.add(["~device:d", "~session:x"])
    assert keys.may_concern({"session": "t", "id": "v"}, "id:v")
