"""A process with a collector, driven line by line: `Shop` is the other end of it.

Every process writes what it delivers to one file, a line each: process id, person, number.
"""

import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from subprocess import PIPE
from typing import Any

from tests.core.support import MARKETING, config, flow, plugin
from tests.support import Driven, program
from walker_collector import Collector, SpoolError
from walker_collector.errors import Rejected, RetryLater
from walker_collector.spool import Lease
from walker_collector.spool.processes.leases import Leases
from walker_collector.spool.sqlite import SqliteSpool  # noqa: F401  # nobody cannot, later

ROOT = Path(__file__).parents[3]
NOBODY = 65534


class Shop(Driven):
    """A process that is told to push, to record consent, to forget."""


@contextmanager
def shop(folder: Path, *options: str, within: Sequence[str] = ()) -> Iterator[Shop]:
    """Start such a process; "accepts": it only accepts, "grants": the default of its flow does,
    "nobody": it is another user's, "8": so many shards, "limited": to 100 events per second.
    `within`: a command that runs it.
    """
    command = [*within, sys.executable, "-m", __name__, folder, *options]
    with program(command, cwd=ROOT, stdin=PIPE, stdout=PIPE) as process:
        shop = Shop(process)
        assert shop.answer() == "open"
        yield shop


def close(item: Shop) -> None:
    """Close a process in an orderly way."""
    item.process.communicate(timeout=20)
    assert item.process.returncode == 0


def delivered(folder: Path) -> list[tuple[int, str, int]]:
    """Return process id, person and number of every delivery, in their order."""
    out = folder / "out"
    text = out.read_text() if out.exists() else ""
    lines = text[: text.rfind("\n") + 1].splitlines()  # another may be half there
    return [(int(pid), person, int(n)) for pid, person, n in map(str.split, lines)]


def calls_under_way(folder: Path) -> int:
    """Return the number of calls that processes have noted in the spool, and not ended."""
    with closing(sqlite3.connect(folder / "spool.db")) as db:
        ((count,),) = db.execute("SELECT count(*) FROM calls").fetchall()
    return int(count)


def deliverer(spool: Path, destination: str) -> int:
    """Return the id of the process that delivers to a destination; 0: none does."""
    folder = spool.with_name(f"{spool.name}.locks")
    lease = Lease(destination, 0)
    token = Leases(spool, folder, "").holders([lease]).get(lease)
    with suppress(OSError):
        return int(json.loads((folder / f"{token}.process").read_text())["pid"])
    return 0


def writing(folder: Path) -> type:
    """Return a destination that writes its deliveries to the file.

    It waits while there is a file named "slow", or "slow." and the person, and fails while there is
    one named "down" or "refused".
    """

    def push(event: dict[str, Any], context: Any) -> None:
        user = event["user"]
        who = user.get("id") or user.get("session") or user.get("device")
        with (folder / "began").open("a") as file:
            file.write(f"{who} {event['data']['n']}\n")
        while (folder / "slow").exists() or (folder / f"slow.{who}").exists():
            time.sleep(0.001)
        for name, error in (("down", RetryLater("down")), ("refused", Rejected("refused"))):
            if (folder / name).exists():
                (folder / "ended").touch()
                raise error
        line = f"{os.getpid()} {who} {event['data']['n']}\n".encode()
        file = os.open(folder / "out", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(file, line)
        os.close(file)

    return plugin(push)


def collector_of(folder: Path, *options: str) -> Collector:
    """Return the collector of such a process."""
    rate = 100.0 if "limited" in options else None
    out = {"out": (writing(folder), config(consent=MARKETING, rate_limit=rate))}
    default = MARKETING if "grants" in options else {}
    deliver = "accepts" not in options
    shards = next((int(option) for option in options if option.isdigit()), 1)
    collector = {"deliver": deliver, "consent": default, "shards": shards}
    return Collector(flow(out, folder / "spool.db", **collector))


def main() -> None:
    folder, *options = sys.argv[1:]
    if "nobody" in options:
        Collector(flow({})).close()  # imports all parts: that user may not read the interpreter's
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    collector = collector_of(Path(folder), *options)
    print(json.dumps("open"), flush=True)
    for line in sys.stdin:
        print(json.dumps(_do(collector, *json.loads(line))), flush=True)
    collector.close()


def _do(collector: Collector, name: str, *args: Any) -> Any:
    if name == "push":
        return [_push(collector, user, n) for user, n in args]
    if name == "consent":
        return [collector.consent({"marketing": yes}, user=user) for user, yes in args]
    if name == "forget":
        return collector.forget(args[0])
    if name == "default":
        return collector.consent({"marketing": args[0]})
    if name == "replay":
        return collector.replay(collector.dead("out"))
    if name == "flush":
        return collector.flush(args[0])
    if name == "wait":
        user, n = args
        event = {"name": "order complete", "user": user, "data": {"n": n}}
        return collector.push(event, wait=True, timeout=20).destinations["out"]
    status = collector.status().destinations["out"]
    if name == "reason":
        return status.reason
    return {"waiting": status.waiting, "held": status.held, "dead": status.dead}


def _push(collector: Collector, user: dict[str, str], n: int) -> Any:
    event = {"name": "order complete", "user": user, "data": {"n": n}}
    try:
        return collector.push(event).destinations["out"]
    except SpoolError as error:
        return str(error)


if __name__ == "__main__":
    main()
