"""Tests of single values, shared by the checks of all APIs."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeGuard

from walker_dest_customerio import limits
from walker_dest_customerio.limits import takes_more
from walker_dest_customerio.sandbox.attributes import CONTROL

_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.IGNORECASE)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_PHONE = re.compile(r"\+[1-9][0-9]{1,14}")
_UNLIMITED = CONTROL | {"cio_subscription_preferences"}


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a value is a JSON object."""
    return isinstance(value, dict)


def is_text(value: object) -> TypeGuard[str]:
    """Return whether a value is a string that is not blank."""
    return isinstance(value, str) and bool(value.strip())


def is_integer(value: object) -> bool:
    """Return whether a value is an integer, as every timestamp must be; a boolean is not."""
    return type(value) is int


def is_ulid(value: object) -> bool:
    """Return whether a value is a ULID: 26 characters of Crockford's base 32, at most 128 bits."""
    return isinstance(value, str) and _ULID.fullmatch(value) is not None


def is_email(value: object) -> bool:
    """Return whether a value has the shape of an email address."""
    return isinstance(value, str) and _EMAIL.fullmatch(value) is not None


def is_phone(value: object) -> bool:
    """Return whether a value is a phone number in E.164 form."""
    return isinstance(value, str) and _PHONE.fullmatch(value) is not None


def overlong_names(attributes: Mapping[str, Any]) -> list[str]:
    """Return the attribute names above 150 bytes."""
    return [name for name in attributes if takes_more(name, limits.ATTRIBUTE_NAME)]


def overlong_values(attributes: Mapping[str, Any]) -> list[str]:
    """Return the names of attributes with a value above 1000 bytes; control keys are exempt."""
    return [
        name
        for name, value in attributes.items()
        if takes_more(value, limits.ATTRIBUTE_VALUE) and name not in _UNLIMITED
    ]


def unknown_keys(content: Mapping[str, Any], known: Iterable[str]) -> Iterator[str]:
    """Return the keys of `content` that are not `known`.

    Customer.io ignores most of these silently. Here they are errors, since a payload in the wrong
    place (`data` for `attributes`) is the most common mistake of clients.
    """
    return (name for name in content if name not in known)
