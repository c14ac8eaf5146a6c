"""What a run came to: figures per destination, for people and for programs."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import click
from attrs import Factory, frozen

from walker_collector.cli.output import counted, print_table, printable
from walker_collector.delivery import DestinationStatus
from walker_collector.spool import DeadLetter

_REASONS = 3
_OF_READING = ("read", "accepted", "commands", "bad", "bad_lines", "complete")


@frozen(kw_only=True)
class Figures:
    """What became of the events at one destination, since the command began.

    empty: nothing was asked of the destination. dead: dead letters that came; dead_dropped: those
    beyond `dlqMax`, which are gone. waiting: undelivered, for `reason` where there is one.
    unrecorded: done, but the spool could not be told; the next run delivers them again.
    """

    delivered: int = 0
    held: int = 0
    ignored: int = 0
    empty: int = 0
    dead: int = 0
    dropped: int = 0
    waiting: int = 0
    dead_dropped: int = 0
    unrecorded: int = 0
    reason: str = ""


@frozen(kw_only=True)
class Summary:
    """The figures of a run; `signal` is what ended it early, `bad_lines` the numbers of lines."""

    read: int = 0
    accepted: int = 0
    commands: int = 0
    bad: int = 0
    bad_lines: Sequence[int] = ()
    complete: bool = True
    signal: str | None = None
    destinations: Mapping[str, Figures] = Factory(dict)

    @property
    def ok(self) -> bool:
        """Whether everything read is an event, and delivered, held or left out on purpose."""
        undone = any(
            item.dead or item.waiting or item.unrecorded for item in self.destinations.values()
        )
        return self.complete and not self.bad and not undone

    def as_json(self, reading: bool = True) -> dict[str, Any]:
        """Return the figures under JSON's names, without those of the reading where none was."""
        found = attrs.asdict(self)
        return {key: found[key] for key in found if reading or key not in _OF_READING}


def figures(status: DestinationStatus) -> Figures:
    """Return one destination's figures."""
    return Figures(
        delivered=status.delivered,
        held=status.held,
        ignored=status.ignored,
        empty=status.empty,
        dead=max(0, status.died - status.requeued),
        dropped=status.dropped,
        waiting=status.waiting,
        dead_dropped=status.dead_dropped,
        unrecorded=status.unrecorded,
        reason=status.reason,
    )


def print_summary(summary: Summary) -> None:
    """Print the figures on stderr: stdout may belong to a destination."""
    if summary.read:
        parts = [f"{summary.read:,} read", f"{summary.accepted:,} accepted"]
        parts += [counted(summary.commands, "command")] if summary.commands else []
        parts += [f"{summary.bad:,} bad"] if summary.bad else []
        click.echo(", ".join(parts), err=True)
    columns = ["delivered", "held", "ignored", "dead", "dropped", "waiting"]
    # Mostly there are none: a device without a token, dead letters beyond `dlqMax`, a full disk.
    columns += [
        column
        for column in ("empty", "dead_dropped", "unrecorded")
        if any(getattr(item, column) for item in summary.destinations.values())
    ]
    rows = [
        [id_, *(getattr(item, column) for column in columns)]
        for id_, item in summary.destinations.items()
    ]
    print_table(["destination", *(column.replace("_", " ") for column in columns)], rows, err=True)


def print_reasons(letters: Iterable[DeadLetter], hint: str, *, everything: bool) -> None:
    """Say on stderr why there are dead letters: the most frequent reasons of each destination,
    or all of them; how to see the others is `hint`.
    """
    by_destination: dict[str, Counter[str]] = {}
    for letter in letters:
        by_destination.setdefault(letter.destination, Counter())[letter.reason] += 1
    for destination, reasons in by_destination.items():
        shown = reasons.most_common(None if everything else _REASONS)
        for reason, count in shown:
            click.echo(f"{destination}: {count:,} dead: {printable(reason)}", err=True)
        if more := len(reasons) - len(shown):
            click.echo(f"{destination}: {counted(more, 'more reason')}; {hint}", err=True)
