"""The worker processes of `walker run --workers`: messages go out to them, and reports come in."""

import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, NoReturn

from attrs import define, field

from walker_collector.cli.prefork import how_ended
from walker_collector.cli.signals import StopSignal
from walker_collector.delivery.status import DestinationStatus
from walker_collector.errors import WalkerError

Statuses = Mapping[str, DestinationStatus]


@define
class WorkerProcess:
    """A worker as its parent sees it; pid is 0 once it has ended.

    statuses: the last ones that it has reported.
    """

    number: int
    pid: int
    statuses: Statuses = field(factory=dict, init=False)
    _messages: Connection
    _reports: Connection

    def send(self, message: Any) -> None:
        """Send a message; raises OSError if the worker has ended."""
        self._messages.send_bytes(pickle.dumps(message))

    @property
    def ends(self) -> tuple[Connection, Connection]:
        """The parent's ends of its pipes: of messages, and of reports."""
        return self._messages, self._reports


@define
class Channel:
    """A worker's way to its parent: messages come in, and reports go out."""

    number: int
    _messages: Connection
    _reports: Connection
    _lifeline: int
    """The reading end of a pipe, of which only the parent has the other one."""
    _lock: threading.Lock = field(factory=threading.Lock)

    def receive(self) -> Any:
        """Return the next message; raises EOFError if the parent has ended."""
        return pickle.loads(self._messages.recv_bytes())

    def report(self, kind: str, content: Any) -> None:
        """Send figures, or an error, to the parent; raises OSError if it has ended."""
        with self._lock:
            self._reports.send((kind, content))

    def end_with_parent(self) -> None:
        """Have this process end at once when its parent does, in the middle of any work."""

        def watch() -> None:
            os.read(self._lifeline, 1)
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()


class WorkerProcesses:
    """Processes that do `work`, forked when this is made, so before the process has threads.

    On a thread, `on_report` gets the worker, kind and content of each report but "statuses", and
    `on_end` a worker that has ended, its pid, and how it has ended, for people.
    """

    def __init__(
        self,
        count: int,
        work: Callable[[Channel], None],
        stop: StopSignal,
        on_report: Callable[[WorkerProcess, str, Any], None],
        on_end: Callable[[WorkerProcess, int, str], None],
    ) -> None:
        self._stop = stop
        self._on_report = on_report
        self._on_end = on_end
        self.each: list[WorkerProcess] = []
        self._lifeline, self._own_end = os.pipe()
        for number in range(count):
            self.each.append(self._start(number, work))
        stop.before_exit = lambda: self.send_signal(signal.SIGKILL)
        self._listener = threading.Thread(target=self._listen, daemon=True)

    def listen(self) -> None:
        """Take reports from now on; begins a thread."""
        self._listener.start()

    def _start(self, number: int, work: Callable[[Channel], None]) -> WorkerProcess:
        messages, messages_end = Pipe(duplex=False)
        reports, reports_end = Pipe(duplex=False)
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if not pid:
            os.close(self._own_end)
            for end in (messages_end, reports, *self._ends()):
                end.close()
            channel = Channel(number, messages, reports_end, self._lifeline)
            _work_and_exit(channel, work, self._stop)
        messages.close()
        reports_end.close()
        return WorkerProcess(number, pid, messages_end, reports)

    def _ends(self) -> list[Connection]:
        return [end for worker in self.each for end in worker.ends]

    @property
    def all_ended(self) -> bool:
        """Whether no worker is left."""
        return not any(worker.pid for worker in self.each)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to each worker."""
        for worker in self.each:
            if worker.pid:
                with suppress(ProcessLookupError):  # it ends just now
                    os.kill(worker.pid, number)

    def send_all(self, message: Any) -> None:
        """Send a message to each worker that is left."""
        for worker in self.each:
            with suppress(OSError):
                worker.send(message)

    def join(self, timeout: float) -> bool:
        """Wait so many seconds for the end of all workers; return whether they have ended."""
        self._listener.join(timeout)
        return not self._listener.is_alive()

    def close(self) -> None:
        """Close the pipes to the workers, after their end or to end them."""
        for worker in self.each:
            worker.ends[0].close()
        os.close(self._own_end)
        os.close(self._lifeline)
        self._listener.join()
        for worker in self.each:
            worker.ends[1].close()

    def _listen(self) -> None:
        """Take the reports of the workers, until all of them have ended."""
        going = {worker.ends[1]: worker for worker in self.each}
        while going:
            for end in wait(list(going)):
                assert isinstance(end, Connection)
                try:
                    self._take(going[end], *end.recv())
                except (EOFError, OSError):
                    self._note_end(going.pop(end))

    def _take(self, worker: WorkerProcess, kind: str, content: Any) -> None:
        if kind == "statuses":
            worker.statuses = content
        else:
            self._on_report(worker, kind, content)

    def _note_end(self, worker: WorkerProcess) -> None:
        pid, status = os.waitpid(worker.pid, 0)
        worker.pid = 0
        self._on_end(worker, pid, how_ended(os.waitstatus_to_exitcode(status)))


def _work_and_exit(channel: Channel, work: Callable[[Channel], None], stop: StopSignal) -> NoReturn:
    """Work, and end the process."""
    stop.on_signal = lambda received: None
    stop.before_exit = lambda: None
    status = 1
    try:
        work(channel)
        status = 0
    except WalkerError as error:
        with suppress(OSError):
            channel.report("failed", str(error))
    except EOFError:  # the parent has ended
        pass
    except Exception:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
