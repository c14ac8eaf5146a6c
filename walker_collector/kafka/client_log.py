"""The log and the errors of librdkafka, which repeats them with each attempt to connect."""

import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from walker_collector.text import storable

_SAME_FOR: Final = 600.0
"""Seconds for which a trouble counts as the same one: it is logged once in that time."""
_TROUBLES_MAX: Final = 100
_EXPECTED: Final = (("CONFWARN",), ("FATAL",))
"""Lines about configuration, which is ours, and about errors that messages get as well."""
_NONE_LEFT: Final = "_ALL_BROKERS_DOWN"
_ENDED: Final = (
    "the brokers ended the connection without a reason; if that lasts, check security: the "
    "protocol of their port, and certFile"
)
"""What is known if no other error comes before that one."""
_VOLATILE: Final = re.compile(r"\(after [^)]*\)|\d+(?= (?:ms|request|message|bytes))")
"""The parts of a line that differ each time the same thing happens."""
_THREAD: Final = re.compile(r"^\[thrd:[^ ]*\]: ")
"""The thread of librdkafka that a line begins with, for its developers."""


class ClientError(NamedTuple):
    """An error of librdkafka: Kafka's name of it, such as MSG_SIZE_TOO_LARGE, and a text."""

    name: str
    text: str


def client_error(error: Any) -> ClientError:
    """Return a KafkaError, or the one inside a KafkaException, as name and text."""
    inside = error.args[0] if isinstance(error, Exception) and error.args else error
    if not hasattr(inside, "str"):  # an error of Python
        return ClientError(type(error).__name__, "")
    return ClientError(inside.name(), storable(inside.str()))


class ClientLog:
    """Takes the log of one client, and its errors.

    It has the method `log` of a logger, which the client calls (`logger`), and `on_error` for
    errors (`error_cb`). A line about a trouble is a warning the first time, and every ten minutes
    if it lasts, as its text alone; all other lines are for the debug log. `last_error`: the latest
    error since the last call of `succeeded`.
    """

    def __init__(
        self,
        logger: logging.Logger,
        prefix: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.last_error: ClientError | None = None
        self._logger = logger
        self._prefix = prefix
        self._clock = clock
        self._known: OrderedDict[str, float] = OrderedDict()

    def log(self, level: int, message: str, *args: Any) -> None:
        """Log a line of the client: a facility such as FAIL, the client's name, and the text."""
        text = storable(message % args if args else message)
        plain = storable(_THREAD.sub("", str(args[-1]))) if args else text
        trouble = level >= logging.WARNING and args[:1] not in _EXPECTED
        if trouble and self._is_new(_VOLATILE.sub("", plain)):
            self._logger.warning("%s: %s", self._prefix, plain)
        else:
            self._logger.debug("%s: %s", self._prefix, text)

    def on_error(self, error: Any) -> None:
        """Note an error: the cause, if messages get no acknowledgement."""
        found = client_error(error)
        if found.name != _NONE_LEFT:
            self.last_error = found
        elif self.last_error is None:  # else it follows the one that tells why
            self.last_error = found._replace(text=_ENDED)

    def succeeded(self) -> None:
        """Note that the brokers have answered: earlier errors are over."""
        self.last_error = None

    def _is_new(self, text: str) -> bool:
        now = self._clock()
        logged = self._known.pop(text, None)
        is_new = logged is None or now - logged >= _SAME_FOR
        self._known[text] = now if logged is None or is_new else logged
        while len(self._known) > _TROUBLES_MAX:
            self._known.popitem(last=False)
        return is_new
