"""Events on the terminal, for a first look at a flow and for pipes."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, TextIO

from attrs import frozen

from walker_collector.destinations.payload import is_skipped, payload, to_json
from walker_collector.destinations.walkeros_settings import DEMO, DemoSettings
from walker_collector.errors import DestinationDown
from walker_collector.hookspecs import Context, Event, Item, PushContext, Rule, hookimpl
from walker_collector.text import escaped, harmless, visible


@frozen(kw_only=True)
class ConsoleSettings:
    """Settings of the console destination.

    format: `line` is for people (time, name, mapped data), `ndjson` for programs.
    stream: events are written to `stdout` or `stderr`.
    """

    format: Literal["line", "ndjson"] = "line"
    stream: Literal["stdout", "stderr"] = "stdout"


class _Console:
    """Writes events to stdout or stderr, in order."""

    rule_settings: ClassVar = None
    concurrency: ClassVar = 1

    @hookimpl
    def push(self, event: Event, data: Any, rule: Rule | None, context: PushContext) -> None:
        if not is_skipped(rule):
            _write(self._text(event, data, context.settings), context.settings)

    @hookimpl
    def push_batch(self, batch: Sequence[Item], context: Context) -> None:
        lines = [
            self._text(item.event, item.data, context.settings)
            for item in batch
            if not is_skipped(item.rule)
        ]
        _write("".join(lines), context.settings)

    def simulate(
        self, event: Event, data: Any, rule: Rule | None, context: PushContext
    ) -> list[list[Any]]:
        return [] if is_skipped(rule) else [["write", payload(event, data)]]

    def _text(self, event: Event, data: Any, settings: Any) -> str:
        return _line(event, data, settings)


class WalkerosDemo(_Console):
    """walkerOS's `destination-demo`: the events themselves, without mapping, under a heading."""

    settings: ClassVar = DemoSettings

    def simulate(
        self, event: Event, data: Any, rule: Rule | None, context: PushContext
    ) -> list[list[Any]]:
        return [] if is_skipped(rule) else [["write", context.settings.content(event)]]

    def _text(self, event: Event, data: Any, settings: Any) -> str:
        return _escaped(settings.text(event), settings)


class ConsoleDestination(_Console):
    """Writes one line per event to stdout or stderr, in order."""

    settings: ClassVar = ConsoleSettings
    aliases: ClassVar = {DEMO: WalkerosDemo}


def _line(event: Event, data: Any, settings: ConsoleSettings) -> str:
    text = _escaped(to_json(payload(event, data)).decode(), settings)
    if settings.format == "ndjson":
        return f"{text}\n"
    moment = datetime.fromtimestamp(event.get("timestamp", 0) / 1000, UTC)
    when = moment.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")
    return f"{when}  {harmless(visible(event['name']))}  {text}\n"


def _escaped(text: str, settings: Any) -> str:
    """Return JSON that steers no terminal, in letters that the stream has codes for."""
    return escaped(text, getattr(_stream(settings), "encoding", None) or "utf-8")


def _stream(settings: Any) -> TextIO | None:
    """Return the stream; None where Python was started with a closed one."""
    return sys.stdout if settings.stream == "stdout" else sys.stderr


def _write(text: str, settings: Any) -> None:
    stream = _stream(settings)
    if stream is None:
        raise DestinationDown(f"cannot write to {settings.stream}: it is closed")
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError) as error:  # ValueError: the stream was closed in this process
        raise DestinationDown(f"cannot write to {settings.stream}: {error}") from None
