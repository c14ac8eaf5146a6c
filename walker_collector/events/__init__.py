"""Events: completed from the parts that an application passes, and encoded as JSON.

An accepted event is kept as JSON bytes: they are quick to make, cost the garbage collector
nothing, and a spool stores them anyway.
"""

from walker_collector.events.command_names import COMMANDS, is_command
from walker_collector.events.complete import (
    CONSENT_KEYS,
    at_receipt,
    check_grants,
    complete,
    plain_object,
)
from walker_collector.events.defaults import Defaults
from walker_collector.events.encode import CONSENT_AT, MARKS, UNTRUSTED, Bounds, decode, encode
from walker_collector.events.from_json import event_of_json
from walker_collector.events.identifiers import check_identifier, may_need_check
from walker_collector.events.ids import new_id
from walker_collector.events.merging import merge
from walker_collector.events.misnamed import IDENTIFIERS, may_be_misnamed, misnamed
from walker_collector.events.names import split_name
from walker_collector.events.parts import (
    KEYS,
    KNOWN_KEYS,
    PARTS,
    EventParts,
    EventUser,
    NestedEntity,
    check_parts,
    hint_at_part,
)
from walker_collector.events.period import ImpossibleTime, Period
from walker_collector.events.unread import (
    UnreadEvent,
    complete_unread,
    read_event,
    read_events,
    whole,
)
from walker_collector.events.usual import complete_plain

__all__ = [
    "COMMANDS",
    "CONSENT_AT",
    "CONSENT_KEYS",
    "IDENTIFIERS",
    "KEYS",
    "KNOWN_KEYS",
    "MARKS",
    "PARTS",
    "UNTRUSTED",
    "Bounds",
    "Defaults",
    "EventParts",
    "EventUser",
    "ImpossibleTime",
    "NestedEntity",
    "Period",
    "UnreadEvent",
    "at_receipt",
    "check_grants",
    "check_identifier",
    "check_parts",
    "complete",
    "complete_plain",
    "complete_unread",
    "decode",
    "encode",
    "event_of_json",
    "hint_at_part",
    "is_command",
    "may_be_misnamed",
    "may_need_check",
    "merge",
    "misnamed",
    "new_id",
    "plain_object",
    "read_event",
    "read_events",
    "split_name",
    "whole",
]
