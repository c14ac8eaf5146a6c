"""The parser of a connection's requests: an offer to speak another protocol is declined."""

from typing import Any

import httptools


class RequestParser(httptools.HttpRequestParser):
    """Parses the requests of a connection.

    httptools ends behind the head of a request that offers another protocol, which Java's client
    does in the first one of a connection, and curl with --http2: a body would get lost. So the head
    is parsed once more, without the offer; before, the connection leaves it alone (`is_offer`).
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._begin()

    def is_offer(self) -> bool:
        """Return whether the head that was parsed offers to speak another protocol."""
        return self.should_upgrade() and self.get_method() != b"CONNECT"

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # asyncio reads bytes
        """Parse data; raises HttpParserError."""
        while True:
            try:
                super().feed_data(data)
            except httptools.HttpParserUpgrade as end:
                if not self.is_offer():
                    raise
                data = self._head_without_offer() + data[end.args[0] :]
                self._begin()
            else:
                return

    def _begin(self) -> None:
        """Be as new: after the head of a last request, further ones are not parsed."""
        super().__init__(self._connection)
        self.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does

    def _head_without_offer(self) -> bytes:
        line = (self.get_method(), self._connection.url, self.get_http_version().encode())
        headers = [
            b"%b: %b\r\n" % header for header in self._connection.headers if header[0] != b"upgrade"
        ]
        return b"%b %b HTTP/%b\r\n%b\r\n" % (*line, b"".join(headers))
