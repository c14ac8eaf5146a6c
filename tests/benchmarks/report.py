"""What was measured, as tables to read and as JSON to compare."""

import json
import os
import platform
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from attrs import asdict, field, frozen
from rich.console import Console
from rich.table import Table as RichTable

RESULTS = Path(__file__).parent / "results"


@frozen
class Goal:
    """What a figure should be, and what it is."""

    name: str
    wanted: str
    measured: str
    met: bool


@frozen
class Report:
    """A table of figures with what they are for; numbers stay numbers in the JSON."""

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    goals: Sequence[Goal] = ()
    notes: Sequence[str] = field(factory=tuple)


def show(report: Report, console: Console) -> None:
    """Print the table, its notes, and which goals are met."""
    table = RichTable(title=report.title, title_justify="left")
    for at, column in enumerate(report.columns):
        table.add_column(column, justify="right" if at else "left")
    for row in report.rows:
        table.add_row(*map(_cell, row))
    console.print(table)
    for goal in report.goals:
        verdict = "met" if goal.met else "not met"
        console.print(f"  goal: {goal.name}: {goal.wanted}; measured {goal.measured}: {verdict}")
    for note in report.notes:
        console.print(f"  {note}")
    console.print()


def write(reports: Iterable[Report], folder: Path = RESULTS) -> Path:
    """Write the reports as JSON, with the machine they were measured on; return the file."""
    folder.mkdir(exist_ok=True)
    path = folder / "latest.json"
    content = {"machine": machine(), "reports": [asdict(report) for report in reports]}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def machine() -> dict[str, Any]:
    """Return what decides on all figures: the interpreter, its machine, and how quick both are."""
    return {
        "python": platform.python_version(),
        "executable": os.path.realpath(sys.executable),
        "system": platform.platform(terse=True),
        "cores": os.cpu_count(),
        "ms for 1,000,000 additions": round(min(_additions() for _ in range(5)) * 1000, 1),
    }


def _additions() -> float:
    began, total = time.perf_counter(), 0
    for number in range(1_000_000):
        total += number
    return time.perf_counter() - began


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
