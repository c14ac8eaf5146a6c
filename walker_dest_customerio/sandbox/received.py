"""Operations on a workspace, read from requests: one class each, for Track v1 and v2 alike."""

from typing import Any, NamedTuple, TypeAlias

from attrs import frozen

JsonObject: TypeAlias = dict[str, Any]


class Identifier(NamedTuple):
    """One identifier of a person: kind `id`, `email`, `phone` or `cio_id`; see `identifier`."""

    kind: str
    value: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


def identifier(kind: str, value: str) -> Identifier:
    """Return an identifier; emails compare without case (Track API reference)."""
    return Identifier(kind, value.lower() if kind == "email" else value)


class ObjectKey(NamedTuple):
    """The key of an object (a company, an account): its type and its id."""

    type_id: str
    id: str

    def __str__(self) -> str:
        return f"{self.type_id}:{self.id}"


@frozen
class ReceivedIdentify:
    """Create or update a person; `timestamp` (unix s) orders updates."""

    person: Identifier
    attributes: JsonObject
    timestamp: int | None = None
    never_create: bool = False


@frozen
class ReceivedDelete:
    """Remove a person; a later call may create them again."""

    person: Identifier


@frozen
class ReceivedSuppress:
    """Remove a person and block their identifiers until unsuppressed."""

    person: Identifier


@frozen
class ReceivedUnsuppress:
    """Free the identifiers of a suppressed person."""

    person: Identifier


@frozen
class ReceivedMerge:
    """Move the secondary person into the primary one."""

    primary: Identifier
    secondary: Identifier


@frozen
class ReceivedEvent:
    """Store an event of kind `event`, `page` or `screen`.

    Without `person` it is anonymous; without `anonymous_id` as well, an invite to
    `data.recipient`. `id` is a ULID that identifies duplicates; `timestamp` is in unix seconds.
    """

    person: Identifier | None
    kind: str
    name: str
    data: JsonObject
    id: str | None = None
    timestamp: int | None = None
    anonymous_id: str | None = None


@frozen
class ReceivedAddDevice:
    """Add or update a device; `details` are platform, last_used and attributes."""

    person: Identifier
    token: str
    details: JsonObject


@frozen
class ReceivedDeleteDevice:
    """Remove a device from a person."""

    person: Identifier
    token: str


@frozen
class ReceivedRelate:
    """Add or remove a relationship of a person to an object; never creates the person."""

    person: Identifier
    target: ObjectKey
    attributes: JsonObject
    remove: bool = False


@frozen
class ReceivedRelateAnonymous:
    """Add a relationship of an object to a person identified by `anonymous_id`, now or later."""

    anonymous_id: str
    target: ObjectKey
    attributes: JsonObject


@frozen
class ReceivedIdentifyObject:
    """Create or update an object."""

    target: ObjectKey
    attributes: JsonObject


@frozen
class ReceivedDeleteObject:
    """Remove an object and every relationship to it."""

    target: ObjectKey


@frozen
class ReceivedSend:
    """Queue a transactional message; `channel` is its name in the path."""

    channel: str
    request: JsonObject
    person: Identifier | None = None


ReceivedOperation: TypeAlias = (
    ReceivedIdentify
    | ReceivedDelete
    | ReceivedSuppress
    | ReceivedUnsuppress
    | ReceivedMerge
    | ReceivedEvent
    | ReceivedAddDevice
    | ReceivedDeleteDevice
    | ReceivedRelate
    | ReceivedRelateAnonymous
    | ReceivedIdentifyObject
    | ReceivedDeleteObject
)
