"""From requests to answers: the events of all requests that wait are accepted together."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from typing import NamedTuple

from attrs import evolve, frozen

from walker_collector.error_details import failure_of
from walker_collector.errors import CollectorClosed, WalkerError
from walker_collector.hookspecs import Received
from walker_collector.results import PushResult
from walker_collector.sources.http.call import Call
from walker_collector.sources.http.messages import Request, RequestRejected, Response, json_response
from walker_collector.sources.http.respond import Responder
from walker_collector.tracebacks import HINT, attachment, is_wanted

Accept = Callable[[Iterable[Received]], Sequence[PushResult | WalkerError]]
"""Accepts events, and returns for each its result, or the error."""
Decided = Future[PushResult]
"""Has the result of an event once destinations have decided on it."""

logger = logging.getLogger("walker_collector")


class _Read(NamedTuple):
    """A call that was read: the number of its events, and the futures of their decisions."""

    call: Call
    events: int
    decided: Sequence[Decided]


@frozen
class Undecided:
    """A request with accepted events, answered when destinations have decided."""

    request: Request
    call: Call
    accepted: Sequence[PushResult | WalkerError]
    decided: Sequence[Decided]

    def wait(self, timeout: float) -> None:
        """Wait for the decisions, at most `timeout` s."""
        wait(self._awaited(), timeout)

    async def wait_async(self, timeout: float) -> None:
        """Wait for the decisions, at most `timeout` s, in an event loop."""
        if futures := {*map(asyncio.wrap_future, self._awaited())}:
            await asyncio.wait(futures, timeout=timeout)

    def results(self) -> Sequence[PushResult | WalkerError]:
        """Return the decisions that there are, and of other events the first result."""
        late = [future.cancel() for future in self.decided]  # one that is done cannot be cancelled
        return [
            result if is_late else future.result()
            for result, is_late, future in zip(self.accepted, late, self.decided, strict=True)
        ]

    def _awaited(self) -> set[Decided]:
        """Return the futures of the events that were accepted."""
        pairs = zip(self.decided, self.accepted, strict=True)
        return {future for future, result in pairs if isinstance(result, PushResult)}


class Exchange:
    """Answers requests, with their events accepted together.

    waits: a POST is answered once destinations have decided on its events. `count_refused` is
    called with each refusal of an event.
    """

    def __init__(
        self,
        responder: Responder,
        accept: Accept,
        count_refused: Callable[[RequestRejected], object],
        *,
        waits: bool,
    ) -> None:
        self._responder = responder
        self._accept = accept
        self._count_refused = count_refused
        self._waits = waits

    def answers(self, requests: Sequence[Request]) -> list[Response | Undecided]:
        """Return the answer to each request, or for one that is to wait, the rest of the work."""
        read: list[_Read | Response] = []
        events = self._events(requests, read)
        try:
            results = self._accept(events)
        except Exception as error:
            for _ in events:  # of no use, but every request is read for its answer
                pass
            refused = sum(item.events for item in read if isinstance(item, _Read))
            results = [_as_result(error)] * refused
        answers: list[Response | Undecided] = []
        at = 0
        for request, item in zip(requests, read, strict=True):
            if isinstance(item, Response):
                answers.append(item)
                continue
            end = at + item.events
            answers.append(self._answer(request, item, results[at:end]))
            at = end
        return answers

    def finish(self, undecided: Undecided) -> Response:
        """Return the answer to a request that has waited."""
        return self._response(undecided.request, undecided.call, undecided.results())

    def _events(
        self, requests: Sequence[Request], read: "list[_Read | Response]"
    ) -> Iterator[Received]:
        """Yield the events of requests, and add to `read` each request that was read.

        A body is parsed when the events of those before are stored: parsed ones take many times
        the memory, which would not fit into the processor's caches either.
        """
        for request in requests:
            try:
                call = self._responder.read(request)
            except Exception as error:
                call = failed(error)
            if isinstance(call, Response):
                read.append(call)
                continue
            events = [event for event in call.events if type(event) is Received]
            call = call.without_events()
            for refusal in filter(None, call.events):
                self._count_refused(refusal)
            decided: list[Decided] = []
            if self._waits and request.method == "POST":
                decided = [Decided() for _ in events]
                pairs = zip(events, decided, strict=True)
                events = [evolve(event, decided=future) for event, future in pairs]
            read.append(_Read(call, len(events), decided))
            yield from events

    def _answer(
        self, request: Request, item: _Read, results: Sequence[PushResult | WalkerError]
    ) -> Response | Undecided:
        if item.decided:
            return Undecided(request, item.call, results, item.decided)
        return self._response(request, item.call, results)

    def _response(
        self, request: Request, call: Call, results: Sequence[PushResult | WalkerError]
    ) -> Response:
        try:
            return self._responder.answer(request, call, results)
        except Exception as error:
            return failed(error)


def _as_result(error: Exception) -> WalkerError:
    """Return an exception of accepting as the result of every event."""
    if isinstance(error, WalkerError):
        return error
    _log_fault("events could not be accepted", error)
    return CollectorClosed("the events could not be accepted")


def failed(error: Exception) -> Response:
    """Return the answer to a request that met an exception, which is a fault of ours."""
    _log_fault("a request could not be answered", error)
    return json_response(500, {"success": False, "error": "internal error"})


def _log_fault(fault: str, error: Exception) -> None:
    hint = "" if is_wanted(logger) else HINT
    extra = attachment(logger, error)
    logger.error("source http: %s: %s%s", fault, failure_of(error), hint, extra=extra)
