"""Reading and writing by dotted path: `data.id`, `nested.0.data.sku`, `nested.*.data.sku`.

A segment is a key of an object, or an index of a list (`0`, `12`; never `01` or `-1`) or its
`length`. `*` reads every item of a list; on an object it is a key like any other. Keys that hold
dots cannot be reached. Rules: walkerOS, getByPath, setByPath, deleteByPath.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from walker_collector.config import MISSING
from walker_collector.mapping.pruning import PLAIN

Segments = tuple[tuple[str, int | None], ...]
"""Each segment as a key, and as an index where it can be one."""

_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")


@lru_cache(maxsize=1024)
def split(path: str) -> Segments:
    """Take a path apart."""
    return tuple((part, _index(part)) for part in path.split("."))


def _index(part: str) -> int | None:
    return int(part) if _INDEX.fullmatch(part) else None


def get_by_path(value: Any, path: str, default: Any = MISSING) -> Any:
    """Return what is found at the path, `default` where there is nothing.

    The empty path is the whole value. Behind a `*` every slot without a value is `default`, or
    None where there is no default. None that is found is returned; below None is nothing.
    """
    return read_path(value, split(path), default) if path else value


def compile_path(
    path: str, clean: Callable[[Any], Any] = lambda found: found
) -> Callable[..., Any]:
    """Return a function that reads the path: of one value, MISSING where there is nothing.

    `clean` is applied to what is found unless it is a plain scalar. Whatever else the function
    is given is ignored, so that a compiled path resolves a mapping value as it stands.
    """
    if not path:
        return lambda value, scope=None: clean(value)
    segments = split(path)
    keys = plain_keys(path)
    if keys is None or len(keys) > len(_SPECIALISED):
        return lambda value, scope=None: clean(read_path(value, segments))
    return _SPECIALISED[len(keys) - 1](clean, *keys)


def plain_keys(path: str) -> tuple[str, ...] | None:
    """Return the keys of a path that reads objects alone; None where it may mean a list.

    The empty path, the whole input, has none.
    """
    segments = split(path) if path else ()
    if any(index is not None or key in ("*", "length") for key, index in segments):
        return None
    return tuple(key for key, _ in segments)


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
    """Return the value with `new` at the path; only what lies on the path is copied.

    What is missing on the way, or is a scalar, becomes an object, never a list. A list is set at
    its index, a gap before it filled with None; a key that is no index leaves a list as it is.
    MISSING as `new` takes a key away and empties a list's slot. What is no object is returned
    as it is.
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
    """Return the value without what is at the path, itself where there is nothing to delete.

    An item of a list is taken out, so the ones behind it move up. There is no wildcard.
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
    """Where the key is in the holder; an index is what JavaScript's Number() reads ("" is 0)."""
    if type(holder) is dict:
        return key if key in holder else None
    if type(holder) is not list:
        return None
    digits = key.strip() or "0"
    index = int(digits) if re.fullmatch(r"[0-9]{1,9}", digits) else -1
    return index if 0 <= index < len(holder) else None
