"""Messages as events: their bytes in, events with the trust in their senders out. Pure."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from attrs import frozen

from walker_collector.errors import EventError
from walker_collector.hookspecs import Received
from walker_collector.kafka.event_messages import has_other_schema, received_of
from walker_collector.sources.file.lines import parse, read
from walker_collector.sources.http.messages import RequestRejected
from walker_collector.sources.http.segment_api import event_of

Headers = Sequence[tuple[str, bytes | None]]


class Message(Protocol):
    """A message, as the client of Kafka has it."""

    def topic(self) -> str:
        """Return the name of its topic."""

    def partition(self) -> int:
        """Return the number of its partition."""

    def offset(self) -> int:
        """Return its offset in the partition."""

    def key(self) -> bytes | None:
        """Return its key."""

    def value(self) -> bytes | None:
        """Return its value; None marks a key as deleted."""

    def headers(self) -> Headers | None:
        """Return its headers."""

    def timestamp(self) -> tuple[int, int]:
        """Return the kind of its time, and the time (ms)."""


@frozen(kw_only=True)
class MessageReader:
    """Reads the event of a message.

    format, names: as in the settings. sender: stands for the senders of messages without our
    headers. max_bytes: the size of an event. whole: the events are looked at; else only a header is
    read of the usual ones.
    """

    format: Literal["walker", "segment"]
    names: Mapping[str, str]
    sender: Received
    max_bytes: int
    whole: bool

    def read(self, message: Message) -> Received | None:
        """Return the event of a message; None: it has no value. Raises EventError for others."""
        value, headers = message.value(), message.headers()
        if value is None:
            return None
        if has_other_schema(headers):
            raise EventError("walker-schema: the form of a later version; upgrade walker-collector")
        if self.format == "segment":
            event = self._of_segment(value, message.timestamp()[1])
            return received_of(event, headers, self.sender)
        found = parse(value, self.max_bytes) if self.whole else read(value, self.max_bytes)
        return received_of(found, headers, self.sender)

    def _of_segment(self, value: bytes, received: int) -> dict[str, object]:
        """Return the event of a call. Its time counts as it is, once a server has received it."""
        call = parse(value, self.max_bytes)
        sent = None if call.get("receivedAt") else call.get("sentAt")
        try:
            return event_of({**call, "sentAt": sent}, self.names, received, None)
        except RequestRejected as error:
            raise EventError(error.message) from None
