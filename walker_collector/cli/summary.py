"""Summary of a run: figures per destination, as a table and as JSON."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import attrs
from attrs import Factory, frozen

from walker_collector.cli.log_output import log_figures
from walker_collector.cli.output import print_table
from walker_collector.cli.streams import logs_json, say
from walker_collector.delivery.status import DestinationStatus
from walker_collector.spool import DeadLetter
from walker_collector.text import counted

_REASONS = 3
"""Reasons shown per destination."""
_OF_READING = ("read", "accepted", "passed", "left_out", "commands", "bad", "bad_lines", "complete")
_COLUMNS = ("delivered", "held", "ignored", "dead", "dropped", "waiting")
_SELDOM = ("empty", "lost", "dead_dropped", "unrecorded")
"""Columns shown only if one of their figures is not zero."""


@frozen(kw_only=True)
class DestinationSummary:
    """Figures of one destination since the run began.

    empty: events that asked nothing of the destination. dead: new dead letters. dead_dropped: dead
    letters deleted for more than `dlqMax`. waiting: undelivered events, for `reason` if there is
    one. lost: the same without a spool, where nothing keeps them. unrecorded: finished events that
    the spool could not record; the next run repeats them.
    """

    delivered: int = 0
    held: int = 0
    ignored: int = 0
    empty: int = 0
    dead: int = 0
    dropped: int = 0
    waiting: int = 0
    lost: int = 0
    dead_dropped: int = 0
    unrecorded: int = 0
    reason: str = ""

    def plus(self, other: Self) -> Self:
        """Return the figures of both: those of two processes of one run."""
        names = [item.name for item in attrs.fields(type(self)) if item.name != "reason"]
        sums = {name: getattr(self, name) + getattr(other, name) for name in names}
        return attrs.evolve(self, reason=self.reason or other.reason, **sums)

    def as_lost(self) -> Self:
        """Return the figures of a run without a spool: waiting events are lost."""
        return attrs.evolve(self, waiting=0, lost=self.waiting)


@frozen(kw_only=True)
class Summary:
    """Figures of a run. `signal` names the signal that ended it, `bad_lines` has line numbers.

    passed: lines before those read, which an earlier run has accepted. left_out: events that
    --since, --until and --only leave out.
    """

    read: int = 0
    accepted: int = 0
    passed: int = 0
    left_out: int = 0
    commands: int = 0
    bad: int = 0
    bad_lines: Sequence[int] = ()
    complete: bool = True
    signal: str | None = None
    destinations: Mapping[str, DestinationSummary] = Factory(dict)

    @property
    def not_accepted(self) -> int:
        """Return how many good events were read and found no room, or a signal came first."""
        known = self.accepted + self.left_out + self.commands + self.bad
        return max(0, self.read - known)

    @property
    def ok(self) -> bool:
        """Return whether every line was good, and every event delivered, held or ignored."""
        unfinished = any(
            item.dead or item.waiting or item.lost or item.unrecorded
            for item in self.destinations.values()
        )
        return self.complete and not self.bad and not unfinished

    def as_json(self, reading: bool = True) -> dict[str, Any]:
        """Return the figures for --json; without those of reading for a run that read nothing."""
        found = attrs.asdict(self)
        return {key: found[key] for key in found if reading or key not in _OF_READING}


class Death(NamedTuple):
    """A dead letter, as far as a summary needs it."""

    destination: str
    reason: str


def summarise(status: DestinationStatus) -> DestinationSummary:
    """Return the figures of one destination."""
    return DestinationSummary(
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
    if logs_json():
        for id_, item in summary.destinations.items():
            log_figures("summary of a destination", {"destination": id_, **attrs.asdict(item)})
        log_figures("summary", {key: getattr(summary, key) for key in _OF_READING})
        return
    if summary.read:
        parts = [f"{summary.read:,} read", f"{summary.accepted:,} accepted"]
        parts += [f"{summary.not_accepted:,} not accepted"] if summary.not_accepted else []
        parts += [f"{summary.left_out:,} left out"] if summary.left_out else []
        parts += [counted(summary.commands, "command")] if summary.commands else []
        parts += [f"{summary.bad:,} bad"] if summary.bad else []
        say(", ".join(parts), err=True)
    figures = {id_: attrs.asdict(item) for id_, item in summary.destinations.items()}
    seldom = [column for column in _SELDOM if any(item[column] for item in figures.values())]
    columns = [*_COLUMNS, *seldom]
    print_table(
        ["destination", *(column.replace("_", " ") for column in columns)],
        [[id_, *(item[column] for column in columns)] for id_, item in figures.items()],
        err=True,
    )


def print_reasons(letters: Iterable[DeadLetter | Death], hint: str, *, everything: bool) -> None:
    """Print the reasons of dead letters on stderr, the most frequent ones of each destination.

    `hint` tells how to see the others; `everything` prints all.
    """
    by_destination: dict[str, Counter[str]] = {}
    for letter in letters:
        by_destination.setdefault(letter.destination, Counter())[letter.reason] += 1
    for destination, reasons in by_destination.items():
        shown = reasons.most_common(None if everything else _REASONS)
        for reason, count in shown:
            _warn(destination, f"{count:,} dead: {reason}")
        if more := len(reasons) - len(shown):
            _warn(destination, f"{counted(more, 'more reason')}; {hint}")


def _warn(destination: str, text: str) -> None:
    say(f"warning: {destination}: {text}", err=True, fields={"destination": destination})
