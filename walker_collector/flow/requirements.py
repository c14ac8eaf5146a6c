"""Check `require`: the destinations that must be ready before another one.

In walkerOS, `require` may also name events of the collector. An event that has happened when the
flow starts, or that the collector's configuration stands for, needs no wait. Any other is refused:
it would never come, because consent and users belong to people here and not to the process.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import attrs

from walker_collector.config import CollectorConfig, DestinationEntry
from walker_collector.flow.destination_entry import ReadDestination
from walker_collector.flow.diagnostics import Diagnostics
from walker_collector.naming import hint, join

_ALWAYS: Final = frozenset({"run", "ready"})
_GIVEN: Final = ("consent", "user", "globals")
_EVENTS: Final = frozenset({*_ALWAYS, *_GIVEN, "config", "custom", "session"})


def settle_requirements(
    read: Mapping[str, ReadDestination], collector: CollectorConfig, diagnostics: Diagnostics
) -> dict[str, DestinationEntry]:
    """Return the destinations by id, with their requirements checked."""
    happened = _ALWAYS | {name for name in _GIVEN if getattr(collector, name)}
    ids = _ids(read, diagnostics)
    circles = _circles({id: [n for n in read[id].require if n in read] for id in read})
    settled = {}
    for key, destination in read.items():
        path = join("destinations", key, "config", "require")
        kept = [name for name in destination.require if name in read or name not in happened]
        for name in kept:
            _check(name, path, read, diagnostics)
            if circles[key] == circles.get(name):
                diagnostics.add(path, f"{key} and {name} wait for each other")
        if entry := destination.entry:
            require = [ids.get(name, name) for name in kept]
            config = attrs.evolve(entry.config, require=require)
            settled[ids[key]] = attrs.evolve(entry, config=config)
    return settled


def _ids(read: Mapping[str, ReadDestination], diagnostics: Diagnostics) -> dict[str, str]:
    """Return the id of each destination by its key in the file: that key, unless `id` is given."""
    ids: dict[str, str] = {}
    for key, destination in read.items():
        given = destination.entry.config.id if destination.entry else None
        if given and (given in read or given in ids.values()) and given != key:
            diagnostics.add(
                join("destinations", key, "config", "id"), f"another one is called {given}"
            )
        ids[key] = given or key
    return ids


def _check(
    name: str, path: str, read: Mapping[str, ReadDestination], diagnostics: Diagnostics
) -> None:
    if name not in read:
        diagnostics.add(path, _missing(name, read))
        return
    required = read[name].entry
    if required and required.config.disabled:
        diagnostics.add(path, f"destination {name} is disabled: it is never ready")


def _missing(name: str, read: Iterable[str]) -> str:
    """Return the advice for a required name that is no destination: an event, or a mistake."""
    if name == "consent":
        return (
            "the event consent is not awaited here; write what must be granted as consent of this"
            ' destination, such as {"marketing": true}, or what is granted at the start as consent'
            " of the collector"
        )
    if name in _GIVEN:
        return f"the event {name} is not awaited here; give {name} to the collector, or remove it"
    if name in _EVENTS or " " in name:
        return f"{name} is an event, which is not awaited here; remove it"
    return f"there is no destination {name}{hint(name, read, 'there are')}"


def _circles(graph: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return for each destination one that stands for all that wait for it and it for them.

    Two searches of the graph, forwards and backwards (Kosaraju), as every edge is walked once.
    """
    seen: set[str] = set()
    order = [id for start in graph for id in _reached(graph, start, seen)]
    backwards: dict[str, list[str]] = {id: [] for id in graph}
    for id, names in graph.items():
        for name in names:
            backwards[name].append(id)
    seen = set()
    circles: dict[str, str] = {}
    for start in reversed(order):
        circles |= dict.fromkeys(_reached(backwards, start, seen), start)
    return circles


def _reached(graph: Mapping[str, Sequence[str]], start: str, seen: set[str]) -> Iterator[str]:
    """Yield the unseen destinations reachable from `start`, each after all that follow it."""
    path = [] if start in seen else [(start, iter(graph[start]))]
    seen.add(start)
    while path:
        id, following = path[-1]
        name = next((name for name in following if name not in seen), None)
        if name is None:
            path.pop()
            yield id
        else:
            seen.add(name)
            path.append((name, iter(graph[name])))
