"""The consent that a held event lacks, and the statements about it."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import attrs
from attrs import frozen

from walker_collector.config import DestinationConfig
from walker_collector.events import CONSENT_AT
from walker_collector.mapping import rules_for
from walker_collector.people.consent import ConsentStore
from walker_collector.people.gate import compile_gate, granted
from walker_collector.spool.person_keys import claimed, is_claimed

_US: Final = 1_000
"""Stamps of statements are microseconds; of two within one ms the later has the higher."""

By = Literal["event", "person", "default", "claim", "nobody"]


@frozen
class Statement:
    """The statement that holds for one consent key, with its origin and time (ms since 1970).

    by: the event itself; its person; the default, as nobody else has said anything; a claim: a
    sender that is not trusted has granted it, which does not count for this event; nobody.
    """

    key: str
    granted: bool
    by: By
    at: int = 0


@frozen
class MissingConsent:
    """The consent that an event needs: any one of the keys, or all of them.

    rule: the rule that requires it; "": the destination as a whole does. keys: none: it is not
    known what is required, as only the spool is given, or nothing is required any more.
    """

    keys: tuple[str, ...] = ()
    mode: str = "any"
    rule: str = ""
    statements: tuple[Statement, ...] = ()
    known: bool = True

    def as_object(self) -> dict[str, Any]:
        """Return it for --json; times in ms since 1970."""
        return {
            "required": list(self.keys),
            "mode": self.mode,
            "rule": self.rule or None,
            "statements": [attrs.asdict(item) for item in self.statements],
            "granted": self.is_granted,
            "deniedForGood": self.known and self.is_denied_for_good,
        }

    @property
    def is_denied_for_good(self) -> bool:
        """Whether the event itself denies a needed key: no later statement changes that."""
        possible = [item for item in self.statements if item.granted or item.by != "event"]
        return not _admits(
            self.keys, self.mode, [attrs.evolve(item, granted=True) for item in possible]
        )

    @property
    def is_granted(self) -> bool:
        """Whether nothing is missing any more: the next deliverer releases the event."""
        return self.known and (not self.keys or _admits(self.keys, self.mode, self.statements))


def missing_consent(
    config: DestinationConfig | None,
    event: Mapping[str, Any],
    person: str,
    consents: ConsentStore,
) -> MissingConsent:
    """Return the consent that a held event of a person lacks at a destination.

    `config` None: the destination's configuration is not known. Conditions of rules are not asked:
    of several rules for the event's name, the first that requires consent is taken.
    """
    if config is None:
        return MissingConsent(known=False)
    mode = config.consent_mode
    own = _missing(config.consent, mode, "", event, person, consents)
    if own is not None and not own.is_granted:
        return own
    for key, rule in rules_for(config.mapping, str(event.get("name", ""))):
        found = _missing(rule.consent, mode, key, event, person, consents)
        if found is not None and not found.is_granted:
            return found
    return own or MissingConsent()


def _missing(
    required: Mapping[str, bool] | None,
    mode: str,
    rule: str,
    event: Mapping[str, Any],
    person: str,
    consents: ConsentStore,
) -> MissingConsent | None:
    if not required:
        return None
    keys = tuple(sorted(required))
    return MissingConsent(keys, mode, rule, tuple(_statements(keys, event, person, consents)))


def _statements(
    keys: Iterable[str], event: Mapping[str, Any], person: str, consents: ConsentStore
) -> Iterable[Statement]:
    """Yield the statement that holds for each key."""
    own = event.get("consent")
    own = own if isinstance(own, Mapping) else {}
    since = event.get(CONSENT_AT)
    dated = consents.dated(consents.canonical(person)) if person else {}
    claims = {} if is_claimed(person) or not person else consents.dated(claimed(person))
    decided = granted(consents.decide(own, person, since if isinstance(since, int) else None))
    for key in keys:
        holds = bool(decided.get(key))
        if key in own:
            yield Statement(key, holds, "event")
        elif key in dated:
            yield Statement(key, holds, "person", dated[key][1] // _US)
        elif not holds and claims.get(key, (False, 0))[0]:
            yield Statement(key, False, "claim", claims[key][1] // _US)
        else:
            yield Statement(key, holds, "default" if key in consents.default else "nobody")


def _admits(keys: Iterable[str], mode: str, statements: Iterable[Statement]) -> bool:
    state = {item.key: item.granted for item in statements}
    return compile_gate(dict.fromkeys(keys, True), mode)(state)
