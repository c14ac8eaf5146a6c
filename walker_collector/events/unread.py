"""Complete the JSON of an event without building the event.

A source has the bytes of an event, and the spool keeps bytes. Building the objects in between,
only to write them again, took two thirds of the time that accepting an event takes. So a header is
read, the parts that decide on the event; all other parts stay JSON, and are spliced into the JSON
of the complete event. That is, apart from spaces and the spelling of text and numbers, what
`complete` and `encode` make of the event.

This is for the usual event alone. Whatever is unusual (a part of another type, an unknown key, a
bound that may be exceeded, text that is perhaps not Unicode) is left to these two, which know what
to say about it: then functions here return None.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec
import orjson
from msgspec import Raw

from walker_collector.errors import EventError
from walker_collector.events.command_names import COMMANDS
from walker_collector.events.complete import Defaults, check_grants, split_name, timing_text
from walker_collector.events.encode import CONSENT_AT, UNTRUSTED, Bounds
from walker_collector.events.identifiers import may_need_check
from walker_collector.events.merging import merge
from walker_collector.events.period import Period

_NULL: Final = Raw(b"null")
"""The value of parts that an event does not have."""
_NO_CUSTOM: Final = b',"custom":{},"user":'
_NO_NESTED: Final = b',"nested":[],"trigger":""'
_OBJECT: Final = ord("{")
_TEXT: Final = ord('"')
_NOT_USUAL: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_NUMBER: Final = frozenset(b"-0123456789")
_LEVELS: Final = 4
"""Levels that an event has if its parts hold nothing nested."""
_GROWTH: Final = 8
"""How much longer JSON may become as it is written anew: 9e15 becomes 9000000000000000.0."""

_DIGITS: Final = bytes(
    ord("0") if byte in b"0123456789+" else ord("e") if byte in b"eE" else ord(" ")
    for byte in range(256)
)
"""Translates digits and + to 0, the sign of an exponent to e, and everything else to a space."""
_LONG: Final = b"0" * 19
"""The shortest integer beyond 64 bits has 19 digits."""
_EXPONENT: Final = b"e000"
"""The shortest exponent that makes a number infinite has three digits."""
_LARGE_NUMBER: Final = re.compile(rb"[:\[,\s]-?[0-9.]+[eE]\+?[0-9]{3}")
_BRACES: Final = bytes.maketrans(b"[]", b"{}")
_NO_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"{[}]")


class _Object(msgspec.Struct, gc=False):
    """Any object; its keys are passed over."""


class UnreadEvent(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An event of which only the header has been read; its other parts are JSON.

    Of `data`, `context`, `globals`, `custom`, `nested`, `trigger` and `timing` even the type is
    unknown.
    """

    name: str
    data: Raw = _NULL
    context: Raw = _NULL
    globals: Raw = _NULL
    custom: Raw = _NULL
    user: dict[str, Any] | None = None
    nested: Raw = _NULL
    consent: dict[str, bool] | None = None
    id: str | int | None = None
    trigger: Raw = _NULL
    entity: str | None = None
    action: str | None = None
    timestamp: int | float | str | None = None
    timing: Raw = _NULL
    source: dict[str, Any] | None = None

    def whole(self) -> dict[str, Any]:
        """Return the event as an object of JSON; parts that are null are left out."""
        event: dict[str, Any] = {}
        for key in self.__struct_fields__:
            value = getattr(self, key)
            if type(value) is Raw:
                value = orjson.loads(bytes(value))
            if value is not None:
                event[key] = value
        return event


def whole(event: Mapping[str, Any] | UnreadEvent) -> Mapping[str, Any]:
    """Return an event with all its parts."""
    return event.whole() if isinstance(event, UnreadEvent) else event


class _Batch(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    batch: list[UnreadEvent]


_read_one: Final = msgspec.json.Decoder(UnreadEvent).decode
_read_list: Final = msgspec.json.Decoder(list[UnreadEvent]).decode
_read_batch: Final = msgspec.json.Decoder(_Batch).decode
_read_objects: Final = msgspec.json.Decoder(list[_Object]).decode


def read_event(text: bytes) -> UnreadEvent | None:
    """Return the event in a JSON text; None for anything unusual, and for a command."""
    try:
        event = _read_one(text)
    except _NOT_USUAL:
        return None
    if event.name in COMMANDS or not _is_sound(text):
        return None
    return event


def read_events(text: bytes) -> UnreadEvent | list[UnreadEvent] | None:
    """Return the event in a JSON text, or those of a list or of `{"batch": [...]}`.

    None for anything unusual, and for commands among them.
    """
    try:
        if text[:1] == b"[":
            events = _read_list(text)
        elif text[:8] == b'{"batch"':
            events = _read_batch(text).batch
        else:
            return read_event(text)
    except _NOT_USUAL:
        return None
    if not _is_sound(text) or any(event.name in COMMANDS for event in events):
        return None
    return events


def _is_sound(text: bytes) -> bool:
    """Return whether JSON that msgspec has passed over is surely JSON for everybody.

    It looks neither at the UTF-8 of text, nor at the size of numbers.
    """
    digits = text.translate(_DIGITS)
    if _LONG in digits or (_EXPONENT in digits and _LARGE_NUMBER.search(text)):
        return False
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def complete_unread(
    event: UnreadEvent,
    now: int,
    timing: float,
    defaults: Defaults,
    bounds: Bounds,
    untrusted: bool = False,
    stated_by: int | None = None,
) -> tuple[dict[str, Any], bytes] | None:
    """Return the parts of a complete event that it is decided by, and its JSON; None if unusual.

    These are name, id and user, and if there are any, consent and marks. `untrusted`: mark it as
    such; `stated_by`: its consent is everything that its person grants, by this stamp at the
    latest.
    """
    consent, id_ = event.consent, event.id
    timestamp = now if event.timestamp is None else _time(event.timestamp, now, defaults.period)
    if isinstance(id_, int):
        if not id_:
            return None
        id_ = str(id_)
    if timestamp is None or bounds.depth < _LEVELS or (id_ and may_need_check(id_)):
        return None
    user = event.user or {}
    if defaults.user:
        user = merge(defaults.user, user)
    front = _front(event, user, timing, defaults, bounds.depth - 1)
    if front is None or len(front) * _GROWTH > bounds.bytes:
        return None
    try:
        if consent:
            check_grants(consent)
        source = _source(event.source, defaults, bounds.depth - 1)
    except EventError:
        return None
    id_ = id_ or defaults.new_id()
    decisive: dict[str, Any] = {"name": event.name, "id": id_, "user": user}
    more = b"}"
    if consent is not None or untrusted:
        more = _marks(decisive, consent, untrusted, stated_by and min(timestamp * 1_000, stated_by))
    back = b',"id":%b,"timestamp":%d%b%b' % (orjson.dumps(id_), timestamp, source, more)
    if event.source and (not source or (len(front) + len(back)) * _GROWTH > bounds.bytes):
        return None
    return decisive, front + back


def _marks(
    decisive: dict[str, Any], consent: Mapping[str, bool] | None, untrusted: bool, since: int | None
) -> bytes:
    """Return the end of an event's JSON, with its consent and marks; add them to `decisive`."""
    marks: dict[str, Any] = {}
    if consent is not None:
        decisive["consent"] = marks["consent"] = consent
    if untrusted:
        marks[UNTRUSTED] = True
    if since is not None and consent is not None:
        decisive[CONSENT_AT] = marks[CONSENT_AT] = since
    return b",%b" % orjson.dumps(marks)[1:]


def _time(given: float | str, now: int, period: Period) -> int | None:
    """Return the time of an event (ms); None if it is not a usual one."""
    if type(given) is str:
        try:
            given = period.read(given, now)
        except EventError:
            return None
    return given if type(given) is int and period.oldest <= given <= now + period.ahead else None


def _source(own: dict[str, Any] | None, defaults: Defaults, depth: int) -> bytes:
    """Return the JSON of an event's source, after a comma; b"" if it may be nested too deeply.

    Raises EventError.
    """
    if own is None:
        return defaults.own_source().encode()
    text = orjson.dumps(defaults.source(own))
    return b"" if _may_be_deeper(text, depth) else b',"source":%b' % text


def _front(
    event: UnreadEvent, user: Mapping[str, Any], timing: float, defaults: Defaults, depth: int
) -> bytes | None:
    """Return the JSON of an event up to its timing, without an end; None if it is unusual.

    `depth`: the levels that a part may have.
    """
    try:
        entity, action, head, words = _named(event.name)
    except EventError:
        return None
    if event.entity is not None or event.action is not None:
        entity = entity if event.entity is None else event.entity
        action = action if event.action is None else event.action
        if may_need_check(entity) or may_need_check(action):
            return None
        words = b',"entity":%b,"action":%b' % (orjson.dumps(entity), orjson.dumps(action))
    data, context, own = _object(event.data), _object(event.context), _object(event.globals)
    if not (data and context and own):
        return None
    if defaults.globals:
        own = orjson.dumps(merge(defaults.globals, orjson.loads(own)))
    shown_user = orjson.dumps(user)
    for part in (data, context, own, shown_user):
        if len(part) > 2 * depth and _may_be_deeper(part, depth):  # a level has two brackets
            return None
    more = _rarer(event, timing, depth)
    if more is None:
        return None
    custom, nested, time = more
    return b"".join(
        (
            head,
            data,
            b',"context":',
            context,
            b',"globals":',
            own,
            custom,
            shown_user,
            nested,
            words,
            time,
        )
    )


def _rarer(event: UnreadEvent, timing: float, depth: int) -> tuple[bytes, bytes, bytes] | None:
    """Return the JSON of the parts that few events have, with that which stands around them."""
    custom, nested, time = _NO_CUSTOM, _NO_NESTED, timing_text(timing).encode()
    if event.custom is not _NULL:
        part = _object(event.custom)
        if not part or _may_be_deeper(part, depth):
            return None
        custom = b',"custom":%b,"user":' % part
    if event.nested is not _NULL or event.trigger is not _NULL:
        items, trigger = _part(event.nested, b"[]"), _part(event.trigger, b'""')
        if trigger[0] != _TEXT or not _holds_objects(items) or _may_be_deeper(items, depth):
            return None
        nested = b',"nested":%b,"trigger":%b' % (items, trigger)
    shown = _part(event.timing, b"")
    if shown:
        if shown[0] not in _NUMBER:
            return None
        time = b',"timing":%b' % shown
    return custom, nested, time


@lru_cache(maxsize=1024)
def _named(name: str) -> tuple[str, str, bytes, bytes]:
    """Return entity and action of a name, and the JSON of all three."""
    entity, action = split_name(name)
    words = b',"entity":%b,"action":%b' % (orjson.dumps(entity), orjson.dumps(action))
    return entity, action, b'{"name":%b,"data":' % orjson.dumps(name), words


def _part(raw: Raw, absent: bytes) -> bytes:
    """Return the JSON of a part; null is the same as left out."""
    if raw is _NULL:
        return absent
    part = bytes(raw)
    return absent if part == b"null" else part


def _object(raw: Raw) -> bytes:
    """Return the JSON of an object; b"" if it is none."""
    part = _part(raw, b"{}")
    return part if part[0] == _OBJECT else b""


def _holds_objects(nested: bytes) -> bool:
    """Return whether JSON is a list of objects."""
    if nested == b"[]":
        return True
    try:
        _read_objects(nested)
    except _NOT_USUAL:
        return False
    return True


def _may_be_deeper(text: bytes, depth: int) -> bool:
    """Return whether JSON of an object or list may be nested deeper than that."""
    if text.find(b"{", 1) < 0 and text.find(b"[", 1) < 0:  # which takes no time
        return False
    # Leaving a character out takes less than counting it, if there are few.
    others = len(text.replace(b"{", b"")) + len(text.replace(b"[", b""))
    if 2 * len(text) - others <= depth:
        return False
    if b"\\" in text:  # perhaps before a quote, so that it would not be known where texts end
        return True
    structure = b"".join(text.split(b'"')[::2]).translate(_BRACES, _NO_BRACKETS)
    for _ in range(depth):
        structure = structure.replace(b"{}", b"")
    return structure != b""
