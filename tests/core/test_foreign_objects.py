"""Objects that raise something of their own: an error of ours, for that event alone."""

import asyncio
import enum
from collections import UserDict
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import pytest

from tests.core.support import (
    MARKETING,
    PATIENCE,
    Record,
    event,
    flow,
    guarded,
    held,
    plugin,
    running,
)
from walker_collector import EventError, PushResult, WalkerError

HUGE = 10**5_000  # too large even for `str`


class Broken(Exception):
    """What the objects here raise."""


class Raising(Mapping[str, Any]):
    """A mapping of which nothing can be read."""

    def __getitem__(self, key: str) -> Any:
        raise Broken

    def __iter__(self) -> Iterator[str]:
        raise Broken

    def __len__(self) -> int:
        return 1


class HalfRead(UserDict[str, Any]):
    """A mapping whose values can be read no more than once."""

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        self.data[key] = Raising()
        return value


class Mute(str):
    """Text that cannot be shown."""

    def __str__(self) -> str:
        raise Broken


class Nameless(UUID):
    def __str__(self) -> str:
        raise Broken


class Lost(tzinfo):
    def utcoffset(self, when: datetime | None) -> timedelta:
        raise Broken


class Hidden(enum.Enum):
    ONE = 1

    @property
    def value(self) -> Any:
        raise Broken


@attrs.define
class Slotted:
    value: Any


class Unhashable(str):
    def __hash__(self) -> int:
        raise Broken

    def __eq__(self, other: object) -> bool:
        raise Broken


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def looping() -> dict[str, Any]:
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    return loop


UNREADABLE: Mapping[str, Any] = {
    "mapping": Raising(),
    "huge": HUGE,
    "loop": looping(),
    "surrogate": "\ud800",
    "nan as a key": {float("nan"): {Raising: 1}},
    "zone": datetime(2024, 1, 1, tzinfo=Lost()),
    "object": object(),
    "class": Raising,
    "signalling": Decimal("sNaN"),
    "enum": Hidden.ONE,
    "enum within": [{"deep": (Hidden.ONE,)}],
    "enum among slots": Slotted(Hidden.ONE),
    "deep": nested(10_000),
    "hash": Unhashable("order complete"),
}
PLACES: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "data": lambda value: {"data": {"value": value}},
    "user": lambda value: {"user": {"id": value}},
    "id": lambda value: {"id": value},
    "timestamp": lambda value: {"timestamp": value},
    "consent": lambda value: {"consent": {"marketing": value}},
    "consent key": lambda value: {"consent": {str(type(value)): True, "\ud800": True}},
    "name": lambda value: {"name": value},
    "nested": lambda value: {"nested": [value]},
    "all": lambda value: {"data": value, "user": value, "globals": value, "context": value},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", UNREADABLE)
def test_push_raises_no_foreign_exceptions(kind: str, place: str) -> None:
    odd = {"name": "order complete", **PLACES[place](UNREADABLE[kind])}
    record = Record()
    with running(flow(plugin(record.push))) as collector:
        for handed_in in (odd, UserDict(odd)):
            try:
                collector.push(handed_in)
            except WalkerError:
                continue
        results = collector.push_many([event(1), odd, event(2)])
        assert isinstance(results[0], PushResult)
        assert isinstance(results[2], PushResult)
        assert collector.flush(PATIENCE)
        assert [e["data"]["n"] for e in record.events if "n" in e["data"]] == [1, 2]


@pytest.mark.parametrize(
    "odd",
    [Raising(), HalfRead({"name": Raising()}), {"name": "a b", "id": Nameless(int=1)}, 5, None],
    ids=["mapping", "half", "id", "number", "none"],
)
def test_event_that_raises_costs_no_other(odd: Any, tmp_path: Path) -> None:
    record = Record()
    with running(flow(plugin(record.push), tmp_path / "spool.db")) as collector:
        results = collector.push_many([event(1), odd, event(2)])
        assert isinstance(results[1], EventError)
        with pytest.raises(EventError):
            collector.push(odd)
        assert collector.flush(PATIENCE)
    assert record.numbers == [1, 2]


def test_mapping_is_read_once() -> None:
    record = Record()
    with running(flow(plugin(record.push))) as collector:
        collector.push(HalfRead(event(1)))
        assert collector.flush(PATIENCE)
    assert record.numbers == [1]


def test_events_before_an_iterator_raises_are_accepted() -> None:
    def events() -> Iterator[dict[str, Any]]:
        yield event(1)
        yield event(2)
        raise Broken

    record = Record()
    with running(flow(plugin(record.push))) as collector:
        results = collector.push_many(events())
        assert collector.flush(PATIENCE)
    assert [type(result) for result in results] == [PushResult, PushResult, EventError]
    assert "raised Broken after 2 of them" in str(results[2])
    assert isinstance(results[2], EventError)
    assert isinstance(results[2].__cause__, Broken)
    assert record.numbers == [1, 2]


def test_iterable_that_cannot_be_begun_is_one_error() -> None:
    class Never:
        def __iter__(self) -> Iterator[Any]:
            raise Broken

    with running(flow(plugin(Record().push))) as collector:
        (result,) = collector.push_many(Never())
        assert "raised Broken after 0 of them" in str(result)


ODD_USERS = {
    "surrogate": {"id": "\ud800"},
    "huge": {"id": HUGE},
    "large": {"id": 2**70},
    "nameless": {"id": Nameless(int=1)},
    "mapping": Raising(),
    "mute": {"id": Mute("u1")},
    "text": "u1",
    "loop": {"id": "u1", **looping()},
}


@pytest.mark.parametrize("durable", [False, True], ids=["memory", "durable"])
@pytest.mark.parametrize("kind", ODD_USERS)
def test_consent_and_erasure_raise_no_foreign_exceptions(
    kind: str, durable: bool, tmp_path: Path
) -> None:
    user: Any = ODD_USERS[kind]
    with running(flow(plugin(Record().push), tmp_path / "s.db" if durable else None)) as collector:
        for call in (
            lambda: collector.consent({"marketing": True}, user=user),
            lambda: collector.forget(user),
        ):
            try:
                call()
            except WalkerError:
                continue
        collector.push(event(1))
        assert collector.flush(PATIENCE)


@pytest.mark.parametrize("update", [{"\ud800": True}, Raising(), {1: True}, {"a": Raising()}, 5])
def test_update_of_consent_that_cannot_be_read_is_refused(update: Any, tmp_path: Path) -> None:
    with running(flow(plugin(Record().push), tmp_path / "spool.db")) as collector:
        for user in (None, {"id": "u1"}):
            with pytest.raises(EventError):
                collector.consent(update, user=user)
            with pytest.raises(EventError):
                collector.push({"name": "walker consent", "data": update, "user": user})
        for call in (collector.user, collector.globals):
            if not isinstance(update, dict) or "\ud800" in update:
                with pytest.raises(EventError):
                    call(update)


NAMED: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "event name": lambda text: {"name": f"order {text}"},
    "entity": lambda text: {"entity": text},
    "action": lambda text: {"action": text},
    "id": lambda text: {"id": text},
    "user.id": lambda text: {"user": {"id": text}},
    "user.device": lambda text: {"user": {"device": text}},
    "user.session": lambda text: {"user": {"id": "ines", "session": text}},
    "a key of consent": lambda text: {"consent": {text: True}},
}


@pytest.mark.parametrize("part", NAMED)
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x" * 501, "limit is 500"),
        ("x" * 900_000, "limit is 500"),
        ("\u20ac" * 200, "limit is 500"),
        ("a\nb", "control character U[+]000A"),
        ("a\x1b[31m", "control character U[+]001B"),
        ("a\u2028b", "control character U[+]2028"),
        ("a\ud800", "lone surrogate"),
    ],
    ids=["long", "huge", "wide", "line", "escape", "separator", "surrogate"],
)
def test_identifier_or_name_out_of_bounds_is_refused(part: str, text: str, why: str) -> None:
    with running(flow(plugin(Record().push))) as collector:
        for _ in range(2):  # also when it was seen before
            with pytest.raises(EventError, match=f"{part}.*{why}"):
                collector.push({"name": "order complete", **NAMED[part](text)})
        assert collector.status().accepted == 0


@pytest.mark.parametrize("part", NAMED)
def test_identifier_or_name_within_bounds_is_taken(part: str) -> None:
    with running(flow(plugin(Record().push))) as collector:
        for text in ("x" * 490, "\u20ac" * 160, "caf\u00e9\u00a0\u200d1"):
            collector.push({"name": "order complete", **NAMED[part](text)})


@pytest.mark.parametrize("user", [{"id": "  "}, {"id": "i" * 501}, {"session": "a\nb"}])
def test_statement_and_erasure_refuse_the_identifiers_that_events_cannot_have(user: Any) -> None:
    with running(flow(plugin(Record().push))) as collector:
        with pytest.raises(EventError):
            collector.consent({"marketing": True}, user=user)
        with pytest.raises(EventError):
            collector.forget(user)
        with pytest.raises(EventError):
            collector.consent({"k" * 501: True}, user={"id": "ines"})


@pytest.mark.parametrize(
    "data",
    [{1: "a", "1": "b"}, {"x": {True: 1, "True": 2}}, {"x": [{1.5: 1, "1.5": 2}]}],
    ids=["number", "boolean", "float"],
)
def test_keys_that_are_the_same_as_text_are_refused(data: Any) -> None:
    refused = pytest.raises(EventError, match="two keys of an object are the same as text")
    with running(flow(plugin(Record().push))) as collector, refused:
        collector.push("order complete", data=data)


@pytest.mark.parametrize("given", [5, None, ["letter"], [None], Raising(), "text"])
def test_dead_letters_that_are_none_are_refused(given: Any) -> None:
    with running(flow(plugin(Record().push))) as collector:
        for call in (collector.replay, collector.bury):
            with pytest.raises(EventError):
                call(given)
        for without in (5, [Raising()], [None], ["part"], [HUGE]):
            with pytest.raises(EventError):
                collector.replay([], without)  # type: ignore[arg-type]  # as an application may


def test_erasure_asked_for_by_a_destination_refuses_what_cannot_be_read() -> None:
    with running(flow(plugin(Record().push))) as collector:
        for user in ({"id": HUGE}, {"id": Hidden.ONE}, Raising()):
            with pytest.raises(EventError):
                collector.forget_soon(user)


@pytest.mark.parametrize("timeout", ["5", float("nan"), [5], Decimal(5), True, Mute("5")])
def test_timeout_that_is_no_number_is_refused_before_the_event_is_accepted(timeout: Any) -> None:
    with running(flow(plugin(Record().push))) as collector:
        for call in (
            lambda: collector.push(event(1), wait=True, timeout=timeout),
            lambda: collector.push(event(1), timeout=timeout),
            lambda: asyncio.run(collector.apush(event(1), timeout=timeout)),
            lambda: collector.flush(timeout),
            lambda: collector.close(timeout),
        ):
            with pytest.raises(EventError, match="timeout is a number of seconds"):
                call()
        assert collector.status().accepted == 0
        assert collector.push(event(2), wait=True, timeout=float("inf")).ok


class Hiding(dict[str, Any]):
    """A user whose identifiers are in the JSON, and nowhere else."""

    def get(self, key: str, default: Any = None) -> Any:
        return default

    def __getitem__(self, key: str) -> Any:
        raise Broken


class Changing(UUID):
    """An identifier that is another text each time, but for the first."""

    def __str__(self) -> str:
        return TEXTS.pop() if TEXTS else "somebody"


TEXTS: list[str] = []


@pytest.mark.parametrize("kind", ["hiding", "changing"])
def test_person_is_read_from_the_event_as_it_was_encoded(kind: str) -> None:
    with running(guarded(Record())) as collector:
        TEXTS[:] = ["ines"]
        user = Hiding(id="ines") if kind == "hiding" else {"id": Changing(int=1)}
        collector.push("order complete", user=user)
        assert held(collector) == 1
        assert collector.forget({"id": "ines"}) == 1


class Fickle(dict[str, Any]):
    """Consent that is denied when it is checked, and no boolean afterwards."""

    reads = 0

    def items(self) -> Any:
        self.reads += 1
        return super().items() if self.reads == 1 else {"marketing": "denied"}.items()


class Disguised(str):
    """A name that says another one when it is asked."""

    def __str__(self) -> str:
        return "walker consent"

    def __hash__(self) -> int:
        return 1


def test_name_and_consent_are_decided_by_as_they_are_encoded() -> None:
    with running(guarded(Record())) as collector:
        collector.push("order complete", consent=Fickle(marketing=False))
        assert held(collector) == 1
        collector.push({"name": Disguised("page view"), "consent": MARKETING})
        assert collector.flush(PATIENCE)
        assert held(collector) == 1
        collector.consent(MARKETING)  # the event's own denial stands
        assert held(collector) == 1
