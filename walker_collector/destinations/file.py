"""Events in a file that several processes may share: one JSON line each."""

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from attrs import field, frozen

from walker_collector.clients import at_least, filled
from walker_collector.destinations.appender import Appender
from walker_collector.destinations.payload import is_skipped, payload, to_json
from walker_collector.destinations.walkeros_settings import FILE, LinesSettings
from walker_collector.errors import DestinationDown, Rejected, RetryLater
from walker_collector.hookspecs import Context, Event, Item, PushContext, Rule, hookimpl
from walker_collector.validators import names_file

_TRANSIENT = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EAGAIN, errno.EMFILE, errno.ENFILE}
)


@frozen(kw_only=True)
class FileSettings:
    """Settings of the file destination.

    path: the file; its folder must exist. A new file is readable by its owner only.
    format: `ndjson` is one JSON value per line.
    max_bytes: a file that would have more bytes becomes `PATH.1`, and `PATH.1` `PATH.2`, and so on.
    keep: so many renamed files are kept; older ones are deleted.
    fsync: true waits for the disk after every write; safe against power loss, but slow.
    """

    path: str = field(validator=[filled, names_file], metadata={"file": True, "present": "folder"})
    format: Literal["ndjson"] = "ndjson"
    max_bytes: int | None = field(default=None, validator=at_least(1))
    keep: int = field(default=5, validator=at_least(1))
    fsync: bool = False


class _LineWriter:
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
        rest = RetryLater(f"{context.settings.path}: only a part of the events could be written")
        return failures | dict.fromkeys(list(lines)[written:], rest)

    @hookimpl
    def check(self, context: Context) -> list[str]:
        """Look whether the file can be written, without making it."""
        path = Path(context.settings.path)
        if path.exists():
            right = path.is_file() and os.access(path, os.W_OK)
            return [] if right else [f"{path} is no file that this process may write to"]
        return self._check_folder(path.parent)

    def _check_folder(self, folder: Path) -> list[str]:
        if not folder.is_dir():
            return [f"{folder}: no such folder; make it, or set path to a file elsewhere"]
        if not os.access(folder, os.W_OK | os.X_OK):
            return [f"{folder}: this process may not write there; set path to a file elsewhere"]
        return []

    @hookimpl
    def shutdown(self, context: Context) -> None:
        self._appender.close()

    def simulate(
        self, event: Event, data: Any, rule: Rule | None, context: PushContext
    ) -> list[list[Any]]:
        return [] if is_skipped(rule) else [["write", payload(event, data)]]

    def _lines(
        self, batch: Sequence[Item], context: Context
    ) -> tuple[dict[int, bytes], dict[int, Exception]]:
        """Return by index the line of each event, and the failures of those that have none."""
        lines: dict[int, bytes] = {}
        failures: dict[int, Exception] = {}
        for index, item in enumerate(batch):
            if is_skipped(item.rule):
                continue
            try:
                lines[index] = self._line(item, context)
            except Rejected as error:
                failures[index] = error
        return lines, failures

    def _line(self, item: Item, context: Context) -> bytes:
        return to_json(payload(item.event, item.data)) + b"\n"


class WalkerosFile(_LineWriter):
    """walkerOS's `server-destination-file`: one line per event, without mapping."""

    settings: ClassVar = LinesSettings

    @hookimpl
    def init(self, context: Context) -> None:
        try:
            Path(context.settings.path).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _failure(error, context.settings.path) from None
        self._open(context)

    def _check_folder(self, folder: Path) -> list[str]:
        while not folder.exists():  # they are made
            folder = folder.parent
        return super()._check_folder(folder)

    def simulate(
        self, event: Event, data: Any, rule: Rule | None, context: PushContext
    ) -> list[list[Any]]:
        return [] if is_skipped(rule) else [["write", event]]

    def _line(self, item: Item, context: Context) -> bytes:
        settings: LinesSettings = context.settings
        return settings.line(item.event)


class FileDestination(_LineWriter):
    """Appends one JSON line per event, in order."""

    settings: ClassVar = FileSettings
    aliases: ClassVar = {FILE: WalkerosFile}


def _failure(error: OSError, path: str) -> Exception:
    """Return the error for a failed write: a full disk may pass, missing rights do not."""
    reason = f"{path}: {error.strerror}"
    if error.errno in _TRANSIENT:
        return RetryLater(reason)
    return DestinationDown(
        f"{reason}; set path to a file in a folder that this process may write to"
    )
