"""The Customer.io destination: the collector's hooks, on top of plan and delivery."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import Any

from msgspec.structs import replace

from walker_collector import (
    Consent,
    Context,
    DestinationDown,
    Item,
    NotAttempted,
    NothingToSend,
    Person,
    PushContext,
    Rejected,
    Rule,
    SimulatedCalls,
    SpoolError,
    hookimpl,
)
from walker_collector.clients import tls_context
from walker_dest_customerio.account_check import account_problems
from walker_dest_customerio.at_most_once import RestLater
from walker_dest_customerio.clients import open_clients
from walker_dest_customerio.consent_changes import consent_identify
from walker_dest_customerio.delivery import Delivery
from walker_dest_customerio.estimate import estimate
from walker_dest_customerio.event_delivery import EventDelivery
from walker_dest_customerio.identify_cache import IdentifyCache, Overlay, workspace_of
from walker_dest_customerio.identity import WrongIdentifier, as_kind, key_of
from walker_dest_customerio.operations import (
    GUARDED,
    MESSAGE_PARTS,
    ApiName,
    Json,
    Message,
    Operation,
)
from walker_dest_customerio.operations.occurrences import BLANK_NAME
from walker_dest_customerio.plan import UNIDENTIFIED, Plan, plan
from walker_dest_customerio.rule_checks import advise, check_settings
from walker_dest_customerio.sent_messages import check_listener, report
from walker_dest_customerio.settings import (
    BY_ID,
    RuleSettings,
    Settings,
)

_ERASING = {"destroy": "delete", "suppress": "suppress"}
"""Parts of a delivery that erase a person, by the name of their rule setting."""


class Unidentified(Rejected):
    """An event that identifies no person."""

    status = "unidentified"


class CustomerioDestination:
    """Delivers events to Customer.io."""

    settings = Settings
    rule_settings = RuleSettings
    aliases = ("@walkeros/server-destination-customerio",)
    batch_size = 500
    concurrency = 4
    linger = 100
    message_parts = MESSAGE_PARTS
    guarded = GUARDED
    reads = ("id", "name", "timestamp", "user")
    advise = staticmethod(advise)

    @staticmethod
    def check_settings(
        settings: Settings, rules: Mapping[str, Mapping[str, Any]]
    ) -> Iterable[tuple[str, str]]:
        """Yield path and message for settings and rules that do not fit together."""
        yield from check_settings(settings, rules)
        yield from check_listener(settings)

    @staticmethod
    def wants_consent(settings: Settings) -> bool:
        """Return whether changes of consent set any attributes."""
        return bool(settings.on_consent)

    def __init__(self) -> None:
        self._cache: IdentifyCache | None = None
        self._delivery: Delivery | None = None

    @hookimpl
    def init(self, context: Context) -> None:
        """Make the clients; nothing is sent."""
        settings: Settings = context.settings
        if settings.ca_file is not None:
            tls_context(settings.ca_file, "settings.caFile")  # fails here, not with every event
        self._cache = _cache_of(settings)
        self._delivery = Delivery(open_clients(settings, share=context.share), settings.delivery)

    @hookimpl
    def push(self, event: Json, data: Any, rule: Rule | None, context: PushContext) -> None:
        """Deliver one event."""
        failures, _ = self._deliver([Item(event, data, rule, context)])
        if failures:
            raise failures[0]

    @hookimpl
    def push_batch(self, batch: Sequence[Item], context: Context) -> Mapping[int, Exception]:
        """Deliver several events; return the failures by index.

        Raises RetryLater or DestinationDown if every event failed because an API did.
        """
        failures, halted = self._deliver(batch)
        if len(batch) > 1 and (error := _common_failure(failures, len(batch), halted)):
            raise error
        return failures

    @hookimpl
    def consent(
        self,
        update: Consent,
        state: Consent,
        person: Person | None,
        context: PushContext,
    ) -> None:
        """Set the attributes of `onConsent` for the granted and denied keys.

        Like an identify they carry the time of the change: later updates of the person must not
        be older than this one, or Customer.io ignores them.
        """
        identify = consent_identify(update, state, person, context)
        if identify is None:
            return
        delivery = EventDelivery(Plan([identify], person=identify.person))
        self._ready_delivery().deliver([delivery])
        identify.doubt(self._identify_cache(context.settings))  # not all of the attributes
        if delivery.error is not None:
            raise delivery.error

    @hookimpl
    def erased(self, person: Person | None, context: Context) -> None:
        """Drop a person from the identify cache.

        The collector's and Customer.io's keys of a person agree only for an id that `customerId`
        reads. In all other cases the whole cache is cleared: too much rather than too little.
        """
        if self._cache is None:
            return
        settings: Settings = context.settings
        if person is None or person.id is None or settings.customer_id != BY_ID:
            self._cache.clear()
        else:
            with suppress(WrongIdentifier):  # nobody is known by it
                self._cache.discard_people((key_of(as_kind(person.id, settings.identifier)),))

    @hookimpl
    def check(self, context: Context) -> list[str]:
        """Ask each API that has a key; see `account_check`."""
        settings: Settings = context.settings
        if settings.ca_file is not None:
            tls_context(settings.ca_file, "settings.caFile")
        with closing(open_clients(settings)) as clients:
            return list(account_problems(clients, settings))

    @hookimpl
    def shutdown(self, context: Context) -> None:
        """Close the connections."""
        if self._delivery is not None:
            self._delivery.close()

    def simulate(
        self, event: Json, data: Any, rule: Rule | None, context: PushContext
    ) -> SimulatedCalls:
        """Return the calls of `push`, assuming that all earlier ones were delivered.

        Raises the errors of `push` that the event itself causes.
        """
        cache, now = self._identify_cache(context.settings), time.time()
        planned = require_operations(plan(event, data, rule, context, cache, now))
        warnings = list(planned.warnings)
        calls = SimulatedCalls()
        refused, sent = [], []
        for operation in planned.operations:
            problem = operation.problem(now) or operation.size_problem()
            if problem is None and context.settings.delivery == "single":
                problem = operation.path_problem()
            if problem is not None and _is_made_anyway(operation, problem):
                calls.append(operation.call)
                warnings.append(f"{operation.progress_part}: {problem}, so Customer.io refuses it")
            elif problem is None:
                calls.append(operation.call)
                sent.append(operation)
                operation.note(cache, -math.inf)  # as if delivered at the event's time
            else:
                refused.append(f"{operation.progress_part}: {problem}")
        calls.warnings = tuple(warnings)
        calls.refused = "; ".join(refused) or None
        calls.planned = EventDelivery(replace(planned, operations=sent), person=context.person)
        return calls

    def estimate(
        self, batch: Sequence[EventDelivery], settings: Settings
    ) -> Mapping[str, tuple[int, float]]:
        """Return the requests that a batch of events takes, with the rate limit of each API."""
        return estimate(batch, settings)

    def simulate_consent(
        self, update: Consent, state: Consent, person: Person | None, context: PushContext
    ) -> SimulatedCalls:
        """Return the calls of `consent`."""
        identify = consent_identify(update, state, person, context)
        if identify is None:
            return SimulatedCalls()
        identify.doubt(self._identify_cache(context.settings))
        made = EventDelivery(Plan([identify], person=identify.person))
        return SimulatedCalls([identify.call], planned=made)

    def _deliver(
        self, batch: Sequence[Item]
    ) -> tuple[dict[int, Exception], dict[ApiName, Exception]]:
        """Plan and deliver events in order; return failures by index, errors of whole APIs by API.

        Each event is planned as if those before it had been delivered. Only after the delivery are
        the identifies that succeeded remembered, in the same order.
        """
        destination = batch[0].context.destination
        overlay = Overlay(self._identify_cache(destination.settings))
        now = time.time()
        deliveries = [_delivery_of(item, overlay, now) for item in batch]
        halted = self._ready_delivery().deliver(
            deliveries, now, partial(_may_all_proceed, batch, destination)
        )
        is_whole = not [one for one in deliveries if one.is_partial]
        failures = {} if is_whole and overlay.keep() else _settle(deliveries, overlay, now)
        if destination.settings.forget_on and destination.forget is not None:
            for item, delivery in zip(batch, deliveries, strict=True):
                if delivery.error is None or isinstance(delivery.error, Rejected):
                    _forget(item, delivery)
        return failures, halted

    def _identify_cache(self, settings: Settings) -> IdentifyCache:
        if self._cache is None:
            self._cache = _cache_of(settings, simulated=True)
        return self._cache

    def _ready_delivery(self) -> Delivery:
        if self._delivery is None:
            raise DestinationDown("not initialised")
        return self._delivery


def _settle(
    deliveries: Sequence[EventDelivery], overlay: Overlay, now: float
) -> dict[int, Exception]:
    """Remember the operations that are done; return the failures by index."""
    failures: dict[int, Exception] = {}
    for at, delivery in enumerate(deliveries):
        for operation in delivery.done:
            if operation.is_remembered:
                operation.note(overlay.delivered, now)
        for task in delivery.failed:
            if not isinstance(task.error, Rejected):
                task.operation.doubt(overlay.delivered)
        if delivery.error is not None:
            failures[at] = delivery.error
    return failures


def _may_all_proceed(batch: Sequence[Item], destination: Context) -> bool:
    try:
        return destination.may_all_proceed(batch)
    except SpoolError:  # each event is asked about then
        return False


def _is_made_anyway(operation: Operation, problem: str) -> bool:
    """Return whether walkerOS makes a call that Customer.io refuses.

    It does with the empty name of a rule, and with messages whose fields are wrong.
    """
    if isinstance(operation, Message):
        return operation.is_sent_anyway and problem == operation.form_problem()
    return problem == BLANK_NAME and not operation.call[-1]["name"]


def _cache_of(settings: Settings, *, simulated: bool = False) -> IdentifyCache:
    host = (settings.track_url or settings.region).rstrip("/").lower()
    workspace = workspace_of(settings.site_id, host, simulated=simulated)
    return IdentifyCache(settings.people_max, settings.identify_age, workspace)


def _forget(item: Item, delivery: EventDelivery) -> None:
    """Have the collector erase a person after Customer.io deleted them, if `forgetOn` says so.

    Called when nothing of the event is left to try. An earlier attempt may have done the deletion.
    """
    context = item.context.destination
    wanted = {_ERASING[name] for name in context.settings.forget_on}
    done = {operation.part for operation in delivery.done}
    if delivery.progress is not None:
        done |= {part for part, state in delivery.progress.parts.items() if state == "done"}
    if context.forget is not None and done & wanted:
        context.forget(item.event.get("user") or {})


def _delivery_of(item: Item, overlay: Overlay, now: float) -> EventDelivery:
    context = item.context
    try:
        planned = plan(item.event, item.data, item.rule, context, overlay, now)
        if not planned.operations:
            require_operations(planned)
    except (Rejected, NothingToSend) as error:
        progress = context.progress
        if isinstance(error, NothingToSend) and progress is not None and progress.parts:
            return EventDelivery(Plan(()), progress)  # done by an earlier attempt
        return EventDelivery(UNIDENTIFIED, error=error)
    for operation in planned.operations:
        if operation.is_remembered and operation.problem(now) is None:
            operation.note(overlay, now)
    for warning in planned.warnings:
        context.destination.warn("event %s: %s", item.event.get("id"), warning)
    on_sent = partial(report, item)
    return EventDelivery(planned, context.progress, context.person, context.proceed, on_sent)


def _common_failure(
    failures: Mapping[int, Exception], count: int, halted: Mapping[ApiName, Exception]
) -> Exception | None:
    """Return the error of the Track API if it kept every event from being delivered.

    An error of the App API is never one of the destination: events without messages may go.
    """
    errors = [error for error in failures.values() if not isinstance(error, NotAttempted)]
    whole = halted.get("track")
    causes = [error.cause if isinstance(error, RestLater) else error for error in errors]
    if len(failures) == count and errors and all(cause is whole for cause in causes):
        return whole
    return None


def require_operations(planned: Plan) -> Plan:
    """Return the plan if it has operations.

    Raises Unidentified for an event without a person, NothingToSend for one without operations.
    """
    if planned.is_unidentified:
        raise Unidentified(
            "the event names nobody: neither settings.customerId (default user.id) nor "
            "settings.anonymousId (default user.session, user.device) resolves to an id"
        )
    if not planned.operations:
        raise NothingToSend(f"the rule skips the event; {planned.lacks}")
    return planned
