"""From a request to its answer: a call of a client, its events accepted, and the outcomes told."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import define, field

from walker_collector.errors import (
    CollectorClosed,
    EventError,
    NotTrusted,
    SpoolFull,
    WalkerError,
)
from walker_collector.events import read_events
from walker_collector.results import PushResult
from walker_collector.sources.http import segment_api, walkeros
from walker_collector.sources.http.body import parse_body, read_body
from walker_collector.sources.http.call import Call, Outcome
from walker_collector.sources.http.cors import cors_headers, preflight
from walker_collector.sources.http.decisions import outcome_of_decisions
from walker_collector.sources.http.keys import Caller, caller_of
from walker_collector.sources.http.messages import (
    RETRY_AFTER,
    NotStored,
    Request,
    RequestRejected,
    Response,
    json_response,
    no_room,
)
from walker_collector.sources.http.metrics import MetricsUnavailable
from walker_collector.sources.http.settings import Settings
from walker_collector.sources.http.trust import received, user_of

_READY: Final = "/ready"
_METRICS: Final = "/metrics"
_PROBES: Final = ("GET", "HEAD")
_ENVELOPE: Final = frozenset({"key", "writeKey"})


@define
class Responder:
    """Answers requests.

    `now` returns the time in ms, `unready` the reason why requests should go elsewhere, or "".
    `metrics` returns the page of figures and its media type, for a header Accept. `durable` returns
    whether events that are held survive the end of the process.

    `reads_whole`: the events are looked at; else only a header is read of the usual ones.
    `not_stored` is called with each error of the spool itself.

    `read` and `answer` are the halves of a request that brings events: in between they are
    accepted. `answer_without_events` is for all others.
    """

    settings: Settings
    now: Callable[[], int]
    unready: Callable[[], str] = lambda: ""
    metrics: Callable[[str], tuple[bytes, str]] | None = None
    durable: Callable[[], bool] = lambda: True
    reads_whole: bool = False
    not_stored: Callable[[WalkerError], object] = lambda error: None
    _methods: Mapping[str, Sequence[str]] = field(init=False)

    @_methods.default
    def _of_routes(self) -> Mapping[str, Sequence[str]]:
        return {route.path: (*route.methods, "OPTIONS") for route in self.settings.routes}

    def may_bring_events(self, method: str, path: str) -> bool:
        """Return whether a request may bring events: `read` is for it."""
        if path in self._methods:
            return method in ("POST", "GET")
        return method == "POST" and path not in self._probes

    def answer_without_events(self, request: Request) -> Response:
        """Return the answer to a request that brings no events."""
        found = self.read(request)
        assert isinstance(found, Response), request.method
        return found

    def read(self, request: Request) -> Call | Response:
        """Return the call in a request, with events or refusals; or its answer."""
        try:
            found = self._found(request)
            return self._with_cors(request, found) if isinstance(found, Response) else found
        except RequestRejected as error:
            return self.refuse(request, error)

    def answer(
        self, request: Request, call: Call, results: Sequence[PushResult | WalkerError]
    ) -> Response:
        """Return the answer to a call (see `Call.without_events`).

        `results` are those of the events that were not refused.
        """
        left = self._outcomes_of(results)
        outcomes = [
            Outcome(refused=event) if event is not None else next(left) for event in call.events
        ]
        try:
            return self._with_cors(request, call.answer(outcomes))
        except RequestRejected as error:
            return self.refuse(request, error)

    def refuse(self, request: Request, error: RequestRejected) -> Response:
        """Return the answer to a request that is refused."""
        if request.path in self._methods or not request.path.startswith("/v1/"):
            body = {"success": False, "error": error.message}
            response = json_response(error.status, body, error.headers)
        else:
            response = segment_api.refusal(error)
        return self._with_cors(request, response)

    def _outcomes_of(self, results: Iterable[PushResult | WalkerError]) -> Iterator[Outcome]:
        waits = self.settings.acknowledge == "delivered"
        for result in results:
            if not isinstance(result, PushResult):
                yield self._refused(result)
            elif waits:
                yield outcome_of_decisions(result, durable=self.durable())
            else:
                yield Outcome(result.id)

    def route_of(self, path: str) -> str:
        """Return the route of a path, for figures: one of few texts, without keys."""
        if path in self._methods or path in self._probes:
            return path
        if self.settings.segment:
            if segment_api.kind_of(path):
                return path
            if segment_api.is_settings(path):
                return "/v1/projects/KEY/settings"
        return "other"

    def reads_figures(self, path: str) -> bool:
        """Return whether the answer at a path takes its time, as figures are read for it."""
        return path in (_READY, _METRICS) and path not in self._methods

    # --- private ---------------------------------------------------------------------------

    @property
    def _probes(self) -> Sequence[str]:
        return (self.settings.health_path, _READY, _METRICS)

    def _found(self, request: Request) -> Call | Response:
        methods = self._methods.get(request.path) or self._segment_methods(request.path)
        if methods is None and request.path in self._probes:
            return self._probe(request)
        if methods is None:
            raise RequestRejected(404, "there is nothing at this path")
        if request.method == "OPTIONS":
            return preflight(request, methods)
        if request.method not in methods:
            raise RequestRejected(405, f"use {', '.join(methods)}", {"Allow": ", ".join(methods)})
        if request.method == "GET":
            return self._get(request)
        text = read_body(request, self.settings.max_body)
        body = self._events_of(request, text) or parse_body(text)
        caller = caller_of(request, body, self.settings.keys)
        return self._received(request, caller, self._posted(request, body))

    def _events_of(self, request: Request, text: bytes) -> Any:
        """Return the usual events of a walkerOS client, of which a header is read; else None."""
        if self.reads_whole or request.path not in self._methods:
            return None
        return read_events(text)

    def _probe(self, request: Request) -> Response:
        """Return the answer to a load balancer: this process lives; it should get requests."""
        if request.method not in _PROBES:
            raise RequestRejected(405, f"use {', '.join(_PROBES)}", {"Allow": ", ".join(_PROBES)})
        if request.path == _METRICS:
            return self._metrics(request)
        reason = self.unready() if request.path == _READY else ""
        if reason:
            return json_response(503, {"status": "unready", "reason": reason}, RETRY_AFTER)
        return json_response(200, {"status": "ok"})

    def _metrics(self, request: Request) -> Response:
        """Return the figures: to anybody, or where there are keys to callers that are trusted."""
        if self.settings.keys and not caller_of(request, None, self.settings.keys).trusted:
            raise RequestRejected(403, "the figures need a key that is trusted")
        if self.metrics is None:
            raise RequestRejected(404, "there is nothing at this path")
        try:
            page, media_type = self.metrics(request.headers.get("accept", ""))
        except MetricsUnavailable:
            advice = "the figures need prometheus-client: pip install 'walker-collector[serve]'"
            raise RequestRejected(501, advice) from None
        return Response(200, {"Content-Type": media_type}, page)

    def _segment_methods(self, path: str) -> Sequence[str] | None:
        if not self.settings.segment:
            return None
        if segment_api.kind_of(path):
            return ("POST", "OPTIONS")
        return ("GET", "OPTIONS") if segment_api.is_settings(path) else None

    def _get(self, request: Request) -> Call | Response:
        if request.path not in self._methods:
            return segment_api.settings_response(
                request.path, request.headers.get("host", "") + request.root
            )
        caller = caller_of(request, None, self.settings.keys)
        call = walkeros.call_of_query(request.query)
        events = [
            {key: value for key, value in event.items() if key not in _ENVELOPE}
            for event in call.events
        ]
        return self._received(request, caller, Call(events, call.answer))

    def _received(self, request: Request, caller: Caller, call: Call) -> Call:
        """Return a call with the trust in its sender, and the address if kept, in each event."""
        user = user_of(request, self.settings.ip, self.settings.proxies)
        learn = self.settings.learn_consent
        events = [
            event
            if isinstance(event, RequestRejected)
            else received(event, caller, user, learn=learn)
            for event in call.events
        ]
        return Call(events, call.answer)

    def _posted(self, request: Request, body: Any) -> Call:
        settings = self.settings
        if request.path in self._methods:
            return walkeros.call_of_body(body, settings.max_batch, self.now())
        kind = segment_api.kind_of(request.path)
        assert kind is not None
        return segment_api.call_of(kind, body, settings.names, settings.max_batch, self.now())

    def _with_cors(self, request: Request, response: Response) -> Response:
        headers = cors_headers(request, self.settings.cors)
        return response.with_headers(headers) if headers else response

    def _refused(self, error: WalkerError) -> Outcome:
        """Return the outcome of an event that is not accepted, for its sender."""
        if isinstance(error, NotTrusted):
            return Outcome(refused=RequestRejected(403, str(error)))
        if isinstance(error, EventError):
            return Outcome(refused=RequestRejected(400, str(error)))
        if isinstance(error, SpoolFull):
            return Outcome(refused=no_room())
        if isinstance(error, CollectorClosed):
            return Outcome(refused=NotStored(503, "the server is closing"))
        self.not_stored(error)
        return Outcome(refused=NotStored(503, "the event could not be stored"))
