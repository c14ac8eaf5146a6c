"""Destinations that break the contract, one rule each; `EXPECTED` says which test must notice.

Run by test_testing_kit.py in a process of its own.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import pytest
from attrs import Factory, define, frozen

from tests.core.testing_kit.good import Contract, Good
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

EXPECTED: Final = {
    "TestNoBackend": "test_init_delivers_nothing",
    "TestNotInstalled": "test_plugin_is_found_by_its_entry_point",
    "TestUnchecked": "test_bad_settings_are_refused_with_their_place",
    "TestBackwards": "test_batch_arrives_in_order",
    "TestBuffering": "test_delivered_events_are_there_after_shutdown",
    "TestUnequal": "test_push_and_push_batch_agree",
    "TestSameForAll": "test_events_with_different_data_arrive_with_different_content",
    "TestIgnoresData": "test_data_that_the_mapping_makes_is_what_arrives",
    "TestSwallows": "test_unreachable_backend_is_retry_later",
    "TestSwallowsForGood": "test_events_arrive_once_an_unreachable_backend_is_back",
    "TestUnreachableIsABug": "test_unreachable_backend_is_retry_later",
    "TestUnordered": "test_events_of_one_person_arrive_in_order",
    "TestSkipless": "test_rule_with_skip_leaves_out_the_default_call",
    "TestChanging": "test_event_and_data_are_left_as_they_were",
    "TestChangingData": "test_event_and_data_are_left_as_they_were",
    "TestNeedsData": "test_event_that_nothing_maps_is_delivered_or_rejected",
    "TestNeedsUser": "test_event_of_nobody_is_delivered_or_rejected",
    "TestOnlyAscii": "test_unusual_data_is_delivered_or_rejected[unicode]",
    "TestShared": "test_two_destinations_of_one_plugin_do_not_disturb_each_other",
    "TestWholeBatch": "test_refused_event_is_named_by_its_index",
    "TestRefusalPasses": "test_refused_event_becomes_a_dead_letter",
    "TestGossip": "test_reasons_and_log_hold_no_personal_data[reject]",
    "TestGossipOfData": "test_reasons_and_log_hold_no_personal_data[reject]",
    "TestGossipWhenBusy": "test_reasons_and_log_hold_no_personal_data[retry]",
    "TestLogsUsers": "test_reasons_and_log_hold_no_personal_data[none]",
    "TestPrintsUsers": "test_no_personal_data_is_printed[none]",
    "TestGivesUp": "test_transient_failure_is_retry_later",
    "TestLoses": "test_events_arrive_after_a_transient_failure",
    "TestNeverDown": "test_destination_that_is_down_keeps_its_events",
    "TestStaysDown": "test_destination_delivers_again_after_it_was_down",
    "TestShows": "test_repr_shows_no_secret",
    "TestTells": "test_no_secret_is_shown[down]",
    "TestTellsWhenBusy": "test_no_secret_is_shown[retry]",
    "TestTellsInInit": "test_no_secret_is_shown[none]",
    "TestLogsSecrets": "test_no_secret_is_shown[none]",
    "TestPrintsSecrets": "test_no_secret_is_shown[none]",
    "TestPlainToken": "test_credentials_are_secrets",
    "TestPlainKeys": "test_credentials_are_secrets",
    "TestSimulatesTuples": "test_simulate_returns_calls_as_json",
    "TestSimulatesForReal": "test_simulate_leaves_no_trace",
    "TestSimulatesSkipped": "test_simulate_leaves_out_the_default_call_of_a_rule_with_skip",
    "TestDeafToSessions": "test_changes_of_consent_are_taken[session]",
    "TestErasesWhatIsNotOpen": "test_erasures_are_taken_at_any_time_and_deliver_nothing[id]",
    "TestErasesNobody": "test_erasures_are_taken_at_any_time_and_deliver_nothing[everybody]",
}


class Mapped(Contract):
    """With data that the mapping makes."""

    config: ClassVar = {"data": {"map": {"total": "data.total"}}}


class TestGood(Contract):
    """Breaks nothing."""


class PushOnly(Good):
    push_batch = None  # type: ignore[assignment]  # as if there were none


class TestPushOnly(Contract):
    """Breaks nothing either."""

    plugin = PushOnly


class Silent:
    """Has what is required and nothing else."""

    @hookimpl
    def push(self, event: Event) -> None: ...


class TestSilent(DestinationContract):
    plugin = Silent

    @pytest.fixture
    def backend(self) -> Backend:
        return Backend(settings={}, received=list)


class TestNoBackend(DestinationContract):
    plugin = Good


class TestNotInstalled(Contract):
    package = "file"


@frozen(kw_only=True)
class Lenient:
    name: str
    token: Secret
    former_tokens: list[Secret] = Factory(list)
    level: int = 0


class Unchecked(Good):
    settings: ClassVar[type] = Lenient


class TestUnchecked(Contract):
    plugin = Unchecked


class Backwards(Good):
    @hookimpl
    def push_batch(self, batch: Sequence[Item], context: Context) -> Mapping[int, Exception]:
        return super().push_batch(batch[::-1], context)


class TestBackwards(Contract):
    plugin = Backwards


class Buffering(Good):
    def deliver(self, event: Event, data: Any, rule: Rule | None, context: PushContext) -> None:
        """Wait for more that never comes."""


class TestBuffering(Contract):
    plugin = Buffering


class Unequal(Good):
    @hookimpl
    def push(self, event: Event, data: Any, rule: Rule | None, context: PushContext) -> None:
        super().push({**event, "data": {}}, data, rule, context)


class TestUnequal(Contract):
    plugin = Unequal


class SameForAll(Good):
    def deliver(self, event: Event, data: Any, rule: Rule | None, context: PushContext) -> None:
        super().deliver({**event, "data": {"total": 0}}, data, rule, context)


class TestSameForAll(Contract):
    plugin = SameForAll


class TestUnordered(Contract):
    plugin = Backwards


class Skipless(Good):
    def deliver(self, event: Event, data: Any, rule: Rule | None, context: PushContext) -> None:
        super().deliver(event, data, None, context)


class TestSkipless(Contract):
    plugin = Skipless


class Changing(Good):
    def deliver(self, event: Event, data: Any, rule: Rule | None, context: PushContext) -> None:
        super().deliver(event, data, rule, context)
        event["data"].clear()


class TestChanging(Contract):
    plugin = Changing


class ChangingData(Good):
    def deliver(self, event: Event, data: Any, rule: Rule | None, context: PushContext) -> None:
        super().deliver(event, data, rule, context)
        data.pop("total")


class TestChangingData(Contract):
    plugin = ChangingData


class NeedsData(Good):
    def deliver(self, event: Event, data: Any, rule: Rule | None, context: PushContext) -> None:
        if data is MISSING:
            raise TypeError("no data")


class TestNeedsData(Contract):
    plugin = NeedsData


class NeedsUser(Good):
    def deliver(self, event: Event, data: Any, rule: Rule | None, context: PushContext) -> None:
        event["user"]["id"].lower()


class TestNeedsUser(Contract):
    plugin = NeedsUser


class OnlyAscii(Good):
    def deliver(self, event: Event, data: Any, rule: Rule | None, context: PushContext) -> None:
        str(event["data"]).encode("ascii")


class TestOnlyAscii(Contract):
    plugin = OnlyAscii


class Shared(Good):
    """Keeps its connection in the class."""

    connections: ClassVar[list[str]] = []

    @hookimpl
    def init(self, context: Context) -> None:
        self.open = True
        self.connections.append(context.id)

    @hookimpl
    def shutdown(self, context: Context) -> None:
        self.connections.clear()

    def deliver(self, event: Event, data: Any, rule: Rule | None, context: PushContext) -> None:
        if not self.connections:
            raise DestinationDown("not connected")
        super().deliver(event, data, rule, context)


class TestShared(Contract):
    plugin = Shared


class WholeBatch(Good):
    @hookimpl
    def push_batch(self, batch: Sequence[Item], context: Context) -> Mapping[int, Exception]:
        failures = super().push_batch(batch, context)
        return dict.fromkeys(range(len(batch)), failures[1]) if failures else {}


class TestWholeBatch(Contract):
    plugin = WholeBatch


class RefusalPasses(Good):
    def unfit(self, event: Event) -> Exception:
        return ValueError("not this one")


class TestRefusalPasses(Contract):
    plugin = RefusalPasses


class Gossip(Good):
    def unfit(self, event: Event) -> Exception:
        return Rejected(f"not this one: {event}")


class TestGossip(Contract):
    plugin = Gossip


class GossipOfData(Good):
    def deliver(self, event: Event, data: Any, rule: Rule | None, context: PushContext) -> None:
        if event["name"] == "order refused":
            raise Rejected(f"not this one: {data}")


class TestGossipOfData(Mapped):
    plugin = GossipOfData


class GossipWhenBusy(Good):
    def deliver(self, event: Event, data: Any, rule: Rule | None, context: PushContext) -> None:
        if context.env["service"].trouble:
            raise RetryLater(f"busy, and no time for {event['user']}")


class TestGossipWhenBusy(Contract):
    plugin = GossipWhenBusy


class LogsUsers(Good):
    def deliver(self, event: Event, data: Any, rule: Rule | None, context: PushContext) -> None:
        context.logger.warning("sending something of %s", event["user"])


class TestLogsUsers(Contract):
    plugin = LogsUsers


class PrintsUsers(Good):
    def deliver(self, event: Event, data: Any, rule: Rule | None, context: PushContext) -> None:
        print(event["user"])


class TestPrintsUsers(Contract):
    plugin = PrintsUsers


class GivesUp(Good):
    def busy(self) -> Exception:
        return Rejected("the service is busy")


class TestGivesUp(Contract):
    plugin = GivesUp


class TestLoses(Contract):
    plugin = GivesUp


class NeverDown(Good):
    def refused(self, context: PushContext) -> Exception:
        return RetryLater("the token was not accepted")


class TestNeverDown(Contract):
    plugin = NeverDown


class StaysDown(Good):
    """Hands its connection back at the first failure, and never takes another."""

    def refused(self, context: PushContext) -> Exception:
        self.open = False
        return super().refused(context)


class TestStaysDown(Contract):
    plugin = StaysDown


@define
class Shows(Good):
    token: str = ""
    open: bool = False

    @hookimpl
    def init(self, context: Context) -> None:
        self.open = True
        self.token = context.settings.token.reveal()


class TestShows(Contract):
    plugin = Shows


class Tells(Good):
    def refused(self, context: PushContext) -> Exception:
        return DestinationDown(f"{context.settings.token.reveal()} was not accepted")


class TestTells(Contract):
    plugin = Tells


class TellsWhenBusy(Good):
    def deliver(self, event: Event, data: Any, rule: Rule | None, context: PushContext) -> None:
        if context.env["service"].trouble:
            raise RetryLater(f"no answer for {context.settings.token.reveal()}")


class TestTellsWhenBusy(Contract):
    plugin = TellsWhenBusy


class TellsInInit(Good):
    """Says at its second beginning why it does not begin."""

    begun: ClassVar[list[str]] = []

    @hookimpl
    def init(self, context: Context) -> None:
        if self.begun:
            raise DestinationDown(f"{context.settings.token.reveal()} was not accepted")
        self.begun.append(context.id)
        super().init(context)


class TestTellsInInit(Contract):
    plugin = TellsInInit


class LogsSecrets(Good):
    @hookimpl
    def init(self, context: Context) -> None:
        super().init(context)
        # By a logger of its own: that of the context strikes secrets out.
        logging.getLogger("broken").warning("token %s", context.settings.token.reveal())


class TestLogsSecrets(Contract):
    plugin = LogsSecrets


class PrintsSecrets(Good):
    @hookimpl
    def init(self, context: Context) -> None:
        super().init(context)
        print(context.settings.token.reveal())


class TestPrintsSecrets(Contract):
    plugin = PrintsSecrets


@frozen(kw_only=True)
class PlainToken:
    name: str
    token: str | None = None
    former_tokens: list[Secret] = Factory(list)


class ShowsToken(Good):
    settings: ClassVar[type] = PlainToken


class TestPlainToken(Contract):
    plugin = ShowsToken


@frozen(kw_only=True)
class PlainKeys:
    name: str
    token: Secret
    api_keys: dict[str, str] = Factory(dict)


class ShowsKeys(Good):
    settings: ClassVar[type] = PlainKeys


class TestPlainKeys(Contract):
    plugin = ShowsKeys


class SimulatesTuples(Good):
    def simulate(
        self, event: Event, data: Any, rule: Rule | None, context: PushContext
    ) -> list[list[Any]]:
        return [["keep", (1, 2)]]


class TestSimulatesTuples(Contract):
    plugin = SimulatesTuples


class SimulatesForReal(Good):
    def simulate(
        self, event: Event, data: Any, rule: Rule | None, context: PushContext
    ) -> list[list[Any]]:
        self.open = True
        self.deliver(event, data, rule, context)
        return []


class TestSimulatesForReal(Contract):
    plugin = SimulatesForReal


class TestSimulatesSkipped(Contract):
    plugin = SimulatesTuples


class DeafToSessions(Good):
    @hookimpl
    def consent(
        self, update: Consent, state: Consent, person: Person | None, context: PushContext
    ) -> None:
        if person is not None:
            assert person.id or person.device


class TestDeafToSessions(Contract):
    plugin = DeafToSessions


class ErasesWhatIsNotOpen(Good):
    @hookimpl
    def erased(self, person: Person | None, context: Context) -> None:
        assert self.open


class TestErasesWhatIsNotOpen(Contract):
    plugin = ErasesWhatIsNotOpen


class ErasesNobody(Good):
    @hookimpl
    def erased(self, person: Person | None, context: Context) -> None:
        assert person is not None


class TestErasesNobody(Contract):
    plugin = ErasesNobody


class IgnoresData(Good):
    def content(self, event: Event, data: Any) -> Any:
        return event["data"]


class TestIgnoresData(Contract):
    plugin = IgnoresData


class TestSendsNoData(Contract):
    """Breaks nothing, as it says so."""

    plugin = IgnoresData
    uses_data: ClassVar = False


class Swallows(Good):
    def unreached(self, error: ConnectionError) -> None:
        """Lose the event."""


class TestSwallows(Contract):
    plugin = Swallows


class TestSwallowsForGood(Contract):
    plugin = Swallows


class UnreachableIsABug(Good):
    def unreached(self, error: ConnectionError) -> None:
        raise error


class TestUnreachableIsABug(Contract):
    plugin = UnreachableIsABug
