"""The record of requests: a bounded log, and counters of all of them."""

from collections import Counter, deque

from attrs import define, field, frozen

from walker_dest_customerio.sandbox.received import JsonObject

REQUESTS_KEPT = 10_000


@frozen
class RequestRecord:
    """One request to the API.

    `path` is as sent, percent-encoded; `endpoint` is method and path template; `status` is None if
    no status was sent; `time` is in unix seconds; `operations` is the number processed; `bytes` is
    the length of the body; `fault` is the kind of fault that hit it, if any.
    """

    method: str
    path: str
    endpoint: str
    status: int | None
    time: float
    operations: int
    bytes: int
    fault: str | None = None


@define
class RequestLog:
    """The log and the counters."""

    log: deque[RequestRecord] = field(factory=lambda: deque(maxlen=REQUESTS_KEPT))
    total: int = 0
    endpoints: Counter[str] = field(factory=Counter)
    statuses: Counter[str] = field(factory=Counter)
    faults: Counter[str] = field(factory=Counter)
    operations: int = 0
    rejected: int = 0
    largest_operations: int = 0
    largest_bytes: int = 0

    def add(self, request: RequestRecord, rejected: int) -> None:
        """Add a request, with the number of its rejected operations."""
        self.log.append(request)
        self.total += 1
        self.endpoints[request.endpoint] += 1
        self.statuses["none" if request.status is None else str(request.status)] += 1
        if request.fault is not None:
            self.faults[request.fault] += 1
        self.operations += request.operations
        self.rejected += rejected
        if request.path == "/api/v2/batch":
            self.largest_operations = max(self.largest_operations, request.operations)
            self.largest_bytes = max(self.largest_bytes, request.bytes)

    def counters(self) -> JsonObject:
        """Return the counters as JSON."""
        return {
            "requests": self.total,
            "endpoints": dict(self.endpoints),
            "statuses": dict(self.statuses),
            "faults": dict(self.faults),
            "operations": self.operations,
            "rejected": self.rejected,
            "largest_batch": {"operations": self.largest_operations, "bytes": self.largest_bytes},
        }
