"""What one delivery of an entry came to."""

from typing import Final, Literal

import attrs
from attrs import frozen

from walker_collector.config import Consent

Kind = Literal[
    "delivered",
    "notified",
    "ignored",
    "empty",
    "held",
    "dropped",
    "rejected",
    "retry",
    "bug",
    "not_attempted",
    "unavailable",
]


@frozen
class Outcome:
    """The result of one entry's delivery.

    notified: no event, but a change of consent has arrived. empty: nothing was asked of the
    destination. retry: transient, for this event. bug: an unexpected exception. not_attempted: no
    call was begun. unavailable: the destination as a whole failed.

    after: the wait (s) that the other side asked for.
    down: an unavailable destination cannot deliver anything at all.
    counted: whether a retry is one of the event's `attempts`.
    known: a rejection that the plugin found without asking the other side.
    brief: the reason without text of others, for logs and figures; "" where `reason` has none.
    """

    kind: Kind
    reason: str = ""
    after: float | None = None
    down: bool = False
    counted: bool = True
    known: bool = False
    brief: str = ""
    consent: Consent = attrs.field(factory=dict)

    @property
    def told(self) -> str:
        """The reason as logs and figures may show it."""
        return self.brief or self.reason


DELIVERED: Final = Outcome("delivered")
NOTIFIED: Final = Outcome("notified")
IGNORED: Final = Outcome("ignored")
NOT_ATTEMPTED: Final = Outcome("not_attempted")
