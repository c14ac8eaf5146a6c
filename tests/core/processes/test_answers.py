"""Pushes that wait for their event while another process delivers it; replays from elsewhere."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.core.processes.shop import Shop, delivered, deliverer, shop
from tests.support import wait_until

ANA, BEN = {"id": "ana"}, {"id": "ben"}


@contextmanager
def two(folder: Path) -> Iterator[tuple[Shop, Shop]]:
    """Start two processes: the one that delivers, and another one."""
    with shop(folder, "grants") as one, shop(folder, "grants") as other:
        pid = deliverer(folder / "spool.db", "out")
        yield (one, other) if one.process.pid == pid else (other, one)


def begun(folder: Path) -> int:
    path = folder / "began"
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_a_push_elsewhere_is_told_of_a_refusal(tmp_path: Path) -> None:
    with two(tmp_path) as (_, other):
        (tmp_path / "refused").touch()
        assert other.do("wait", ANA, 0) == "failed"


def test_a_push_elsewhere_is_told_of_a_retry(tmp_path: Path) -> None:
    with two(tmp_path) as (_, other):
        (tmp_path / "down").touch()
        assert other.do("wait", ANA, 0) == "accepted"


def test_a_push_elsewhere_is_told_of_a_withdrawal(tmp_path: Path) -> None:
    with two(tmp_path) as (holder, other):
        (tmp_path / "slow").touch()
        holder.do("push", [ANA, 0])
        wait_until(lambda: begun(tmp_path) == 1)
        other.send("wait", ANA, 1)
        wait_until(lambda: holder.do("status")["waiting"] == 2)
        holder.do("consent", [ANA, False])
        (tmp_path / "slow").unlink()
        assert other.answer() == "held"
        assert delivered(tmp_path) == [(holder.process.pid, "ana", 0)]


def test_a_push_is_answered_by_whoever_delivers_after_a_kill(tmp_path: Path) -> None:
    with two(tmp_path) as (holder, other):
        (tmp_path / "slow").touch()
        holder.do("push", [ANA, 0])
        wait_until(lambda: begun(tmp_path) == 1)
        other.send("wait", ANA, 1)
        wait_until(lambda: holder.do("status")["waiting"] == 2)
        holder.process.send_signal(signal.SIGKILL)
        (tmp_path / "slow").unlink()
        assert other.answer() == "delivered"
        assert [n for _, _, n in delivered(tmp_path)] == [0, 1]


def test_dead_letters_that_another_process_replays_are_delivered_in_order(tmp_path: Path) -> None:
    with two(tmp_path) as (holder, other):
        (tmp_path / "refused").touch()
        other.do("push", [ANA, 0], [ANA, 1], [BEN, 0])
        wait_until(lambda: holder.do("status")["dead"] == 3)
        (tmp_path / "refused").unlink()
        assert other.do("replay") == 3
        other.do("push", [ANA, 2])
        wait_until(lambda: len(delivered(tmp_path)) == 4)
        assert [n for _, who, n in delivered(tmp_path) if who == "ana"] == [0, 1, 2]
        for each in (holder, other):
            wait_until(lambda each=each: each.do("status") == {"waiting": 0, "held": 0, "dead": 0})


def test_dead_letters_are_replayed_by_two_processes_at_once_only_once(tmp_path: Path) -> None:
    people = [{"id": f"u{n}"} for n in range(10)]
    with two(tmp_path) as (holder, other):
        (tmp_path / "refused").touch()
        other.do("push", *[[person, 0] for person in people])
        wait_until(lambda: holder.do("status")["dead"] == 10)
        (tmp_path / "refused").unlink()
        for each in (holder, other):
            each.send("replay")
        assert holder.answer() + other.answer() == 10
        assert other.do("flush", 20)
        wait_until(lambda: len(delivered(tmp_path)) == 10)
        assert holder.do("status") == {"waiting": 0, "held": 0, "dead": 0}


def test_nothing_moves_while_a_deliverer_is_stopped_and_all_is_in_order_after(
    tmp_path: Path,
) -> None:
    with two(tmp_path) as (holder, other):
        other.do("push", [ANA, 0])
        wait_until(lambda: len(delivered(tmp_path)) == 1)
        # Acknowledged: else it may be stopped within a commit, and the other could store nothing.
        wait_until(lambda: holder.do("status")["waiting"] == 0)
        holder.process.send_signal(signal.SIGSTOP)
        other.do("push", *[[ANA, n] for n in range(1, 20)])
        wait_until(lambda: f"process {holder.process.pid} on " in other.do("reason"))
        assert other.do("consent", [BEN, False]) == [0]
        holder.process.send_signal(signal.SIGCONT)
        holder.do("push", [ANA, 20], [BEN, 0])
        wait_until(lambda: len(delivered(tmp_path)) == 21)
        assert [n for _, who, n in delivered(tmp_path) if who == "ana"] == [*range(21)]
        assert {pid for pid, _, _ in delivered(tmp_path)} == {holder.process.pid}
