"""How a process ends: children of multiprocessing deliver first, and what is lost is told."""

import os
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SCRIPT = """
    import os, sys
    from pathlib import Path
    from tests.core.support import config, event, flow, plugin
    from walker_collector import Collector, DestinationDown
    from walker_collector.config import BatchConfig

    OUT, METHOD, KIND = Path(sys.argv[1]), sys.argv[2], sys.argv[3]

    def push_batch(batch):
        if KIND == "down":
            raise DestinationDown("no key")
        lines = "".join(f"{item.event['data']['n']} {os.getpid()}\\n" for item in batch)
        with OUT.open("a") as file:
            file.write(lines)

    # Nothing goes by itself: only flush and close do not wait for company.
    patient = config(batch=BatchConfig(wait=600_000, age=600_000))
    collector = Collector(flow({"there": (plugin(push_batch=push_batch), patient)}))

    def work(n):
        collector.push(event(n))
        return n

    def main():
        import multiprocessing  # after the package: a forked child knows it all the same
        from concurrent.futures import ProcessPoolExecutor
        context = multiprocessing.get_context(METHOD)
        if KIND == "executor":
            with ProcessPoolExecutor(2, context) as executor:
                assert list(executor.map(work, range(4))) == [0, 1, 2, 3]
        elif KIND == "pool":
            pool = context.Pool(2)
            assert pool.map(work, range(4)) == [0, 1, 2, 3]
            pool.close()
            pool.join()
        else:
            children = [context.Process(target=work, args=(n,)) for n in range(4)]
            for child in children:
                child.start()
            for child in children:
                child.join(60)
            assert [child.exitcode for child in children] == [0] * 4
        collector.push(event(100))
        collector.close(0.5)

    if __name__ == "__main__":
        main()
"""


def run(tmp_path: Path, *args: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    return subprocess.run(
        [sys.executable, str(script), str(tmp_path / "out"), *args],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("kind", ["process", "executor", "pool"])
def test_child_of_multiprocessing_delivers_before_it_ends(
    method: str, kind: str, tmp_path: Path
) -> None:
    run(tmp_path, method, kind)
    lines = [line.split() for line in (tmp_path / "out").read_text().splitlines()]
    assert Counter(int(n) for n, _ in lines) == Counter([0, 1, 2, 3, 100])
    assert len({pid for _, pid in lines}) > 1


def test_child_of_multiprocessing_tells_how_many_events_are_lost(tmp_path: Path) -> None:
    done = run(tmp_path, "fork", "down")
    lost = "destination there: closed with 1 event undelivered and 0 held for consent"
    assert done.stderr.count(lost) == 5
