"""A sample: the outcome of one event at one destination, for people to look at."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import asdict, field, frozen

from walker_collector.inspector.missing_consent import MissingConsent
from walker_collector.people.consent import Grant


@frozen(kw_only=True)
class Sample:
    """The outcome of one event at one destination; times in ms since 1970.

    number: counts the samples of a sampler, from 1 on.
    outcome: "delivered", "notified" (a change of consent), "held", "ignored", "dropped", "empty",
        "retry", "waiting" (it was not tried, or the destination cannot deliver), "dead".
    person: the key of the person, such as `id:ines`; "": nobody. claimed: an untrusted sender says
        so.
    rule: the key of the rule that matched; None: none did, or none was looked for.
    consent: the keys that hold for the event, each with its source. missing: what it is held for.
    sent: the event as the destination got it, with its values masked; None: it got nothing, or too
        much to show. calls: the calls that its plugin makes of it; None: it does not tell.
    values: `sent` and `calls` with their values, if the sampler may keep them.
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
    calls: Any = None
    values: tuple[Any, Any] | None = field(default=None, repr=False)
    took: float = 0.0
    age: int = 0

    def as_object(self, *, with_values: bool = False) -> Mapping[str, Any]:
        """Return it as JSON can hold it; the values only if they are asked for, and kept."""
        masks = self.sent, self.calls
        sent, calls = self.values if with_values and self.values is not None else masks
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
            "sent": sent,
            "calls": calls,
            "took": round(self.took, 2),
            "age": self.age,
        }
