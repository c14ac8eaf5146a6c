"""Who granted what: the decision for an event, and the ledger of what people said.

walkerOS keeps one consent state, right for a browser tab. A server has many visitors: here
consent belongs to a person, and the process default is what holds where nobody said anything.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from attrs import frozen

from walker_collector.config import Consent
from walker_collector.spool import Spool, Told

KINDS: Final = ("id", "device", "session")
"""The identifiers of a person, strongest first: a weaker one belongs to a stronger one."""
_PREFIXES: Final = tuple((f"{kind}:", kind) for kind in KINDS)
_WEAKER: Final = _PREFIXES[1:]


def grants(required: Consent | None, state: Mapping[str, Any], mode: str = "any") -> bool:
    """Tell whether `state` satisfies `required`.

    Any one of the required keys is enough (walkerOS's rule); `mode="all"` wants every key.
    No requirement, or an empty one, is always satisfied. A key required as false can't be met.
    """
    return compile_gate(required, mode)(state)


Gate = Callable[[Mapping[str, Any]], bool]
"""Tells whether a state of consent is enough."""


def compile_gate(required: Consent | None, mode: str = "any") -> Gate:
    """Return the function that tells whether a state satisfies `required`; see `grants`."""
    if not required:
        return lambda state: True
    if mode == "all":
        items = tuple(required.items())
        return lambda state: all(wanted and state.get(key) for key, wanted in items)
    keys = tuple(key for key, wanted in required.items() if wanted)

    def admits(state: Mapping[str, Any]) -> bool:
        for key in keys:  # noqa: SIM110 - any() takes three times as long
            if state.get(key):
                return True
        return False

    return admits


def granted(state: Mapping[str, Any]) -> dict[str, bool]:
    """Return only what is granted: what an event carries as its `consent` from the gate on."""
    return {key: True for key, value in state.items() if value}


def identifiers(user: Mapping[str, Any]) -> list[str]:
    """Return the keys under which a user is known (`id:u1`, `session:s1`), strongest first.

    Numeric identifiers count as text, so 42 and "42" are one person; and so is 42.0, since JSON
    knows one kind of number.
    """
    keys = []
    for prefix, kind in _PREFIXES:
        value = user.get(kind)
        if value is None or value == "":
            continue
        if isinstance(value, str):
            keys.append(prefix + str.__str__(value))
        elif _identifies(value):
            whole = isinstance(value, float) and value.is_integer()
            keys.append(f"{prefix}{int(value) if whole else value}")
    return keys


def _identifies(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int | UUID) and not isinstance(value, bool)


@frozen
class Grant:
    """Where one key of a decision comes from: the event, the person, or the default."""

    key: str
    granted: bool
    source: str


@frozen
class Said:
    """What is granted for people's events that say nothing themselves, as of a version of the
    ledger; and as whom each of their keys is known.
    """

    version: int
    bases: dict[str, Consent]
    names: Mapping[str, str]


class Ledger:
    """What people said about consent, and which identifiers are one person; thread-safe.

    `version` changes with every statement, so that a decision can be told to be overtaken.
    Holds the most recent `people_max` people in memory; with a durable spool the others are
    read back from it, without one they are forgotten.

    Lanes ask it while they are locked, and whoever writes to the spool may have to wait for a
    lane: so what is in memory has a lock that is never held while the spool is written, and
    statements have one of their own.
    """

    def __init__(
        self, spool: Spool, default: Consent, people_max: int, now: Callable[[], int]
    ) -> None:
        self._spool = spool
        self._default: dict[str, bool] = dict(default)
        self._now = now
        self._max = people_max
        self._lock = threading.RLock()
        self._telling = threading.RLock()
        self._told: OrderedDict[str, Told] = OrderedDict()
        self._aliases: OrderedDict[str, str | None] = OrderedDict()
        self._weaker: dict[str, set[str]] = {}
        self._silent = not (spool.durable and spool.any_told())
        self.version = 0

    @property
    def silent(self) -> bool:
        """Whether nobody said anything yet, so that the default holds for everybody."""
        return self._silent

    @property
    def default(self) -> dict[str, bool]:
        """The consent that holds where neither event nor person said anything."""
        return dict(self._default)

    def set_default(self, update: Consent) -> None:
        """Change the process default."""
        with self._telling:
            self._default = {**self._default, **update}
            self.version += 1

    def canonical(self, key: str) -> str:
        """Return the strongest identifier known for a person's key."""
        if not key or key.startswith("id:"):
            return key
        with self._lock:
            while (stronger := self._alias(key)) is not None:
                key = stronger
        return key

    def meet(self, user: Mapping[str, Any]) -> tuple[str, bool]:
        """Note which identifiers an event or call names together.

        Returns the person's key and whether something was learned: then events held under a
        weaker identifier may be this person's.
        """
        known = self._recognise(user)
        if known is not None:
            return known, False
        keys = identifiers(user)
        if not keys:
            return "", False
        if len(keys) == 1:
            return self.canonical(keys[0]), False
        with self._lock:
            person = self.canonical(keys[0])
            if all(self._alias(key) == person for key in keys[1:]):
                return person, False
        return self._introduce(keys)

    def _recognise(self, user: Mapping[str, Any]) -> str | None:
        """Return the person where all identifiers are known to be theirs, as with almost every
        event; None where that takes a closer look.
        """
        id_ = user.get("id")
        if type(id_) is not str or not id_:
            return None
        person = "id:" + id_
        for prefix, kind in _WEAKER:
            value = user.get(kind)
            if value is None:
                continue
            key = f"{prefix}{value}"
            with self._lock:
                if type(value) is not str or self._aliases.get(key) != person:
                    return None
                self._aliases.move_to_end(key)
        return person

    def _introduce(self, keys: list[str]) -> tuple[str, bool]:
        with self._telling:
            person = self.canonical(keys[0])
            news = [key for key in keys[1:] if self.canonical(key) != person]
            for key in news:
                self._join(key, person)
            for key in keys[1:]:
                # Also those that led to the person already, over another that may change hands.
                if self._alias(key) != person:
                    self._point(key, person)
        return person, bool(news)

    def state(self, person: str) -> dict[str, bool]:
        """Return what a person said, as it stands now."""
        if self._silent or not person:
            return {}
        with self._lock:
            return {key: value for key, (value, _) in self._told_by(person).items()}

    def decide(self, own: Mapping[str, Any], person: str) -> dict[str, Any]:
        """Return the consent that holds for an event: its own, else the person's, else default."""
        return {**self.base(person), **own}

    def base(self, person: str) -> Mapping[str, Any]:
        """Return what holds for a person's events that say nothing themselves."""
        if self._silent:
            return self._default
        return {**self._default, **self.state(self.canonical(person))}

    def said(self, people: Iterable[str]) -> Said:
        """Return what is granted for each of these people's events (see `base`)."""
        version = self.version  # read first: what is said meanwhile makes this one outdated
        names = {person: self.canonical(person) for person in people}
        if self._silent:
            return Said(version, dict.fromkeys(names, granted(self._default)), names)
        return Said(version, {person: granted(self.base(person)) for person in names}, names)

    def explain(self, own: Mapping[str, Any], person: str) -> list[Grant]:
        """Return each key of the decision with where it comes from."""
        said = self.state(self.canonical(person))
        return [
            Grant(key, bool(value), source(key, own, said))
            for key, value in self.decide(own, person).items()
        ]

    def tell(self, update: Consent, user: Mapping[str, Any]) -> tuple[str, dict[str, bool]]:
        """Record what a person said; return their key and what now holds of them.

        Raises ValueError where `user` has no identifier.
        """
        person, _ = self.meet(user)
        if not person:
            raise ValueError("user needs an id, a device or a session")
        at = self._now()
        with self._telling:
            told = {**self._told_by(person), **{k: (bool(v), at) for k, v in update.items()}}
            self._keep(person, told)
            self._silent = False
            self.version += 1
        return person, {key: value for key, (value, _) in told.items()}

    def known_as(self, user: Mapping[str, Any]) -> set[str]:
        """Return every key under which this person's events may be filed."""
        people = set(identifiers(user))
        people |= {self.canonical(key) for key in people}
        unseen = set(people)
        with self._lock:
            while unseen:
                weaker: set[str] = set()
                for person in unseen:
                    weaker |= self._weaker.get(person, set())
                    weaker.update(self._spool.aliases_of(person))
                unseen = weaker - people
                people |= unseen
        return people

    def forget(self, people: Iterable[str]) -> None:
        """Drop these keys from memory; the spool drops them on disk."""
        with self._lock:
            for key in people:
                self._told.pop(key, None)
                self._unfile(key)
                for weaker in list(self._weaker.get(key, ())):
                    self._unfile(weaker)

    def _alias(self, key: str) -> str | None:
        with self._lock:
            if key in self._aliases:
                self._aliases.move_to_end(key)
                return self._aliases[key]
            person = self._spool.alias(key)
            self._file(key, person)
            return person

    def _join(self, key: str, person: str) -> None:
        """Note that a key belongs to a person; what each said last, key by key, holds for both."""
        known = self.canonical(key)
        weaker = key if known.startswith("id:") else known
        said, told = self._told_by(weaker), self._told_by(person)
        if said:
            merged = dict(told)
            for consent, (value, at) in said.items():
                if consent not in merged or merged[consent][1] < at:
                    merged[consent] = (value, at)
            self._keep(person, merged)
        self._point(weaker, person)
        if said:
            self._keep(weaker, {})
        if said or told:
            self.version += 1  # where neither said anything, no decision is another one now

    def _point(self, key: str, person: str) -> None:
        self._spool.join(key, person)
        self._file(key, person)

    def _file(self, key: str, person: str | None) -> None:
        """Cache whom a key belongs to (None: nobody else), in both directions."""
        with self._lock:
            self._unfile(key)
            self._aliases[key] = person
            if person is not None:
                self._weaker.setdefault(person, set()).add(key)
            if len(self._aliases) > self._max:
                self._unfile(next(iter(self._aliases)))

    def _unfile(self, key: str) -> None:
        person = self._aliases.pop(key, None)
        if person is not None:
            self._weaker[person].discard(key)
            if not self._weaker[person]:
                del self._weaker[person]

    def _told_by(self, person: str) -> Told:
        with self._lock:
            told = self._told.get(person)
            if told is None:
                told = self._spool.told(person)
                self._cache(person, told)
            else:
                self._told.move_to_end(person)
            return told

    def _keep(self, person: str, told: Told) -> None:
        self._spool.tell(person, told)
        self._cache(person, told)

    def _cache(self, person: str, told: Told) -> None:
        with self._lock:
            self._told[person] = told
            self._told.move_to_end(person)
            if len(self._told) > self._max:
                self._told.popitem(last=False)


def source(key: str, own: Mapping[str, Any], said: Mapping[str, Any]) -> str:
    """Return which of the three decided a consent key: "event", "person" or "default"."""
    if key in own:
        return "event"
    return "person" if key in said else "default"
