"""Report the steps of a walkerOS flow that are not run here, such as stores and hooks.

A step that would change the delivered data is a problem with advice on the replacement. Any other
is a warning, or passes in silence.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from walker_collector.flow.diagnostics import Diagnostics
from walker_collector.flow.shape import Flow
from walker_collector.naming import join

TRANSFORMERS: Final = (
    "transformers are run here by sources, and before a destination; name it as next of each source"
    " or before of each destination, or use policy, data and mapping, or an extension (a plugin of"
    " the group walker_collector.extensions)"
)
_STATE: Final = "stores are not run here; remove it"

UNSUPPORTED: Final = {
    "next": TRANSFORMERS,
    "cache": "caching of deliveries is not supported; remove it",
    "state": _STATE,
    "credentials": "write credentials into settings, as the package names them",
}
"""Keys of a walkerOS destination that would change the delivered data, each with advice."""

_OF_COLLECTOR: Final = {
    "before": TRANSFORMERS,
    "next": TRANSFORMERS,
    "hooks": "JavaScript cannot run here; write an extension (a plugin of the group"
    " walker_collector.extensions)",
}

OF_SOURCE: Final = {
    "cache": "repeated events are not recognised here; remove it, and give events ids",
    "state": _STATE,
    "require": "sources do not wait here; write it as require, or as consent, of each destination",
    "credentials": "write credentials into settings, as the package names them",
}
"""Keys of a walkerOS source that would change the delivered data, each with advice."""


SOURCES_NOT_RUN: Final = (
    "sources: not run here; `walker serve` starts them, and other events come in through push or"
    " `walker run`"
)


def check_steps(shape: Flow, diagnostics: Diagnostics, *, tell_of_sources: bool) -> None:
    """Warn of the parts of a flow that are not run here."""
    if shape.sources and tell_of_sources:
        diagnostics.warnings.append(SOURCES_NOT_RUN)
    if shape.stores:
        diagnostics.warnings.append("stores: not run here; nothing reads them")


def refuse_unsupported_of_source(
    path: str, beside: Mapping[str, Any], config: Mapping[str, Any], diagnostics: Diagnostics
) -> None:
    """Report keys of a source that would change deliveries and are not supported."""
    _refuse(path, beside, OF_SOURCE, diagnostics)
    _refuse(join(path, "config"), config, OF_SOURCE, diagnostics)


def check_collector(raw: Mapping[str, Any], diagnostics: Diagnostics) -> None:
    """Report keys of the collector that would change deliveries and are not supported."""
    _refuse("collector", raw, _OF_COLLECTOR, diagnostics)
    if raw.get("run") is False:
        diagnostics.add(
            "collector.run",
            "there is no run command here: events are accepted at once; remove it, and push when"
            " they may be",
        )


def refuse_unsupported(path: str, keys: Mapping[str, Any], diagnostics: Diagnostics) -> None:
    """Report keys of a destination that would change deliveries and are not supported."""
    _refuse(path, keys, UNSUPPORTED, diagnostics)


def _refuse(
    path: str, keys: Mapping[str, Any], advice: Mapping[str, str], diagnostics: Diagnostics
) -> None:
    for key in _present(keys, advice):
        diagnostics.add(join(path, key), advice[key])


def _present(keys: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[str]:
    """Yield the keys with a value; an empty list, object or text counts as absent."""
    return (key for key in names if keys.get(key) not in (None, "", [], {}, False))
