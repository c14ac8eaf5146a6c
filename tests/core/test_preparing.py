"""Usual events are decided in one pass, as `Decisions` would decide on them."""

from contextlib import ExitStack
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.people_model import USERS
from tests.core.support import MARKETING, WITHDRAWN, flow, plugin, running
from tests.forms import examples
from walker_collector import Collector, DestinationDown, PushResult
from walker_collector.config import DestinationConfig, RuleConfig
from walker_collector.events import whole
from walker_collector.hookspecs import Received
from walker_collector.intake.completing import Completion
from walker_collector.intake.deciding import Decisions, Undecided
from walker_collector.intake.event_group import EventGroup
from walker_collector.intake.origin import Origin

_NAMES = st.sampled_from(["page view", "order complete", "session start"])
_CONSENT = st.sampled_from([None, None, None, MARKETING, WITHDRAWN, {}])
_EVENT = st.tuples(_NAMES, USERS, _CONSENT, st.booleans(), st.sampled_from(["", "e1", "e2"]))
_STATEMENT = st.tuples(
    st.none() | st.none() | USERS.filter(bool), st.sampled_from([MARKETING, WITHDRAWN])
)
_EVENTS = st.lists(_EVENT, min_size=1, max_size=4)
_STEPS = st.lists(_EVENT | _STATEMENT, max_size=6)


def _down(context: Any) -> None:
    raise DestinationDown("as this test wants it")


def _collector(stack: ExitStack) -> Collector:
    """Run a collector with destinations that take, hold, ignore and drop events."""
    taking = plugin(lambda event, context: None, init=_down)
    rules: dict[str, dict[str, RuleConfig | list[RuleConfig]]] = {
        "session": {"start": RuleConfig(ignore=True)}
    }
    destinations = {
        "open": (taking, DestinationConfig(mapping=rules)),
        "holding": (taking, DestinationConfig(consent=MARKETING)),
        "dropping": (taking, DestinationConfig(consent=MARKETING, queue=False)),
    }
    return stack.enter_context(running(flow(destinations)))


def _received(item: Any) -> Received:
    name, user, consent, trusted, id_ = item
    event = {"name": name, "user": user, "id": id_} if id_ else {"name": name, "user": user}
    return Received(event if consent is None else {**event, "consent": consent}, trusted=trusted)


@given(_EVENTS, _STEPS)
@examples(10)
def test_event_is_decided_as_decisions_would(before: Any, steps: Any) -> None:
    with ExitStack() as stack:
        collector = _collector(stack)
        collector.consent(MARKETING)
        collector.push_from(None, [*map(_received, before)])
        intake = collector._life.runtime.intake
        preparing = intake._preparing
        made: list[Any] = []
        preparing._completion = cast(Completion, _Noting(preparing._completion, made))
        group = EventGroup(intake._storing, lambda events: None)
        prepare = preparing.of(Origin(recent=1_000), group)
        for step in [*before, *steps, *before]:
            if len(step) == 2:
                user, update = step
                collector.consent(update, user) if user else collector.consent(update)
                continue
            sender = _received(step)
            open_keys = None if group.is_decided else group.open_keys
            found = prepare(sender.event, sender)
            has_id = bool(whole(sender.event).get("id"))
            event, body = made[-1]
            record = found[0] if isinstance(found, tuple) else found
            other = preparing._decisions.decide(
                event, body, sender, record.mark, record.at, has_id, None, open_keys
            )
            if isinstance(found, tuple):
                assert found == other
            else:
                assert isinstance(other, Undecided)
                assert found.keys == other.keys
            group.add(found)
        group.store()
        assert len(group.results) == len(made)


def test_usual_event_needs_no_other_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*args: Any) -> Any:
        raise AssertionError("Decisions was asked")

    user = {"id": "u", "session": "s"}
    with ExitStack() as stack:
        collector = _collector(stack)
        collector.consent(MARKETING)
        collector.push_many([{"name": "page view", "user": user}] * 2)
        monkeypatch.setattr(Decisions, "decide", asked)
        monkeypatch.setattr(Decisions, "decided", asked)
        (result,) = collector.push_many([{"name": "page view", "user": user}])
        assert isinstance(result, PushResult)
        assert set(result.destinations.values()) == {"accepted"}
        with pytest.raises(AssertionError):
            collector.push_many([{"name": "session start", "user": user}])


class _Noting:
    """A completion that notes each event that it has made."""

    def __init__(self, completion: Completion, made: list[Any]) -> None:
        self._completion = completion
        self._made = made

    def of(self, raw: Any, sender: Received, now: int) -> Any:
        self._made.append(self._completion.of(raw, sender, now))
        return self._made[-1]
