"""The page of limits has the figures of the code, and settings that exist."""

import re
from importlib import import_module
from typing import Any, Final

import attrs
import pytest

from tests.docs.pages import ROOT, Row, parts
from walker_collector.config import (
    BatchConfig,
    BreakerConfig,
    CollectorConfig,
    DestinationConfig,
    RetryConfig,
    SpoolConfig,
)
from walker_collector.destinations.http import HttpSettings
from walker_collector.flow.types import disk_key
from walker_collector.sources.http import Settings as SourceSettings
from walker_dest_customerio.settings import Settings

DAY: Final = 86_400_000
SECOND: Final = 1000

FIGURES: Final[dict[str, tuple[Any, int, str]]] = {
    "an event as JSON": ((CollectorConfig, "max_bytes"), 1, "bytes"),
    "a name, an id, a key of consent": (
        "walker_collector.events.identifiers:IDENTIFIER_MAX",
        1,
        "bytes",
    ),
    "keys of consent, of an event, of a person or of the default": (
        "walker_collector.events:CONSENT_KEYS",
        1,
        "keys",
    ),
    "keys of these, with the items of lists": (
        "walker_collector.intake.commands:SHARED_ITEMS",
        1,
        "keys",
    ),
    "average memory of a person's statements of consent": (
        "walker_collector.people.records:AVERAGE_BYTES",
        1,
        "bytes",
    ),
    "nesting of an event": ((CollectorConfig, "max_depth"), 1, "levels"),
    "time of an event in the past": ((CollectorConfig, "oldest"), 1, ""),
    "time of an event in the future": ((CollectorConfig, "max_ahead"), DAY // 24, "hours"),
    "time that the id of a source's event is remembered": (
        "walker_collector.spool.base:RECENT",
        DAY // 24,
        "hours",
    ),
    "ids remembered in memory": ("walker_collector.spool.memory:RECENT_MAX", 1, "ids"),
    "events that wait in memory, per destination": ((CollectorConfig, "queue_max"), 1, "events"),
    "average size of the events in memory": (
        "walker_collector.delivery.window:EVENT_BYTES",
        1,
        "bytes",
    ),
    "events in the spool": ((SpoolConfig, "max_events"), 1, "events"),
    "size of the events in the spool": ((SpoolConfig, "max_bytes"), 1, "bytes"),
    "wait of push for room": ((CollectorConfig, "queue_wait"), SECOND, "s"),
    "waiting events that a destination has in memory beside a spool": (
        "walker_collector.delivery.window:WINDOW",
        1,
        "events",
    ),
    "events held for consent, per destination": ((DestinationConfig, "queue_max"), 1, "events"),
    "time that an event is held": ((DestinationConfig, "queue_age"), DAY, "days"),
    "dead letters, per destination": ((DestinationConfig, "dlq_max"), 1, "events"),
    "people with identities and consent in memory": (
        (CollectorConfig, "people_max"),
        1,
        "people",
    ),
    "attempts of an event": ((RetryConfig, "attempts"), 1, "attempts"),
    "attempts of an event that meets a bug": (
        "walker_collector.delivery.outcome:BUG_ATTEMPTS",
        1,
        "attempts",
    ),
    "age of an event that is retried": ((RetryConfig, "age"), DAY, "days"),
    "wait before a retry, also by Retry-After": ((RetryConfig, "cap"), SECOND, "s"),
    "failures in a row": ((BreakerConfig, "threshold"), 1, "failures"),
    "pause of an open breaker": ((BreakerConfig, "cooldown"), SECOND, "s"),
    "first pause of a destination that is down": (
        "walker_collector.delivery.backoff:DOWN_BASE",
        SECOND,
        "s",
    ),
    "longest pause of a destination that is down": (
        "walker_collector.delivery.backoff:DOWN_CAP",
        SECOND,
        "s",
    ),
    "different events refused in a row": ("walker_collector.delivery.refusals:EVENTS", 1, "events"),
    "people with these refused events": ("walker_collector.delivery.refusals:PEOPLE", 1, "people"),
    "events in a batch": ("walker_collector.delivery.destination:_BATCH_SIZE", 1, "events"),
    "linger of a batch": ("walker_collector.delivery.destination:_LINGER", 1, "ms"),
    "calls that timeout has left behind": (
        "walker_collector.delivery.timeout:_GIVEN_UP_MAX",
        1,
        "calls",
    ),
    "stored text of a reason": ("walker_collector.text:REASON_MAX", 1, "characters"),
    "repeated log message": ("walker_collector.delivery.log_limiter:INTERVAL", 1, "s"),
    "repeated log message of a destination that fails, or a plugin's exception": (
        "walker_collector.delivery.log_limiter:TOPIC_INTERVAL",
        1,
        "s",
    ),
    "request of http": ((HttpSettings, "timeout"), SECOND, "s"),
    "response of http": (
        "walker_collector.destinations.http_client:_READ_MAX",
        1,
        "bytes",
    ),
    "response of a client with bound_pools": (
        "walker_collector.bounded_http:RESPONSE_BYTES",
        1,
        "bytes",
    ),
    "request of customerio": ((Settings, "timeout"), SECOND, "s"),
    "response of customerio, after unpacking": (
        "walker_dest_customerio.connections:_MAX_RESPONSE_BYTES",
        1,
        "bytes",
    ),
    "wait of close for deliveries": ((CollectorConfig, "close_timeout"), SECOND, "s"),
    "wait of close for a plugin's shutdown": ("walker_collector.closing:_GRACE", 1, "s"),
    "wait of forget for calls in flight": (
        "walker_collector.people.erasure:IN_FLIGHT_WAIT",
        1,
        "s",
    ),
    "time without a delivery, at the end of walker run": (
        "walker_collector.cli.drain:STALLED",
        1,
        "s",
    ),
    "time without a process that delivers, at the end of walker run": (
        "walker_collector.cli.drain:UNATTENDED",
        1,
        "s",
    ),
    "a JSON document of several lines": ("walker_collector.sources.file.lines:LONGEST", 1, "bytes"),
    "bad lines with their numbers in --json": (
        "walker_collector.sources.file.line_reader:_NUMBERS_MAX",
        1,
        "lines",
    ),
    "bad lines that walker run shows": (
        "walker_collector.sources.file.line_reader:SHOWN",
        1,
        "lines",
    ),
    "events that walker run reads ahead": (
        "walker_collector.sources.file.line_reader:READ_AHEAD",
        1,
        "events",
    ),
    "size of a flow file": ("walker_collector.flow.source_file:LARGEST", 1, "bytes"),
    "time to read a flow from a pipe": ("walker_collector.flow.source_file:_WAIT", 1, "s"),
    "destinations of a flow": ("walker_collector.flow.load:_DESTINATIONS_MAX", 1, "destinations"),
    "transformers before a destination": (
        "walker_collector.flow.transformers:_LONGEST",
        1,
        "transformers",
    ),
    "nesting of a flow file": ("walker_collector.flow.parse:_DEPTH", 1, "levels"),
    "values of a flow file": ("walker_collector.flow.parse:_MOST", 1, "values"),
    "values that references make": ("walker_collector.flow.references:_LARGEST", 1, "values"),
    "text that references make": ("walker_collector.flow.references:_LONGEST", 1, "characters"),
    "defaults of $env within each other": (
        "walker_collector.flow.references:_DEFAULTS",
        1,
        "levels",
    ),
    "connections of a process": ((SourceSettings, "max_connections"), 1, "connections"),
    "body of a request": ((SourceSettings, "max_body"), 1, "bytes"),
    "events of a request": ((SourceSettings, "max_batch"), 1, "events"),
    "bodies whose events wait to be accepted": (
        "walker_collector.sources.http.waiting:_BYTES",
        1,
        "bytes",
    ),
    "headers of a request": ("walker_collector.sources.http.connections:_HEADERS", 1, "headers"),
    "size of these, with the address": (
        "walker_collector.sources.http.connections:_HEAD_BYTES",
        1,
        "bytes",
    ),
    "time of the headers, and again of the body": ((SourceSettings, "body_timeout"), SECOND, "s"),
    "wait for the next request": ((SourceSettings, "keep_alive"), SECOND, "s"),
    "time of a TLS handshake": ("walker_collector.sources.http.connections:_HANDSHAKE", 1, "s"),
    "requests sent ahead": ("walker_collector.sources.http.connections:_AHEAD", 1, "requests"),
    "members of a gzip file": ("walker_collector.sources.http.body:_MEMBERS_MAX", 1, "members"),
    "fields of a pixel's query": ("walker_collector.sources.http.query:_FIELDS_MAX", 1, "fields"),
    "levels of these": ("walker_collector.sources.http.query:_DEPTH_MAX", 1, "levels"),
    "places of a list in these": ("walker_collector.sources.http.query:_LIST_MAX", 1, "places"),
    "id of a destination": ("walker_collector.validators:_ID_MAX", 1, "characters"),
}
"""Limit -> where the code has it (a field's default, or a constant), the divisor, and the unit."""

BY_NATURE: Final = {
    "a whole number": "64 bits",
    "a line of events": "four times maxBytes",
    "user, and globals, of every event as JSON, each": "a tenth of maxBytes",
}
"""Limits without a constant of their own."""

ROWS: Final = [
    part
    for part in parts(ROOT / "docs" / "reference" / "limits.md")
    if isinstance(part, Row) and "limit" in part.cells
]
CLASSES: Final = {
    "retry": RetryConfig,
    "breaker": BreakerConfig,
    "batch": BatchConfig,
    "settings": HttpSettings,
}


def limit_of(row: Row) -> str:
    """The name of a row's limit, without the marks of code."""
    return row.cells["limit"].replace("`", "")


def figure(limit: str) -> str:
    """A limit as the code has it, as it is written on the page."""
    if limit in BY_NATURE:
        return BY_NATURE[limit]
    place, divisor, unit = FIGURES[limit]
    if isinstance(place, str):
        module, _, name = place.partition(":")
        value = getattr(import_module(module), name)
    else:
        value = getattr(attrs.fields(place[0]), place[1]).default
    if isinstance(value, str):
        return value
    assert value % divisor == 0
    return f"{int(value // divisor):,} {unit}"


def test_every_limit_is_on_the_page_once() -> None:
    assert sorted(map(limit_of, ROWS)) == sorted({*FIGURES, *BY_NATURE})


@pytest.mark.parametrize("row", ROWS, ids=limit_of)
def test_figure_is_that_of_the_code(row: Row) -> None:
    assert row.cells["figure"].replace("`", "") == figure(limit_of(row))


@pytest.mark.parametrize("row", ROWS, ids=limit_of)
def test_setting_of_a_limit_exists(row: Row) -> None:
    by = row.cells["set by"]
    named = re.findall(r"`([\w.]+)`", by)
    if by == "fixed" or not named:
        assert by == "fixed" or by.startswith("`")  # or an option of the command line
        return
    (name,) = named
    group, _, key = name.rpartition(".")
    if "of the source" in by:
        assert any(key == disk_key(field) for field in attrs.fields(SourceSettings))
        return
    fallback = SpoolConfig if "of the spool" in by else None
    classes = [CLASSES[group]] if group else [fallback or CollectorConfig, DestinationConfig]
    assert any(key == disk_key(field) for cls in classes for field in attrs.fields(cls))
