"""The hits of rules: for each rule of a destination, the number of events that it was for.

An event counts once, whatever becomes of it: delivered, held, ignored, dropped or dead.
"""

from collections.abc import Sequence
from typing import Final

from attrs import define, field, frozen

from walker_collector.delivery.destination import Destination
from walker_collector.delivery.task import Task
from walker_collector.events import CONSENT_AT, MARKS, decode
from walker_collector.mapping import AT_NAME, LocalScope
from walker_collector.mapping.rules import Lookup, compile_lookup
from walker_collector.people.consent import ConsentStore
from walker_collector.spool import Entry

_COUNTED: Final = 10_000
"""Events with an outcome to come that are remembered as counted, the latest ones."""
_UNDONE: Final = frozenset({"held", "retry", "bug", "not_attempted", "unavailable"})
"""Outcomes that another one follows."""

RuleKey = str | None
"""The key of a rule; None: no rule of the destination is for the event."""


@frozen
class RuleHits:
    """The events that one rule of a destination was for, and the time (ms) of the last one."""

    hits: int = 0
    last: int = 0


@define(eq=False)
class RuleTally:
    """Counts the hits of rules. Not thread-safe."""

    hits: dict[tuple[str, RuleKey], RuleHits] = field(factory=dict)
    _counted: dict[tuple[str, int], bool] = field(factory=dict)
    _lookups: dict[str, Lookup[tuple[str, bool]]] = field(factory=dict)

    def dispatched(
        self, destination: Destination, consents: ConsentStore, tasks: Sequence[Task], now: int
    ) -> None:
        """Count the events of a batch that were tried, or came to an outcome without a call."""
        for task in tasks:
            if task.notice or (task.item is None and task.outcome.kind == "not_attempted"):
                continue
            if not self._is_new(destination, task.entry, done=task.outcome.kind not in _UNDONE):
                continue
            if task.item is None:
                key = self._rule_of(destination, consents, task.entry)
            else:
                key = task.item.rule.key if task.item.rule else None
            self._hit(destination, key, now)

    def held(
        self, destination: Destination, consents: ConsentStore, entries: Sequence[Entry], now: int
    ) -> None:
        """Count events that are held: they count no more when they are released."""
        for entry in entries:
            if self._is_new(destination, entry, done=False):
                self._hit(destination, self._rule_of(destination, consents, entry), now)

    def died(self, destination: Destination, entry: Entry) -> None:
        """Forget that an event was counted: no further outcome follows."""
        self._counted.pop((destination.id, entry[0]), None)

    def left_out(self, destination: Destination, name: str, status: str, now: int) -> None:
        """Count an event that is not stored, of which the name alone is known."""
        rules = [rule for _, rule in self._lookup(destination).candidates(name)]
        likely = [key for key, ignores in rules if ignores or status != "ignored"]
        self._hit(destination, likely[0] if likely else None, now)

    def _rule_of(self, destination: Destination, consents: ConsentStore, entry: Entry) -> RuleKey:
        """Return the key of the rule that an event goes by that was not mapped."""
        _, person, _, body = entry
        config = destination.config
        if not (config.policy or config.before):  # else it may be looked up by another name
            name = body[AT_NAME : body.find(b'"', AT_NAME)].decode("utf-8", "replace")
            rules = self._lookup(destination).candidates(name)
            if not rules or rules[0][0] is None:
                return rules[0][1][0] if rules else None
        stored = decode(body)
        consent = consents.decide(stored.get("consent"), person, stored.get(CONSENT_AT))
        event = {key: value for key, value in stored.items() if key not in MARKS}
        rule = destination.mapper(event, LocalScope(event, consent)).rule
        return rule.key if rule else None

    def _lookup(self, destination: Destination) -> Lookup[tuple[str, bool]]:
        if destination.id not in self._lookups:
            rules = destination.config.mapping
            made = compile_lookup(rules, lambda key, where, rule: (key, rule.ignore))
            self._lookups[destination.id] = made
        return self._lookups[destination.id]

    def _is_new(self, destination: Destination, entry: Entry, *, done: bool) -> bool:
        """Return whether an event was not counted before; `done`: no further outcome follows."""
        key = (destination.id, entry[0])
        if done:
            return not self._counted.pop(key, False)
        is_new = key not in self._counted
        self._counted[key] = True
        if len(self._counted) > _COUNTED:
            del self._counted[next(iter(self._counted))]
        return is_new

    def _hit(self, destination: Destination, rule: RuleKey, now: int) -> None:
        before = self.hits.get((destination.id, rule))
        self.hits[destination.id, rule] = RuleHits(before.hits + 1 if before else 1, now)
