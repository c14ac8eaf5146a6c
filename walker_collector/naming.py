"""Names of keys, places and kinds of value, for messages to the author of a flow."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from typing import Any, Final

import attrs

_LISTED: Final = 40
"""Names in a message when none is similar."""
_COMPARED: Final = 200
"""Names that a word is compared with, at most."""
_LETTERS: Final = 40
"""Letters of a word that is compared: the time grows with their square."""
_HINTS: Final = 500
"""Words of a flow that are compared: in one with thousands of mistakes, the others get no hint."""
_left: ContextVar[Iterator[int] | None] = ContextVar("hints left", default=None)


@contextmanager
def bounded_hints() -> Iterator[None]:
    """Bound the time for near misses while one flow is read."""
    outer = _left.set(iter(range(_HINTS)))
    try:
        yield
    finally:
        _left.reset(outer)


_PLAIN_KEY = re.compile(r"[^.\[\]\"\s]+")


def camel(name: str) -> str:
    """Return a Python name as written on disk: `api_key` -> `apiKey`, `import_` -> `import`."""
    head, *rest = name.strip("_").split("_")
    return head + "".join(word.capitalize() for word in rest)


def disk_key(attribute: "attrs.Attribute[Any]") -> str:
    """Return how an attrs field is written on disk (metadata `key`, else its name in camelCase)."""
    return str(attribute.metadata.get("key") or camel(attribute.name))


def join(path: str, *keys: str | int) -> str:
    """Extend a place in a file by keys and list positions: `a.b[0]["dotted.key"]`."""
    for key in keys:
        if isinstance(key, int):
            path = f"{path}[{key}]"
        elif not _PLAIN_KEY.fullmatch(key):
            path = f"{path}[{json.dumps(key, ensure_ascii=False)}]"
        else:
            path = f"{path}.{key}" if path else key
    return path


def hint(word: str, known: Iterable[str], label: str = "known") -> str:
    """Return `; did you mean X?` for a near miss, else a list of the known names."""
    names = sorted(known)
    if close := _nearest(word, names):
        return f"; did you mean {close}?"
    more = f", and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return f"; {label}: {', '.join(names[:_LISTED]) or 'none'}{more}"


def _nearest(word: str, names: list[str]) -> str | None:
    left = _left.get()
    if len(names) > _COMPARED or len(word) > _LETTERS or (left and next(left, None) is None):
        return None
    close = get_close_matches(word, names, n=1)
    if close:
        return close[0]
    lower = {name.lower(): name for name in names}
    return next((lower[name] for name in get_close_matches(word.lower(), lower, n=1)), None)


def kind(value: Any) -> str:
    """Return the kind of a JSON value; never the value itself, which may be a secret."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case Mapping():
            return "an object"
        case list() | tuple():
            return "a list"
    name = type(value).__name__
    return "a secret" if name == "Secret" else f"a value of type {name}"
