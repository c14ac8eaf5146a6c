"""Limits on the effects of events of untrusted senders. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

from attrs import evolve

from walker_collector import Rejected, Rule
from walker_dest_customerio.operations import Occurrence, Operation

_ADDRESSES: Final = frozenset({"recipient", "from_address", "reply_to"})
"""Keys of an event's data by which it overrides the addresses of a campaign's email.

Source: Track API reference, POST /api/v1/customers/{identifier}/events, `data`.
"""
_ADVICE: Final = 'if anybody may cause this, write "untrusted": true in the rule'


def permitted(
    operations: Sequence[Operation], rule: Rule | None, warnings: list[str]
) -> Sequence[Operation]:
    """Return the operations as an untrusted sender may cause them.

    The keys by which an event chooses the addresses of an email are left out, with a warning: a
    stranger must not have the workspace write to anybody. A rule with `untrusted` opens it all.
    Raises Rejected if one of the operations is guarded.
    """
    if rule is not None and rule.untrusted:
        return operations
    guarded = sorted({operation.guard for operation in operations if operation.guard})
    if guarded:
        raise Rejected(
            f"{' and '.join(guarded)}: not for events whose sender has no trusted key; {_ADVICE}"
        )
    return [_without_addresses(operation, warnings) for operation in operations]


def _without_addresses(operation: Operation, warnings: list[str]) -> Operation:
    if not isinstance(operation, Occurrence) or _ADDRESSES.isdisjoint(operation.data):
        return operation
    warnings.append(
        f"{operation.part}: {' and '.join(_found(operation.data))} in its data would choose the "
        f"addresses of a campaign's email, and the sender has no trusted key: left out; {_ADVICE}"
    )
    data = {key: value for key, value in operation.data.items() if key not in _ADDRESSES}
    return evolve(operation, data=data)


def _found(keys: Iterable[str]) -> list[str]:
    return sorted(_ADDRESSES.intersection(keys))
