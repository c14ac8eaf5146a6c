"""Exit and fork: closes the open collectors of this process, and pauses them for a fork.

Every collector registers here. They are closed when the interpreter exits, and when a child of
`multiprocessing` ends, which runs no `atexit`. During a fork no thread may be inside a spool.
"""

import atexit
import os
import sys
import threading
import weakref
from typing import Any, Final, Protocol

from walker_collector.text import get_logger

_FIRST: Final = 100
"""Priority among the finalizers of multiprocessing: before those of its queues and managers."""

logger = get_logger("walker_collector")


class Member(Protocol):
    """The methods of a collector that exit and fork call."""

    def close(self) -> bool: ...

    def before_fork(self) -> None: ...

    def after_fork_in_parent(self) -> None: ...

    def after_fork_in_child(self) -> None: ...


_members: "weakref.WeakSet[Member]" = weakref.WeakSet()
_forking: Final = threading.Lock()
_paused: Final[list[Member]] = []
"""The collectors that are paused for a fork."""


def register(member: Member) -> None:
    """Add an open collector."""
    _members.add(member)


def unregister(member: Member) -> None:
    """Remove a closed collector."""
    _members.discard(member)


def close_all() -> None:
    """Close every open collector; each delivers its waiting events first, within its timeout."""
    interrupted: BaseException | None = None
    for member in list(_members):
        try:
            member.close()
        except Exception:  # the others are to be closed too
            logger.exception("a collector could not be closed at exit")
        except BaseException as error:  # a signal handler raised
            interrupted = error
    if interrupted is not None:
        raise interrupted


def _at_exit() -> None:
    try:
        close_all()
    except SystemExit:  # of a signal handler: the process is about to end anyway
        return


# --- fork ----------------------------------------------------------------------------------------


def _before_fork() -> None:
    _forking.acquire()  # two threads may fork at once
    for member in list(_members):
        _paused.append(member)  # first: Python goes on with the fork whatever is raised here
        member.before_fork()


def _after_fork_in_parent() -> None:
    while _paused:
        _paused.pop().after_fork_in_parent()
    _forking.release()


def _after_fork_in_child() -> None:
    _paused.clear()
    _forking.release()
    for member in list(_members):
        member.after_fork_in_child()
    _watch_multiprocessing()


# --- children of multiprocessing -----------------------------------------------------------------


class _Watch:
    """The object that multiprocessing calls back about a fork, on behalf of this module."""

    known = False


_watch: Final = _Watch()


def _watch_multiprocessing() -> None:
    """Have collectors closed before this process ends, if it is a child of multiprocessing.

    Such a child ends by `os._exit`; it runs the finalizers of `multiprocessing.util` alone. Where
    that module is not loaded yet, this is no such child; importing it would take its time.
    """
    util = sys.modules.get("multiprocessing.util")
    if util is None:
        return
    if not _watch.known:
        # A forked child forgets the finalizers that it has inherited.
        util.register_after_fork(_watch, _finalize)
        _watch.known = True
    _finalize(_watch)


def _finalize(_: Any) -> None:
    from multiprocessing import util

    util.Finalize(None, _close_in_child, exitpriority=_FIRST)


def _close_in_child() -> None:
    from multiprocessing.process import parent_process

    if parent_process() is not None:  # else atexit does it, after all other threads have ended
        close_all()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):  # there is no fork on Windows
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
_watch_multiprocessing()
