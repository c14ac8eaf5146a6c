"""Report the steps of a walkerOS flow that are not run here, such as sources, stores and hooks.

A step that would change the delivered data is a problem with advice on the replacement. Any other
is a warning, or passes in silence.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from walker_collector.flow.diagnostics import Diagnostics
from walker_collector.flow.shape import Flow
from walker_collector.naming import join

TRANSFORMERS: Final = (
    "transformers are run here before a destination only; name it as before of each destination,"
    " or use policy, data and mapping, or an extension (a plugin of the group"
    " walker_collector.extensions)"
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

_NOT_APPLIED: Final = "is not applied, as sources are not run here"
_OF_SOURCE: Final = {
    "consent": f"{_NOT_APPLIED}; write it as consent of each destination",
    "policy": f"{_NOT_APPLIED}; write it as policy of each destination",
    "mapping": f"{_NOT_APPLIED}; write its rules into the mapping of each destination",
    "include": f"{_NOT_APPLIED}; write it as include of each destination",
    "require": f"{_NOT_APPLIED}; write it as require, or as consent, of each destination",
    "data": f"{_NOT_APPLIED}; write it as data of each destination",
}
_CHAINS_OF_SOURCE: Final = {
    "before": TRANSFORMERS,
    "next": TRANSFORMERS,
    "cache": "repeated events are not recognised here; remove it, and give events ids",
    "state": _STATE,
}

_NOT_RUN: Final = {
    "sources": "events come in through push or `walker run`",
    "stores": "nothing reads them",
}


def check_steps(shape: Flow, diagnostics: Diagnostics) -> None:
    """Report steps that are not run, as problems if they would change deliveries, else warnings."""
    for key, instead in _NOT_RUN.items():
        if getattr(shape, key):
            diagnostics.warnings.append(f"{key}: not run here; {instead}")
    for id, source in shape.sources.items():
        if isinstance(source, Mapping):
            _check_source(join("sources", id), source, diagnostics)


def _check_source(path: str, source: Mapping[str, Any], diagnostics: Diagnostics) -> None:
    config = source.get("config")
    config = config if isinstance(config, Mapping) else {}
    if source.get("disabled") is True or config.get("disabled") is True:
        return
    _refuse(path, source, {**_CHAINS_OF_SOURCE, "require": _OF_SOURCE["require"]}, diagnostics)
    _refuse(join(path, "config"), config, _OF_SOURCE | _CHAINS_OF_SOURCE, diagnostics)


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
