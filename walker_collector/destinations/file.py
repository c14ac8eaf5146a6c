"""Events in a file: one JSON line each, safe to share between processes."""

import errno
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from attrs import field, frozen

from walker_collector.clients import at_least, filled
from walker_collector.destinations.appender import Appender
from walker_collector.destinations.payload import payload, skipped, to_json
from walker_collector.destinations.walkeros import FILE, LinesSettings
from walker_collector.errors import DestinationDown, Rejected, RetryLater
from walker_collector.hookspecs import Context, Event, Item, PushContext, Rule, hookimpl

_PASSING = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EAGAIN, errno.EMFILE, errno.ENFILE}
)


@frozen(kw_only=True)
class FileSettings:
    """Where events are written.

    path: the file; its folder must exist. It is made readable for its owner only.
    format: `ndjson`, one JSON value per line.
    max_bytes: a file that would grow beyond is renamed to `PATH.1`, that to `PATH.2`, and so on.
    keep: how many renamed files stay; the oldest is deleted.
    fsync: wait for the disk after every write; safe against a loss of power, and slow.
    """

    path: str = field(validator=filled)
    format: Literal["ndjson"] = "ndjson"
    max_bytes: int | None = field(default=None, validator=at_least(1))
    keep: int = field(default=5, validator=at_least(1))
    fsync: bool = False


class _Lines:
    """Appends one line per event, in order."""

    rule_settings: ClassVar = None
    concurrency: ClassVar = 1
    batch_size: ClassVar = 1000

    _appender: Appender

    @hookimpl
    def init(self, context: Context) -> None:
        self._open(context)

    def _open(self, context: Context) -> None:
        settings = context.settings
        self._appender = Appender(
            settings.path, max_bytes=settings.max_bytes, keep=settings.keep, fsync=settings.fsync
        )
        try:
            self._appender.open()
        except OSError as error:
            raise _failure(error, settings.path) from None

    @hookimpl
    def push_batch(self, batch: Sequence[Item], context: Context) -> Mapping[int, Exception]:
        lines, failures = self._lines(batch, context)
        try:
            written = self._appender.append(list(lines.values()))
        except OSError as error:
            raise _failure(error, context.settings.path) from None
        late = RetryLater(f"{context.settings.path}: the disk took only a part of the events")
        return failures | dict.fromkeys(list(lines)[written:], late)

    @hookimpl
    def shutdown(self, context: Context) -> None:
        self._appender.close()

    def simulate(
        self, event: Event, data: Any, rule: Rule | None, context: PushContext
    ) -> list[list[Any]]:
        return [] if skipped(rule) else [["write", payload(event, data)]]

    def _lines(
        self, batch: Sequence[Item], context: Context
    ) -> tuple[dict[int, bytes], dict[int, Exception]]:
        """Return the line of each event by its index, and what cannot be a line."""
        lines: dict[int, bytes] = {}
        failures: dict[int, Exception] = {}
        for index, item in enumerate(batch):
            if skipped(item.rule):
                continue
            try:
                lines[index] = self._line(item, context)
            except Rejected as error:
                failures[index] = error
        return lines, failures

    def _line(self, item: Item, context: Context) -> bytes:
        return to_json(payload(item.event, item.data)) + b"\n"


class WalkerosFile(_Lines):
    """walkerOS's `server-destination-file`: one line per event, whatever the mapping made of it."""

    settings: ClassVar = LinesSettings

    @hookimpl
    def init(self, context: Context) -> None:
        try:
            Path(context.settings.path).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _failure(error, context.settings.path) from None
        self._open(context)

    def simulate(
        self, event: Event, data: Any, rule: Rule | None, context: PushContext
    ) -> list[list[Any]]:
        return [] if skipped(rule) else [["write", event]]

    def _line(self, item: Item, context: Context) -> bytes:
        settings: LinesSettings = context.settings
        return settings.line(item.event)


class FileDestination(_Lines):
    """Appends one JSON line per event, in order."""

    settings: ClassVar = FileSettings
    aliases: ClassVar = {FILE: WalkerosFile}


def _failure(error: OSError, path: str) -> Exception:
    """Return what a failed write means: space may come back; rights and folders need a person."""
    reason = f"{path}: {error.strerror}"
    if error.errno in _PASSING:
        return RetryLater(reason)
    return DestinationDown(f"{reason}; give it a path in a folder that this process may write to")
