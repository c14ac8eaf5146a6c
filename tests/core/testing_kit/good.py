"""A destination that keeps the whole contract, and the service it delivers to."""

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any, ClassVar

import pytest
from attrs import Factory, define, field, frozen

from walker_collector import (
    MISSING,
    Consent,
    Context,
    DestinationDown,
    Event,
    Item,
    Person,
    PushContext,
    Rejected,
    RetryLater,
    Rule,
    Secret,
    hookimpl,
)
from walker_collector.testing import Backend, DestinationContract


@define(eq=False)
class Service:
    """Keeps what it is sent, and fails as it is told."""

    kept: list[tuple[str, Any]] = Factory(list)
    trouble: str = ""
    lock: Lock = Factory(Lock)

    def keep(self, id: str, content: Any) -> None:
        with self.lock:
            self.kept.append((id, content))

    def fail(self, trouble: str) -> None:
        self.trouble = trouble


def _not_negative(_: Any, __: Any, value: int) -> None:
    if value < 0:
        raise ValueError("must be at least 0")


@frozen(kw_only=True)
class Settings:
    name: str
    token: Secret
    former_tokens: list[Secret] = Factory(list)
    level: int = field(default=0, validator=_not_negative)


class Good:
    """Each step is a method, for others to get wrong."""

    settings: ClassVar[type] = Settings
    rule_settings: ClassVar = None

    def __init__(self) -> None:
        self.open = False

    @hookimpl
    def init(self, context: Context) -> None:
        self.open = True

    @hookimpl
    def push(self, event: Event, data: Any, rule: Rule | None, context: PushContext) -> None:
        self.deliver(event, data, rule, context)

    @hookimpl
    def push_batch(self, batch: Sequence[Item], context: Context) -> Mapping[int, Exception]:
        failures: dict[int, Exception] = {}
        for index, item in enumerate(batch):
            try:
                self.deliver(item.event, item.data, item.rule, item.context)
            except (Rejected, RetryLater, DestinationDown) as error:
                failures[index] = error
        return failures

    @hookimpl
    def consent(
        self, update: Consent, state: Consent, person: Person | None, context: PushContext
    ) -> None:
        assert update

    @hookimpl
    def erased(self, person: Person | None, context: Context) -> None:
        """There is nothing to drop: it remembers nobody."""

    @hookimpl
    def shutdown(self, context: Context) -> None:
        self.open = False

    def simulate(
        self, event: Event, data: Any, rule: Rule | None, context: PushContext
    ) -> list[list[Any]]:
        return [] if rule is not None and rule.skip else [["keep", event["id"], event["data"]]]

    def deliver(self, event: Event, data: Any, rule: Rule | None, context: PushContext) -> None:
        assert self.open
        service: Service = context.env["service"]
        if service.trouble == "retry":
            raise self.busy()
        if service.trouble == "down":
            raise self.refused(context)
        if service.trouble == "unreachable":
            self.unreached(ConnectionRefusedError())
            return
        if event["name"] == "order refused":
            raise self.unfit(event)
        if rule is None or not rule.skip:
            service.keep(event["id"], self.content(event, data))

    def content(self, event: Event, data: Any) -> Any:
        return event["data"] if data is MISSING else data

    def unreached(self, error: ConnectionError) -> None:
        raise RetryLater(f"the service cannot be reached: {type(error).__name__}") from None

    def busy(self) -> Exception:
        return RetryLater("the service is busy")

    def refused(self, context: PushContext) -> Exception:
        return DestinationDown("the token was not accepted; check settings.token")

    def unfit(self, event: Event) -> Exception:
        return Rejected("order refused is nothing the service takes")


class Contract(DestinationContract):
    """The contract, with a service of its own for each test."""

    plugin = Good
    bad_settings: ClassVar = {"level": -1}
    config: ClassVar[dict[str, Any]] = {}
    uses_data: ClassVar = True

    @pytest.fixture
    def backend(self) -> Backend:
        service = Service()
        return Backend(
            settings={
                "name": "kit",
                "token": "kit-secret",
                "formerTokens": ["former-secret"],
            },
            config={"env": {"service": service}, **self.config},
            uses_data=self.uses_data,
            received=lambda: [id for id, _ in service.kept],
            content=lambda id: dict(service.kept)[id],
            reject={"name": "order refused"},
            retry=lambda: service.fail("retry"),
            down=lambda: service.fail("down"),
            unreachable=lambda: service.fail("unreachable"),
            recover=lambda: service.fail(""),
        )
