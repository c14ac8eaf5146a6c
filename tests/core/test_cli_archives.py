"""Compressed files of events."""

import gzip
import json
import random
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

from tests.core.cli_support import event, ndjson, numbers, objects, to_file, walker, write_flow
from walker_collector.cli.progress_line import BytesRead
from walker_collector.sources.file.lines import open_events, read_lines, read_so_far, size_of

Pack = Callable[[bytes], bytes]
PACKS = {"gz": gzip.compress, "zst": zstd.compress}
packed_by = pytest.mark.parametrize("kind", PACKS)


def write(folder: Path, kind: str, *parts: bytes) -> Path:
    """Write an archive of these parts, each packed by itself."""
    path = folder / f"events.ndjson.{kind}"
    path.write_bytes(b"".join(map(PACKS[kind], parts)))
    return path


def lines(*ns: int) -> bytes:
    return ndjson(event(n) for n in ns).encode()


@packed_by
def test_archive_of_several_parts_is_delivered(tmp_path: Path, kind: str) -> None:
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out")})
    result = walker("run", flow, write(tmp_path, kind, lines(0, 1), lines(2)))
    assert result.exit_code == 0, result.output
    assert numbers(tmp_path / "out") == [0, 1, 2]


@packed_by
def test_archive_is_known_by_its_content_and_simulated(tmp_path: Path, kind: str) -> None:
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out")})
    path = write(tmp_path, kind, lines(0)).rename(tmp_path / "events")
    result = walker("simulate", flow, path, "--json")
    assert [item["line"] for item in objects(result.stdout)] == [1]


@packed_by
def test_lines_before_the_cut_are_delivered_and_the_cut_is_named(tmp_path: Path, kind: str) -> None:
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out")})
    path = write(tmp_path, kind, lines(0, 1), noise())
    path.write_bytes(path.read_bytes()[:-5])
    result = walker("run", flow, path, "--json")
    assert result.exit_code == 1
    assert "ends too early: it was cut off" in result.stderr
    assert "Error: stopped after line 2: " in result.stderr
    assert json.loads(result.stdout)["complete"] is False
    assert numbers(tmp_path / "out") == [0, 1]


@packed_by
def test_dry_run_counts_the_lines_before_the_cut(tmp_path: Path, kind: str) -> None:
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out")})
    path = write(tmp_path, kind, lines(0, 1), noise())
    path.write_bytes(path.read_bytes()[:-50_000])
    result = walker("run", flow, path, "--dry-run", "--json")
    assert result.exit_code == 1
    assert "Error: stopped after 2 lines, and the figures end there: " in result.stderr
    assert "it was cut off" in result.stderr
    figures = json.loads(result.stdout)
    assert (figures["read"], figures["destinations"]["out"]["deliver"]) == (2, 2)


@packed_by
def test_damage_is_named(tmp_path: Path, kind: str) -> None:
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out")})
    path = write(tmp_path, kind, lines(0, 1), noise())
    packed = bytearray(path.read_bytes())
    packed[-2_000:-1_000] = bytes(1_000)
    path.write_bytes(packed)
    for command in ("run", "simulate"):
        result = walker(command, flow, path)
        assert result.exit_code == 1
        assert "is damaged here" in result.stderr
        assert "Traceback" not in result.stderr


def noise() -> bytes:
    """Return a line that does not get much smaller when it is packed."""
    return random.Random(1).randbytes(300_000).hex().encode() + b"\n"


def test_zstd_without_its_reader_is_refused_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out")})
    for name in ("backports.zstd", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delattr("backports.zstd")
    result = walker("run", flow, write(tmp_path, "zst", lines(0)))
    assert result.exit_code == 1
    assert "pip install 'walker-collector[zstd]'" in result.stderr


@packed_by
def test_memory_stays_small_and_progress_counts_bytes_of_the_archive(
    tmp_path: Path, kind: str
) -> None:
    path = write(tmp_path, kind, lines(0) * 100_000)
    shares = []
    with open_events(str(path)) as stream:
        read = BytesRead(size_of(stream))
        tracemalloc.start()
        for _ in read_lines(stream):
            read.count = read_so_far(stream)
            shares.append(read.share)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most < 3_000_000
    assert read.size == read.count == path.stat().st_size
    assert shares == sorted(shares)
