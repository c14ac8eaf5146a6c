"""Events that nobody means: odd objects for `push` and its like, damaged lines for `walker run`."""

import json
import random
from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

from click.testing import CliRunner

from tests.core.support import PATIENCE, Record, config, flow, plugin
from tests.fuzz.mutation import Mutator, places
from tests.fuzz.objects import odd
from tests.fuzz.watch import Memory, Watch
from walker_collector import Collector, PushResult, WalkerError
from walker_collector.cli import main
from walker_collector.config import PathSpec, RuleConfig, ValueSpec
from walker_collector.flow.types import structure_or_raise

SOUND: Final[tuple[Mapping[str, Any], ...]] = (
    {
        "name": "order complete",
        "id": "e1",
        "trigger": "load",
        "entity": "order",
        "action": "complete",
        "timestamp": 1_700_000_000_000,
        "timing": 1.5,
        "data": {
            "id": "o1",
            "total": 5.5,
            "tags": ["a", {"b": None}],
            "at": "2024-01-01T00:00:00Z",
        },
        "context": {"stage": ["checkout", 1]},
        "globals": {"lang": "de"},
        "custom": {"c": [1, [2]]},
        "user": {"id": "u1", "device": "d1", "session": "s1", "email": "u1@example.com"},
        "nested": [{"entity": "product", "data": {"sku": "x"}, "nested": []}],
        "consent": {"marketing": True, "statistics": False},
        "source": {"type": "web", "platform": "web", "count": 3, "release": {"a": "1"}},
    },
    {"name": "page view", "user": {"session": "s2"}},
    {"name": "walker consent", "data": {"marketing": True}, "user": {"id": "u1"}},
    {"name": "walker user", "data": {"tier": 1}},
    {"name": "walker globals", "data": {"g": 1}},
)
ALL: Final[Any] = {"map": {"d": "data", "u": "user.id", "n": {"loop": ["nested", "data.sku"]}}}
GROUP: Final = 7
BIG: Final = 2_000
"""Lines of one `walker run`."""


def rules() -> dict[str, Any]:
    """Return the settings of a destination that looks into every event."""
    data = structure_or_raise(ALL, ValueSpec)
    return {
        "data": data,
        "policy": {"data.copy": PathSpec("context.stage")},
        "mapping": {
            "order": {"complete": RuleConfig(name="bought", include=["all"])},
            "*": {"view": RuleConfig(consent={"marketing": True})},
        },
        "consent": {"marketing": True},
        "queue_max": 20,
    }


class EventFuzz:
    """Hands in odd events in every way there is. Each is accepted, or refused by a typed error."""

    def __init__(self, spool: Path | None, seed: int) -> None:
        self.chance = random.Random(seed)
        self.watch = Watch()
        self.record = Record()
        destinations = {
            "mapping": (plugin(self.record.push), config(**rules())),
            "plain": (plugin(self.record.push), config()),
        }
        self.collector = Collector(flow(destinations, spool, people_max=1_000))
        self.accepted = 0

    def run(self, count: int) -> float:
        """Hand in about so many events; return how much memory (MB) most of them took."""
        memory = Memory(count)
        ways = (self._push, self._push, self._push_parts, self._push_many, self._state)
        for n in range(count):
            self.chance.choice(ways)()
            if n % 100 == 99:
                self.record.events.clear()
                self.collector.flush(PATIENCE)
            memory.look(n + 1)
        return memory.grown

    def finish(self) -> None:
        """See to it that everything accepted has ended, that figures add up, and that it closes."""
        if not self.collector.flush(PATIENCE):
            self.watch.note(self.collector.status(), "does not end")
        status = self.collector.status()
        if status.accepted != self.accepted:
            self.watch.note(status, f"{self.accepted} were accepted")
        for name, figures in status.destinations.items():
            ended = figures.delivered + figures.ignored + figures.empty + figures.died
            ended += figures.notified + figures.dropped + figures.erased + figures.held
            if figures.waiting or figures.accepted != ended:
                self.watch.note(figures, f"{name}: figures do not add up")
        if not self.collector.close(PATIENCE):
            self.watch.note("close", "something is left")

    # --- ways of handing in ------------------------------------------------------------------

    def event(self) -> Any:
        """Return an event with odd objects in one to three places, or one that is odd itself."""
        if self.chance.random() < 0.03:
            return odd(self.chance)
        made = deepcopy(dict(self.chance.choice(SOUND)))
        if self.chance.random() < 0.5:
            made.pop("id", None)
        if self.chance.random() < 0.5:  # where anything that is JSON may stand
            made.setdefault("custom", {})["odd"] = odd(self.chance)
            return made
        for _ in range(self.chance.choice((1, 1, 2, 3))):
            place = self.chance.choice(list(places(made)) or [None])
            if place is not None:
                place.value = odd(self.chance)
        if self.chance.random() < 0.1:
            made[self.chance.choice(("dta", "\ud800", "", "name ", "user.id"))] = odd(self.chance)
        return made

    def _count(self, event: Any, result: Any) -> None:
        command = isinstance(result, PushResult) and not result.destinations and not result.id
        if isinstance(result, PushResult) and not command:
            self.accepted += not _is_command(event)

    def _push(self) -> None:
        event = self.event()
        self._count(event, self.watch.call(event, lambda: self.collector.push(event)))

    def _push_parts(self) -> None:
        event = self.event()
        if type(event) is not dict or not all(type(key) is str for key in event):
            return
        name = event.pop("name", None)
        parts = {key: value for key, value in event.items() if key not in ("wait", "timeout")}
        result = self.watch.call((name, parts), lambda: self.collector.push(name, **parts))
        self._count({"name": name}, result)

    def _push_many(self) -> None:
        events = [self.event() for _ in range(self.chance.randrange(GROUP))]
        results = self.watch.call(events, lambda: self.collector.push_many(iter(events)))
        if results is None or len(results) != len(events):
            self.watch.note(events, f"{results and len(results)} results")
            return
        for event, result in zip(events, results, strict=True):
            if not isinstance(result, PushResult | WalkerError):
                self.watch.note(event, f"{result!r} for a result")
            self._count(event, result)

    def _state(self) -> None:
        user = {self.chance.choice(("id", "device", "session", "x")): odd(self.chance)}
        update = {self.chance.choice(("marketing", "x")): self.chance.choice((True, False))}
        given: Any = self.chance.choice((user, {"id": "u1"}, odd(self.chance)))
        said: Any = self.chance.choice((update, update, odd(self.chance), {"a": odd(self.chance)}))
        collector = self.collector
        calls: Mapping[str, Any] = {
            "consent": lambda: collector.consent(said, user=given),
            "forget": lambda: collector.forget(given),
            "user": lambda: collector.user({"fuzz": odd(self.chance)}),
            "globals": lambda: collector.globals(said),
        }
        name = self.chance.choice(list(calls))
        self.watch.call((name, said, given), calls[name])


def _is_command(event: Any) -> bool:
    try:
        return str(event["name"]).startswith("walker ")
    except Exception:
        return False


class LineFuzz:
    """Runs `walker run` over damaged lines, in this process."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.watch = Watch()
        self.folder = folder
        self._mutator = Mutator(seed, SOUND)

    def lines(self, count: int) -> list[bytes]:
        """Return lines with an event each, most of them changed or damaged."""
        chance = self._mutator.chance
        made = []
        for _ in range(count):
            event = self._mutator.mutate(chance.choice(SOUND))
            line = json.dumps(event).encode("utf-8", "surrogatepass")
            if chance.random() < 0.5:
                line = self._mutator.damage(line)
            made.append(line.replace(b"\n", b" "))
        return made

    def run(self, count: int) -> None:
        """Run over so many lines, in files of `BIG`."""
        for start in range(0, count, BIG):
            lines = self.lines(min(BIG, count - start))
            self.watch.call(b"\n".join(lines), lambda lines=lines: self._run(lines))

    def _run(self, lines: list[bytes]) -> None:
        out = self.folder / "out.ndjson"
        out.unlink(missing_ok=True)
        entry = {"package": "file", "config": {"settings": {"path": str(out)}}}
        path = self.folder / "flow.json"
        path.write_text(json.dumps({"destinations": {"out": entry}}))
        (self.folder / "events.ndjson").write_bytes(b"\n".join(lines) + b"\n")
        arguments = ["run", str(path), str(self.folder / "events.ndjson"), "--json"]
        done = CliRunner().invoke(main, arguments)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        self.watch.check_text(f"{len(lines)} lines", done.output)
        figures = json.loads(done.stdout.splitlines()[-1])
        counts = Counter({key: figures[key] for key in ("read", "accepted", "commands", "bad")})
        ended = figures["destinations"]["out"]
        if counts["read"] != counts["accepted"] + counts["commands"] + counts["bad"]:
            self.watch.note(lines, f"lines do not add up: {counts}")
        written = len(out.read_bytes().splitlines()) if out.exists() else 0
        if counts["accepted"] != written + ended["dead"] or ended["waiting"]:
            self.watch.note(lines, f"events do not add up: {counts}, {written} written: {ended}")
