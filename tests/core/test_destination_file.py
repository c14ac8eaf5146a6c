"""The file destination: whole lines, shared by processes, rotated, and honest when it fails."""

import json
import stat
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.core.destination_harness import BASE, Harness
from tests.support import program, python
from walker_collector import ConfigError, DestinationDown, Rejected, RetryLater
from walker_collector.destinations.appender import Appender

Make = Callable[..., Harness]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.ndjson"


@pytest.fixture
def make(path: Path) -> Iterator[Make]:
    made: list[Harness] = []

    def one(**settings: Any) -> Harness:
        made.append(Harness("file", {"path": str(path), **settings}).init())
        return made[-1]

    yield one
    for harness in made:
        harness.shutdown()


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def push_numbers(file: Harness, *numbers: int) -> dict[int, Exception]:
    return file.push(*[file.item("a b", number) for number in numbers])


def test_each_event_is_a_line_in_order(make: Make, path: Path) -> None:
    file = make()
    assert file.push(file.item("a b", {"n": 1}), file.item("c d")) == {}
    assert push_numbers(file, 3) == {}
    assert lines(path) == [{"n": 1}, {**BASE, "name": "c d"}, 3]


def test_file_is_for_its_owner_only(make: Make, path: Path) -> None:
    make()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_was_there_is_kept(make: Make, path: Path) -> None:
    path.write_text("1\n")
    push_numbers(make(), 2)
    assert lines(path) == [1, 2]


def test_rule_that_skips_writes_nothing(make: Make, path: Path) -> None:
    file = make()
    skipped = file.item("a b", 1, skip=True)
    assert file.push(skipped, file.item("a b", 2)) == {}
    assert lines(path) == [2]
    assert file.simulate(skipped) == []


def test_event_that_is_no_json_is_rejected_alone(make: Make, path: Path) -> None:
    file = make()
    failures = file.push(file.item("a b", 2**70), file.item("a b", 2))
    assert isinstance(failures[0], Rejected)
    assert list(failures) == [0]
    assert lines(path) == [2]


def test_file_renamed_from_outside_is_begun_anew(make: Make, path: Path) -> None:
    file = make(fsync=True)
    push_numbers(file, 1)
    path.rename(path.with_suffix(".old"))
    push_numbers(file, 2)
    assert lines(path) == [2]


def test_line_that_another_writer_left_torn_is_ended_first(make: Make, path: Path) -> None:
    path.write_text('{"torn": ')
    push_numbers(make(), 1)
    assert path.read_text() == '{"torn": \n1\n'


def test_growing_file_is_rotated_and_the_oldest_deleted(make: Make, path: Path) -> None:
    file = make(maxBytes=4, keep=2)
    for number in range(1, 8):
        push_numbers(file, number)
    assert path.read_text() == "7\n"
    assert path.with_name("events.ndjson.1").read_text() == "5\n6\n"
    assert path.with_name("events.ndjson.2").read_text() == "3\n4\n"
    assert not path.with_name("events.ndjson.3").exists()


def test_batch_larger_than_a_file_is_spread_and_nothing_lost(make: Make, path: Path) -> None:
    file = make(maxBytes=6, keep=9)
    assert push_numbers(file, *range(10)) == {}
    files = [file for file in path.parent.iterdir() if file.suffix != ".lock"]
    assert sorted(number for file in files for number in lines(file)) == list(range(10))
    assert all(file.stat().st_size <= 6 for file in files)


def test_line_larger_than_the_limit_has_a_file_of_its_own(make: Make, path: Path) -> None:
    file = make(maxBytes=4)
    push_numbers(file, 1, 12345678, 2)
    assert lines(path) == [2]
    assert lines(path.with_name("events.ndjson.1")) == [12345678]


@pytest.mark.parametrize("settings", [{}, {"maxBytes": 2000, "keep": 99}])
def test_processes_share_a_file_without_mixing_or_losing_lines(
    make: Make, path: Path, settings: dict[str, Any]
) -> None:
    code = f"""
        import sys
        from tests.core.destination_harness import Harness
        file = Harness("file", {{"path": {str(path)!r}, **{settings!r}}}).init()
        for block in range(20):
            batch = [file.item("a b", [sys.argv[1], block, n, "x" * 50]) for n in range(10)]
            assert file.push(*batch) == {{}}
        file.shutdown()
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with ExitStack() as stack:
        writers = [
            stack.enter_context(program([*command, name], cwd=Path(__file__).parents[2]))
            for name in "abc"
        ]
        assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    files = [file for file in path.parent.iterdir() if file.suffix != ".lock"]
    found = [tuple(line[:3]) for file in files for line in lines(file)]
    assert sorted(found) == [(name, b, n) for name in "abc" for b in range(20) for n in range(10)]


# --- failures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [True, False], ids=["one writer", "writers of their own"])
def test_threads_that_write_at_once_leave_no_blank_or_half_line(path: Path, shared: bool) -> None:
    # Long blocks: one that is under way looks like a torn line, which the next would end.
    block = [json.dumps("x" * 100_000).encode() + b"\n"] * 3
    with ExitStack() as stack:

        def writer() -> Appender:
            made = Appender(str(path), max_bytes=None, keep=1, fsync=False)
            stack.callback(made.close)
            return made

        writers = [writer()] * 4 if shared else [writer() for _ in range(4)]
        with ThreadPoolExecutor(4) as threads:
            counts = list(threads.map(lambda one: [one.append(block) for _ in range(30)], writers))
    assert counts == [[3] * 30] * 4
    assert path.read_bytes().splitlines(keepends=True) == block * 120


def test_folder_that_is_not_there_stops_the_destination(tmp_path: Path) -> None:
    path = tmp_path / "none" / "events"
    with pytest.raises(DestinationDown) as caught:
        Harness("file", {"path": str(path)}).init()
    assert str(caught.value).startswith(f"{path}: No such file or directory; set path to a file")


def test_folder_that_vanishes_later_stops_the_destination(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    file = Harness("file", {"path": str(folder / "events")}).init()
    (folder / "events").unlink()
    folder.rmdir()
    with pytest.raises(DestinationDown, match="No such file"):
        push_numbers(file, 1)
    file.shutdown()


def test_full_disk_is_retried() -> None:
    file = Harness("file", {"path": "/dev/full"}).init()
    with pytest.raises(RetryLater, match="/dev/full: No space left on device"):
        push_numbers(file, 1)
    file.shutdown()


def test_disk_that_fills_within_a_batch_fails_only_what_was_not_written(path: Path) -> None:
    """The system takes a part of a write where a file reaches its size limit."""
    code = f"""
        import json, resource, signal
        from tests.core.destination_harness import Harness
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        file = Harness("file", {{"path": {str(path)!r}}}).init()
        resource.setrlimit(resource.RLIMIT_FSIZE, (7, resource.RLIM_INFINITY))
        first = file.push(*[file.item("a b", n) for n in (11, 22, 33, 44)])
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        second = file.push(*[file.item("a b", n) for n in (33, 44)])
        file.shutdown()
        print(json.dumps([[str(first[n]) for n in first], sorted(first), sorted(second)]))
    """
    result = python(code)
    reasons, first, second = json.loads(result.stdout)
    assert (first, second) == ([2, 3], [])
    assert reasons[0] == f"{path}: only a part of the events could be written"
    assert path.read_text() == "11\n22\n3\n33\n44\n"


def test_torn_line_of_another_writer_is_ended_although_the_file_was_open(
    make: Make, path: Path
) -> None:
    file = make()
    push_numbers(file, 1)
    with path.open("a") as other:
        other.write("2")
    push_numbers(file, 3)
    assert path.read_text() == "1\n2\n3\n"


def test_rotation_stops_where_the_disk_is_full(path: Path) -> None:
    code = f"""
        import resource, signal
        from tests.core.destination_harness import Harness
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        file = Harness("file", {{"path": {str(path)!r}, "maxBytes": 100}}).init()
        resource.setrlimit(resource.RLIMIT_FSIZE, (4, resource.RLIM_INFINITY))
        print(sorted(file.push(*[file.item("a b", n) for n in (11, 22, 33)])))
    """
    result = python(code)
    assert json.loads(result.stdout) == [1, 2]
    assert path.read_text() == "11\n"  # nobody else writes: the part of a line is taken back


def test_path_must_be_given_and_numbers_make_sense() -> None:
    with pytest.raises(ConfigError) as caught:
        Harness("file", {"path": "", "maxBytes": 0, "keep": 0})
    assert [str(problem) for problem in caught.value.problems] == [
        "destinations.d.config.settings.path: must not be empty",
        "destinations.d.config.settings.maxBytes: must be at least 1, got 0",
        "destinations.d.config.settings.keep: must be at least 1, got 0",
    ]


def test_simulation_touches_no_file(path: Path) -> None:
    file = Harness("file", {"path": str(path)})
    assert file.simulate(file.item("a b", 1)) == [["write", 1]]
    assert not path.exists()
