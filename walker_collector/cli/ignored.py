"""The events that a destination ignores, as its rules show without an event."""

from collections.abc import Iterator

from walker_collector.config import DestinationConfig
from walker_collector.mapping import each_rule, rules_for, walk_rules


def ignored_names(config: DestinationConfig) -> Iterator[str]:
    """Yield the names of events that a destination ignores."""
    for entity, action, _, rules in walk_rules(config.mapping or {}):
        for _, rule in each_rule({entity: {action: rules}}):
            if rule.ignore:
                yield f"{entity} {action}" + (" (on a condition)" if rule.condition else "")
    if config.unmatched == "ignore":
        yield 'every name without a rule ("unmatched": "ignore")'


def ignoring_rules(config: DestinationConfig, name: str) -> list[str]:
    """Return the reasons why a destination may ignore events of a name; none if it does not."""
    rules = rules_for(config.mapping, name)
    found = [
        f"its rule {key} ignores it" + (", where its condition holds" if rule.condition else "")
        for key, rule in rules
        if rule.ignore
    ]
    if config.unmatched == "ignore" and all(rule.condition for _, rule in rules):
        found.append(f'no rule is for {name!r}, and "unmatched" is "ignore"')
    return found
