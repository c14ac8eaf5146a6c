"""All errors of the collector; messages name the problem, its place and the remedy."""

from collections.abc import Callable, Sequence
from typing import Final

from attrs import evolve, frozen

from walker_collector.text import brief, counted, visible

_PROBLEMS_MAX: Final = 1_000
"""Problems of a flow that are told one by one."""
_PATH_MAX: Final = 500
_MESSAGE_MAX: Final = 2_000


class WalkerError(Exception):
    """The root of all errors raised on purpose by the collector and its plugins."""


@frozen
class Problem:
    """One mistake in a flow file: its place, a message with the remedy, and its line if known."""

    path: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        shown = self.shown()
        where = f" (line {self.line})" if self.line else ""
        return f"{shown.path}: {shown.message}{where}" if shown.path else shown.message

    def shown(self) -> "Problem":
        """Return the problem as people get it: on a line, of a bounded length."""
        path, message = brief(self.path, _PATH_MAX), brief(self.message, _MESSAGE_MAX)
        return Problem(visible(path), visible(message), self.line)


class ConfigError(WalkerError):
    """The flow cannot be loaded; `problems` lists every mistake with its path."""

    def __init__(self, problems: Sequence[Problem] | str, source: str | None = None) -> None:
        if isinstance(problems, str):
            problems = [Problem("", problems)]
        count = len(problems)
        self.problems = tuple(problem.shown() for problem in problems[:_PROBLEMS_MAX])
        if count > _PROBLEMS_MAX:
            self.problems += (Problem("", f"and {count - _PROBLEMS_MAX:,} more problems"),)
        self.source = source
        self._head = f"{visible(source)}: " if source else ""
        self._head += counted(count, "problem")
        super().__init__(self._text())

    def _text(self) -> str:
        return self._head + "".join(f"\n  {problem}" for problem in self.problems)

    def add_lines(self, line_of: Callable[[str], int | None]) -> None:
        """Add to each problem the line that its place has in the file."""
        self.problems = tuple(evolve(item, line=line_of(item.path)) for item in self.problems)
        self.args = (self._text(),)


class EventError(WalkerError):
    """The event cannot be accepted, for its name, shape, depth or size.

    Its text, which may quote the event, is one line of valid Unicode, of a bounded length.
    """

    def __init__(self, message: str) -> None:
        super().__init__(visible(brief(message, _MESSAGE_MAX)))


class SpoolError(WalkerError):
    """The spool cannot be opened, read or written; the call that raises it accepted nothing."""

    is_logged = False
    """Whether the log has it already, as a part of an outage."""


class NotTrusted(EventError):
    """The sender may not send this command."""


class SpoolFull(SpoolError):
    """There was no room for the event within the configured wait; accepted events are safe."""


class Overtaken(WalkerError):
    """An erasure has overtaken an event on its way into the spool; the collector tries again."""


class CollectorClosed(WalkerError):
    """An event was pushed after `close()`."""


class ReentrantCall(WalkerError):
    """A signal handler, say, called the collector inside another call on the same thread.

    The call would wait for locks that its own thread holds.
    """


class PluginError(WalkerError):
    """A destination's package is missing, fails to import, or breaks the hook contract."""


class ScaffoldError(WalkerError):
    """A new package cannot be created, for its name or for files in its place."""


class Rejected(WalkerError):
    """Raised by a destination: this event can never be delivered; it becomes a dead letter.

    `reason` names field and rule, never a person's data beyond an id.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class RetryLater(WalkerError):
    """Raised by a destination: a transient failure; the event is delivered again later.

    `after` is the wait (s) that the service asked for (Retry-After), if any.
    """

    def __init__(self, reason: str, after: float | None = None) -> None:
        self.reason = reason
        self.after = after
        super().__init__(reason)


class PartDown(RetryLater):
    """Raised by a destination: a part of it cannot be used, such as a second API of its service.

    The event waits, and this costs it no attempt; others are delivered. The reason stands in the
    status and in the log, and names the remedy.
    """


class DestinationDown(WalkerError):
    """Raised by a destination: it cannot deliver anything (bad credentials, wrong region).

    Its events are kept. It is tried again at long intervals, and after a restart.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class NothingToSend(WalkerError):
    """Raised by a destination: the event gives it nothing to send, so there was no call to make.

    The event is finished; figures, log and `walker simulate` say `empty` rather than delivered.
    `reason` names the missing data, without a person's own.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Ignored(WalkerError):
    """Raised by an extension: this destination does not get the event; it counts as `ignored`.

    `reason` names the rule, such as a rate of sampling, without a person's data.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Untested(WalkerError):
    """Raised by the hook `check` of a destination: it was reached, and its credentials not tested.

    `reason` names what an event alone will show.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class NotAttempted(WalkerError):
    """Raised by a destination: the event was not attempted, and may have to wait.

    For events of a batch for which `context.may_proceed(item)` returned False, or that must wait
    for an earlier event of the same person. It costs no attempt: the event is queued again at once.
    Without such a cause, a call that attempts none of its events has failed, as with `RetryLater`.
    """

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        super().__init__(reason)
