"""Requests that wait for their events to be accepted: groups of them are answered on a thread."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from walker_collector.groups import Groups
from walker_collector.sources.http.exchange import Exchange, Undecided, failed
from walker_collector.sources.http.messages import Request, RequestRejected, Response, no_room

_BYTES: Final = 64_000_000
"""Bytes of bodies that wait for their answers, at most."""
_GROUP: Final = 100
"""Requests that are answered together, at most."""

Respond = Callable[[Response], object]


class WaitingRequests:
    """Has requests answered by an exchange, with a bound for their bytes.

    `refuse` returns the answer to a request that is refused. timeout: seconds for which a request
    waits for the decisions of destinations.
    """

    def __init__(
        self,
        exchange: Exchange,
        refuse: Callable[[Request, RequestRejected], Response],
        timeout: float,
    ) -> None:
        self._exchange = exchange
        self._refuse = refuse
        self._timeout = timeout
        self._tasks: set[asyncio.Task[None]] = set()
        self._groups: Groups[Request, Response | Undecided] = Groups(
            exchange.answers, "walker-http", most=_GROUP
        )
        self.bytes = 0
        """Bytes of bodies that wait for their answers."""

    def add(self, request: Request, respond: Respond) -> None:
        """Have a request answered: `respond` is called once, on the running loop.

        Its events are accepted even if its sender has gone. Raises nothing.
        """
        size = len(request.body)
        if self.bytes and self.bytes + size > _BYTES:
            respond(self._refuse(request, no_room()))
            return
        self.bytes += size
        waiting = _Waiting(self, size, respond)
        try:
            self._groups.submit([request], waiting)
        except RuntimeError as error:  # the process ends: there are no threads any more
            waiting.set_exception(error)

    def decide(self, undecided: Undecided, respond: Respond) -> None:
        """Have a request answered when destinations have decided."""
        task = asyncio.get_running_loop().create_task(self._decide(undecided, respond))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _decide(self, undecided: Undecided, respond: Respond) -> None:
        await undecided.wait_async(self._timeout)
        respond(self._exchange.finish(undecided))


class _Waiting:
    """A request with a body of `size` bytes, to which its group gives the answer."""

    __slots__ = ("_requests", "_respond", "_size")

    def __init__(self, requests: WaitingRequests, size: int, respond: Respond) -> None:
        self._requests = requests
        self._size = size
        self._respond = respond

    def done(self) -> bool:
        """Return False: nobody takes a request back."""
        return False

    def set_result(self, answers: Sequence[Response | Undecided]) -> None:
        """Pass on the answer."""
        (answer,) = answers
        if isinstance(answer, Undecided):
            self._requests.decide(answer, self._finish)
        else:
            self._finish(answer)

    def set_exception(self, error: Exception) -> None:
        """Pass on the answer to a fault of ours: the sender tries again later."""
        self._finish(failed(error))

    def _finish(self, response: Response) -> None:
        self._requests.bytes -= self._size
        self._respond(response)
