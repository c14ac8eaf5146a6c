"""The calls of hooks under way, as the files of their processes tell them."""

import threading
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from walker_collector.errors import SpoolError
from walker_collector.spool.processes.calls_file import (
    CallsFile,
    calls_under_way,
    forget_calls_of_others,
)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


def seen(spool: Path) -> list[tuple[str, int, str, list[int]]]:
    return sorted((*call[:3], [*call.people]) for call in calls_under_way(spool))


def test_calls_of_all_processes_are_seen_until_they_end(spool: Path) -> None:
    with closing(CallsFile(spool, "a")) as one, closing(CallsFile(spool, "b")) as other:
        one.begin(1, "crm", [7, 2**32 - 1])
        one.begin(2, "größe", [])
        other.begin(1, "crm", range(1_000))
        assert seen(spool) == [
            ("a", 1, "crm", [7, 2**32 - 1]),
            ("a", 2, "größe", []),
            ("b", 1, "crm", [*range(1_000)]),
        ]
        one.end([1, 5])
        other.end([1])
        assert seen(spool) == [("a", 2, "größe", [])]
    assert seen(spool) == []


def test_calls_of_a_killed_process_are_there_until_they_are_forgotten(spool: Path) -> None:
    killed = CallsFile(spool, "killed")
    killed.begin(1, "crm", [7])
    killed.abandon()  # as a kill does
    with closing(CallsFile(spool, "living")) as living:
        living.begin(1, "crm", [8])
        assert len(seen(spool)) == 2
        with ExitStack() as opened:

            def living_processes() -> set[str]:
                """One comes while they are looked for."""
                opened.enter_context(closing(CallsFile(spool, "new"))).begin(1, "crm", [9])
                return {"living"}

            forget_calls_of_others(spool, living_processes)
            assert seen(spool) == [("living", 1, "crm", [8]), ("new", 1, "crm", [9])]


def test_a_file_that_is_not_finished_tells_of_no_call(spool: Path) -> None:
    with closing(CallsFile(spool, "a")) as file:
        file.begin(1, "crm", [7])
        path = spool.with_name("spool.db.locks") / "a.calls"
        whole = path.read_bytes()
        for damaged in (b"", whole[:3], whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
            path.write_bytes(damaged)
            assert seen(spool) == []
        path.write_bytes(whole)
        assert len(seen(spool)) == 1


def test_a_call_that_cannot_be_written_is_not_noted(spool: Path) -> None:
    with closing(CallsFile(spool, "a")) as file:
        file.begin(1, "crm", [7])
        file.abandon()  # nothing can be written to it
        with pytest.raises(SpoolError):
            file.begin(2, "crm", [8])
        assert seen(spool) == [("a", 1, "crm", [7])]


def test_who_reads_while_it_is_written_sees_whole_calls(spool: Path) -> None:
    ended = threading.Event()

    def write() -> None:
        with closing(CallsFile(spool, "a")) as file:
            for number in range(300):
                file.begin(number, "crm", [number] * (1 + number * 7 % 900))
                file.end([number])
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not ended.is_set():  # bounded: the writer makes a number of calls
        for _, number, _, people in seen(spool):
            assert people == [number] * (1 + number * 7 % 900)
    writer.join(20)
