"""Several shards: the people of a spool are delivered by several processes at once, in order."""

import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.core.processes.shop import Shop, calls_under_way, delivered, shop
from tests.forms import form
from tests.support import wait_until

SHARDS = "8"
YES = True


def user(name: str) -> dict[str, str]:
    return {"id": name}


def until_delivered(folder: Path, count: int) -> None:
    wait_until(
        lambda: len(delivered(folder)) >= count, f"{count}, not {len(delivered(folder))} deliveries"
    )


def began(folder: Path) -> list[str]:
    path = folder / "began"
    return path.read_text().splitlines() if path.exists() else []


def numbers(folder: Path, *names: str) -> list[int]:
    """Return the numbers that were delivered to a person, known by these names."""
    return [n for _, person, n in delivered(folder) if person in names]


@contextmanager
def sharing(folder: Path, *options: str) -> Iterator[tuple[Shop, Shop, dict[int, list[str]]]]:
    """Start two processes that share the people; yield the names of some that each delivers to.

    There are forty, u0 to u39, with a session of the same name, s0 to s39, each its own person.
    """
    with shop(folder, SHARDS, *options) as one, shop(folder, SHARDS, *options) as other:
        names = [f"{kind}{n}" for kind in "us" for n in range(40)]
        people = [user(name) if name[0] == "u" else {"session": name} for name in names]
        one.do("consent", *[[person, YES] for person in people])
        pids = {one.process.pid, other.process.pid}
        turn = 1_000  # such numbers are of no test

        def is_shared() -> bool:
            nonlocal turn
            (folder / "out").unlink(missing_ok=True)
            turn += 1
            one.do("push", *[[person, turn] for person in people])
            until_delivered(folder, len(people))
            return {pid for pid, _, _ in delivered(folder)} == pids

        wait_until(is_shared)
        wait_until(is_shared)  # the last lease may just have moved
        found: dict[int, list[str]] = defaultdict(list)
        for pid, name, _ in delivered(folder):
            found[pid].append(name)
        (folder / "out").unlink()
        (folder / "began").unlink()
        # Who is stopped with a call under way keeps the others from its people.
        wait_until(lambda: calls_under_way(folder) == 0)
        yield one, other, found


def stop(item: Shop) -> None:
    """Stop a process; its threads go on for a moment after the signal was sent."""
    item.process.send_signal(signal.SIGSTOP)
    options = os.WSTOPPED | os.WNOWAIT | os.WNOHANG
    wait_until(lambda: os.waitid(os.P_PID, item.process.pid, options))


def first(names: list[str], kind: str) -> str:
    return next(name for name in names if name[0] == kind)


def test_every_process_delivers_the_people_of_its_shards(tmp_path: Path) -> None:
    with sharing(tmp_path) as (one, other, found):
        assert sorted(len(names) > 20 for names in found.values()) == [True, True]
        names = [f"u{n}" for n in range(40)]
        for n in range(10):
            shop = (one, other)[n % 2]
            shop.do("push", *[[user(name), n] for name in names])
        until_delivered(tmp_path, 400)
        assert all(numbers(tmp_path, name) == list(range(10)) for name in names)
        by = {(pid, name) for pid, name, _ in delivered(tmp_path)}
        assert by == {(pid, name) for pid, all_ in found.items() for name in all_ if name[0] == "u"}
        assert one.do("flush", 20)
        assert other.do("flush", 20)
        assert one.do("status") == other.do("status") == {"waiting": 0, "held": 0, "dead": 0}


def test_a_call_for_a_session_ends_before_another_process_goes_on_with_its_person(
    tmp_path: Path,
) -> None:
    with sharing(tmp_path) as (one, other, found):
        mine, others = found[one.process.pid], found[other.process.pid]
        session, person = first(mine, "s"), first(others, "u")
        bystander = next(name for name in others if name[0] == "u" and name != person)
        (tmp_path / f"slow.{session}").touch()
        one.do("push", [{"session": session}, 0], [{"session": session}, 1])
        wait_until(lambda: f"{session} 0" in began(tmp_path))
        other.do("push", [{"session": session, "id": person}, 2], [user(bystander), 0])
        wait_until(lambda: numbers(tmp_path, bystander) == [0])
        assert not any(line.startswith(person) for line in began(tmp_path))
        (tmp_path / f"slow.{session}").unlink()
        until_delivered(tmp_path, 4)
        assert numbers(tmp_path, session, person) == [0, 1, 2]


def test_waiting_events_of_a_session_move_to_the_process_of_its_person(tmp_path: Path) -> None:
    with sharing(tmp_path) as (one, other, found):
        session = first(found[one.process.pid], "s")
        person = first(found[other.process.pid], "u")
        stop(one)
        other.do("push", *[[{"session": session}, n] for n in range(5)])
        other.do("push", [{"session": session, "id": person}, 5])
        until_delivered(tmp_path, 6)
        assert numbers(tmp_path, session, person) == list(range(6))
        assert {pid for pid, _, _ in delivered(tmp_path)} == {other.process.pid}
        one.process.send_signal(signal.SIGCONT)
        one.do("push", [{"session": session}, 6], [user(person), 7])
        until_delivered(tmp_path, 8)
        assert numbers(tmp_path, session, person) == list(range(8))


def test_held_events_of_a_session_move_to_the_process_of_its_person(tmp_path: Path) -> None:
    with sharing(tmp_path) as (one, other, found):
        session = first(found[one.process.pid], "s")
        person = first(found[other.process.pid], "u")
        one.do("consent", [{"session": session}, False], [user(person), False])
        assert one.do("push", *[[{"session": session}, n] for n in range(3)]) == ["held"] * 3
        assert one.do("push", [{"session": session, "id": person}, 3]) == ["held"]
        wait_until(lambda: other.do("status")["held"] == 4)
        one.do("consent", [user(person), YES])
        until_delivered(tmp_path, 4)
        assert numbers(tmp_path, session, person) == list(range(4))
        assert {pid for pid, _, _ in delivered(tmp_path)} == {other.process.pid}


@pytest.mark.parametrize("how", [signal.SIGKILL, None], ids=["killed", "closed"])
def test_the_people_of_a_process_that_ends_are_taken_over(
    tmp_path: Path, how: signal.Signals | None
) -> None:
    with sharing(tmp_path) as (one, other, _):
        names = [f"u{n}" for n in range(40)]
        if how is None:
            one.process.communicate(timeout=20)
        else:
            one.process.send_signal(how)
            one.process.wait(timeout=20)
        for n in range(3):
            other.do("push", *[[user(name), n] for name in names])
        began_at = time.monotonic()
        # What the killed process had not recorded yet is delivered again.
        wait_until(
            lambda: all(
                [n for n in numbers(tmp_path, name) if n < 1_000] == [0, 1, 2] for name in names
            )
        )
        assert time.monotonic() - began_at < 2


def test_a_person_is_forgotten_wherever_they_are_delivered(tmp_path: Path) -> None:
    with sharing(tmp_path) as (one, other, found):
        names = [first(found[shop.process.pid], "u") for shop in (one, other)]
        one.do("consent", *[[user(name), False] for name in names])
        other.do("push", *[[user(name), n] for n in range(3) for name in names])
        for name in names:
            assert one.do("forget", user(name)) == 3
        for shop in (one, other):
            wait_until(lambda shop=shop: shop.do("status")["held"] == 0)  # type: ignore[misc]
        assert one.do("flush", 20)
        one.do("consent", *[[user(name), YES] for name in names])
        one.do("push", *[[user(name), 3] for name in names])
        until_delivered(tmp_path, 2)
        assert [n for _, _, n in delivered(tmp_path)] == [3, 3]


def test_dead_letters_are_replayed_by_the_processes_of_their_people(tmp_path: Path) -> None:
    with sharing(tmp_path) as (one, other, found):
        names = [first(found[shop.process.pid], "u") for shop in (one, other)]
        (tmp_path / "refused").touch()
        one.do("push", *[[user(name), n] for n in range(3) for name in names])
        for shop in (one, other):
            wait_until(lambda shop=shop: shop.do("status")["dead"] == 6)  # type: ignore[misc]
        (tmp_path / "refused").unlink()
        assert one.do("replay") == 6
        until_delivered(tmp_path, 6)
        by = {pid: {name for at, name, _ in delivered(tmp_path) if at == pid} for pid in found}
        assert [by[shop.process.pid] for shop in (one, other)] == [{names[0]}, {names[1]}]
        wait_until(lambda: one.do("status") == {"waiting": 0, "held": 0, "dead": 0})


def test_processes_keep_to_a_rate_limit_together(tmp_path: Path) -> None:
    with sharing(tmp_path, "limited") as (one, other, _):
        names, began_at = [f"u{n}" for n in range(40)], time.monotonic()
        for n in range(5):
            (one, other)[n % 2].do("push", *[[user(name), n] for name in names])
        until_delivered(tmp_path, 200)
        assert time.monotonic() - began_at > 1.7  # a bit less for the first burst of each
        assert {pid for pid, _, _ in delivered(tmp_path)} == {one.process.pid, other.process.pid}


@pytest.mark.long
def test_events_of_sessions_that_become_people_arrive_in_order_while_processes_come_and_go(
    tmp_path: Path,
) -> None:
    """Each visitor's events are pushed one after the other, by any process; halfway they log in."""
    choose = random.Random(1)
    visitors, count = 30, form(12, 60)
    with ExitStack() as stack:
        shops = [stack.enter_context(shop(tmp_path, SHARDS)) for _ in range(3)]
        for visitor in range(visitors):
            for name in ({"session": f"s{visitor}"}, {"id": f"u{visitor}"}):
                shops[0].do("consent", [name, YES])
        for n in range(count):
            if n % 6 == 5:
                dying = choose.randrange(3)
                shops[dying].process.send_signal(signal.SIGKILL)
                shops[dying].process.wait(timeout=20)
                shops[dying] = stack.enter_context(shop(tmp_path, SHARDS))
            for visitor in choose.sample(range(visitors), visitors):
                who = {"session": f"s{visitor}"}
                if n >= count // 2 + visitor % 5:
                    who["id"] = f"u{visitor}"
                choose.choice(shops).do("push", [who, n])
        for item in shops:
            assert item.do("flush", 60)
    found: dict[int, list[int]] = defaultdict(list)
    for _, name, n in delivered(tmp_path):
        if n not in found[int(name[1:])]:  # the calls of a killed process are made again
            found[int(name[1:])].append(n)
    assert found == {visitor: list(range(count)) for visitor in range(visitors)}
