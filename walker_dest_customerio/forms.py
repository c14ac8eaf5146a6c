"""The forms of the objects that rule settings make, by setting."""

from collections.abc import Mapping
from typing import Any, Final

from walker_dest_customerio.identity import identity
from walker_dest_customerio.operations import MERGE_TYPES, MESSAGES, PLATFORMS
from walker_dest_customerio.operations.form import (
    Form,
    a_switch,
    a_text,
    an_id,
    an_object,
    one_of,
)
from walker_dest_customerio.operations.objects import TYPE_ID

LISTS: Final = ("object", "relate", "unrelate")
"""The settings that may make a list of objects."""
FLAGS: Final = ("destroy", "suppress", "unsuppress")
"""The settings that only `true` turns on."""


def setting_key(name: str) -> str:
    """Return the key of a setting in the flow file."""
    first, *others = name.split("_")
    return "".join((first, *map(str.capitalize, others)))


def _a_type(value: Any) -> str | None:
    type_id = identity(value)
    if type_id is not None and TYPE_ID.fullmatch(type_id):
        return None
    return "the number that Customer.io shows for the type of object"


_DEVICE: Final = ("deviceId", "platform")
_A_PLATFORM: Final = one_of(*PLATFORMS)
_A_KIND: Final = one_of(*sorted(MERGE_TYPES))
_RELATED: Final = Form(
    ("typeId", "id"),
    ("attributes",),
    checks={"typeId": _a_type, "id": an_id, "attributes": an_object},
)

FORMS: Final[Mapping[str, Form]] = {
    "identify": Form(checks={"_update": a_switch}),
    "object": Form(
        _RELATED.required,
        ("attributes", "delete"),
        checks={**_RELATED.checks, "delete": a_switch},
    ),
    "relate": _RELATED,
    "unrelate": _RELATED,
    "page": Form(("url",), checks={"url": a_text}),
    "screen": Form(("name",), checks={"name": a_text}),
    "add_device": Form(
        _DEVICE,
        ("data",),
        checks={"deviceId": an_id, "platform": _A_PLATFORM, "data": an_object},
    ),
    "delete_device": Form(_DEVICE, (), checks={"deviceId": an_id, "platform": a_text}),
    "merge": Form(
        ("primaryType", "primaryId", "secondaryType", "secondaryId"),
        (),
        checks={
            "primaryType": _A_KIND,
            "primaryId": an_id,
            "secondaryType": _A_KIND,
            "secondaryId": an_id,
        },
    ),
    **{kind.part: kind.form for kind in MESSAGES},
}
"""In the order of their operations; messages as the App API takes them."""
