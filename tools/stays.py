"""Count the stays of one warm push to Customer.io: how often its way enters another file.

A stay is a run of calls of functions of one file, in the order in which a thread makes them; only
files of the two packages count. The thread that pushes and the one that delivers are added up.

    python tools/stays.py            in memory
    python tools/stays.py --durable  with a spool on disk
    python tools/stays.py --list     also each stay, with its functions
"""

import argparse
import sys
import tempfile
import threading
import time
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (str(ROOT / "walker_collector"), str(ROOT / "walker_dest_customerio"))

calls: dict[int, list[tuple[str, str]]] = {}
recording = threading.Event()


def note(frame: FrameType, event: str, _: Any) -> None:
    """Note a call of a function of ours, by file and name; a profile function of each thread."""
    if event == "call" and recording.is_set():
        code = frame.f_code
        if code.co_filename.startswith(PACKAGES) and "/sandbox/" not in code.co_filename:
            place = (str(Path(code.co_filename).relative_to(ROOT)), code.co_qualname)
            calls.setdefault(threading.get_ident(), []).append(place)


def trace(folder: Path, durable: bool) -> None:
    """Push a few events to warm up, then trace one that is delivered by itself."""
    from walker_collector import Collector
    from walker_dest_customerio.sandbox import Sandbox

    with Sandbox() as sandbox:
        flow: dict[str, Any] = {
            "destinations": {
                "customerio": {
                    "package": "customerio",
                    "config": {
                        "settings": {
                            **sandbox.settings(),
                            "identify": {"map": {"email": "user.email"}},
                        },
                        "mapping": {
                            "order": {"complete": {"data": {"map": {"total": "data.total"}}}}
                        },
                    },
                }
            }
        }
        if durable:
            flow["collector"] = {"spool": {"path": str(folder / "spool.db")}}
        threading.setprofile(note)
        with Collector.from_config(flow) as collector:
            for n in range(5):
                push(collector, n)
                delivered(collector, n + 1)
            recording.set()
            sys.setprofile(note)
            push(collector, 5)
            sys.setprofile(None)
            delivered(collector, 6)
            recording.clear()


def push(collector: Any, n: int) -> None:
    user = {"id": "ines", "email": "ines@example.com", "session": "s-1"}
    collector.push("order complete", data={"total": n}, user=user)


def delivered(collector: Any, count: int) -> None:
    deadline = time.monotonic() + 20
    while collector.status().destinations["customerio"].delivered < count:
        assert time.monotonic() < deadline, "was not delivered within 20 s"
        time.sleep(0.001)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--durable", action="store_true", help="with a spool on disk")
    parser.add_argument("--list", action="store_true", help="print each stay")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trace(Path(folder), options.durable)
    stays = [
        (file, [name for _, name in run])
        for made in calls.values()
        for file, run in groupby(made, key=lambda place: place[0])
    ]
    if options.list:
        for file, names in stays:
            print(f"{file}: {', '.join(names)}")
    files = {file for file, _ in stays}
    functions = {(file, name) for file, names in stays for name in names}
    print(f"{len(stays)} stays in {len(files)} files, {len(functions)} functions")


if __name__ == "__main__":
    main()
