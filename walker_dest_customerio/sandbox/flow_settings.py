"""A flow with Customer.io destinations that send to a sandbox."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

PACKAGES: Final = ("customerio", "@walkeros/server-destination-customerio")


def read_flow(source: str | Path | Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the content of a flow file, JSON or TOML by its name, or the mapping itself."""
    if isinstance(source, Mapping):
        return source
    path = Path(source)
    text = path.read_text(encoding="utf-8")
    content: Mapping[str, Any] = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    return content


def require_customerio(flow: Mapping[str, Any], where: str) -> None:
    """Raise ValueError for a flow (or file of flows) without a destination of Customer.io."""
    inner = flow["flows"].values() if isinstance(flow.get("flows"), Mapping) else ()
    found = {
        id: entry
        for each in (flow, *inner)
        if isinstance(each, Mapping) and isinstance(each.get("destinations"), Mapping)
        for id, entry in each["destinations"].items()
    }
    if not any(map(_is_customerio, found.values())):
        raise ValueError(
            f"{where} has no destination of the package {PACKAGES[0]}, so nothing would be sent "
            f"here; its destinations: {', '.join(map(str, found)) or 'none'}"
        )


def with_settings(flow: Mapping[str, Any], settings: Mapping[str, str]) -> dict[str, Any]:
    """Return the flow (or file of flows), with these settings over those of Customer.io."""
    result = dict(flow)
    if isinstance(flow.get("flows"), Mapping):
        flows = flow["flows"].items()
        result["flows"] = {name: with_settings(inner, settings) for name, inner in flows}
    if isinstance(flow.get("destinations"), Mapping):
        result["destinations"] = {
            id: _sending_to(settings, entry) if _is_customerio(entry) else entry
            for id, entry in flow["destinations"].items()
        }
    return result


def _is_customerio(entry: Any) -> bool:
    return isinstance(entry, Mapping) and entry.get("package") in PACKAGES


def _sending_to(settings: Mapping[str, str], entry: Mapping[str, Any]) -> dict[str, Any]:
    config = dict(entry.get("config") or {})
    kept = {
        key: value
        for key, value in (config.get("settings") or {}).items()
        if _camel(key) not in settings
    }
    return {**entry, "config": {**config, "settings": {**kept, **settings}}}


def _camel(key: str) -> str:
    """Return a key as flow files spell it: they may have `site_id`, too."""
    first, *rest = key.split("_")
    return first + "".join(word.capitalize() for word in rest)
