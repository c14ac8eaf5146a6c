"""Shares of leases where processes come and go: soon fair, and then nothing moves."""

import random
import signal
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.core.processes.peer import Peer, held, peer
from tests.core.processes.shop import collector_of, delivered, deliverer, shop
from tests.forms import form
from tests.support import wait_until

DESTINATIONS = ("crm", "log", "mail", "push", "warehouse", "ads", "search")
CALM = 3.0
"""Seconds without joins or leaves after which shares are fair."""
ROUNDS = form(2, 12)


def are_fair(peers: list[Peer]) -> bool:
    shares = held(*peers)
    return sum(shares) == len(DESTINATIONS) and max(shares) - min(shares) <= 1


@pytest.mark.long
@pytest.mark.parametrize("seed", form([1], [*range(1, 9)]))
def test_shares_are_fair_three_seconds_after_the_last_came_or_went(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    with ExitStack() as stack:
        peers: list[Peer] = []
        for _ in range(ROUNDS):
            wanted = chance.randint(2, 5)
            for _ in range(chance.randint(0, len(peers))):
                going = peers.pop(chance.randrange(len(peers)))
                if chance.random() < 0.5:
                    going.close()
                else:
                    going.process.send_signal(signal.SIGKILL)
            while len(peers) < wanted:
                peers.append(stack.enter_context(peer(tmp_path / "spool.db", *DESTINATIONS)))
            wait_until(lambda: all(each.is_there for each in peers))
            wait_until(lambda: are_fair(peers), "fair shares", timeout=CALM)
            moves = sum(each.moves for each in peers)
            time.sleep(1.5)  # of six looks each
            assert are_fair(peers)
            assert sum(each.moves for each in peers) == moves


def test_fifty_short_scripts_move_no_lease(tmp_path: Path) -> None:
    with shop(tmp_path) as one, shop(tmp_path) as other:
        one.do("consent", [{"id": "ines"}, True])
        one.do("push", [{"id": "ines"}, 0])
        wait_until(lambda: len(delivered(tmp_path)) == 1)
        for n in range(1, 51):
            with collector_of(tmp_path) as script:
                script.push("order complete", user={"id": "ines"}, data={"n": n})
        assert other.do("flush", 20)
    found = delivered(tmp_path)
    assert [n for _, _, n in found] == [*range(51)]
    assert len({pid for pid, _, _ in found}) == 1


def test_a_close_waits_for_no_waiting_event_if_another_process_delivers(tmp_path: Path) -> None:
    people = 2_000
    with shop(tmp_path, "grants") as one, shop(tmp_path, "grants") as other:
        (tmp_path / "slow").touch()
        one.do("push", *[[{"id": f"u{n}"}, 0] for n in range(people)])
        wait_until(lambda: (tmp_path / "began").exists())
        is_one = deliverer(tmp_path / "spool.db", "out") == one.process.pid
        closing, staying = (one, other) if is_one else (other, one)
        assert closing.process.stdin is not None
        closing.process.stdin.close()
        wait_until(lambda: list((tmp_path / "spool.db.locks").glob("*.leaving")))
        (tmp_path / "slow").unlink()  # the call under way is waited for
        assert closing.process.wait(20) == 0
        wait_until(lambda: len(delivered(tmp_path)) == people)
    by = Counter(pid for pid, _, _ in delivered(tmp_path))
    assert by[closing.process.pid] < by[staying.process.pid], by
    assert by.total() == people
