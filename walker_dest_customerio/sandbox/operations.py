"""What clients ask for, once understood: one class per operation, the same for Track v1 and v2."""

from typing import Any, NamedTuple, TypeAlias

from attrs import frozen

JsonObject: TypeAlias = dict[str, Any]


class Identifier(NamedTuple):
    """One name of a person: kind `id`, `email`, `phone` or `cio_id`. Build it with `identifier`."""

    kind: str
    value: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


def identifier(kind: str, value: str) -> Identifier:
    """Name a person; emails compare without case (Track API reference)."""
    return Identifier(kind, value.lower() if kind == "email" else value)


class ObjectKey(NamedTuple):
    """The name of an object (a company, an account): its type and its id."""

    type_id: str
    id: str

    def __str__(self) -> str:
        return f"{self.type_id}:{self.id}"


@frozen
class Identify:
    """Create or update a person; `timestamp` (unix s) orders updates."""

    person: Identifier
    attributes: JsonObject
    timestamp: int | None = None
    never_create: bool = False


@frozen
class Delete:
    """Remove a person; any later call may create them anew."""

    person: Identifier


@frozen
class Suppress:
    """Remove a person and refuse their identifiers until unsuppressed."""

    person: Identifier


@frozen
class Unsuppress:
    """Free the identifiers of a suppressed person."""

    person: Identifier


@frozen
class Merge:
    """Move the secondary person into the primary one."""

    primary: Identifier
    secondary: Identifier


@frozen
class Event:
    """Something that happened: kind `event`, `page` or `screen`.

    Without `person` it is anonymous; without `anonymous_id` too, an invite to `data.recipient`.
    `id` is the ULID that duplicates are recognised by; `timestamp` is in unix seconds.
    """

    person: Identifier | None
    kind: str
    name: str
    data: JsonObject
    id: str | None = None
    timestamp: int | None = None
    anonymous_id: str | None = None


@frozen
class AddDevice:
    """Add or update a device; `details` are platform, last_used and attributes."""

    person: Identifier
    token: str
    details: JsonObject


@frozen
class DeleteDevice:
    """Remove a device from a person."""

    person: Identifier
    token: str


@frozen
class Relate:
    """Tie a person to an object, or cut the tie; never creates the person."""

    person: Identifier
    target: ObjectKey
    attributes: JsonObject
    cut: bool = False


@frozen
class RelateAnonymous:
    """Tie an object to whoever will be identified with `anonymous_id`."""

    anonymous_id: str
    target: ObjectKey
    attributes: JsonObject


@frozen
class IdentifyObject:
    """Create or update an object."""

    target: ObjectKey
    attributes: JsonObject


@frozen
class DeleteObject:
    """Remove an object and every tie to it."""

    target: ObjectKey


@frozen
class Send:
    """Queue a transactional message; `channel` is `email` or `push`."""

    channel: str
    request: JsonObject
    person: Identifier | None = None


Operation: TypeAlias = (
    Identify
    | Delete
    | Suppress
    | Unsuppress
    | Merge
    | Event
    | AddDevice
    | DeleteDevice
    | Relate
    | RelateAnonymous
    | IdentifyObject
    | DeleteObject
)
