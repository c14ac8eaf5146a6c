"""The original collector, from npm, in a process of its own."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.flows import CONSENT
from tests.benchmarks.measure import Run
from tests.benchmarks.workload import Event

HERE = Path(__file__).parent
FOLDER = HERE.parent / ".peers"


def available() -> str | None:
    """Install the peer if need be; return why it cannot be measured, or None."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "skipped: node and npm are not installed"
    FOLDER.mkdir(exist_ok=True)
    for name in ("package.json", "walkeros.mjs", "express.mjs"):
        shutil.copy(HERE / name, FOLDER)
    if all((FOLDER / "node_modules" / name).is_dir() for name in ("@walkeros", "express")):
        return None
    install = ["npm", "install", "--silent", "--no-package-lock", "--no-audit", "--no-fund"]
    done = subprocess.run(install, cwd=FOLDER, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"skipped: npm install failed: {done.stderr[:200]}"


def walkeros(events: Sequence[Event], mapping: Mapping[str, Any], count: int) -> Run:
    """Push `count` events, awaiting each, through one destination that does nothing."""
    given = {
        "events": events,
        "mapping": mapping,
        "consent": CONSENT,
        "count": count,
        "warmup": min(count, 2_000),
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(given, file)
        file.flush()
        command = ["node", str(FOLDER / "walkeros.mjs"), file.name]
        answer = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=True)
    result = json.loads(answer.stdout)
    assert result["delivered"] == count, result
    return Run(count, result["seconds"], result["cpu"])
