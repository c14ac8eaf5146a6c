"""Operations on objects, such as companies, and on the relationships of people to them.

Version 1 of the Track API has no objects. So in both ways of delivery they have the entries of
version 2: one alone goes to `POST /api/v2/entity`.
"""

import re
from typing import Any, ClassVar, Final

from attrs import define

from walker_dest_customerio import limits
from walker_dest_customerio.encode import dumps
from walker_dest_customerio.identity import identifiers, key_of
from walker_dest_customerio.operations.base import (
    Call,
    Json,
    Operation,
    id_problem,
    length_problem,
)

TYPE_ID: Final = re.compile(r"[0-9]{1,20}")


@define
class ObjectOperation(Operation):
    """An operation on an object.

    number: its place among the rule's objects, from 1; a loop makes several.
    type_id: the number of the object's type, as text.
    """

    number: int
    type_id: str
    object_id: str

    @property
    def progress_part(self) -> str:
        return self.part if self.number == 1 else f"{self.part}_{self.number}"

    @property
    def named(self) -> Json:
        """Its identifiers in requests."""
        return {"object_type_id": self.type_id, "object_id": self.object_id}

    @property
    def object_key(self) -> str:
        return f"object:{self.type_id}:{self.object_id}"

    @property
    def objects(self) -> tuple[str, ...]:
        return (self.object_key,)

    def problem(self, now: float) -> str | None:
        if not TYPE_ID.fullmatch(self.type_id):
            return "typeId must be the number that Customer.io shows for the type of object"
        return length_problem("the object's id", self.object_id, limits.OBJECT_ID)

    def size_problem(self) -> str | None:
        size = len(dumps(self.entry(), "it"))
        if size <= limits.OPERATION:
            return None
        return f"{size:,} bytes of JSON; Customer.io takes at most {limits.OPERATION:,}"

    def send(self, client: Any) -> Any:
        """Make the POST for one entry, for which the SDK has no method."""
        url = f"{client.base_url.removesuffix('/api/v1')}/api/v2/entity"
        return client.send_request("POST", url, self.entry())


@define
class IdentifyObject(ObjectOperation):
    """Create or update an object; null removes an attribute."""

    part = "object"

    attributes: Json

    @property
    def call(self) -> Call:
        return ["object", self.type_id, self.object_id, self.attributes]

    @property
    def fences(self) -> tuple[str, ...]:
        """The attributes: an update has no time that would tell the later of two."""
        return (f"attributes of {self.object_key}",)

    def problem(self, now: float) -> str | None:
        count = len(self.attributes)
        if count > limits.ATTRIBUTES:
            return f"{count:,} attributes; Customer.io takes at most {limits.ATTRIBUTES} at once"
        return super().problem(now)

    def entry(self) -> Json:
        return {
            "type": "object",
            "identifiers": self.named,
            "action": "identify",
            "attributes": self.attributes,
        }


@define
class DeleteObject(ObjectOperation):
    """Remove an object, and with it the relationships of people to it."""

    part = "delete_object"
    guarded = "object"

    @property
    def call(self) -> Call:
        return ["delete_object", self.type_id, self.object_id]

    @property
    def fences(self) -> tuple[str, ...]:
        return self.objects

    def entry(self) -> Json:
        return {"type": "object", "identifiers": self.named, "action": "delete"}


@define
class Relate(ObjectOperation):
    """Add or update a person's relationship to an object; null removes an attribute of it.

    Customer.io creates an object that does not exist.
    """

    part = "relate"
    action: ClassVar[str] = "add_relationships"

    person: str
    attributes: Json | None = None

    @property
    def call(self) -> Call:
        call = [self.part, self.person, self.type_id, self.object_id]
        return [*call, self.attributes] if self.attributes else call

    @property
    def fences(self) -> tuple[str, ...]:
        """The relationship: of joining and leaving, the later one counts."""
        return (f"{key_of(self.person)} in {self.object_key}",)

    def problem(self, now: float) -> str | None:
        return id_problem(self.person) or super().problem(now)

    def entry(self) -> Json:
        related: Json = {"identifiers": self.named}
        if self.attributes:
            related["relationship_attributes"] = self.attributes
        return {
            "type": "person",
            "identifiers": identifiers(self.person),
            "action": self.action,
            "cio_relationships": [related],
        }


@define
class Unrelate(Relate):
    """Remove a person's relationship to an object."""

    part = "unrelate"
    action = "delete_relationships"
    guarded = "unrelate"
