"""Identifiers of people at Customer.io. Pure."""

from typing import Any, Final, Literal

from walker_collector import MISSING, AlternativesSpec, Event, PushContext, Rejected, Value
from walker_dest_customerio import limits

IdentifierKind = Literal["id", "email", "cio_id"]

_CIO_ID: Final = "cio_"
_LONGEST: Final = 10**limits.PERSON_ID
_NUMBERS: Final = (int, float)


class ExactId(str):
    """A customer id that is an id, though it looks like an email address or a `cio_` id."""

    __slots__ = ()


class WrongIdentifier(Rejected):
    """A customer id that `settings.identifier` says to be something else."""

    status = "invalid"


def identity(value: Any) -> str | None:
    """Return a mapped value as an identity: a text with more than spaces in it, or None.

    Numbers are identities as well (walkerOS takes strings only); a boolean is none.
    """
    if isinstance(value, str):
        return value if value and not value.isspace() else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if not -_LONGEST < value < _LONGEST:  # infinite, NaN, or more digits than an id may have
        return None
    return str(int(value)) if value == int(value) else str(value)


def identity_of(value: Value, event: Event, context: PushContext) -> str | None:
    """Return the identity that a configured value finds in an event, or None.

    Of alternatives, the first that is an identity: an empty `user.id` does not stand in the way of
    an email address.
    """
    found = value(event, context)
    if type(found) is str and found and not found.isspace():  # as with almost all
        return found
    name = identity(found)
    if name is None and found is not MISSING and isinstance(value.spec, AlternativesSpec):
        others = (identity(Value(spec)(event, context)) for spec in value.spec.items)
        return next((other for other in others if other is not None), None)
    return name


def customer_id(
    value: Value, kind: IdentifierKind | None, event: Event, context: PushContext
) -> str | None:
    """Return the customer id that a configured value finds in an event, or None; see `as_kind`."""
    name = identity_of(value, event, context)
    return name if name is None or kind is None else as_kind(name, kind)


def as_kind(name: str, kind: IdentifierKind | None) -> str:
    """Return a customer id of this kind in the form in which all else reads its kind from it.

    Raises WrongIdentifier for an email address that is none.
    """
    if kind == "cio_id":
        return name if name[:4] == _CIO_ID else f"{_CIO_ID}{name}"
    if kind == "email" and not is_email(name):
        raise WrongIdentifier(
            'the customer id is no email address, as which settings.identifier "email" sends it'
        )
    if kind == "id" and ("@" in name or name[:4] == _CIO_ID):
        return ExactId(name)
    return name


def identifiers(person: str) -> dict[str, str]:
    """Return the identifier object of Track v2 for a customer id.

    Version 1 guesses from the shape of the id in its path whether it is an id, an email or a
    `cio_` id (Track API reference); the same person must be meant whichever API carries it.
    """
    if type(person) is ExactId:
        return {"id": str(person)}
    if person[:4] == _CIO_ID:
        return {"cio_id": person[4:]}
    if "@" in person and len(person) <= limits.PERSON_ID and is_email(person):
        return {"email": person}
    return {"id": person}


def is_email(text: str) -> bool:
    """Return whether a text has the shape of an email address: `name@host.domain`, no spaces.

    Takes time in proportion to the text, whatever it is: ids come from anywhere.
    """
    name, _, host = text.partition("@")
    return bool(name) and "@" not in host and "." in host[1:-1] and text.split() == [text]


def key_of(person: str) -> str:
    """Return the key of the person with a customer id; equal keys, equal persons."""
    if type(person) is ExactId:
        return f"id:{person}"
    if person[:4] == _CIO_ID:
        return f"cio_id:{person[4:]}"
    if "@" in person and "email" in identifiers(person):
        return f"email:{person.lower()}"
    return f"id:{person}"


def person_keys(named: dict[str, Any]) -> tuple[str, ...]:
    """Return a key per person named in an identifier object."""
    keys = []
    if isinstance(value := named.get("id"), str):
        keys.append(f"id:{value}")
    if isinstance(value := named.get("email"), str):
        keys.append(f"email:{value.lower()}")
    if isinstance(value := named.get("cio_id"), str):
        keys.append(f"cio_id:{value}")
    return tuple(keys)


def with_texts(made: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Return the object with numbers under `keys` as texts: Customer.io takes no other ids."""
    for key in keys:
        if key in made and type(made[key]) in _NUMBERS:
            made = {**made, key: identity(made[key])}
    return made
