"""The screen of `walker top`: tables of destinations and live events, within a terminal's width."""

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from walker_collector.cli.folding import cells, columns_of
from walker_collector.cli.output import duration, outbox_line
from walker_collector.cli.streams import say
from walker_collector.text import counted, harmless, visible

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

View = Mapping[str, Any]
_WIDE: Final = 200
"""Columns where the output is no terminal."""
_SAMPLES: Final = 200
_GAP: Final = 3
"""Columns between two of a table."""
_LIVE: Final = 10
"""Live events that are printed once."""
_DUMB: Final = frozenset({"dumb", "unknown"})
_COLORS: Final = {
    "ready": "green",
    "idle": "dim",
    "failing": "red",
    "down": "red",
    "stopped": "red",
    "unattended": "yellow",
    "delivered": "green",
    "held": "yellow",
    "retry": "yellow",
    "waiting": "yellow",
    "dead": "red",
}
_SHORT: Final = ((10**9, 10**9, "G"), (10**6, 10**6, "M"), (10**4, 10**3, "k"))
"""Numbers from the first on are shown in units of the second."""


def is_screen() -> bool:
    """Return whether the output is a terminal that can be painted."""
    return columns_of(sys.stdout) is not None and os.environ.get("TERM", "dumb") not in _DUMB


def show(look: Callable[[], View], interval: float) -> None:
    """Paint the views that `look` returns, every `interval` s, until Ctrl-C."""
    from rich.console import Console  # here, as most commands paint nothing
    from rich.live import Live

    console = Console(color_system=None if os.environ.get("NO_COLOR") else "auto")
    samples: deque[View] = deque(maxlen=_SAMPLES)

    def painted() -> "RenderableType":
        view = look()
        samples.extend(view["live"])
        return _screen({**view, "live": [*samples]}, *console.size)

    with Live(painted(), console=console, screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            live.update(painted(), refresh=True)


def print_view(view: View) -> None:
    """Print a view once."""
    from rich.console import Console

    say(f"{_heading(view)}   {view['spool']}")
    for line in _notes(view):
        say(line)
    columns = columns_of(sys.stdout)
    console = Console(
        file=sys.stdout,
        width=columns or _WIDE,
        height=25,  # with it rich takes the width for a dumb terminal too
        color_system=None if os.environ.get("NO_COLOR") else "auto",
    )
    if view["sources"]:
        console.print(_sources(view["sources"], console.width))
        say("")
    if view["destinations"]:
        console.print(_destinations(view["destinations"], console.width))
    for line in _reasons(view):
        say(line)
    if view["live"]:
        say("")
        console.print(_live_events(view["live"][-_LIVE:], console.width))


def _screen(view: View, columns: int, rows: int) -> "RenderableType":
    """Return a screen of this size: the latest events take the rows that are left."""
    from rich.console import Group
    from rich.text import Text

    heading = Text(f"{_heading(view)}   Ctrl-C ends", no_wrap=True, overflow="ellipsis")
    heading.append(f"   {_clean(view['spool'])}", "dim")
    texts = [Text(line, no_wrap=True, overflow="ellipsis") for line in _notes(view)]
    reasons = [Text(line, style="yellow") for line in _reasons(view)]
    sources: list[RenderableType] = []
    if view["sources"]:
        sources = [_sources(view["sources"], columns), Text("")]
    taken = 1 + len(texts) + 2 + len(view["destinations"])
    taken += len(view["sources"]) + 3 if sources else 0
    taken += sum(1 + len(text.plain) // max(1, columns) for text in reasons)
    room = rows - taken - 4
    parts: list[RenderableType] = [
        heading,
        *texts,
        *sources,
        _destinations(view["destinations"], columns),
        *reasons,
    ]
    if room > 0:
        latest = view["live"][-room:]
        parts += [
            Text(""),
            _live_events(latest, columns) if latest else Text("no events just now", "dim"),
        ]
    return Group(*parts)


def _heading(view: View) -> str:
    at = time.strftime("%H:%M:%S", time.localtime(view["at"] / 1000))
    return f"{at}   {counted(len(view['processes']), 'process')}"


def _notes(view: View) -> Iterable[str]:
    if view["note"]:
        yield _clean(view["note"])
    if view["full"]:
        yield f"{_clean(view['full'])}; new events are refused until some have left"
    if (outbox := view["outbox"]) and outbox["waiting"]:
        yield outbox_line(outbox["waiting"], outbox["oldestAge"] / 1000, outbox["reason"])


def _reasons(view: View) -> Iterable[str]:
    """Yield the trouble of each destination, and the remedy."""
    for item in view["destinations"]:
        if item["reason"]:
            hint = f". {item['hint'][0].upper()}{item['hint'][1:]}" if item["hint"] else ""
            yield _clean(f"{item['id']}: {item['reason']}{hint}")


def _destinations(found: Iterable[View], columns: int) -> "Table":
    """Return the table of destinations; on a narrow terminal it lacks some figures, no name."""
    numbers = ("in/s", "out/s", "call", "waiting", "oldest", "held", "dead")
    rows = [
        (
            item["id"],
            item["state"],
            _rate(item, "accepted"),
            _rate(item, "delivered"),
            f"{item['call']:.0f} ms" if item["call"] else "",
            _short(item["waiting"]),
            duration(item["oldestAge"] / 1000) if item["oldestAge"] else "",
            _short(item["held"]),
            _short(item["dead"]),
        )
        for item in found
    ]
    return _table(
        ("destination", "state", *numbers),
        rows,
        columns,
        numbers=numbers,
        least={"destination": 14},
        drops=("call", "in/s", "oldest", "out/s", "held", "waiting", "dead"),
    )


def _sources(found: Iterable[View], columns: int) -> "Table":
    """Return the table of sources; the columns of topics are left empty for others."""
    numbers = ("in/s", "refused", "partitions", "lag", "bad")
    rows = [
        (
            item["id"],
            _rate(item, "accepted"),
            _short(sum(item["refused"].values())),
            str(item["partitions"] or ""),
            _short(sum(item["lag"].values())) if item["lag"] else "",
            _short(item["bad"]) if item["bad"] else "",
        )
        for item in found
    ]
    return _table(
        ("source", *numbers),
        rows,
        columns,
        numbers=numbers,
        least={"source": 14},
        drops=("bad", "refused", "partitions", "in/s", "lag"),
    )


def _live_events(found: Iterable[View], columns: int) -> "Table":
    rows = [
        (
            time.strftime("%H:%M:%S", time.localtime(item["at"] / 1000)),
            item["outcome"],
            item["destination"],
            item["event"],
            ("~" if item["claimed"] else "") + item["person"],
            _why(item),
        )
        for item in found
    ]
    names = ("time", "outcome", "destination", "event", "person", "why")
    return _table(
        names,
        rows,
        columns,
        least={"event": 14, "why": 8, "destination": 8, "person": 8},
        drops=("time", "person", "why", "destination"),
    )


def _why(sample: View) -> str:
    missing = sample["missing"]
    if missing and missing["required"]:
        word = " and " if missing["mode"] == "all" else " or "
        return f"needs {word.join(missing['required'])}"
    return str(sample["reason"])


def _table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    columns: int,
    *,
    numbers: Sequence[str] = (),
    least: Mapping[str, int],
    drops: Sequence[str],
) -> "Table":
    """Return a table for a terminal with so many columns.

    least: those of its columns that are cut off at need, the first one last, each to this width.
    drops: those that are left out where even that does not fit, in this order.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    rows = [[_clean(text) for text in row] for row in rows]
    full = {
        header: max(map(cells, (header, *(row[at] for row in rows))))
        for at, header in enumerate(headers)
    }
    widths = _fitting(full, least, drops, columns)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for header, width in widths.items():
        justify: Literal["left", "right"] = "right" if header in numbers else "left"
        table.add_column(header, justify=justify, no_wrap=True, width=width)
    for row in rows:
        texts = [
            Text(
                text,
                style=_COLORS.get(text, "") if header in ("state", "outcome") else "",
                no_wrap=True,
                overflow="ellipsis",
            )
            for header, text in zip(headers, row, strict=True)
            if header in widths
        ]
        table.add_row(*texts)
    return table


def _fitting(
    full: Mapping[str, int], least: Mapping[str, int], drops: Sequence[str], columns: int
) -> dict[str, int]:
    """Return the widths of the columns of a table that fits; `full`: those that they could have."""
    widths = {header: min(width, least.get(header, width)) for header, width in full.items()}

    def room() -> int:
        return columns - sum(widths.values()) - _GAP * (len(widths) - 1)

    for header in drops:
        if room() < 0:
            del widths[header]
    for header in least:
        if header in widths:
            widths[header] += max(0, min(full[header] - widths[header], room()))
    return widths


def _rate(item: View, figure: str) -> str:
    rates = item["rates"]
    if rates is None:
        return ""
    value = float(rates[figure])
    return _short(round(value)) if value >= 10 else f"{value:.1f}"


def _short(number: int) -> str:
    for least, unit, sign in _SHORT:
        if number >= least:
            return f"{number / unit:.1f}{sign}"
    return f"{number:,}"


def _clean(text: str) -> str:
    return harmless(visible(str(text)))
