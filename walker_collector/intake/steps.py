"""The steps that a source's events pass before they are completed.

As in walkerOS (collector, source.ts and push.ts): the transformers of `before`, policy and rules,
the source's consent, and the transformers of `next`. The event goes on; rules make no data.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from walker_collector.config import Consent, DestinationConfig, SourceConfig
from walker_collector.hookspecs import Event
from walker_collector.mapping import LocalScope, compile_mapping
from walker_collector.people.gate import compile_gate

ConsentOf = Callable[[Event], Consent]
"""Returns the consent that holds for an event."""
Dropped = Literal["ignored", "dropped"]
"""The reason why an event goes no further: a rule ignores it, or its consent was denied."""
Steps = Callable[[Mapping[str, Any], ConsentOf], Event | Dropped]


def compile_steps(source: SourceConfig) -> Steps | None:
    """Return the steps of a source; None if it has none. Raises ConfigError for bad callables."""
    if not source.has_steps:
        return None
    first = compile_mapping(
        DestinationConfig(policy=source.policy, mapping=source.mapping, before=source.before)
    )
    last = compile_mapping(DestinationConfig(before=source.next)) if source.next else None
    admits = compile_gate(source.consent)

    def run(raw: Mapping[str, Any], consent_of: ConsentOf) -> Event | Dropped:
        event = dict(raw)
        mapped = first(event, LocalScope(event, consent_of(event)))
        if mapped.outcome != "deliver":
            return "dropped" if mapped.outcome == "denied" else "ignored"
        event = mapped.event
        if source.consent and not admits(consent_of(event)):
            return "dropped"
        if last is None:
            return event
        mapped = last(event, LocalScope(event, consent_of(event)))
        return "ignored" if mapped.outcome != "deliver" else mapped.event

    return run
