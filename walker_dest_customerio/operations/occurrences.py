"""Events, page views and screens, of people with a customer id and of anonymous ones."""

from typing import Any, ClassVar, Final

from attrs import define

from walker_dest_customerio import limits
from walker_dest_customerio.encode import dumps
from walker_dest_customerio.identity import identifiers, is_email
from walker_dest_customerio.operations.base import (
    Call,
    Json,
    Operation,
    exact_id_problem,
    id_problem,
    length_problem,
)

BLANK_NAME: Final = "the name is blank"
"""Customer.io refuses it, though walkerOS sends it: a rule's empty name is a name there."""
_SURELY_SHORT: Final = limits.EVENT_NAME // 4
"""Characters of a name that is within the limit in any script."""


def name_problem(name: str) -> str | None:
    """Return why Customer.io refuses a name, or None."""
    name = name.strip()
    if 0 < len(name) <= _SURELY_SHORT:
        return None
    return length_problem("the name", name, limits.EVENT_NAME) if name else BLANK_NAME


@define
class Occurrence(Operation):
    """An event, a page view or a screen.

    identity: the customer id of its person; in the anonymous kinds an anonymous id.
    data: its properties.
    timestamp: when it happened, in unix seconds.
    id: the ULID by which Customer.io drops duplicates.
    """

    action: ClassVar[str] = "event"

    identity: str
    name: str
    data: Json
    timestamp: int | None = None
    id: str | None = None

    @property
    def summary(self) -> Json:
        """The event as `walker simulate` prints it, without the id."""
        summary = {"name": self.name, "data": self.data}
        return summary if self.timestamp is None else {**summary, "timestamp": self.timestamp}

    @property
    def identifier_object(self) -> Json:
        """The identifier object of its person."""
        return identifiers(self.identity)

    def problem(self, now: float) -> str | None:
        return name_problem(self.name) or id_problem(self.identity)

    def path_problem(self) -> str | None:
        return exact_id_problem(self.identity)

    def size_problem(self) -> str | None:
        size = len(dumps(self.data, "its data"))
        if size <= limits.EVENT_DATA:
            return None
        return f"data of {size:,} bytes of JSON; Customer.io takes at most {limits.EVENT_DATA:,}"

    def entry(self) -> Json | None:
        """Return the entry in a v2 batch, which calls the data attributes."""
        entry: Json = {
            "type": "person",
            "identifiers": self.identifier_object,
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
        return ["track", self.identity, self.summary]

    def send(self, client: Any) -> Any:
        return client.track(
            self.identity, self.name, self.data, id=self.id, timestamp=self.timestamp
        )


@define
class TrackAnonymous(Occurrence):
    """An event of an anonymous person; Customer.io keeps it until the person is identified.

    `anonymous_id` as the sole identifier of a v2 event is not in the reference, yet what the
    destinations of Segment and RudderStack send.
    """

    part = "track"

    @property
    def call(self) -> Call:
        return ["track_anonymous", self.identity, self.summary]

    @property
    def identifier_object(self) -> Json:
        return {"anonymous_id": self.identity}

    def send(self, client: Any) -> Any:
        return client.track_anonymous(
            self.identity, self.name, self.data, id=self.id, timestamp=self.timestamp
        )


@define
class Invite(Occurrence):
    """An event of nobody, with which a campaign writes to the recipient in its data.

    identity: the recipient's email address. Version 2 has no event without a person.
    """

    part = "track"
    guarded = "recipient"

    @property
    def call(self) -> Call:
        return ["track_anonymous", None, self.summary]

    def problem(self, now: float) -> str | None:
        if (problem := name_problem(self.name)) is not None:
            return problem
        return None if is_email(self.identity) else "the recipient is no email address"

    def path_problem(self) -> None:
        return None

    def send(self, client: Any) -> Any:
        return client.track_anonymous(
            None, self.name, self.data, id=self.id, timestamp=self.timestamp
        )

    def entry(self) -> None:
        return None


@define
class _View(Occurrence):
    """A page view or a screen, which the SDK cannot send with id and timestamp."""

    verb: ClassVar[str]

    @property
    def call(self) -> Call:
        """The call in the form of the SDK's `pageview`: name, then data if there is any."""
        call = [self.verb, self.identity, self.name]
        return [*call, self.data] if self.data else call

    def body(self) -> Json:
        """Return the body of version 1's request."""
        body: Json = {"type": self.action, "name": self.name, "data": self.data}
        if self.id is not None:
            body["id"] = self.id
        if self.timestamp is not None:
            body["timestamp"] = self.timestamp
        return body

    def send(self, client: Any) -> Any:
        """Make the POST behind `client.pageview`.

        Its keywords leave no room for data named `page` or `customer_id` either.
        """
        return client.send_request(
            "POST", client.get_event_query_string(self.identity), self.body()
        )


class _AnonymousView(_View):
    """A view of an anonymous person; `client.track_anonymous` sends nothing but events."""

    @property
    def identifier_object(self) -> Json:
        return {"anonymous_id": self.identity}

    def send(self, client: Any) -> Any:
        body = {**self.body(), "anonymous_id": self.identity}
        return client.send_request("POST", client.get_events_query_string(), body)


@define
class Page(_View):
    """A page view; `name` is the page's, its whole URL is in the data."""

    part = "page"
    action = "page"
    verb = "pageview"

    @property
    def call(self) -> Call:
        """The SDK's call, which takes the URL for the name."""
        data = {key: value for key, value in self.data.items() if key != "url"}
        call = [self.verb, self.identity, self.data.get("url", self.name)]
        return [*call, data] if data else call


@define
class PageAnonymous(_AnonymousView, Page):
    """A page view of an anonymous person."""

    verb = "pageview_anonymous"


@define
class Screen(_View):
    """A screen of an application that a person has seen."""

    part = "screen"
    action = "screen"
    verb = "screen"


@define
class ScreenAnonymous(_AnonymousView, Screen):
    """A screen that an anonymous person has seen."""

    verb = "screen_anonymous"
