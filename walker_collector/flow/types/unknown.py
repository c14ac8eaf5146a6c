"""Messages for unknown keys: the key that was meant, or the place where it belongs."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from walker_collector.config import ObjectSpec
from walker_collector.naming import hint

Places = Mapping[type, Mapping[str, str]]
"""By class and key: advice on the right place."""

_ELSEWHERE: Final[ContextVar[Places | None]] = ContextVar("keys elsewhere", default=None)
_PATH: Final = "write the path as key"
_VALUE: Final[Mapping[str, str]] = {
    "path": _PATH,
    "from": _PATH,
    "field": _PATH,
    "default": "write it as value",
    "const": "write it as value",
}


@contextmanager
def keys_elsewhere(places: Places) -> Iterator[None]:
    """Know, while a part of a flow is read, where keys belong that do not belong to a class."""
    outer = _ELSEWHERE.set({**(_ELSEWHERE.get() or {}), **places})
    try:
        yield
    finally:
        _ELSEWHERE.reset(outer)


def unknown_key(cls: type[Any], key: Any, known: Iterable[str], *, compared: bool) -> str:
    """Return the message for a key that a class lacks; `known` are compared if that is cheap."""
    there = (_ELSEWHERE.get() or {}).get(cls, {})
    advice = _VALUE.get(key) if cls is ObjectSpec else there.get(key)
    if advice:
        return f"unknown key; {advice}"
    if not compared:
        return "unknown key"
    found = hint(str(key), known)
    if cls is ObjectSpec and not found.startswith("; did you mean"):
        found += f'; an object of values is written {{"map": {{"{str(key)[:80]}": ...}}}}'
    return f"unknown key{found}"
