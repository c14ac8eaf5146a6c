"""Systems without fork and file locks, such as Windows: what works there, and what says why not."""

import os
import textwrap
from pathlib import Path

from tests.support import python

ELSEWHERE = """
    import os, sys

    for name in ("register_at_fork", "fork", "pread", "O_CLOEXEC"):
        delattr(os, name)
    sys.modules["fcntl"] = None
"""


def elsewhere(code: str, *args: str) -> str:
    """Run code as on a system without fork and file locks; return what it prints."""
    return python(textwrap.dedent(ELSEWHERE) + textwrap.dedent(code), *args).stdout


def test_events_are_delivered_from_memory() -> None:
    out = elsewhere(
        """
        from walker_collector import Collector

        flow = {"destinations": {"out": {"package": "console"}}}
        with Collector.from_config(flow) as collector:
            assert collector.push("order complete", user={"id": "u1"}, wait=True).ok
            collector.consent({"marketing": True}, user={"id": "u1"})
        """
    )
    assert "order complete" in out


def test_command_line_delivers_from_memory(tmp_path: Path) -> None:
    (tmp_path / "flow.json").write_text('{"destinations": {"out": {"package": "console"}}}')
    (tmp_path / "events.ndjson").write_text('{"name": "order complete"}\n')
    out = elsewhere(
        """
        from walker_collector.cli import main

        sys.argv[0] = "walker"
        main()
        """,
        "run",
        str(tmp_path / "flow.json"),
        str(tmp_path / "events.ndjson"),
    )
    assert "order complete" in out


def test_spool_is_refused_with_the_reason(tmp_path: Path) -> None:
    out = elsewhere(
        """
        from walker_collector import Collector, SpoolError

        flow = {
            "collector": {"spool": {"path": sys.argv[1]}},
            "destinations": {"out": {"package": "console"}},
        }
        try:
            Collector.from_config(flow)
        except SpoolError as error:
            print(error)
        """,
        str(tmp_path / "spool.db"),
    )
    assert "needs the file locks of POSIX (fcntl)" in out
    assert "leave collector.spool out" in out
    assert os.listdir(tmp_path) == []
