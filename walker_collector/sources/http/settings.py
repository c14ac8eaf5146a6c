"""The settings of the source `http`."""

from ipaddress import ip_network
from typing import Any, Final, Literal

import attrs
from attrs import Factory, field, frozen

from walker_collector.errors import EventError
from walker_collector.events import split_name
from walker_collector.secret import Secret
from walker_collector.sources.http import origins
from walker_collector.sources.http.segment_api import kind_of

Method = Literal["GET", "POST"]
COLLECT: Final = "/collect"
HEALTH: Final = "/health"
INSPECT: Final = "/inspect"
RESERVED: Final = ("/ready", "/metrics")
"""Paths at which the server tells of itself, beside that of its health."""


def is_inspected(path: str) -> bool:
    """Return whether the inspector answers at a path, where it is served."""
    return path == INSPECT or path.startswith(f"{INSPECT}/")


def _positive(instance: Any, attribute: Any, value: int) -> None:
    if value < 1:
        raise ValueError("must be 1 or more")


def _port(instance: Any, attribute: Any, value: int) -> None:
    if not 0 <= value <= 65_535:
        raise ValueError("must be between 0 and 65,535; 0 takes a free one")


def _networks(instance: Any, attribute: Any, value: list[str]) -> None:
    for item in value:
        try:
            ip_network(item, strict=False)
        except ValueError:
            raise ValueError(
                f"{item[:80]!r} is no address, such as 10.0.0.7 or 10.0.0.0/8"
            ) from None


def _with_certificate(instance: Any, attribute: Any, value: str | None) -> None:
    if (instance.tls_cert is None) != (value is None):
        raise ValueError("tlsCert and tlsKey belong together; name both files, or none")


def _check_path(path: str) -> None:
    """Raise ValueError for a path that no request has."""
    if not path.startswith("/"):
        raise ValueError(f"must begin with /; write /{path}")
    if any(character in path for character in "?#%"):
        raise ValueError(f"{path[:80]}: a path has no query, and is written without % escapes")


def _health_path(instance: Any, attribute: Any, value: str) -> None:
    _check_path(value)
    if value in RESERVED:
        raise ValueError(f"{value} has an answer of its own; write another path, such as /health")


def _paths(instance: Any, attribute: Any, value: "str | list[str | Route] | None") -> None:
    """Refuse paths that nobody can post to, and those at which something else is answered."""
    if value == []:
        raise ValueError(f"names no path; leave it out for {COLLECT}")
    health = getattr(instance, "health_path", HEALTH)
    for item in value if isinstance(value, list) else [value or "/"]:
        path = item.path if isinstance(item, Route) else item
        _check_path(path)
        if isinstance(item, Route) and not item.methods:
            raise ValueError(f"{path} has no methods; leave them out for GET and POST")
        if path in (health, *RESERVED):
            advice = ", or another healthPath" if path == health else ""
            raise ValueError(f"{path} tells of the server itself; write another path{advice}")
        if getattr(instance, "inspect", False) and is_inspected(path):
            raise ValueError(f"{path} has the inspector's page; write another path")
        if getattr(instance, "segment", False) and kind_of(path):
            raise ValueError(f'{path} is Segment\'s; write another path, or "segment": false')


@frozen(kw_only=True)
class Route:
    """A path, and the methods that it answers beside OPTIONS.

    path: the path of the URL, which begins with /.
    methods: these methods are answered.
    """

    path: str
    methods: list[Method] = Factory(lambda: ["GET", "POST"])


@frozen(kw_only=True)
class Key:
    """A key that callers show.

    key: the key itself.
    origins: pages of these origins may send with it; none named: any.
    trusted: its callers are servers of yours, and may say everything that a process may.
    """

    key: Secret
    origins: list[str] = field(factory=list, validator=origins.of_key)
    trusted: bool = False


def _distinct(instance: Any, attribute: Any, value: dict[str, Key]) -> None:
    names: dict[str, str] = {}
    for name, key in value.items():
        if not key.key.reveal():
            raise ValueError(f"{name}: the key is empty")
        other = names.setdefault(key.key.reveal(), name)
        if other != name and not key.key.is_placeholder:
            raise ValueError(f"{other} and {name} are the same key; give each one of its own")


def check_event_names(instance: Any, attribute: Any, value: dict[str, str]) -> None:
    """Refuse names for Segment's calls that no event can have."""
    for call, name in value.items():
        try:
            split_name(name)
        except EventError as error:
            raise ValueError(f"{call}: {error}") from None


@frozen(kw_only=True)
class Settings:
    """Settings of the source: its address, its callers, its limits.

    host: the server listens at this address.
    port: the server listens at this port; 0 takes a free one.
    path, paths: walkerOS's clients send to these paths; /collect unless one is given.
    max_body: a body has at most so many bytes, also after unpacking.
    max_batch: a request has at most so many events.
    cors: true lets pages of any origin send, a list pages of these origins.
    keys: the keys that callers show, by name; without any, everybody may send.
    names: Segment's track calls get these names, by the call's event.
    acknowledge: "accepted" answers when the events are stored, "delivered" when they are delivered.
    timeout: a request waits for that at most so many ms; then its events stay accepted.
    learn_consent: true remembers the consent of an event for its person.
    ip: so much of the caller's address is kept.
    segment: true answers Segment's API, too.
    inspect: true serves the inspector at /inspect, under `walker serve`.
    health_path: health is told at this path.
    proxies: the forwarded headers of proxies with these addresses count.
    tls_cert: the PEM file of a certificate, with those between it and its authority; the server
        then speaks HTTPS.
    tls_key: the PEM file of the certificate's key.
    max_connections: a process has at most so many connections; further ones are refused.
    body_timeout: the body of a request must have come within so many ms, and before it its headers.
    keep_alive: a connection may wait for a further request for so many ms.
    """

    host: str = "127.0.0.1"
    port: int = field(default=8080, validator=_port)
    path: str | None = field(default=None, validator=_paths)
    paths: list[str | Route] | None = field(default=None, validator=_paths)
    max_body: int = field(default=1_000_000, validator=_positive)
    max_batch: int = field(default=1_000, validator=_positive)
    cors: bool | list[str] = field(default=True, validator=origins.of_cors)
    keys: dict[str, Key] = field(factory=dict, validator=_distinct)
    names: dict[str, str] = field(factory=dict, validator=check_event_names)
    acknowledge: Literal["accepted", "delivered"] = "accepted"
    timeout: int = field(default=5_000, validator=_positive)
    learn_consent: bool = True
    ip: Literal["none", "truncated", "full"] = "none"
    segment: bool = True
    inspect: bool = False
    health_path: str = field(default=HEALTH, validator=_health_path)
    proxies: list[str] = field(factory=list, validator=_networks)
    tls_cert: str | None = field(default=None, metadata={"certificates": True})
    tls_key: str | None = field(
        default=None, validator=_with_certificate, metadata={"present": "file"}
    )
    max_connections: int = field(default=1_000, validator=_positive)
    body_timeout: int = field(default=30_000, validator=_positive)
    keep_alive: int = field(default=75_000, validator=_positive)

    def common(self) -> "Settings":
        """Return the settings themselves, which have the names of `http`."""
        return self

    @property
    def routes(self) -> list[Route]:
        """The paths for walkerOS's clients."""
        given: list[str | Route] = (
            [self.path or COLLECT] if self.paths is None else list(self.paths)
        )
        return [Route(path=item) if isinstance(item, str) else item for item in given]


@frozen(kw_only=True)
class Cors:
    """The origins of pages that may send, as walkerOS has it.

    origin: pages of this origin may send, of a list of them, or of any: "*".
    methods, headers, credentials, max_age: this is not needed: what is asked for is allowed.
    """

    origin: str | list[str] = field(default="*", validator=origins.of_walkeros)
    methods: list[str] | None = None
    headers: list[str] | None = None
    credentials: bool | None = None
    max_age: int | None = None

    @property
    def common(self) -> bool | list[str]:
        """The same as a setting of `http`."""
        if self.origin == "*" or "*" in self.origin:
            return True
        return [self.origin] if isinstance(self.origin, str) else self.origin


@frozen(kw_only=True)
class ExpressSettings(Settings):
    """Settings of walkerOS's source express, and those of `http` that it lacks.

    cors: true lets pages of any origin send; else the origins that may.
    status: health is told in any case, whatever this says.
    segment: true answers Segment's API, too, which the original does not.
    """

    cors: bool | Cors | list[str] = field(default=True, validator=origins.of_cors)  # type: ignore[assignment]
    status: bool = True
    segment: bool = False

    def common(self) -> Settings:
        """Return the settings under the names of `http`."""
        given = {field.name: getattr(self, field.name) for field in attrs.fields(Settings)}
        cors = self.cors.common if isinstance(self.cors, Cors) else self.cors
        return Settings(**{**given, "cors": cors})


@frozen(kw_only=True)
class FetchSettings(ExpressSettings):
    """Settings of walkerOS's source fetch, and those of `http` that it lacks.

    max_body: a body has at most so many bytes, also after unpacking.
    max_batch: a request has at most so many events.
    """

    max_body: int = field(
        default=102_400,
        validator=_positive,
        metadata={"key": "maxRequestSize", "synonyms": ("maxBody", "max_request_size")},
    )
    max_batch: int = field(
        default=100,
        validator=_positive,
        metadata={"key": "maxBatchSize", "synonyms": ("maxBatch", "max_batch_size")},
    )
