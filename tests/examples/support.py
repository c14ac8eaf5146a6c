import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
PROGRAMS = Path(sys.executable).parent


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def read(path: Path) -> list[dict[str, Any]]:
    return lines_of(path.read_text("utf-8"))


def simulated(folder: Path) -> list[dict[str, Any]]:
    """What `walker simulate` prints of a folder's events, without any credentials around."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CIO_")}
    done = subprocess.run(
        [PROGRAMS / "walker", "simulate", "flow.json", "events.ndjson", "--json"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout, done.stderr
    return lines_of(done.stdout)
