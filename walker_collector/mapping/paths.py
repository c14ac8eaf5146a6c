"""Read and write by dotted path: `data.id`, `nested.0.data.sku`, `nested.*.data.sku`.

A segment is a key of an object, or an index of a list (`0`, `12`; never `01` or `-1`) or its
`length`. `*` reads every item of a list; on an object it is a key like any other. Keys that hold
dots cannot be reached. Source: walkerOS, getByPath, setByPath, deleteByPath.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from walker_collector.config import MISSING
from walker_collector.mapping.pruning import PLAIN

Segments = tuple[tuple[str, int | None], ...]
"""Each segment as a key, and as an index if it can be one."""

_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")


@lru_cache(maxsize=1024)
def split(path: str) -> Segments:
    """Split a path into its segments."""
    return tuple((part, _index(part)) for part in path.split("."))


def _index(part: str) -> int | None:
    return int(part) if _INDEX.fullmatch(part) else None


def get_by_path(value: Any, path: str, default: Any = MISSING) -> Any:
    """Return the value at the path, or `default`.

    The empty path is the whole value. Behind a `*` every missing slot becomes `default`, or None
    without one. None at the path is returned; nothing is below None.
    """
    return read_path(value, split(path), default) if path else value


def compile_path(
    path: str, clean: Callable[[Any], Any] = lambda found: found
) -> Callable[..., Any]:
    """Return a function that reads the path in a value; MISSING if there is nothing.

    `clean` is applied to the result unless it is a plain scalar. The function takes a scope and
    ignores it, so that it can serve as a compiled mapping value.
    """
    if not path:
        return lambda value, scope=None: clean(value)
    segments = split(path)
    keys = plain_keys(path)
    if keys is None or len(keys) > len(_SPECIALISED):
        return lambda value, scope=None: clean(read_path(value, segments))
    return _SPECIALISED[len(keys) - 1](clean, *keys)


def plain_keys(path: str) -> tuple[str, ...] | None:
    """Return the keys of a path that reads objects only; None if a segment may mean a list.

    The empty path, the whole input, has no keys.
    """
    segments = split(path) if path else ()
    if any(index is not None or key in ("*", "length") for key, index in segments):
        return None
    return tuple(key for key, _ in segments)


# Readers for one, two and three keys, written out: most paths are that short, and a loop over the
# segments takes three times as long.
def _one(clean: Callable[[Any], Any], key: str) -> Callable[..., Any]:
    def read(value: Any, scope: Any = None) -> Any:
        if type(value) is not dict:
            return MISSING
        found = value.get(key, MISSING)
        return found if type(found) in PLAIN else clean(found)

    return read


def _two(clean: Callable[[Any], Any], first: str, second: str) -> Callable[..., Any]:
    def read(value: Any, scope: Any = None) -> Any:
        if type(value) is not dict or type(inner := value.get(first)) is not dict:
            return MISSING
        found = inner.get(second, MISSING)
        return found if type(found) in PLAIN else clean(found)

    return read


def _three(clean: Callable[[Any], Any], first: str, second: str, third: str) -> Callable[..., Any]:
    def read(value: Any, scope: Any = None) -> Any:
        if type(value) is not dict or type(inner := value.get(first)) is not dict:
            return MISSING
        if type(inner := inner.get(second)) is not dict:
            return MISSING
        found = inner.get(third, MISSING)
        return found if type(found) in PLAIN else clean(found)

    return read


_SPECIALISED: Final[tuple[Callable[..., Callable[..., Any]], ...]] = (_one, _two, _three)


def read_path(value: Any, segments: Segments, default: Any = MISSING) -> Any:
    """Read a path of any form; see `get_by_path`."""
    for position, (key, index) in enumerate(segments):
        if key == "*" and type(value) is list:
            # Behind a trailing `*` the original looks for the key "" of every item.
            rest = segments[position + 1 :] or (("", None),)
            found = [read_path(item, rest, default) for item in value]
            return [None if item is MISSING else item for item in found]
        value = _child(value, key, index)
        if value is MISSING:
            return default
    return value


def _child(holder: Any, key: str, index: int | None) -> Any:
    if type(holder) is dict:
        return holder.get(key, MISSING)
    if type(holder) is list:
        if index is not None and index < len(holder):
            return holder[index]
        if key == "length":
            return len(holder)
    return MISSING


def set_by_path(value: Any, path: str, new: Any) -> Any:
    """Return the value with `new` at the path; only containers on the path are copied.

    A missing or scalar step becomes an object, never a list. In a list `new` is set at its index,
    and a gap before it filled with None; a key that is no index leaves the list as it is.
    MISSING as `new` removes a key, and empties a list's slot. A value other than an object is
    returned as it is.
    """
    return _put(value, split(path), new) if type(value) is dict else value


def _put(holder: Any, segments: Segments, new: Any) -> Any:
    (key, index), rest = segments[0], segments[1:]
    if rest:
        below = _child(holder, key, index)
        new = _put(below if isinstance(below, dict | list) else {}, rest, new)
    return _put_item(holder, index, new) if type(holder) is list else _put_key(holder, key, new)


def _put_key(holder: dict[str, Any], key: str, new: Any) -> dict[str, Any]:
    if new is not MISSING:
        return {**holder, key: new}
    return {name: child for name, child in holder.items() if name != key}


def _put_item(holder: list[Any], index: int | None, new: Any) -> list[Any]:
    if index is None:
        return holder
    gap = [None] * (index - len(holder))
    return [*holder[:index], *gap, None if new is MISSING else new, *holder[index + 1 :]]


def delete_by_path(value: Any, path: str) -> Any:
    """Return a copy without the path, or the value itself if it has no such path.

    An item of a list is taken out, so those behind it move up. There is no wildcard.
    """
    return _without(value, path.split("."))


def _without(holder: Any, keys: list[str]) -> Any:
    key = _place(holder, keys[0])
    if key is None:
        return holder
    copy = holder.copy()
    if len(keys) == 1:
        del copy[key]
        return copy
    below = holder[key]
    copy[key] = _without(below, keys[1:])
    return holder if copy[key] is below else copy


def _place(holder: Any, key: str) -> str | int | None:
    """Return the key or index in the holder, or None; indexes follow JavaScript's Number()."""
    if type(holder) is dict:
        return key if key in holder else None
    if type(holder) is not list:
        return None
    digits = key.strip() or "0"  # Number("") is 0
    index = int(digits) if re.fullmatch(r"[0-9]{1,9}", digits) else -1
    return index if 0 <= index < len(holder) else None
