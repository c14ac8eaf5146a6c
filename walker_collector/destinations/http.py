"""Events to a URL, as JSON: a webhook."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, ClassVar, Literal

from attrs import Factory, field, frozen

from walker_collector.clients import request_timeout, sendable_headers, web_address
from walker_collector.config import Secret
from walker_collector.destinations.http_client import HttpClient, ServiceUnavailable, shown
from walker_collector.destinations.payload import is_skipped, payload
from walker_collector.destinations.walkeros_settings import API, ApiSettings
from walker_collector.errors import DestinationDown, NotAttempted, Rejected, RetryLater
from walker_collector.hookspecs import Context, Event, Item, PushContext, Rule, hookimpl


@frozen(kw_only=True)
class HttpSettings:
    """Settings of the http destination.

    url: the http or https address; credentials in it are never shown.
    method: the method of the request.
    headers: these headers are added; their values are never shown.
    timeout: a request may take so many ms.
    batch: true sends several events as one JSON list, instead of one request each.
    ca_file: the certificate authorities of this PEM file are trusted instead of the system's.
    """

    url: str = field(validator=web_address, repr=shown)
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    headers: dict[str, Secret] = field(default=Factory(dict), validator=sendable_headers)
    timeout: int = field(default=10_000, validator=request_timeout)
    batch: bool = False
    ca_file: str | None = field(default=None, metadata={"certificates": True})


class _Webhook:
    """Sends events as JSON: the mapped data of each, or the event itself."""

    rule_settings: ClassVar = None
    concurrency: ClassVar = 4
    batch_size: ClassVar = 100
    batch_bytes: ClassVar = 1_000_000

    _client: HttpClient

    @hookimpl
    def init(self, context: Context) -> None:
        self._client = self._open(context)

    def _open(self, context: Context) -> HttpClient:
        settings = context.settings
        return HttpClient(
            settings.url,
            method=settings.method,
            headers=settings.headers,
            timeout=settings.timeout / 1000,
            ca_file=settings.ca_file,
            connections=context.config.concurrency or self.concurrency,
        )

    @hookimpl
    def check(self, context: Context) -> None:
        """Ask the service without sending anything."""
        with closing(self._open(context)) as client:
            client.check()

    @hookimpl
    def push_batch(self, batch: Sequence[Item], context: Context) -> Mapping[int, Exception]:
        items = {index: item for index, item in enumerate(batch) if not is_skipped(item.rule)}
        if not context.settings.batch:
            return self._send_each(items)
        if items:
            self._client.send([payload(item.event, item.data) for item in items.values()])
        return {}

    @hookimpl
    def shutdown(self, context: Context) -> None:
        self._client.close()

    def simulate(
        self, event: Event, data: Any, rule: Rule | None, context: PushContext
    ) -> list[list[Any]]:
        if is_skipped(rule):
            return []
        settings = context.settings
        body = payload(event, data)
        return [[settings.method.lower(), shown(settings.url), [body] if settings.batch else body]]

    def _send_each(self, items: Mapping[int, Item]) -> dict[int, Exception]:
        """Send one request per event, and return the failures by index."""
        failures: dict[int, Exception] = {}
        behind: set[str] = set()
        everybody: Exception | None = None
        for index, item in items.items():
            person = item.context.person
            failure = everybody or self._attempt(item, behind)
            if failure is None:
                continue
            failures[index] = failure
            if isinstance(failure, ServiceUnavailable | DestinationDown):
                everybody = failure
            elif not isinstance(failure, Rejected) and person:
                # Their later events must not arrive before this one.
                behind.add(person)
        return failures

    def _attempt(self, item: Item, behind: set[str]) -> Exception | None:
        """Send one event; return its failure, or None. `behind`: people with a failed event."""
        if item.context.person in behind:
            return NotAttempted("waits for an earlier event of the same person")
        if not item.context.destination.may_proceed(item):
            return NotAttempted("consent was withdrawn, or the person erased, before it was sent")
        try:
            self._client.send(payload(item.event, item.data))
        except (Rejected, RetryLater, DestinationDown) as error:
            return error
        return None


class WalkerosApi(_Webhook):
    """walkerOS's `server-destination-api`: one request per event."""

    settings: ClassVar = ApiSettings


class HttpDestination(_Webhook):
    """Sends events as JSON: the mapped data of each, or the event itself."""

    settings: ClassVar = HttpSettings
    aliases: ClassVar = {API: WalkerosApi}
