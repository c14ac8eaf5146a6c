"""Checks of rule settings when a flow is loaded, as far as their values are plain. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from walker_collector import (
    MISSING,
    AlternativesSpec,
    DestinationConfig,
    ObjectSpec,
    Secret,
    Value,
    ValueSpec,
    each_rule,
    may_make_object,
)
from walker_dest_customerio.forms import FLAGS, FORMS, LISTS, setting_key
from walker_dest_customerio.identity import is_email
from walker_dest_customerio.limits import EVENT_NAME, is_longer
from walker_dest_customerio.operations import MESSAGES
from walker_dest_customerio.operations.form import UNKNOWN
from walker_dest_customerio.settings import Settings

Found = Iterable[tuple[str, str]]

_ANYWAY: Final = {kind.part for kind in MESSAGES if kind.is_sent_anyway}
_FREE: Final = ("data", "attributes")
"""The keys of objects that take any others."""


def check_settings(settings: Settings, rules: Mapping[str, Mapping[str, Any]]) -> Found:
    """Yield path and message for values that Customer.io would surely refuse.

    Messages without an App API key are among these.
    """
    yield from _problems("identify", settings.identify, "settings")
    for path, rule in each_rule(rules, "mapping"):
        place = f"{path}.settings"
        for kind in MESSAGES:
            if getattr(rule.settings, kind.part, None) is not None and not settings.app_api_key:
                yield (
                    f"{place}.{kind.guarded}",
                    "transactional messages go through the App API; set settings.appApiKey",
                )
        for name in FORMS:
            if name not in _ANYWAY:
                yield from _problems(name, getattr(rule.settings, name, None), place)
        yield from _no_address(getattr(rule.settings, "recipient", None), place)


def advise(config: DestinationConfig) -> Found:
    """Yield path and message for settings that have no effect, and for data and names lost."""
    no_object = "makes no object, which is what Customer.io takes: events go out without data"
    if not may_make_object(config.data):
        yield "data", no_object
    for path, rule in each_rule(config.mapping, "mapping"):
        yield from _without_effect(rule.settings, f"{path}.settings")
        if rule.skip and getattr(rule.settings, "recipient", None) is not None:
            yield f"{path}.settings.recipient", "has no effect: with skip, no event is sent"
        if rule.skip or rule.ignore:
            continue
        if not may_make_object(rule.data):
            yield f"{path}.data", no_object
        if rule.name and is_longer(rule.name.strip(), EVENT_NAME):
            yield (
                f"{path}.name",
                f"takes more than Customer.io's {EVENT_NAME} bytes: it refuses these events",
            )


def _problems(name: str, value: Value | None, place: str) -> Found:
    """Yield place and problem of each object that a setting plainly makes."""
    place = f"{place}.{setting_key(name)}"
    for inner, made in _made(None if value is None else value.spec, name in LISTS):
        is_object = isinstance(made, dict)
        problem = FORMS[name].problem(made, made) if is_object else "makes no object"
        if problem is not None:
            yield f"{place}{inner}", problem


def _without_effect(settings: Any, place: str) -> Found:
    """Yield place and message for each setting of a rule that has no effect."""
    for name in FLAGS:
        flag = getattr(settings, name, None)
        if flag is not None and not isinstance(flag, bool):
            yield f"{place}.{name}", "has no effect: only true has"
    for name, form in FORMS.items():
        value = getattr(settings, name, None)
        if value is None:
            continue
        yield from _unreached(name, value, place)
        if name in _ANYWAY:
            for where, problem in _problems(name, value, place):
                yield where, f"Customer.io refuses these messages: {problem}"
        elif form.optional is not None and not form.strict:
            yield from _unread_keys(value, form.known, f"{place}.{setting_key(name)}")
    value = getattr(settings, "send_email", None)
    for inner, made in _made(None if value is None else value.spec, False):
        if isinstance(made, dict) and "identifiers" not in made:
            yield f"{place}.sendEmail{inner}", "has no identifiers, which Customer.io asks for"


def _unreached(name: str, value: Value, place: str) -> Found:
    """Yield a message for alternatives behind one that always makes something."""
    items = value.spec.items if isinstance(value.spec, AlternativesSpec) else ()
    at = next((at for at, item in enumerate(items) if _is_certain(item)), len(items))
    if at < len(items) - 1:
        several = '; for several objects write {"set": [...]}' if name in LISTS else ""
        yield (
            f"{place}.{setting_key(name)}[{at + 1}]",
            f"is never used: a list has alternatives, and [{at}] always makes something{several}",
        )


def _unread_keys(value: Value, known: tuple[str, ...], place: str) -> Found:
    """Yield path and message for keys beside those that an operation reads."""
    for key in getattr(value.spec, "map", None) or ():
        if key not in known:
            free = next((name for name in _FREE if name in known), None)
            advice = f"; write it into {free}" if free else ""
            yield f"{place}.map.{key}", f"is not sent{advice}"


def _no_address(value: Value | None, place: str) -> Found:
    for inner, made in _made(None if value is None else value.spec, False):
        if not (isinstance(made, str) and is_email(made)):
            yield f"{place}.recipient{inner}", "must be an email address"


def _made(spec: ValueSpec | None, is_list: bool, where: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the certain results of a value: the place in it, and the result as of `_plain`.

    Each alternative counts, and with `is_list` each item.
    """
    if isinstance(spec, AlternativesSpec):
        for at, other in enumerate(spec.items):
            yield from _made(other, is_list, f"{where}[{at}]")
    elif is_list and isinstance(spec, ObjectSpec) and spec.loop is not None and not spec.fn:
        yield from _made(spec.loop[1], False, f"{where}.loop[1]")
    elif is_list and isinstance(spec, ObjectSpec) and _is_set(spec):
        for at, item in enumerate(spec.set or ()):
            yield from _made(item, False, f"{where}.set[{at}]")
    else:
        made = _plain(spec)
        for each in made if is_list and isinstance(made, list) else [made]:
            if each is not UNKNOWN and each is not MISSING:
                yield where, each


def _is_set(spec: ObjectSpec) -> bool:
    return spec.set is not None and spec.map is None and not spec.fn


def _plain(spec: ValueSpec | None) -> Any:
    """Return the result of a value, with UNKNOWN for all that the event decides."""
    if spec is None or spec == AlternativesSpec(()):
        return MISSING
    if not isinstance(spec, ObjectSpec) or spec.fn:
        return UNKNOWN
    if spec.loop is not None:
        return [UNKNOWN]
    if spec.map is not None:
        return {key: _plain(value) for key, value in spec.map.items()}
    if spec.set is not None:
        return [UNKNOWN]
    if spec.key or isinstance(spec.value, Secret):
        return UNKNOWN
    return MISSING if spec.value is None else spec.value


def _is_certain(spec: ValueSpec | None) -> bool:
    """Return whether a value makes something of every event."""
    if not isinstance(spec, ObjectSpec) or spec.condition or spec.fn:
        return False
    if spec.value not in (MISSING, None):
        return True
    is_free = not spec.consent and not spec.validate and spec.loop is None
    return is_free and (spec.map is not None or spec.set is not None)
