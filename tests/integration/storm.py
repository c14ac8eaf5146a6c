"""A storm: processes push the events of many people in turns, and one is killed every second."""

import signal
import threading
import time
from collections import deque
from pathlib import Path

from attrs import Factory, define, field

from tests.core.processes.shop import deliverer
from tests.emulator import Emulator
from tests.integration.process import Event, Process, numbered, process
from tests.support import join, wait_until

PACE = 1.0
"""Seconds from kill to kill."""
_STOP = 1.5
"""Seconds that a process is stopped: a claim counts for one."""
_START = 60.0
"""Seconds for the start of all processes, which takes 2 on an idle machine."""
_TURN = 25
"""People whose next event one process pushes at once; the one after it is another process's."""


@define(eq=False)
class Storm:
    """Pushes at least `events` events, numbered in the order of each person, and strikes at
    processes `kills` times, at least.

    `accepted` are the numbers of the events that a process has said to be accepted.
    `takeovers` are seconds from the death of the process that delivered until the next one has its
    lease, and until the first arrival after that.
    """

    flow: Path
    emulator: Emulator
    events: int
    people: int
    kills: int
    accepted: set[int] = Factory(set)
    struck: int = 0
    takeovers: list[tuple[float, float]] = Factory(list)
    _turns: deque[list[Event]] = Factory(deque)
    _turn: threading.Condition = Factory(threading.Condition)
    _workers: dict[int, Process] = Factory(dict)
    _over: bool = False
    _pause: threading.Event = Factory(threading.Event)
    _failures: list[BaseException] = Factory(list)
    _threads: list[threading.Thread] = field(factory=list)

    def run(self, count: int) -> None:
        """Let `count` processes push until enough has happened, and all has arrived."""
        with self._turn:
            for first in range(0, self.people, _TURN):
                people = range(first, min(first + _TURN, self.people))
                self._turns.append([numbered(n, {"id": f"u{n}"}) for n in people])
        self._threads += [threading.Thread(target=self._push, args=(at,)) for at in range(count)]
        for thread in self._threads:
            thread.start()
        try:
            self._strike(count)
        finally:
            self._over = True
            with self._turn:
                self._turn.notify_all()
            join(*self._threads, timeout=300)
        assert not self._failures, self._failures

    # --- pushing ---------------------------------------------------------------------------

    def _push(self, at: int) -> None:
        """Push turn after turn, in a process that is started again whenever it was killed."""
        try:
            while not self._is_enough():  # bounded: by the kills
                with process(self.flow, timeout=3_000) as worker:
                    self._workers[at] = worker
                    while not self._is_enough() and self._take_turn(worker):
                        pass
                    if self._is_enough() and worker.process.poll() is None:
                        assert worker.do("flush", 300)
                        worker.close()
        except BaseException as error:
            self._failures.append(error)

    def _is_enough(self) -> bool:
        return self._over or bool(self._failures)

    def _take_turn(self, worker: Process) -> bool:
        """Push the next events of some people; return False if the process was killed."""
        with self._turn:
            assert self._turn.wait_for(lambda: self._turns or self._is_enough(), timeout=60)
            if not self._turns:
                return True
            events = self._turns.popleft()
        done = worker.push(events)
        later = [numbered(event["data"]["n"] + self.people, event["user"]) for event in events]
        with self._turn:
            self.accepted.update(event["data"]["n"] for event in events[:done])
            if done < len(events):  # the rest is for another process
                self._turns.appendleft(events[done:])
            if done:
                self._turns.append(later[:done])
            self._turn.notify_all()
        return done == len(events)

    # --- killing ---------------------------------------------------------------------------

    def _strike(self, count: int) -> None:
        def are_there() -> bool:
            return len(self._workers) == count or bool(self._failures)

        wait_until(are_there, "the start of all processes", _START)
        while (self.struck < self.kills or len(self.accepted) < self.events) and not self._failures:
            until = time.monotonic() + PACE
            self._kill(self.struck)
            self.struck += 1
            self._pause.wait(until - time.monotonic())

    def _kill(self, struck: int) -> None:
        """Kill the process that delivers, or another one, or stop it longer than a claim counts.

        The one that delivers is killed in half of the cases.
        """
        wait_until(lambda: self._deliverer() in self._pids(), "a process that delivers")
        pid = self._deliverer()
        workers = [*self._workers.values()]
        others = [worker for worker in workers if worker.pid != pid]
        holder = next(worker for worker in workers if worker.pid == pid)
        if struck % 4 == 1:
            others[struck % len(others)].kill()
            return
        if struck % 4 == 3:
            holder.process.send_signal(signal.SIGSTOP)
            self._pause.wait(_STOP)
            holder.process.send_signal(signal.SIGCONT)
            return
        holder.kill()
        killed = time.monotonic()
        wait_until(lambda: self._deliverer() not in (0, pid), "a takeover")
        leased = time.monotonic()
        arrived = self.emulator.requests
        wait_until(lambda: self.emulator.requests > arrived, "a delivery after a takeover")
        self.takeovers.append((leased - killed, time.monotonic() - killed))

    @property
    def spool(self) -> Path:
        """The file that the processes share."""
        return self.flow.with_name("spool.db")

    def _deliverer(self) -> int:
        return deliverer(self.spool, "customerio")

    def _pids(self) -> set[int]:
        return {worker.pid for worker in self._workers.values()}
