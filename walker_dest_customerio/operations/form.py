"""The form of the object that an operation is made of. Pure.

One form serves twice: for what a rule plainly makes when the flow is loaded, and for what it has
made of an event.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

from attrs import Factory, frozen

from walker_collector import MISSING

UNKNOWN: Final = object()
"""Stands for a value that only the event decides."""
_ABSENT: Final[tuple[Any, ...]] = (MISSING, None, "", {})

Check = Callable[[Any], str | None]
"""Returns what a value must be if it is something else; None for a right one."""


@frozen
class Form:
    """Keys that an object must and may have, with the checks of their values.

    required: without these nothing can be made of it.
    optional: the other keys that count; None: it takes any.
    strict: other keys are refused; else they are not read.
    checks: by key.
    instead: the keys that make up for the lack of a required one.
    """

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] | None = None
    strict: bool = False
    checks: Mapping[str, Check] = Factory(dict)
    instead: Mapping[str, tuple[str, ...]] = Factory(dict)

    @property
    def known(self) -> tuple[str, ...]:
        return (*self.required, *(self.optional or ()))

    def problem(self, made: Mapping[str, Any], quoted: Collection[str] = ()) -> str | None:
        """Return all that is wrong with an object, or None.

        Of its unknown keys only those in `quoted` are: others may be data.
        """
        return "; ".join(self._problems(made, quoted)) or None

    def _problems(self, made: Mapping[str, Any], quoted: Collection[str]) -> Iterator[str]:
        present = {key: value for key, value in made.items() if value not in _ABSENT}
        missing = [key for key in self.required if not self._has(present, key)]
        if missing:
            yield f"{_listed(missing)} {'is' if len(missing) == 1 else 'are'} missing"
        for key in missing:
            if key in self.instead:
                yield f"{_listed(self.instead[key])} would do instead of {key}"
        for key, value in present.items():
            check = self.checks.get(key)
            if check is not None and value is not UNKNOWN and (must := check(value)) is not None:
                yield f"{key} must be {must}"
        if self.strict and (unknown := present.keys() - set(self.known)):
            yield f"{_named(sorted(unknown & set(quoted)))}; known: {', '.join(self.known)}"

    def _has(self, present: Mapping[str, Any], key: str) -> bool:
        others = self.instead.get(key)
        return key in present or (others is not None and all(each in present for each in others))


def _named(unknown: list[str]) -> str:
    if not unknown:
        return "it has a field that Customer.io does not take"
    return f"Customer.io does not take {_listed([repr(key) for key in unknown])}"


def _listed(words: Collection[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def a_text(value: Any) -> str | None:
    return None if isinstance(value, str) and not value.isspace() else "text"


def an_id(value: Any) -> str | None:
    """Check an identifier; a number is one, too."""
    is_id = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    return None if is_id and not (isinstance(value, str) and value.isspace()) else "text"


def an_object(value: Any) -> str | None:
    return None if isinstance(value, Mapping) else "an object"


def a_switch(value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def one_of(*allowed: str) -> Check:
    """Return the check for one of some texts."""
    must = f"{', '.join(allowed[:-1])} or {allowed[-1]}"
    return lambda value: None if value in allowed else must
