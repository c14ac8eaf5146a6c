"""The operations of Customer.io, one class for each.

Each operation knows its call (as `walker simulate` prints it), its version 1 request through the
official SDK (`send`), and its entry in a Track v2 batch (`entry`). The shapes of entries are those
of https://docs.customer.io/integrations/api/track/, POST /api/v2/batch.
"""

from walker_dest_customerio.operations.base import ApiName, Call, Json, Operation, PersonOperation
from walker_dest_customerio.operations.devices import PLATFORMS, AddDevice, DeleteDevice
from walker_dest_customerio.operations.messages import (
    MESSAGE_PARTS,
    MESSAGES,
    Message,
    SendEmail,
    SendInApp,
    SendInbox,
    SendPush,
    SendSms,
    SendWhatsapp,
)
from walker_dest_customerio.operations.objects import (
    DeleteObject,
    IdentifyObject,
    ObjectOperation,
    Relate,
    Unrelate,
)
from walker_dest_customerio.operations.occurrences import (
    Invite,
    Occurrence,
    Page,
    PageAnonymous,
    Screen,
    ScreenAnonymous,
    Track,
    TrackAnonymous,
)
from walker_dest_customerio.operations.people import (
    FRESH,
    MERGE_TYPES,
    Delete,
    Identify,
    Merge,
    Suppress,
    Unsuppress,
)

__all__ = [
    "FRESH",
    "GUARDED",
    "MERGE_TYPES",
    "MESSAGES",
    "MESSAGE_PARTS",
    "PLATFORMS",
    "AddDevice",
    "ApiName",
    "Call",
    "Delete",
    "DeleteDevice",
    "DeleteObject",
    "Identify",
    "IdentifyObject",
    "Invite",
    "Json",
    "Merge",
    "Message",
    "ObjectOperation",
    "Occurrence",
    "Operation",
    "Page",
    "PageAnonymous",
    "PersonOperation",
    "Relate",
    "Screen",
    "ScreenAnonymous",
    "SendEmail",
    "SendInApp",
    "SendInbox",
    "SendPush",
    "SendSms",
    "SendWhatsapp",
    "Suppress",
    "Track",
    "TrackAnonymous",
    "Unrelate",
    "Unsuppress",
]

_CONSEQUENTIAL: tuple[type[Operation], ...] = (
    *(Delete, Suppress, Unsuppress, DeleteDevice, Merge),
    *(DeleteObject, Unrelate, Invite),
)
GUARDED = frozenset(kind.guarded for kind in (*_CONSEQUENTIAL, *MESSAGES))
"""The settings of rules that no untrusted sender may use."""
