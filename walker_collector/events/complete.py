"""Complete the event that an application passes: names, defaults, checks.

The shape is walkerOS version 4's (`WalkerOS.Event`). Everything here is pure: time, ids and
counters are passed in.
"""

import difflib
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import product
from typing import Any, Final
from uuid import UUID

import orjson
from attrs import Factory, define, field

from walker_collector.config import CollectorConfig
from walker_collector.errors import EventError
from walker_collector.events.encode import Bounds, decode, encode, fields_of
from walker_collector.events.identifiers import check_identifier, may_need_check
from walker_collector.events.merging import merge
from walker_collector.events.period import Period
from walker_collector.secret import revealed
from walker_collector.text import storable
from walker_collector.version import __version__

SCHEMA: Final = "4"
PARTS: Final[Mapping[str, type]] = {
    "data": dict,
    "context": dict,
    "globals": dict,
    "custom": dict,
    "user": dict,
    "nested": list,
    "consent": dict,
}
CONSENT_KEYS: Final = 200
"""Keys of consent: of a statement or an event, and of all statements of a person together."""
_SCALARS: Final = ("id", "trigger", "entity", "action", "timestamp", "timing", "source")
KEYS: Final = ("name", *PARTS, *_SCALARS)
_KNOWN: Final = frozenset(KEYS)
_NOT_NAMES: Final = ("event", "eventName", "event_name")
"""Keys that other collectors have the name of an event under."""
_SYNONYMS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("properties", "props", "traits", "attributes", "payload", "params"), "data"),
    **dict.fromkeys(("time", "ts", "date_time", "occurred_at", "created_at"), "timestamp"),
    **dict.fromkeys(("user_id", "userId"), 'user={"id": ...}'),
    **dict.fromkeys(("anonymous_id", "anonymousId", "device_id"), 'user={"device": ...}'),
    "session_id": 'user={"session": ...}',
}
"""Words of other collectors for parts of an event."""
_SEPARATORS: Final = re.compile(r"[\s_.:/-]+")
_CAPITAL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_KINDS: Final[Mapping[str, type]] = {
    **PARTS,
    "trigger": str,
    "entity": str,
    "action": str,
    "timing": float,
}

_EMPTY: Final[Mapping[str, str]] = {
    "data": "{}",
    "context": "{}",
    "globals": "{}",
    "custom": "{}",
    "user": "{}",
    "nested": "[]",
    "trigger": '""',
}
"""The JSON of parts that every event has, where they were not given."""
GIVEN: Final = tuple(_EMPTY)
"""The parts that every event has, and that an application may give."""


@define(eq=False)
class Defaults:
    """The values that a collector adds to its events.

    new_id: returns a new id: text that JSON writes as it is. trace: the same for all events of a
        run. count: numbers them.
    name, release: of this collector, in `source.release`. The platform of the event's source
        replaces a missing name, the version of this package a missing release.
    user, globals: merged below every event's own.
    period: the accepted times of events.
    on_unknown: called with each key that no event has; such keys are left out.
    on_misnamed: called with each user whose keys are not all identifiers.
    """

    new_id: Callable[[], str]
    trace: str = ""
    count: Callable[[], int] = Factory(lambda: itertools.count(1).__next__)
    name: str | None = None
    release: str | None = None
    user: Mapping[str, Any] = Factory(dict)
    globals: Mapping[str, Any] = Factory(dict)
    period: Period = Factory(Period)
    on_unknown: Callable[[Any], object] = id
    on_misnamed: Callable[[Mapping[Any, Any]], object] = id
    _own_release: dict[str, str] = field(init=False)
    _shown_source: tuple[str | None, str, str] = field(default=(None, "", ""), init=False)
    """The trace, and the JSON of a source with it, before and after its count."""

    @classmethod
    def of(cls, config: CollectorConfig, new_id: Callable[[], str], **more: Any) -> "Defaults":
        """Return the defaults of a collector of this configuration."""
        return cls(
            new_id,
            name=config.name,
            release=config.release,
            user=revealed(config.user),
            globals=revealed(config.globals),
            period=Period.of(config.oldest, config.max_ahead),
            **more,
        )

    def __attrs_post_init__(self) -> None:
        self._own_release = {self.name or "default": self.release or __version__}

    def begin_run(self) -> None:
        """Begin a run of a collector: a new trace, and events counted from 1."""
        self.trace = os.urandom(16).hex()
        self.count = itertools.count(1).__next__

    def own_source(self) -> str:
        """Return the source of an event that comes without one, as JSON after a comma."""
        trace, before, after = self._shown_source
        if trace is not self.trace:
            source = orjson.dumps({"source": self._source_of("@")}).decode()
            before, after = source[1:-1].split('"@"')
            self._shown_source = trace, before, after = self.trace, f",{before}", after
        return f"{before}{self.count()}{after}"

    def source(self, own: Any) -> dict[str, Any]:
        """Return an event's source: its own statements, completed by the collector.

        As in walkerOS (collector, handle.ts): only an event without a source gets the type
        `collector`, and an event with a count of its own does not advance the collector's.
        """
        if own is None:
            return self._source_of(self.count())
        if not isinstance(own, dict):
            raise EventError("source: must be an object")
        return {
            **own,
            "count": self.count() if own.get("count") is None else own["count"],
            "trace": self.trace if own.get("trace") is None else own["trace"],
            "release": self._release_after(own),
        }

    def _source_of(self, count: int | str) -> dict[str, Any]:
        return {
            "type": "collector",
            "schema": SCHEMA,
            "count": count,
            "trace": self.trace,
            "release": self._own_release,
        }

    def _release_after(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """Return the releases of all collectors that the event has passed, this one last."""
        passed = own.get("release") or {}
        if not isinstance(passed, dict):
            raise EventError("source.release: must be an object")
        if self.name is None and isinstance(platform := own.get("platform"), str):
            return {**passed, platform: self._own_release["default"]}
        return {**passed, **self._own_release}


def split_name(name: Any) -> tuple[str, str]:
    """Return entity and action of an event name; further words are part of the name only.

    Raises EventError if the name is missing, not a string, lacks one of the two, or begins with
    "walker", which is reserved for commands.
    """
    if not isinstance(name, str):
        kind = "missing" if name is None else f"of type {type(name).__name__}"
        raise EventError(f'event name is {kind}; write "entity action", such as "order complete"')
    return _words(str.__str__(name))


@lru_cache(maxsize=8)
def timing_text(timing: float) -> str:
    """Return the timing of an event as JSON after a comma; many events share it."""
    return f',"timing":{timing}'


def words_text(entity: str, action: str) -> str:
    """Return entity and action of an event as JSON after a comma."""
    return f',"entity":{json_text(entity)},"action":{json_text(action)}'


def lacking_text(parts: Iterable[str]) -> str:
    """Return parts that an event was not given, of those that every event has, as JSON."""
    return "".join(f',"{part}":{_EMPTY[part]}' for part in parts)


def json_text(value: Any) -> str:
    """Return a value as JSON."""
    return orjson.dumps(value).decode()


@lru_cache(maxsize=1024)
def _words(name: str) -> tuple[str, str]:
    words = name.split(" ")
    if len(words) < 2 or not words[0] or not words[1]:
        raise EventError(
            f'event name {name[:80]!r} is not "entity action": two words with one space between'
            f"{_meant(name)}"
        )
    if may_need_check(name):
        check_identifier("event name", name)
    if words[0].lower() == "walker":  # `Walker Consent` is hardly meant to be an event
        raise EventError(
            f"{name[:80]!r} is no command; there are walker consent, walker user, walker globals"
        )
    return words[0], words[1]


def _meant(name: str) -> str:
    """Return text to follow a name that is not two words: the one that was probably meant."""
    words = _CAPITAL.sub(" ", _SEPARATORS.sub(" ", name)).split()
    if len(words) < 2 or len(name) > 80:
        return ', such as "order complete"'
    return f"; did you mean {' '.join(words).lower()!r}?"


def _missing_name(raw: Mapping[str, Any]) -> EventError:
    """Return the error for an event without a name, which may stand in another place."""
    found = next((key for key in _NOT_NAMES if isinstance(raw.get(key), str)), None)
    place = f', and stands under "name", not under "{found}"' if found else ""
    return EventError(
        f'event name is missing{place}; write "entity action", such as "order complete"'
    )


def check_parts(parts: Mapping[str, Any]) -> None:
    """Raise EventError for an unknown keyword part, with the one that was probably meant."""
    for key in parts:
        if key not in _KNOWN:
            raise EventError(f"{key}: unknown part of an event{hint_at_part(key)}")


def hint_at_part(key: str) -> str:
    """Return text to follow an unknown part: the one that was probably meant."""
    near = [_SYNONYMS[key]] if key in _SYNONYMS else difflib.get_close_matches(key, KEYS, 1)
    return f"; did you mean {near[0]}?" if near else f"; an event has {', '.join(KEYS)}"


def complete(raw: Mapping[str, Any], now: int, timing: float, defaults: Defaults) -> dict[str, Any]:
    """Return the event completed as walkerOS's collector does.

    `now` is in ms, `timing` in s since the start of the collector. Unknown keys are left out.
    Raises EventError for a bad name, a part of the wrong type or an impossible time. The result
    may share values with `raw`; `encode` makes it independent.
    """
    name = raw.get("name")
    if name is None:
        raise _missing_name(raw)
    words = _words(name) if type(name) is str else split_name(name)
    event = _over_defaults(raw, words, now, timing)
    # One test for most events, before any check of single parts: nothing is to be converted.
    if not (
        tuple(map(type, event.values())) in _USUAL
        and (len(event) < len(KEYS) or "consent" in event)
        and defaults.period.oldest <= event["timestamp"] <= now + defaults.period.ahead
    ):
        event = _over_defaults(_given(raw, defaults.on_unknown), words, now, timing)
        _check_and_convert(event, defaults.period, now)
    for item in event["nested"]:
        if type(item) is not dict:
            _check_nested(event["nested"], name)
            break
    if event.get("consent"):
        check_grants(event["consent"])
    if defaults.globals:
        event["globals"] = merge(defaults.globals, event["globals"])
    if defaults.user:
        event["user"] = merge(defaults.user, event["user"])
    event["source"] = defaults.source(event["source"])
    if event["entity"] is not words[0] or event["action"] is not words[1]:
        check_identifier("entity", event["entity"])
        check_identifier("action", event["action"])
    if not event["id"]:
        event["id"] = defaults.new_id()
    elif may_need_check(event["id"]):
        check_identifier("id", event["id"])
    return event


def at_receipt(raw: Mapping[str, Any], now: int) -> dict[str, Any]:
    """Return an event at an impossible time as one of `now`.

    The given time is kept in `custom.timestamp`, unless the event has something else there.
    """
    custom = {"timestamp": raw["timestamp"], **(raw.get("custom") or {})}
    return {**raw, "timestamp": now, "custom": custom}


def _over_defaults(
    raw: Mapping[str, Any], words: tuple[str, str], now: int, timing: float
) -> dict[str, Any]:
    """Return the default parts, overlaid with the given ones."""
    entity, action = words
    return {
        "name": None,
        "data": {},
        "context": {},
        "globals": {},
        "custom": {},
        "user": {},
        "nested": [],
        "trigger": "",
        "entity": entity,
        "action": action,
        "timing": timing,
        "id": None,
        "timestamp": now,
        "source": None,
        **raw,
    }


def _usual_types() -> Iterator[tuple[type, ...]]:
    """Yield the types of the parts of a complete event, in their order, if they are JSON's own."""
    texts: list[type] = [str, type(None)]
    objects: list[type] = [dict, type(None)]
    parts = (str, dict, dict, dict, dict, dict, list, str, str, str, float)
    for id_, source in product(texts, objects):
        usual: tuple[type, ...] = (*parts, id_, int, source)
        yield usual
        yield (*usual, dict)


_USUAL: Final = frozenset(_usual_types())
"""The types of all parts, in their order, with which no part is converted."""


def _given(raw: Mapping[Any, Any], on_unknown: Callable[[Any], object]) -> dict[str, Any]:
    """Return the parts that were given; None is the same as left out."""
    given = {}
    for key, value in raw.items():
        if key not in _KNOWN:
            on_unknown(key)
        elif value is not None:
            given[key] = value
    return given


def _check_and_convert(event: dict[str, Any], period: Period, now: int) -> None:
    """Refuse parts of the wrong type, and bring id and timestamp into their form."""
    for key, kind in _KINDS.items():
        value = event.get(key)
        if value is None or type(value) is kind:
            continue
        if kind is dict and isinstance(value, Mapping):
            event[key] = dict(value)
        else:
            _check_part(key, value, kind, event["name"])
    if isinstance(event["source"], Mapping):
        event["source"] = dict(event["source"])
    # What is decided by is what is encoded, although methods of the objects say something else.
    event["name"] = str.__str__(event["name"])
    if event.get("consent"):
        event["consent"] = dict(event["consent"])
    event["id"] = _id(event["id"])
    event["timestamp"] = period.read(event["timestamp"], now)


_NAMES_OF_KINDS: Final = {dict: "an object", list: "a list", str: "text", float: "a number"}
_SUCH_AS: Final = {"user": ' such as {"id": "u1"}', "consent": ' such as {"marketing": true}'}
_ALSO: Final[Mapping[type, Any]] = {list: tuple, float: int | Decimal}
"""Other types that are accepted for a kind."""


def _check_part(key: str, value: Any, kind: type, name: Any) -> None:
    also = _ALSO.get(kind)
    if isinstance(value, kind) or (
        also and isinstance(value, also) and not isinstance(value, bool)
    ):
        return
    such_as = _SUCH_AS.get(key, "")
    raise EventError(
        f"{key}: must be {_NAMES_OF_KINDS[kind]}{such_as}, not {type(value).__name__} "
        f"(event {str(name)[:80]!r})"
    )


def _check_nested(nested: Sequence[Any], name: Any) -> None:
    for index, item in enumerate(nested):
        if type(item) is not dict and not isinstance(item, Mapping) and fields_of(item) is None:
            _check_part(f"nested.{index}", item, dict, name)


def check_grants(consent: Mapping[Any, Any]) -> None:
    """Raise EventError for too many keys, keys other than short text, or values but booleans.

    Any other value would grant by mistake: the text "denied" is truthy.
    """
    if len(consent) > CONSENT_KEYS:
        raise EventError(f"consent: has {len(consent):,} keys; the limit is {CONSENT_KEYS}")
    for key, value in consent.items():
        if not isinstance(key, str):
            shown = storable(key, 80)
            raise EventError(f"consent.{shown}: a key of consent is text, not {type(key).__name__}")
        if may_need_check(key):
            check_identifier("a key of consent", key)
        if not isinstance(value, bool):
            raise EventError(f"consent.{key}: must be true or false, not {type(value).__name__}")


def plain_object(what: str, value: Any, bounds: Bounds) -> dict[str, Any]:
    """Return an object as plain JSON, independent of its origin, for one part of events.

    `what` is the part. Raises EventError if the value is not an object, or no event could have it
    (see `encode`).
    """
    if not isinstance(value, Mapping):
        raise EventError(f"{what}: must be an object, not {type(value).__name__}")
    event = {"name": f"walker {what}", what: dict(value)}
    plain: dict[str, Any] = decode(encode(event, bounds))[what]
    return plain


def _id(value: Any) -> str | None:
    """Return an id as text; a missing or empty one is returned as it is."""
    if value is None or type(value) is str:
        return value
    if not isinstance(value, str | int | UUID) or isinstance(value, bool):
        raise EventError(f"id: must be a string, not {type(value).__name__}")
    return str(value)
