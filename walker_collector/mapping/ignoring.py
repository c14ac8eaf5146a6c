"""Find events that a destination ignores under any consent, so that they need not be held."""

from collections.abc import Callable
from typing import Any, NoReturn

from attrs import frozen

from walker_collector.config import DestinationConfig
from walker_collector.events import CONSENT_AT, UNTRUSTED, decode
from walker_collector.mapping.paths import split
from walker_collector.mapping.rules import Find, compile_lookup, compile_name_test
from walker_collector.mapping.scope import LocalScope


@frozen(eq=False)
class Ignoring:
    """Tests whether the rules of a destination ignore an event, before consent is known."""

    _by_name: Callable[[str], bool | None]
    _find: Find[bool] | None
    _otherwise: bool

    def by_name(self, name: str) -> bool:
        """Return whether an event of this name is ignored in any case."""
        return self._by_name(name) is True

    def by_conditions(self, name: str, body: bytes) -> bool:
        """Return whether conditions, without reading consent, lead to a rule that ignores it."""
        if self._find is None or self._by_name(name) is not None:
            return False
        consent = _UnknownConsent(unknown=True)
        event = {**decode(body), "consent": consent}
        event.pop(UNTRUSTED, None)
        event.pop(CONSENT_AT, None)
        try:
            found = self._find(event, LocalScope(event, consent))
        except _LooksAtConsent:
            return False
        ignored = self._otherwise if found is None else found
        return ignored and not consent.looked_at


def compile_ignoring(config: DestinationConfig) -> Ignoring | None:
    """Return the test for events that a destination ignores; None if it is true for no event."""
    written = [split(path)[0][0] for path in config.policy or ()]
    if config.before or "name" in written:
        return None  # the rule is looked up by another name than the event came with
    otherwise = config.unmatched == "ignore"
    by_name = compile_name_test(config.mapping, lambda rule: rule.ignore, otherwise=otherwise)
    if by_name is None:
        return None
    # Conditions see the event after policies, and policies may read consent.
    lookup = compile_lookup(config.mapping, lambda key, where, rule: rule.ignore)
    find = None if written else lookup.find
    return Ignoring(by_name, find, otherwise)


class _LooksAtConsent(BaseException):
    """A condition reads consent. A BaseException, as `guarded` catches every Exception."""


class _UnknownConsent(dict[str, Any]):
    """A placeholder for consent that is not known yet; reading it is noted, and raises."""

    looked_at = False

    def _stop(self, *args: object, **kwargs: object) -> NoReturn:
        self.looked_at = True
        raise _LooksAtConsent


for _method in (
    *(
        "__getitem__",
        "__contains__",
        "__iter__",
        "__len__",
        "__eq__",
        "__ne__",
        "__or__",
        "__ror__",
    ),
    *("__repr__", "__reversed__", "__reduce_ex__", "get", "keys", "values", "items", "copy", "pop"),
):
    setattr(_UnknownConsent, _method, _UnknownConsent._stop)
