"""The parts of one event's delivery: each has a state of its own, kept until the event is done."""

from pathlib import Path
from typing import Any

import pytest

from tests.core.support import PATIENCE, event, one, plugin, running
from tests.support import wait_until
from walker_collector import (
    EventError,
    Item,
    PartDown,
    PluginError,
    PushContext,
    Rejected,
    RetryLater,
)
from walker_collector.config import BreakerConfig, RetryConfig
from walker_collector.verification import verify_destination


def test_rejected_part_is_not_tried_again_and_its_reason_is_kept(spool: Path | None) -> None:
    seen: list[tuple[dict[str, str], str]] = []

    def push(event: Any, context: PushContext) -> None:
        progress = context.progress
        assert progress is not None
        seen.append((dict(progress.parts), progress.reason("mail")))
        if progress.state("mail") is None:
            progress.begin("mail")
            progress.reject("mail", "no such template")
            progress.finish("track")
        if len(seen) < 3:
            raise RetryLater("busy")
        raise Rejected(f"mail: {progress.reason('mail')}")

    with running(one(plugin(push), spool)) as collector:
        collector.push(event(1))
        assert collector.flush(PATIENCE)
        (letter,) = collector.dead()
    kept = ({"mail": "rejected", "track": "done"}, "no such template")
    assert seen == [({}, ""), kept, kept]
    assert letter.reason == "mail: no such template"
    assert letter.parts == {"mail": "rejected", "track": "done"}


def test_abandoned_part_is_as_if_never_begun(spool: Path | None) -> None:
    seen: list[dict[str, str]] = []

    def push(event: Any, context: PushContext) -> None:
        assert context.progress is not None
        seen.append(dict(context.progress.parts))
        context.progress.begin("mail")
        context.progress.abandon("mail")
        if len(seen) < 3:
            raise RetryLater("refused the connection")

    with running(one(plugin(push), spool)) as collector:
        collector.push(event(1))
        assert collector.flush(PATIENCE)
    assert seen == [{}, {}, {}]


def test_part_is_not_begun_but_done_if_its_state_cannot_be_written(tmp_path: Path) -> None:
    """On a full disk: `begin` stops the call before it is made, `finish` comes after it."""
    seen: list[str | None] = []

    def disk_is_full(full: bool) -> None:
        spool: Any = collector._life.runtime.spool
        spool.core.commits.alone(lambda db: db.execute(f"PRAGMA query_only = {full:d}"))

    def push(event: Any, context: PushContext) -> None:
        progress = context.progress
        assert progress is not None
        seen.append(progress.state("mail"))
        disk_is_full(len(seen) == 1)
        if len(seen) < 3:
            progress.begin("mail")
            disk_is_full(True)
            progress.finish("mail")

    with running(one(plugin(push), tmp_path / "spool.db")) as collector:
        collector.push(event(1))
        assert collector.flush(PATIENCE)
        assert collector.status_of("there").dead == 0
    assert seen == [None, None, "done"]


def test_states_and_reasons_of_parts_outlive_the_process(tmp_path: Path) -> None:
    seen: list[tuple[dict[str, str], str]] = []

    def first(event: Any, context: PushContext) -> None:
        assert context.progress is not None
        context.progress.reject("mail", "no such template")
        context.progress.begin("push")
        context.progress.finish("track")
        raise RetryLater("busy", after=3600)

    def second(event: Any, context: PushContext) -> None:
        assert context.progress is not None
        seen.append((dict(context.progress.parts), context.progress.reason("mail")))

    with running(one(plugin(first), tmp_path / "spool.db")) as collector:
        collector.push(event(1), wait=True, timeout=PATIENCE)
    with running(one(plugin(second), tmp_path / "spool.db")) as collector:
        assert collector.flush(PATIENCE)
    parts = {"mail": "rejected", "push": "begun", "track": "done"}
    assert seen == [(parts, "no such template")]


class Sender:
    """Makes the calls mail, push and track of an event; refuses all until it is told not to."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.refuses = True

    def push(self, event: Any, context: PushContext) -> None:
        progress = context.progress
        assert progress is not None
        for part in ("mail", "push", "track"):
            if progress.state(part) is not None:
                continue
            progress.begin(part)
            if not self.refuses or part == "track":
                self.made.append(part)
                progress.finish(part)
            elif part == "mail":
                progress.reject(part, "no")
        if self.refuses:
            raise Rejected("mail and push: no")


@pytest.mark.parametrize(
    ("options", "made"),
    [
        ({}, ["mail", "push"]),
        ({"without": ["push"]}, ["mail"]),
        ({"without_messages": True}, ["push"]),
        ({"without": ["push", "track"], "without_messages": True}, []),
    ],
)
def test_replay_tries_again_what_is_not_done_nor_left_out(
    spool: Path | None, options: dict[str, Any], made: list[str]
) -> None:
    sender = Sender()
    cls = plugin(sender.push, message_parts=("mail",))
    with running(one(cls, spool)) as collector:
        collector.push(event(1))
        assert collector.flush(PATIENCE)
        (letter,) = collector.dead()
        assert letter.parts == {"mail": "rejected", "push": "begun", "track": "done"}
        sender.refuses, sender.made = False, []
        assert collector.replay([letter], **options) == 1
        assert collector.flush(PATIENCE)
        assert collector.dead() == []
    assert sender.made == made


def test_part_that_no_delivery_has_cannot_be_left_out(spool: Path | None) -> None:
    sender = Sender()
    with running(one(plugin(sender.push, message_parts=("mail", "sms")), spool)) as collector:
        collector.push(event(1))
        assert collector.flush(PATIENCE)
        with pytest.raises(EventError, match=r"no part mial .*mail"):
            collector.replay(collector.dead(), without=["mial"])
        assert len(collector.dead()) == 1
        assert collector.replay(collector.dead(), without=["sms"]) == 1


def test_letter_without_parts_says_so() -> None:
    def push(event: Any, context: PushContext) -> None:
        raise Rejected("no")

    with running(one(plugin(push))) as collector:
        collector.push(event(1))
        assert collector.flush(PATIENCE)
        with pytest.raises(EventError, match="these have no parts"):
            collector.replay(collector.dead(), without=["mail"])


@pytest.mark.parametrize("declared", ["mail", ["mail"], (1,)])
def test_message_parts_are_a_tuple_of_names(declared: object) -> None:
    cls = plugin(lambda event, context: None, message_parts=declared)
    with pytest.raises(PluginError, match="message_parts must be a tuple of names"):
        verify_destination("there", cls)


@pytest.mark.parametrize("hook", ["push", "push_batch"])
def test_part_that_is_down_costs_its_events_no_attempt_and_stops_no_others(
    spool: Path | None, hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    is_down, tried = [True], [0]

    def push(event: Any, context: PushContext) -> None:
        if event["name"] == "mail due" and is_down:
            tried[0] += 1
            raise PartDown("the mailer refuses the key; set settings.mailKey")

    def push_batch(batch: list[Item]) -> None:
        for item in batch:
            push(item.event, item.context)

    made = plugin(push) if hook == "push" else plugin(None, push_batch, batch_size=1)
    retry = RetryConfig(base=1, cap=5, attempts=2)
    with running(one(made, spool, retry=retry, breaker=BreakerConfig(threshold=3))) as collector:
        for n in range(8):
            collector.push("mail due", user={"id": f"m{n}"})
        wait_until(lambda: tried[0] >= 40)
        for n in range(8):
            collector.push("order complete", user={"id": f"o{n}"})
        wait_until(lambda: collector.status().destinations["there"].delivered == 8)
        status = collector.status().destinations["there"]
        assert (status.state, status.dead, status.waiting) == ("ready", 0, 8)
        assert status.reason == "the mailer refuses the key; set settings.mailKey"
        told = "a part of destination there cannot be used; events that need it wait: the mailer"
        assert told in caplog.text
        is_down.clear()
        assert collector.flush(PATIENCE)
        status = collector.status().destinations["there"]
        assert (status.delivered, status.dead, status.reason) == (16, 0, "")
