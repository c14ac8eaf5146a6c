"""The settings of the source `http`."""

from typing import Any, Literal

from attrs import Factory, field, frozen

from walker_collector.secret import Secret

Method = Literal["GET", "POST"]


@frozen(kw_only=True)
class Route:
    """A path, and the methods that it answers beside OPTIONS."""

    path: str
    methods: list[Method] = Factory(lambda: ["GET", "POST"])


@frozen(kw_only=True)
class Key:
    """A key that callers show.

    key: the key itself.
    origins: pages that may send with it; none named: any.
    trusted: its callers are servers of yours, and may say everything that a process may.
    """

    key: Secret
    origins: list[str] = Factory(list)
    trusted: bool = False


def _positive(instance: Any, attribute: Any, value: int) -> None:
    if value < 1:
        raise ValueError("must be 1 or more")


def _port(instance: Any, attribute: Any, value: int) -> None:
    if not 0 <= value <= 65_535:
        raise ValueError("must be between 0 and 65,535; 0 takes a free one")


@frozen(kw_only=True)
class Settings:
    """Where the source listens, and what it takes from whom.

    host, port: address of the server; port 0 takes a free one.
    path, paths: paths for walkerOS's clients; /collect unless one is given.
    maxBody: largest body in bytes, also after unpacking.
    maxBatch: most events in one request.
    cors: true lets pages of any origin send; or a list of origins.
    keys: the keys that callers show, by name; without any, everybody may send.
    names: names for Segment's track calls, by the call's event.
    acknowledge: "accepted" answers when the events are stored, "delivered" when they are delivered.
    learnConsent: whether the consent of an event is remembered for its person.
    ip: what is kept of the caller's address.
    segment: whether Segment's API is answered, too.
    inspect: whether the inspector is served.
    proxies: addresses of proxies whose forwarded headers count.
    """

    host: str = "127.0.0.1"
    port: int = field(default=8080, validator=_port)
    path: str | None = None
    paths: list[str | Route] | None = None
    max_body: int = field(default=1_000_000, validator=_positive)
    max_batch: int = field(default=1_000, validator=_positive)
    cors: bool | list[str] = True
    keys: dict[str, Key] = Factory(dict)
    names: dict[str, str] = Factory(dict)
    acknowledge: Literal["accepted", "delivered"] = "accepted"
    learn_consent: bool = True
    ip: Literal["none", "truncated", "full"] = "none"
    segment: bool = True
    inspect: bool = False
    proxies: list[str] = Factory(list)

    @property
    def routes(self) -> list[Route]:
        """The paths for walkerOS's clients."""
        given: list[str | Route] = (
            [self.path or "/collect"] if self.paths is None else list(self.paths)
        )
        return [Route(path=item) if isinstance(item, str) else item for item in given]
