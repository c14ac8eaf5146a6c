"""A flow of one destination, which needs consent and writes a file; and what was delivered."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any


def write_flow(folder: Path, **collector: Any) -> Path:
    """Write the flow, with further settings of the collector; return its path."""
    data = {"map": {"person": "user.id", "n": "data.n"}}
    settings = {"path": str(folder / "ads.ndjson")}
    ads = {"settings": settings, "consent": {"marketing": True}, "data": data}
    flow = {
        "collector": {"spool": {"path": str(folder / "spool.db")}, **collector},
        "destinations": {"ads": {"package": "file", "config": ads}},
    }
    path = folder / "flow.json"
    path.write_text(json.dumps(flow), "utf-8")
    return path


def delivered(folder: Path) -> dict[str, list[int]]:
    """Return the numbers of the delivered events of each person, in their order."""
    out, found = folder / "ads.ndjson", defaultdict(list)
    for line in out.read_text("utf-8").splitlines() if out.exists() else ():
        event = json.loads(line)
        found[event["person"]].append(event["n"])
    return dict(found)
