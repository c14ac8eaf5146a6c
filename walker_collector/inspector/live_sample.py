"""A sample: the outcome of one event at one destination, for people to look at."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import asdict, field, frozen

from walker_collector.inspector.missing_consent import MissingConsent
from walker_collector.people.consent import Grant


@frozen(kw_only=True)
class Sample:
    """The outcome of one event at one destination; times in ms since 1970.

    number: counts the samples of a recorder, from 1 on.
    outcome: "delivered", "notified" (a change of consent), "held", "ignored", "dropped", "empty",
        "retry", "waiting" (it was not tried, or the destination cannot deliver), "dead".
    person: the key of the person, such as `id:ines`; "": nobody. claimed: an untrusted sender says
        so.
    rule: the key of the rule that matched; None: none did, or none was looked for.
    consent: the keys that hold for the event, each with its source. missing: what it is held for.
    sent: what the destination got, with its values masked; None: nothing, or too much to show.
    values: the same with its values, if the recorder may keep them.
    took: ms of the call, of the whole batch. age: ms from acceptance to the outcome.
    """

    number: int
    at: int
    id: str
    event: str
    destination: str
    outcome: str
    person: str = ""
    claimed: bool = False
    reason: str = ""
    rule: str | None = None
    attempt: int = 0
    consent: Sequence[Grant] = ()
    missing: MissingConsent | None = None
    sent: Any = None
    values: Any = field(default=None, repr=False)
    took: float = 0.0
    age: int = 0

    def as_object(self, *, with_values: bool = False) -> Mapping[str, Any]:
        """Return it as JSON can hold it; the values only if they are asked for, and kept."""
        shown = self.values if with_values and self.values is not None else self.sent
        return {
            "number": self.number,
            "at": self.at,
            "id": self.id,
            "event": self.event,
            "destination": self.destination,
            "outcome": self.outcome,
            "person": self.person,
            "claimed": self.claimed,
            "reason": self.reason,
            "rule": self.rule,
            "attempt": self.attempt,
            "consent": [asdict(grant) for grant in self.consent],
            "missing": self.missing.as_object() if self.missing else None,
            "sent": shown,
            "took": round(self.took, 2),
            "age": self.age,
        }
