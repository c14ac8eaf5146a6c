"""Events and page views, of people with a customer id and of anonymous ones."""

from typing import Any, ClassVar

from attrs import define

from walker_dest_customerio import limits
from walker_dest_customerio.encode import dumps
from walker_dest_customerio.identity import identifiers
from walker_dest_customerio.operations.base import (
    Call,
    Json,
    Operation,
    id_problem,
    length_problem,
)

_SHORT_ID = limits.PERSON_ID // 4
_SHORT_NAME = limits.EVENT_NAME // 4
"""Characters in which no limit is reached, whatever they are."""


@define
class Occurrence(Operation):
    """An event or a page view.

    who: the customer id of its person; of a TrackAnonymous or PageAnonymous, their anonymous id.
    data: its properties.
    timestamp: when it happened, in unix seconds.
    id: the ULID by which Customer.io drops duplicates.
    """

    action: ClassVar[str] = "event"

    who: str
    name: str
    data: Json
    timestamp: int | None = None
    id: str | None = None

    @property
    def described(self) -> Json:
        """The event in the words of `walker simulate`, which leave out the id."""
        described = {"name": self.name, "data": self.data}
        return described if self.timestamp is None else {**described, "timestamp": self.timestamp}

    @property
    def named(self) -> Json:
        """The identifier object of its person."""
        return identifiers(self.who)

    def problem(self, now: float) -> str | None:
        who, name = self.who, self.name
        if 2 < len(who) <= _SHORT_ID and len(name) <= _SHORT_NAME:  # as with almost all
            return None
        return id_problem(who) or length_problem("the name", name.strip(), limits.EVENT_NAME)

    def size_problem(self) -> str | None:
        size = len(dumps(self.data, "its data"))
        if size <= limits.EVENT_DATA:
            return None
        return f"data of {size:,} bytes of JSON; Customer.io takes at most {limits.EVENT_DATA:,}"

    def entry(self) -> Json:
        """Return the entry in a v2 batch, which calls the data attributes."""
        entry: Json = {
            "type": "person",
            "identifiers": self.named,
            "action": self.action,
            "name": self.name,
            "attributes": self.data,
        }
        if self.id is not None:
            entry["id"] = self.id
        if self.timestamp is not None:
            entry["timestamp"] = self.timestamp
        return entry


@define
class Track(Occurrence):
    """An event of a known person."""

    part = "track"

    @property
    def call(self) -> Call:
        return ["track", self.who, self.described]

    def send(self, client: Any) -> Any:
        return client.track(self.who, self.name, self.data, id=self.id, timestamp=self.timestamp)


@define
class TrackAnonymous(Occurrence):
    """An event of someone not known yet; Customer.io keeps it for the person they turn out to be.

    `anonymous_id` as the sole identifier of a v2 event is not in the reference, yet what the
    destinations of Segment and RudderStack send.
    """

    part = "track"

    @property
    def call(self) -> Call:
        return ["track_anonymous", self.who, self.described]

    @property
    def named(self) -> Json:
        return {"anonymous_id": self.who}

    def send(self, client: Any) -> Any:
        return client.track_anonymous(
            self.who, self.name, self.data, id=self.id, timestamp=self.timestamp
        )


@define
class Page(Occurrence):
    """A page view; `name` is the page's, its whole URL is in the data."""

    part = "page"
    action = "page"
    verb: ClassVar[str] = "pageview"

    @property
    def call(self) -> Call:
        """The call as the SDK has it, which takes the URL for the name."""
        data = {key: value for key, value in self.data.items() if key != "url"}
        call = [self.verb, self.who, self.data.get("url", self.name)]
        return [*call, data] if data else call

    def body(self) -> Json:
        """Return the body of version 1's request."""
        body: Json = {"type": "page", "name": self.name, "data": self.data}
        if self.id is not None:
            body["id"] = self.id
        if self.timestamp is not None:
            body["timestamp"] = self.timestamp
        return body

    def send(self, client: Any) -> Any:
        """Make the POST behind `client.pageview`, which knows neither id nor timestamp.

        Its keywords leave no room for data named `page` or `customer_id` either.
        """
        return client.send_request("POST", client.get_event_query_string(self.who), self.body())


@define
class PageAnonymous(Page):
    """A page view of someone not known yet; `client.track_anonymous` cannot send a page."""

    verb = "pageview_anonymous"

    @property
    def named(self) -> Json:
        return {"anonymous_id": self.who}

    def send(self, client: Any) -> Any:
        body = {**self.body(), "anonymous_id": self.who}
        return client.send_request("POST", client.get_events_query_string(), body)
