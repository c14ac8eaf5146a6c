"""Every error of the collector, each for the person who must act."""

from collections.abc import Sequence

from attrs import frozen


class WalkerError(Exception):
    """The root of all errors raised on purpose by the collector and its plugins."""


@frozen
class Problem:
    """One mistake in a flow file: where it is, what is wrong, what to do."""

    path: str
    message: str

    def __str__(self) -> str:
        # A plugin's reason may have lines; whoever counts problems counts lines.
        message = " ".join(self.message.split("\n"))
        return f"{self.path}: {message}" if self.path else message


class ConfigError(WalkerError):
    """A flow that cannot be loaded; `problems` lists every mistake with its path."""

    def __init__(self, problems: Sequence[Problem] | str, source: str | None = None) -> None:
        if isinstance(problems, str):
            problems = [Problem("", problems)]
        self.problems = tuple(problems)
        self.source = source
        head = f"{source}: " if source else ""
        count = len(self.problems)
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(f"{head}{count} problem{'s' if count != 1 else ''}{lines}")


class EventError(WalkerError):
    """An event that cannot be accepted: its name, shape, depth or size."""


class SpoolError(WalkerError):
    """The spool cannot be opened, read or written; the call that raises it accepted nothing."""


class SpoolFull(SpoolError):
    """No room for the event within the configured wait; nothing already accepted suffers."""


class CollectorClosed(WalkerError):
    """An event was pushed after `close()`."""


class ReentrantCall(WalkerError):
    """A call from within another one of the same collector and thread, by a signal handler say.

    It would wait for locks that its own thread holds.
    """


class PluginError(WalkerError):
    """A destination's package is missing, fails to import, or breaks the hook contract."""


class ScaffoldError(WalkerError):
    """A new package cannot be made: its name, or something that stands in its place."""


class Rejected(WalkerError):
    """Raised by a destination: this event can never be delivered; it becomes a dead letter.

    `reason` names field and rule, never a person's data beyond an id.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class RetryLater(WalkerError):
    """Raised by a destination: a transient failure; the event is delivered again later.

    `after` is the wait in seconds the other side asked for (Retry-After), if it did.
    """

    def __init__(self, reason: str, after: float | None = None) -> None:
        self.reason = reason
        self.after = after
        super().__init__(reason)


class DestinationDown(WalkerError):
    """Raised by a destination: it cannot deliver anything (bad credentials, wrong region).

    Its events stay where they are; it is tried again slowly, and after a restart.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class NothingToSend(WalkerError):
    """Raised by a destination: the event asks nothing of it, so there was no call to make.

    The event is done; figures, log and `walker simulate` say `empty` rather than delivered.
    `reason` says what is missing, without a person's data.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class NotAttempted(WalkerError):
    """Raised by a destination: the event was not tried, since something else came in between.

    For events of a batch for which `context.may_proceed(item)` said no, or that must wait for an
    earlier event of the same person. It costs no attempt: the event is decided on again at once.
    """

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        super().__init__(reason)
