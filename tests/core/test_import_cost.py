"""Importing the collector is quick: what works for a collector is imported when one is made."""

import json
import subprocess
import sys
from pathlib import Path

NEEDED_LATER = {
    "asyncio",
    "cattrs",
    "hashlib",
    "http.client",
    "importlib.metadata",
    "pluggy",
    "rich",
    "socket",
    "sqlite3",
    "ssl",
    "tomllib",
    "urllib3",
    "walker_collector.delivery.worker",
    "walker_collector.flow",
    "walker_collector.hookspecs",
    "walker_collector.mapping",
    "walker_collector.plugins",
    "walker_collector.runtime",
    "walker_collector.spool",
}
"""Modules that a program which only imports the collector, say for a command of its own, does not
need; together they take longer than all that it does need."""


def modules_after(*lines: str) -> list[set[str]]:
    """Run lines of code in an interpreter of their own; return the modules loaded after each."""
    code = ["import json, sys", "seen = []"]
    for line in lines:
        code += [line, "seen.append(sorted(sys.modules))"]
    code += ["print(json.dumps(seen))"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return [set(names) for names in json.loads(done.stdout.splitlines()[-1])]


def test_import_loads_nothing_that_only_an_open_collector_needs() -> None:
    before, after = modules_after(
        "pass", "from walker_collector import Collector, EventError, PushResult"
    )
    assert not (after - before) & NEEDED_LATER


def test_first_push_imports_nothing_as_its_collector_has_all_it_needs(tmp_path: Path) -> None:
    path = str(tmp_path / "spool.db")
    mapping = {"order": {"complete": {"data": {"map": {"total": "data.total"}}}}}
    flow = {
        "collector": {"spool": {"path": path}},
        "destinations": {"log": {"package": "console", "config": {"mapping": mapping}}},
    }
    _, opened, pushed = modules_after(
        "import asyncio; from walker_collector import Collector",
        f"c = Collector.from_config({flow!r})",
        "c.push('order complete', data={'total': 5}, user={'id': 'u1'}, consent={'a': True})\n"
        "asyncio.run(c.apush('order complete', user={'id': 'u1'}))\n"
        "c.consent({'a': False}, user={'id': 'u1'}); c.flush(timeout=10)\n"
        "c.replay(c.dead()); c.bury([]); c.forget({'id': 'u1'}); c.status(); c.close()",
    )
    assert not pushed - opened
