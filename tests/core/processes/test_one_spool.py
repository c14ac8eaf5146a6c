"""One spool for several real processes: one truth of consent, identity and erasure; order."""

import signal
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.core.processes.actor import Actor, Journal
from tests.core.processes.shop import Shop, close, delivered, shop
from tests.support import wait_until

YES, NO = True, False


def user(n: object) -> dict[str, str]:
    return {"id": f"u{n}"}


def people(folder: Path) -> list[str]:
    return [person for _, person, _ in delivered(folder)]


def until_delivered(folder: Path, count: int) -> None:
    wait_until(
        lambda: len(delivered(folder)) >= count, f"{count}, not {len(delivered(folder))} deliveries"
    )


def until_left(item: Shop, *, held: int) -> None:
    """Wait until a process sees nothing but held events."""
    wait_until(lambda: item.do("status") == {"waiting": 0, "held": held, "dead": 0})


def in_order(folder: Path) -> bool:
    """Return whether each person's numbers were delivered in order, each once."""
    numbers = defaultdict(list)
    for _, person, n in delivered(folder):
        numbers[person].append(n)
    return all(found == sorted(set(found)) for found in numbers.values())


def test_a_grant_in_one_process_releases_what_another_has_held(tmp_path: Path) -> None:
    with shop(tmp_path) as one, shop(tmp_path) as other:
        assert one.do("push", [user(1), 0], [user(1), 1]) == ["held", "held"]
        assert other.do("push", [user(1), 2], [user(2), 0]) == ["held", "held"]
        other.do("consent", [user(1), YES])
        until_delivered(tmp_path, 3)
        assert one.do("push", [user(1), 3]) == ["accepted"]
        until_delivered(tmp_path, 4)
        assert [n for _, _, n in delivered(tmp_path)] == [0, 1, 2, 3]
        for each in (one, other):
            until_left(each, held=1)


def test_after_a_withdrawal_in_any_process_nothing_is_sent(tmp_path: Path) -> None:
    with ExitStack() as stack:
        shops = [stack.enter_context(shop(tmp_path)) for _ in range(3)]
        for n in range(30):
            shops[n % 3].do("consent", [user(n), YES])
        for n in range(30):
            shops[0].send("push", *[[user(n), at] for at in range(10)])
        for n in range(30):
            assert shops[1].do("consent", [user(n), NO]) == [0]
            sent = people(tmp_path).count(f"u{n}")
            shops[2].do("push", [user(n), 99])
            assert people(tmp_path).count(f"u{n}") == sent
        for _ in range(30):
            shops[0].answer()
        before = Counter(people(tmp_path))
        for n in range(30):  # what was pushed since is held, in every process
            assert shops[2].do("push", [user(n), 100]) == ["held"]
        assert Counter(people(tmp_path)) == before


def test_a_withdrawal_waits_for_the_call_under_way_in_another_process(tmp_path: Path) -> None:
    with shop(tmp_path) as one, shop(tmp_path) as other:
        one.do("consent", [user(1), YES])
        (tmp_path / "slow").touch()
        one.do("push", [user(1), 0])
        wait_until(lambda: (tmp_path / "began").exists())
        began = time.monotonic()
        assert other.do("consent", [user(1), NO]) == [1]  # a second has passed
        assert 0.9 < time.monotonic() - began < 10
        other.do("consent", [user(1), YES])
        other.send("consent", [user(1), NO])
        (tmp_path / "slow").unlink()
        assert other.answer() == [0]
        assert len(delivered(tmp_path)) == 1


def test_what_allows_and_what_forbids_of_200_people_holds_in_four_processes(tmp_path: Path) -> None:
    with ExitStack() as stack:
        a, b, c, d = (stack.enter_context(shop(tmp_path)) for _ in range(4))
        assert set(a.do("push", *[[user(n), 0] for n in range(200)])) == {"held"}
        b.do("consent", *[[user(n), YES] for n in range(100)])
        until_delivered(tmp_path, 100)
        c.do("consent", *[[user(n), NO] for n in range(50)])
        for at, each in enumerate((a, b, c, d), 1):
            each.do("push", *[[user(n), at] for n in range(200)])
        began = time.monotonic()
        until_delivered(tmp_path, 100 + 4 * 50)
        assert time.monotonic() - began < 5
        assert d.do("forget", user(150)) == 5
        assert d.do("forget", user(60)) == 0
        a.do("consent", [user(150), YES])
        assert a.do("flush", 20)
        counts = Counter(people(tmp_path))
        assert all(counts[f"u{n}"] == 1 for n in range(50))
        assert all(counts[f"u{n}"] == 5 for n in range(50, 100))
        assert all(counts[f"u{n}"] == 0 for n in range(100, 200))
        assert in_order(tmp_path)


def test_a_session_that_logs_in_elsewhere_takes_its_held_events_along_in_order(
    tmp_path: Path,
) -> None:
    with shop(tmp_path) as one, shop(tmp_path) as other:
        visitor = {"session": "s"}
        assert one.do("push", [visitor, 0], [visitor, 1]) == ["held", "held"]
        assert other.do("push", [{"id": "ines", "session": "s"}, 2]) == ["held"]
        assert one.do("push", [visitor, 3]) == ["held"]
        one.do("consent", [{"id": "ines"}, YES])
        until_delivered(tmp_path, 4)
        assert [n for _, _, n in delivered(tmp_path)] == [0, 1, 2, 3]
        other.do("consent", [visitor, NO])  # of her, by her session
        assert one.do("push", [{"id": "ines"}, 4]) == ["held"]


def test_people_learned_apart_at_once_are_one_person(tmp_path: Path) -> None:
    with shop(tmp_path) as one, shop(tmp_path) as other:
        for n in range(20):
            session, device = f"s{n}", f"d{n}"
            one.send("push", [{"device": device, "session": session}, 0])
            other.send("push", [{"id": f"u{n}", "session": session}, 1])
            one.answer()
            other.answer()
            one.do("consent", [{"device": device}, YES])
            other.do("push", [{"id": f"u{n}"}, 2], [{"session": session}, 3])
        until_delivered(tmp_path, 80)


def test_processes_that_take_turns_keep_a_persons_order(tmp_path: Path) -> None:
    with ExitStack() as stack:
        shops = [stack.enter_context(shop(tmp_path)) for _ in range(3)]
        shops[0].do("consent", *[[user(n), YES] for n in range(5)])
        for at in range(60):
            shops[at % 3].do("push", *[[user(n), at] for n in range(5)])
        assert all(each.do("flush", 20) for each in shops)
        assert len(delivered(tmp_path)) == 300
        assert in_order(tmp_path)


def test_killed_processes_lose_nothing_and_keep_the_order(tmp_path: Path) -> None:
    with ExitStack() as stack:
        shops = [stack.enter_context(shop(tmp_path)) for _ in range(3)]
        shops[0].do("consent", *[[user(n), YES] for n in range(10)])
        for at in range(12):
            pusher = shops[at % 3]
            pusher.do("push", *[[user(n), at] for n in range(10)])
            if at % 4 == 3:  # the process that has just accepted, whether it delivers or not
                pusher.process.send_signal(signal.SIGKILL)
                shops[at % 3] = stack.enter_context(shop(tmp_path))
        assert shops[0].do("flush", 20)  # which does not wait for what the killed ones accepted
        everything = {(f"u{n}", at) for n in range(10) for at in range(12)}
        wait_until(lambda: {(person, n) for _, person, n in delivered(tmp_path)} == everything)
        assert_in_order_but_for_repeats(delivered(tmp_path))


def assert_in_order_but_for_repeats(found: Iterable[tuple[int, str, int]]) -> None:
    """An event may come again after its process was killed, and then the later ones too."""
    newest: dict[str, int] = {}
    for _, person, n in found:
        assert n <= newest.get(person, -1) + 1
        newest[person] = max(n, newest.get(person, -1))


def test_the_deliverers_death_is_survived_within_two_seconds(tmp_path: Path) -> None:
    with shop(tmp_path) as one, shop(tmp_path) as other:
        one.do("consent", [user(1), YES])
        one.do("push", [user(1), 0])
        until_delivered(tmp_path, 1)
        deliverer = delivered(tmp_path)[0][0]
        dying, living = (one, other) if one.process.pid == deliverer else (other, one)
        dying.process.send_signal(signal.SIGKILL)
        living.do("push", [user(1), 1])
        began = time.monotonic()
        until_delivered(tmp_path, 2)
        assert time.monotonic() - began < 2


def test_a_process_that_closes_hands_its_work_over(tmp_path: Path) -> None:
    with shop(tmp_path) as one, shop(tmp_path) as other:
        one.do("push", *[[user(n), 0] for n in range(20)])
        close(one)
        other.do("consent", *[[user(n), YES] for n in range(20)])
        until_delivered(tmp_path, 20)
        assert {pid for pid, _, _ in delivered(tmp_path)} == {other.process.pid}


def test_a_process_that_only_accepts_leaves_deliveries_to_others(tmp_path: Path) -> None:
    with shop(tmp_path, "accepts") as accepting:
        accepting.do("consent", [user(1), YES])
        assert accepting.do("push", [user(1), 0]) == ["accepted"]
        assert accepting.do("status")["waiting"] == 1
        assert not accepting.do("flush", 0.3)
        with shop(tmp_path) as delivering:
            assert accepting.do("flush", 20)
            assert accepting.do("wait", user(1), 1) == "delivered"
            assert {pid for pid, _, _ in delivered(tmp_path)} == {delivering.process.pid}


def test_a_push_that_waits_is_answered_wherever_it_is_delivered(tmp_path: Path) -> None:
    with shop(tmp_path) as one, shop(tmp_path) as other:
        one.do("consent", [user(1), YES])
        assert one.do("wait", user(1), 0) == "delivered"
        assert other.do("wait", user(1), 1) == "delivered"
        assert other.do("wait", user(2), 2) == "held"


def test_nothing_is_left_in_the_file_by_those_who_are_gone(tmp_path: Path) -> None:
    with shop(tmp_path) as one, shop(tmp_path) as other:
        one.do("consent", *[[user(n), YES] for n in range(10)])
        other.do("push", *[[user(n), 0] for n in range(10)])
        assert other.do("flush", 20)
        close(one)
        close(other)
    with sqlite3.connect(tmp_path / "spool.db") as db:
        for table in ("events", "deliveries", "calls"):
            assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    assert not list((tmp_path / "spool.db.locks").glob("*.process"))


def test_a_stopped_deliverer_is_named_in_the_status_of_the_others(tmp_path: Path) -> None:
    with shop(tmp_path) as one, shop(tmp_path) as other:
        one.do("consent", [user(1), YES])
        one.do("push", [user(1), 0])
        until_delivered(tmp_path, 1)
        deliverer = delivered(tmp_path)[0][0]
        stopped, living = (one, other) if one.process.pid == deliverer else (other, one)
        assert living.do("reason") == ""
        stopped.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: f"process {deliverer} on " in living.do("reason"))
        stopped.process.send_signal(signal.SIGCONT)
        wait_until(lambda: living.do("reason") == "")


def test_a_destination_without_a_deliverer_says_so(tmp_path: Path) -> None:
    with shop(tmp_path, "accepts") as accepting:
        assert accepting.do("reason") == "no process delivers to it now"


@pytest.mark.parametrize("shards", [1, 4])
def test_the_only_deliverer_delivers_what_others_have_just_committed_as_it_closes(
    tmp_path: Path, shards: int
) -> None:
    journal, accepts = Journal(tmp_path), Actor(tmp_path, delivers=False, shards=shards)
    for n in range(5):
        deliverer = Actor(tmp_path, shards=shards)
        accepts.do("push", user(n), {"n": n, "kind": "good"}, {"marketing": True})
        deliverer.close()
        came = {(line.destination, line.n) for line in journal.more() if line.what == "delivered"}
        assert came == {("all", n), ("asks", n)}
    accepts.kill()
