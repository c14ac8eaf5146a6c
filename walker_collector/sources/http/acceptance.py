"""Results of events: those of accepting them, and those that destinations decide."""

import logging
from collections.abc import Sequence
from concurrent.futures import Future

from attrs import evolve

from walker_collector.errors import CollectorClosed, WalkerError
from walker_collector.hookspecs import Received
from walker_collector.results import PushResult
from walker_collector.sources.http.respond import Accept

Results = Sequence[PushResult | WalkerError]
Decided = Future[PushResult]
"""Has the result of an event once destinations have decided on it."""

logger = logging.getLogger("walker_collector")


def pushed(accept: Accept, events: Sequence[Received]) -> Results:
    """Accept events; an error becomes the result of each."""
    try:
        return accept(events) if events else []
    except WalkerError as error:
        return [error] * len(events)
    except Exception:
        logger.exception("source http: events could not be accepted")
        return [CollectorClosed("the events could not be accepted")] * len(events)


def awaited(events: Sequence[Received]) -> tuple[list[Received], list[Decided]]:
    """Return events, with a future of each that has its result once destinations have decided."""
    futures = [Decided() for _ in events]
    return [evolve(item, decided=at) for item, at in zip(events, futures, strict=True)], futures


def undecided(futures: Sequence[Decided], results: Results) -> set[Decided]:
    """Return the futures of the events that were accepted."""
    pairs = zip(futures, results, strict=True)
    return {future for future, result in pairs if isinstance(result, PushResult)}


def decisions(results: Results, futures: Sequence[Decided]) -> Results:
    """Return the decisions that there are, and of other events the first result."""
    late = [future.cancel() for future in futures]  # one that is done cannot be cancelled
    return [
        result if is_late else future.result()
        for result, is_late, future in zip(results, late, futures, strict=True)
    ]
