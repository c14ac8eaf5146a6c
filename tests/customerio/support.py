"""What the tests of the Customer.io destination are made of."""

import socket
from typing import Any

from attrs import define, field

from walker_collector import MISSING, Context, Item, PushContext, Rule
from walker_collector.config import DestinationConfig, PartState
from walker_collector.flow.types import structure_or_raise
from walker_dest_customerio.settings import RuleSettings, Settings

CREDENTIALS = {"siteId": "site", "apiKey": "track-secret", "appApiKey": "app-secret"}
NOON = 1_700_000_000_000
"""A time for events, in ms."""


def settings_of(**raw: Any) -> Settings:
    """Structure settings as a flow file has them; credentials are added."""
    return structure_or_raise({**CREDENTIALS, **raw}, Settings)


def rule_of(name: str | None = None, *, skip: bool = False, **raw: Any) -> Rule:
    """Make a rule with settings as a flow file has them."""
    return Rule("order complete", name, skip, structure_or_raise(raw, RuleSettings))


def context_of(settings: Settings | None = None, **raw: Any) -> Context:
    """Make the context of a destination called customerio."""
    return Context("customerio", settings or settings_of(**raw), DestinationConfig())


@define
class Memory:
    """The progress of one event, in a dictionary."""

    parts: dict[str, PartState] = field(factory=dict)
    reasons: dict[str, str] = field(factory=dict)

    def state(self, part: str) -> PartState | None:
        return self.parts.get(part)

    def reason(self, part: str) -> str:
        return self.reasons.get(part, "")

    def begin(self, part: str) -> None:
        self.parts[part] = "begun"

    def abandon(self, part: str) -> None:
        self.parts.pop(part, None)

    def finish(self, part: str) -> None:
        self.parts[part] = "done"

    def reject(self, part: str, reason: str) -> None:
        self.parts[part] = "rejected"
        self.reasons[part] = reason


def event_of(person: str | int | None = "u1", **parts: Any) -> dict[str, Any]:
    """Make an event of a person known by id, or by the session s1 where there is none."""
    user = {"session": "s1"} if person is None else {"id": person}
    return {
        "name": "order complete",
        "id": "e1",
        "timestamp": NOON,
        "user": user,
        "data": {},
        **parts,
    }


def item_of(
    context: Context,
    event: dict[str, Any] | None = None,
    data: Any = MISSING,
    rule: Rule | None = None,
    progress: Memory | None = None,
) -> Item:
    """Make a mapped event as the collector hands it over."""
    event = event or event_of()
    return Item(event, data, rule, PushContext(context, event, {}, progress=progress))


def closed_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as once:
        once.bind(("127.0.0.1", 0))
        port: int = once.getsockname()[1]
    return port
