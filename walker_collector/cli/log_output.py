"""The log of a command on stderr: a line per record, as text for people or JSON for programs."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from walker_collector.cli.streams import log_as_json, say, say_record
from walker_collector.text import visible

_PACKAGE: Final = __name__.partition(".")[0]
_LEVELS: Final = (logging.WARNING, logging.INFO, logging.DEBUG)
_OF_EVERY_RECORD: Final = frozenset(
    {*vars(logging.makeLogRecord({})), "message", "asctime", "traceback"}
)
_FORMATTER: Final = logging.Formatter()


class _StderrHandler(logging.Handler):
    """Prints records: as text, or as JSON once `json` is set."""

    json = False

    def emit(self, record: logging.LogRecord) -> None:
        if self.json:
            self._emit_json(record)
            return
        say(f"{record.levelname.lower()}: {visible(record.getMessage())}", err=True)
        for line in _traceback(record).split("\n") if _traceback(record) else ():
            say(line, err=True)

    def _emit_json(self, record: logging.LogRecord) -> None:
        fields = {key: item for key, item in vars(record).items() if key not in _OF_EVERY_RECORD}
        if text := _traceback(record):
            fields["traceback"] = text
        say_record(
            record.levelname.lower(),
            record.name,
            visible(record.getMessage()),
            fields,
            datetime.fromtimestamp(record.created, UTC),
        )


def _traceback(record: logging.LogRecord) -> str:
    if record.exc_text:
        return record.exc_text
    return _FORMATTER.formatException(record.exc_info) if record.exc_info else ""


class LogOutput:
    """The log of a command: warnings; with verbosity 1 also info, from 2 on all."""

    def __init__(self) -> None:
        self.verbosity = 0
        self._handler = _StderrHandler()
        self._logger = logging.getLogger(_PACKAGE)
        self._level = self._logger.level

    def start(self) -> None:
        """Show the collector's log."""
        self._logger.addHandler(self._handler)
        self.add_verbosity(0)

    def add_verbosity(self, count: int) -> None:
        """Show more."""
        self.verbosity += count
        self._logger.setLevel(_LEVELS[min(self.verbosity, 2)])

    def use_json(self) -> None:
        """Show a JSON object per line, also for lines of the command and other libraries."""
        self._handler.json = True
        self._logger.removeHandler(self._handler)
        logging.getLogger().addHandler(self._handler)
        logging.captureWarnings(True)
        log_as_json(True)

    def end(self) -> None:
        """Show nothing more, and leave logging as it was."""
        for logger in (self._logger, logging.getLogger()):
            logger.removeHandler(self._handler)
        if self._handler.json:
            logging.captureWarnings(False)
        log_as_json(False)
        self._logger.setLevel(self._level)


def without_repeats_of(text: str) -> AbstractContextManager[None]:
    """In the block, do not show lines that only count messages with this text, told before."""
    return _showing(lambda record: not (getattr(record, "more", 0) and text in record.msg))


def without_lines_of(text: str) -> AbstractContextManager[None]:
    """In the block, do not show messages with this text: another process tells them."""
    return _showing(lambda record: text not in record.msg)


@contextmanager
def _showing(shows: Callable[[logging.LogRecord], bool]) -> Iterator[None]:
    """In the block, show only records of which `shows` is true."""
    loggers = logging.getLogger(_PACKAGE), logging.getLogger()
    handlers = [
        item for logger in loggers for item in logger.handlers if isinstance(item, _StderrHandler)
    ]
    for handler in handlers:
        handler.addFilter(shows)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(shows)


@contextmanager
def log_to_stderr() -> Iterator[LogOutput]:
    """Show the collector's log on stderr in the block."""
    output = LogOutput()
    output.start()
    try:
        yield output
    finally:
        output.end()


def log_figures(message: str, figures: Mapping[str, Any]) -> None:
    """Log figures of a command, where the log is JSON."""
    say_record("info", f"{_PACKAGE}.cli", message, figures)
