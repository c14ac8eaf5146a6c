"""The one place that prints: lines that neither steer a terminal nor command a build server.

Text may come from events, servers, plugins, flow files, file names and arguments. A stream may
have any encoding, or be closed.
"""

import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TextIO

import click
import orjson
from attrs import frozen

from walker_collector.cli.folding import columns_of, folded
from walker_collector.secret import without_secrets
from walker_collector.text import escaped, harmless, storable, visible

_ERROR: Final = "Error: "
_WARNING: Final = "warning: "
_LOGGER: Final = "walker_collector.cli"
Level = Literal["info", "warning", "error"]
_json_log = False
_STREAMS: Final = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


@frozen
class Colored:
    """A part of a line in a color."""

    text: str
    color: str | None


def say(
    *parts: str | Colored,
    err: bool = False,
    level: Level = "info",
    fields: Mapping[str, Any] | None = None,
) -> None:
    """Print a line, on stderr if `err`; a command goes on if nobody can read that.

    On a terminal it is folded at words, and indented below its beginning. `level` and `fields`
    are those of the record, where the log is JSON; a line that begins with `Error: ` or `warning: `
    has that level in any case.
    """
    if err and _json_log:
        text = "".join(p.text if isinstance(p, Colored) else p for p in parts).strip()
        if text.startswith(_ERROR):
            level, text = "error", text.removeprefix(_ERROR)
        elif text.startswith(_WARNING):
            level, text = "warning", text.removeprefix(_WARNING)
        if text:
            say_record(level, _LOGGER, visible(text), fields)
        return
    stream = _stream(err)
    texts = [visible(part.text if isinstance(part, Colored) else part) for part in parts]
    shown = "".join(
        click.style(text, fg=part.color) if isinstance(part, Colored) else text
        for part, text in zip(parts, folded(texts, columns_of(stream)), strict=True)
    )
    try:
        click.echo(harmless(shown), file=stream)
    except OSError:
        if not err:
            raise
        give_up(sys.stderr)


def log_as_json(on: bool) -> None:
    """Say whether each line on stderr is a JSON object from now on."""
    global _json_log
    _json_log = on


def logs_json() -> bool:
    """Return whether each line on stderr is a JSON object."""
    return _json_log


def say_record(
    level: str,
    logger: str,
    message: str,
    fields: Mapping[str, Any] | None = None,
    at: datetime | None = None,
) -> None:
    """Print a record of the log on stderr as a JSON object; `at`: its time, now by default."""
    moment = (at or datetime.now(UTC)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    record = {"time": moment, "level": level, "logger": logger, "message": message}
    stream = _stream(True)
    # What a record has of itself is not replaced by a field of the same name.
    text = to_json({**record, **{k: v for k, v in (fields or {}).items() if k not in record}})
    try:
        click.echo(escaped(text, getattr(stream, "encoding", None) or "utf-8"), file=stream)
    except OSError:
        give_up(sys.stderr)


def say_json(value: Any, *, indent: bool = False) -> None:
    """Print a value as JSON; types that JSON lacks become text."""
    text = to_json(value, orjson.OPT_INDENT_2 if indent else 0)
    stream = _stream(False)
    click.echo(escaped(text, getattr(stream, "encoding", None) or "utf-8"), file=stream)


def to_json(value: Any, option: int = 0) -> str:
    """Return a value as JSON, without secrets; types that JSON lacks become text."""
    shown = _without_secrets(value)
    try:
        return orjson.dumps(shown, default=storable, option=option).decode()
    except TypeError:  # keys, numbers or letters of a plugin's that JSON lacks
        return json.dumps(shown, default=storable, skipkeys=True)


def _without_secrets(value: Any) -> Any:
    if type(value) is str:
        return without_secrets(value)
    if isinstance(value, dict):
        return {key: _without_secrets(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(item) for item in value]
    return value


def _stream(err: bool) -> TextIO:
    return sys.stderr if err else sys.stdout


def prepare_streams() -> None:
    """Replace closed standard streams, and let the others print letters they have no code for."""
    for number, (name, mode) in enumerate(_STREAMS):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                # Keep the number taken: a file of ours that got it would receive what is printed.
                os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  # for good
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def give_up(stream: TextIO) -> None:
    """Discard the rest of a stream that cannot be written; else Python tries again at its end."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, number)
    os.close(null)
