"""The collector's log on stderr, a short line each."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click

from walker_collector.hookspecs import PROJECT

_LEVELS: Final = (logging.WARNING, logging.INFO, logging.DEBUG)


class _Stderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            click.echo(f"{record.levelname.lower()}: {self.format(record)}", err=True)
        except OSError:  # whoever read stderr is gone; the work goes on
            return


@contextmanager
def log_to_stderr(verbosity: int) -> Iterator[None]:
    """Show warnings, from 1 on information, from 2 on everything."""
    logger = logging.getLogger(PROJECT)
    before, handler = logger.level, _Stderr()
    logger.addHandler(handler)
    logger.setLevel(_LEVELS[min(verbosity, 2)])
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
