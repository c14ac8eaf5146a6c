"""Flow files that nobody means: mutations of valid ones, as objects and as text."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from click.testing import CliRunner

from tests.fuzz.mutation import Mutator
from tests.fuzz.watch import Memory, Watch
from walker_collector.cli import main
from walker_collector.flow import load_flow
from walker_collector.plugins import Registry
from walker_collector.simulation import Simulation

ROOT = Path(__file__).parents[2]
SECRET: Final = "s3cret-of-the-fuzzer"
ENVIRON: Final = {
    "FUZZ_SECRET": SECRET,
    "CIO_SITE_ID": "site",
    "CIO_API_KEY": "key",
    "CIO_APP_API_KEY": "key",
}

WHOLE: Final[Mapping[str, Any]] = {
    "version": 4,
    "variables": {"one": 1, "consents": {"marketing": True}},
    "flows": {
        "default": {
            "config": {"platform": "server"},
            "variables": {"name": "shop"},
            "collector": {
                "consent": {"functional": True},
                "user": {"device": "d"},
                "globals": {"shop": "$var.name"},
                "globalsStatic": {"a": 1},
                "spool": {"path": "spool.db", "sync": "full", "maxEvents": 10, "maxBytes": 10**6},
                "queueMax": 10,
                "queueWait": 5,
                "maxDepth": 10,
                "maxBytes": 10_000,
                "peopleMax": 10,
                "closeTimeout": 10,
                "oldest": "1990-01-01",
                "maxAhead": 1_000,
                "name": "n",
                "release": "1",
            },
            "transformers": {
                "redact": {"mapping": {"policy": {"user.email": {"value": ""}}}},
                "rename": {
                    "mapping": {"mapping": {"a": {"b": {"name": "c d"}}}},
                    "next": "redact",
                },
            },
            "sources": {"web": {"package": "@walkeros/server-source-express"}},
            "destinations": {
                "out": {"package": "console", "before": ["rename"]},
                "file": {
                    "package": "file",
                    "config": {
                        "settings": {"path": "out.ndjson", "maxBytes": 1_000, "keep": 2},
                        "id": "files",
                        "consent": "$var.consents",
                        "consentMode": "all",
                        "data": {"map": {"a": "data.a", "b": ["data.b", {"value": 1}]}},
                        "include": ["data", "globals"],
                        "policy": {"data.x": {"key": "data.y", "consent": {"marketing": True}}},
                        "unmatched": "ignore",
                        "queue": True,
                        "queueMax": 5,
                        "queueAge": 5,
                        "dlqMax": 5,
                        "require": ["out"],
                        "batch": {"wait": 1, "size": 2, "age": 3},
                        "breaker": {"threshold": 1, "cooldown": 1},
                        "retry": {"attempts": 1, "age": 1, "base": 1, "cap": 1},
                        "concurrency": 1,
                        "rateLimit": 1,
                        "timeout": 1,
                        "mock": None,
                        "logger": {"level": "warn"},
                        "mapping": {
                            "order": {
                                "complete": [
                                    {"condition": "builtins:bool", "name": "x", "skip": True},
                                    {"data": {"loop": ["nested", {"map": {"q": "data.q"}}]}},
                                ],
                                "*": {"ignore": True},
                            },
                            "*": {"view": {"remove": ["a"], "batch": 5, "consent": {"x": True}}},
                        },
                    },
                },
                "hook": {
                    "package": "http",
                    "config": {
                        "settings": {
                            "url": "https://127.0.0.1:9/$env.FUZZ_SECRET",
                            "headers": {"authorization": "$secret.FUZZ_SECRET"},
                        }
                    },
                },
                "crm": {
                    "package": "customerio",
                    "config": {
                        "settings": {
                            "siteId": "$env.CIO_SITE_ID",
                            "apiKey": "$env.CIO_API_KEY",
                            "identify": {"map": {"email": "user.email"}},
                            "onConsent": {"marketing": {"granted": {"m": True}, "denied": {}}},
                            "rateLimit": 10,
                            "trackUrl": "https://127.0.0.1:9",
                        }
                    },
                },
            },
        }
    },
}
"""A flow that has nearly every key there is."""

EVENTS: Final = (
    {
        "name": "order complete",
        "user": {"id": "u"},
        "data": {"a": 1},
        "consent": {"marketing": True},
    },
    {"name": "page view", "user": {"session": "s"}, "nested": [{"data": {"q": 1}}]},
    {"name": "a b"},
)


def valid_flows() -> list[Any]:
    """Return the flows of the examples, of walkerOS's cases, and the whole one."""
    files = sorted((ROOT / "examples").glob("*/flow.json"))
    cases = (ROOT / "tests" / "conformance" / "flow.ndjson").read_text("utf-8").splitlines()
    recorded = [json.loads(line) for line in cases[::8]]
    return [
        *(json.loads(file.read_text("utf-8")) for file in files),
        *(_to_customerio({"appApiKey": "key", **case["settings"]}, case) for case in recorded),
        *[WHOLE] * len(files),
    ]


def _to_customerio(settings: Any, case: Any) -> Any:
    settings = {"siteId": "site", "apiKey": "key", **settings}
    config = {**case["config"], "settings": settings}
    return {"destinations": {"cio": {"package": "customerio", "config": config}}}


class FlowFuzz:
    """Loads mutated flows; simulates a few events with those that are valid still."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.watch = Watch()
        self.valid = 0
        self._flows = valid_flows()
        self._mutator = Mutator(seed, self._flows)
        self._registry = Registry().discover()

    def run(self, count: int) -> float:
        """Load so many flows; return how much memory (MB) the last three quarters of them took."""
        memory = Memory(count)
        for n in range(count):
            chance = self._mutator.chance
            flow = self._mutator.mutate(chance.choice(self._flows))
            way = chance.random()
            if way < 0.7:
                self._load(self._mutator.trail, flow)
            else:
                self._load_file(flow, damaged=way < 0.97, command=way > 0.95)
            memory.look(n + 1)
        return memory.grown

    def _load(self, given: Any, source: Any) -> None:
        loaded = self.watch.call(
            given, lambda: load_flow(source, environ=ENVIRON, registry=self._registry)
        )
        if loaded is None:
            return
        self.valid += 1
        for warning in loaded.warnings:
            self.watch.check_text(given, warning, SECRET)
        simulation = self.watch.call(
            given, lambda: Simulation(loaded, now=lambda: 1_700_000_000_000, new_id=lambda: "e1")
        )
        for event in EVENTS if simulation else ():
            self.watch.call((given, event), lambda event=event: simulation.push(event))

    def _load_file(self, flow: Any, damaged: bool, command: bool) -> None:
        content = json.dumps(flow).encode("utf-8", "surrogatepass")
        if damaged:
            content = self._mutator.damage(content)
        path = self.folder / ("flow.toml" if self._mutator.chance.random() < 0.1 else "flow.json")
        path.write_bytes(content)
        if command:
            self.watch.call(content, lambda: self._validate(content, path))
        else:
            self._load(content, path)

    def _validate(self, content: bytes, path: Path) -> None:
        environ = {**os.environ, **ENVIRON}
        done = CliRunner(env=environ).invoke(main, ["validate", str(path)])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        self.watch.check_text(content, done.output, SECRET)
        if done.exit_code not in (0, 1):
            self.watch.note(content, f"exit status {done.exit_code}")
