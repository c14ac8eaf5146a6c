"""Complete the JSON of an event without building the event.

A source has the bytes of an event, and the spool keeps bytes. To build the objects in between, only
to write them again, would make accepting an event take three times as long. So only a header is
read, the parts that decide on the event; of the others no more than their type. Missing parts are
written behind the event's own JSON, and so are those that differ: of a part that stands there twice
the last one counts, for every reader. Apart from the order of its parts, spaces and the spelling of
text and numbers, the result is the one of `complete` and `encode`.

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
from msgspec import UNSET, Raw, UnsetType

from walker_collector.errors import EventError
from walker_collector.events.command_names import COMMANDS
from walker_collector.events.complete import check_grants
from walker_collector.events.defaults import Defaults
from walker_collector.events.encode import CONSENT_AT, UNTRUSTED, Bounds
from walker_collector.events.identifiers import check_identifier, may_need_check
from walker_collector.events.merging import merge
from walker_collector.events.missing_parts import (
    GIVEN,
    json_text,
    lacking_text,
    timing_text,
    words_text,
)
from walker_collector.events.names import split_name
from walker_collector.events.period import Period

_NOT_USUAL: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_LEVELS: Final = 4
"""Levels that an event has if its parts hold nothing nested."""
_GROWTH: Final = 8
"""How much longer JSON may become as it is written anew: 9e15 becomes 9000000000000000.0."""
_ADDED: Final = 4_000
"""Bytes that are added to an event at most, apart from its own parts and defaults."""
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


class _Text(bytes):
    """Bytes that no JSON is read into."""


class UnreadEvent(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An event of which only the header has been read.

    Of `data`, `context`, `globals`, `custom` and `nested` it is only known that they are objects,
    or a list of them, or None: left out, or null. `text` is the JSON of the whole event, without
    spaces around it.
    """

    name: str
    data: _Object | None = None
    context: _Object | None = None
    globals: _Object | None = None
    custom: _Object | None = None
    user: dict[str, Any] | None = None
    nested: list[_Object] | None = None
    consent: dict[str, bool] | UnsetType = UNSET
    id: str | UnsetType = UNSET
    trigger: str | None = None
    entity: str | None = None
    action: str | None = None
    timestamp: int | float | str | None = None
    timing: int | float | None = None
    source: dict[str, Any] | None = None
    text: _Text = _Text()

    def whole(self) -> dict[str, Any]:
        """Return the event as an object of JSON; parts that are null are left out.

        Raises EventError where it is nested too deeply to be read, which msgspec passes over.
        """
        try:
            event: dict[str, Any] = orjson.loads(self.text)
        except ValueError as error:
            raise EventError(f"event is not JSON: {error}"[:200]) from None
        return {key: value for key, value in event.items() if value is not None}

    def set_user(self, user: dict[str, Any]) -> None:
        """Give the event another user."""
        self.user = user
        text = b'%b,"user":%b}' % (self.text[:-1], orjson.dumps(user))
        self.text = text  # type: ignore[assignment]  # its type only keeps JSON out


def whole(event: Mapping[str, Any] | UnreadEvent) -> Mapping[str, Any]:
    """Return an event with all its parts."""
    return event.whole() if isinstance(event, UnreadEvent) else event


class _Batch(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    batch: list[Raw]


_read_one: Final = msgspec.json.Decoder(UnreadEvent).decode
_read_list: Final = msgspec.json.Decoder(list[Raw]).decode
_read_batch: Final = msgspec.json.Decoder(_Batch).decode


def read_event(text: bytes) -> UnreadEvent | None:
    """Return the event in a JSON text; None for anything unusual, and for a command."""
    try:
        event = _read_one(text)
    except _NOT_USUAL:
        return None
    if event.name in COMMANDS or not _is_sound(text):
        return None
    event.text = text.strip()  # type: ignore[assignment]  # as in `set_user`
    return event


def read_events(text: bytes) -> UnreadEvent | list[UnreadEvent] | None:
    """Return the event in a JSON text, or those of a list or of `{"batch": [...]}`.

    None for anything unusual, and for commands among them.
    """
    try:
        if text[:1] == b"[":
            texts = _read_list(text)
        elif text[:8] == b'{"batch"':
            texts = _read_batch(text).batch
        else:
            return read_event(text)
        if not _is_sound(text):
            return None
        events = []
        for raw in texts:
            event = _read_one(raw)
            if event.name in COMMANDS:
                return None
            event.text = bytes(raw)  # type: ignore[assignment]  # as in `set_user`
            events.append(event)
        return events
    except _NOT_USUAL:
        return None


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
    text: bytes = event.text
    id_, moment, consent = event.id, event.timestamp, event.consent
    timestamp = now if moment is None else _time(moment, now, defaults.period)
    if timestamp is None or bounds.depth < _LEVELS or _may_be_deeper(text, bounds.depth):
        return None
    if id_ is not UNSET and may_need_check(id_):
        return None
    decisive: dict[str, Any] = {"name": event.name, "id": "", "user": event.user or {}}
    others = ""
    try:
        begin, spaced, more = _form(
            event.name,
            event.data is None,
            event.context is None,
            event.globals is None,
            event.custom is None,
            event.user is None,
            event.nested is None,
            event.trigger is None,
        )
        if event.entity is not None or event.action is not None:
            others = _own_words(event)
        if defaults.user or defaults.globals:
            others += _over(defaults, event, decisive, bounds.depth)
        if consent is not UNSET or untrusted:
            stamp = stated_by and min(timestamp * 1_000, stated_by)
            others += _marks(consent, untrusted, stamp, decisive)
        if len(text) * _GROWTH + 4 * len(others) + _ADDED > bounds.bytes:
            return None
        # Both count their calls, so nothing may be amiss with the event after this.
        source = _source(event, defaults)
    except EventError:
        return None
    decisive["id"] = shown = defaults.new_id() if id_ is UNSET else id_
    shown_timing = timing_text(timing) if event.timing is None else ""
    # An id that may be spelt with escapes is written once more: it is looked for as it is usual.
    shown_id = "" if shown is id_ and b"\\" not in text else f',"id":{json_text(shown)}'
    shown_time = "" if timestamp is moment else f',"timestamp":{timestamp}'
    more = f"{more}{shown_timing}{shown_id}{shown_time}{source}{others}}}"
    return decisive, b"".join((_front(text, begin, spaced), more.encode()))


@lru_cache(maxsize=1024)
def _form(name: str, *are_lacking: bool) -> tuple[bytes, bytes, str]:
    """Return the beginning of an event's JSON, without and with a space, and the parts it lacks.

    `are_lacking` says so of the parts that every event has; entity and action are never there.
    Raises EventError.
    """
    shown, parts = orjson.dumps(name), zip(GIVEN, are_lacking, strict=True)
    lacking = lacking_text(part for part, lacks in parts if lacks)
    more = lacking + words_text(*split_name(name))
    return b'{"name":%b' % shown, b'{"name": %b' % shown, more


def _front(text: bytes, begin: bytes, spaced: bytes) -> bytes:
    """Return the JSON of an event without its end, which begins with the name as always."""
    if text.startswith(begin):
        return text[:-1]
    if text.startswith(spaced):
        return begin + text[len(spaced) : -1]
    return b"%b,%b" % (begin, text[1:-1])


def _own_words(event: UnreadEvent) -> str:
    """Return the JSON of entity and action of an event that has its own; raises EventError."""
    entity, action = split_name(event.name)
    entity = entity if event.entity is None else event.entity
    action = action if event.action is None else event.action
    check_identifier("entity", entity)
    check_identifier("action", action)
    return words_text(entity, action)


def _source(event: UnreadEvent, defaults: Defaults) -> str:
    """Return the JSON of an event's complete source after a comma; raises EventError."""
    if event.source is None:
        return defaults.own_source()
    return f',"source":{json_text(defaults.source(event.source))}'


def _over(defaults: Defaults, event: UnreadEvent, decisive: dict[str, Any], depth: int) -> str:
    """Return the JSON of the parts that have defaults; `decisive` gets the user.

    Raises EventError for parts that are nested too deeply.
    """
    merged: dict[str, Any] = {}
    if defaults.user:
        merged["user"] = decisive["user"] = merge(defaults.user, decisive["user"])
    if defaults.globals:
        own = {} if event.globals is None else orjson.loads(event.text)["globals"]
        merged["globals"] = merge(defaults.globals, own)
    text = orjson.dumps(merged)
    if _may_be_deeper(text, depth):
        raise EventError("user and globals are nested too deeply")
    return f",{text[1:-1].decode()}"


def _marks(
    consent: dict[str, bool] | UnsetType,
    untrusted: bool,
    since: int | None,
    decisive: dict[str, Any],
) -> str:
    """Return the JSON of an event's marks, and add them to `decisive`, with its consent."""
    marks: dict[str, Any] = {}
    if untrusted:
        marks[UNTRUSTED] = True
    if consent is not UNSET:
        check_grants(consent)
        decisive["consent"] = consent
        if since is not None:
            decisive[CONSENT_AT] = marks[CONSENT_AT] = since
    return f",{json_text(marks)[1:-1]}" if marks else ""


def _time(given: float | str, now: int, period: Period) -> int | None:
    """Return the time of an event (ms); None if it is not a usual one."""
    if type(given) is str:
        try:
            given = period.read(given, now)
        except EventError:
            return None
    return given if type(given) is int and period.oldest <= given <= now + period.ahead else None


def _may_be_deeper(text: bytes, depth: int) -> bool:
    """Return whether JSON of an object or list may be nested deeper than that."""
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
