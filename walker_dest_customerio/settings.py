"""Settings of the Customer.io destination and of its mapping rules."""

import math
from collections.abc import Callable
from typing import Any, Literal

from attrs import Factory, field, frozen

from walker_collector import (
    AlternativesSpec,
    Event,
    PathSpec,
    Secret,
    Value,
)
from walker_collector.clients import (
    at_least,
    credential,
    filled,
    https_origin,
    positive,
    request_timeout,
)
from walker_dest_customerio.identity import IdentifierKind

BY_ID = Value(PathSpec("user.id"), "customerId")
_VISITOR = Value(
    AlternativesSpec((PathSpec("user.session"), PathSpec("user.device"))), "anonymousId"
)


def _login(_: Any, __: Any, value: str) -> None:
    if ":" in value:
        raise ValueError("must not contain a colon: in the request it would end there")


def _rate(_: Any, __: Any, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError("must be a number of requests per second, more than 0")


@frozen(kw_only=True)
class ConsentAttributes:
    """The attributes a person gets when a consent key is granted, and when it is denied.

    granted: a person who grants it gets these attributes.
    denied: a person who denies it gets these attributes.
    """

    granted: dict[str, Any] = Factory(dict)
    denied: dict[str, Any] = Factory(dict)


@frozen(kw_only=True)
class Settings:
    """Settings of the Customer.io destination.

    site_id: the id of the workspace; with the API key the credentials of the Track API.
    api_key: the key of the Track API.
    app_api_key: the key of the App API; needed for transactional messages.
    region: the data center of the account.
    timeout: a request may take so many ms.
    customer_id: the value that identifies a known person in an event.
    anonymous_id: the value that identifies an anonymous person.
    identifier: the customer id is an `id`, an `email` or a `cio_id`; by default its shape decides.
    event_name: the name of an event whose rule gives it none; by default its own.
    identify: the attributes of a person; a rule's own `identify` takes precedence.
    track_url, api_url: another host (https://host:port) of this API, such as a sandbox or a proxy.
    ca_file: the certificate authorities of this PEM file are trusted there.
    delivery: a request has many operations (`batch`, Track v2), or one (`single`, v1).
    rate_limit, app_rate_limit: at most so many requests per second go to the Track or the App API.
    identify_timestamp: an identify carries its event's time, so that a late one never undoes a
        newer one. Turn it off to backfill: Customer.io ignores updates older than the last change.
    timestamps: full date-times (ISO 8601 with a zone) in attributes and event data become unix
        seconds, the form in which Customer.io compares dates; `text` leaves them as they are.
    on_consent: these attributes are set when a person grants or denies a consent key.
    on_message_sent: this function gets the delivery id of each message that was sent, the name of
        its operation (`send_email`), and the event.
    forget_on: "destroy", "suppress": after this operation the collector erases the person, too:
        their waiting, held and dead events, and their consent.
    identify_age: seconds after which an identify is repeated even if nothing has changed, as other
        systems may have changed or deleted the person.
    people_max: the number of people whose last attributes are remembered and not repeated.
    """

    site_id: str = field(validator=[filled, credential, _login], metadata={"credential": True})
    api_key: Secret = field(validator=[filled, credential])
    app_api_key: Secret | None = field(default=None, validator=credential)
    region: Literal["us", "eu"] = "us"
    timeout: int = field(default=10_000, validator=request_timeout)
    customer_id: Value = BY_ID
    anonymous_id: Value = _VISITOR
    identifier: IdentifierKind | None = None
    event_name: Value | None = None
    identify: Value | None = None
    track_url: str | None = field(default=None, validator=https_origin)
    api_url: str | None = field(default=None, validator=https_origin)
    ca_file: str | None = field(default=None, metadata={"certificates": True})
    delivery: Literal["batch", "single"] = "batch"
    rate_limit: float = field(default=100.0, validator=_rate)
    app_rate_limit: float = field(default=100.0, validator=_rate)
    identify_timestamp: bool = True
    timestamps: Literal["unix", "text"] = "unix"
    on_consent: dict[str, ConsentAttributes] | None = None
    on_message_sent: Callable[[str, str, Event], object] | None = None
    forget_on: list[Literal["destroy", "suppress"]] = Factory(list)
    identify_age: float = field(default=86_400, validator=at_least(0))
    people_max: int = field(default=100_000, validator=positive)


@frozen(kw_only=True)
class RuleSettings:
    """Settings of a mapping rule: operations beside its event.

    identify: these attributes are set, instead of those of the destination's `identify`.
    page: an object with `url` is a page view; its other keys are the page's data.
    screen: an object with `name` is a screen of an application; its other keys are its data.
    destroy, suppress, unsuppress: only `true` executes the operation.
    add_device, delete_device: an object with `deviceId` and `platform` (and `data` to add).
    merge: an object with `primaryType`, `primaryId`, `secondaryType` and `secondaryId`.
    object: an object of the workspace, such as a company: `typeId`, `id` and `attributes`; with
        `delete` true it is removed. May make a list of these.
    relate, unrelate: an object with `typeId` and `id` that the person belongs to, or no longer
        does; `attributes` are those of the relationship. May make a list of these.
    send_email, send_push, send_sms, send_whatsapp, send_in_app, send_inbox: the body of a
        transactional message; needs the App API key.
    recipient: the email address of somebody who is no person of the workspace. The event is then
        an invite, which belongs to nobody, instead of the person's.
    """

    identify: Value | None = None
    page: Value | None = None
    screen: Value | None = None
    object: Value | None = None
    relate: Value | None = None
    unrelate: Value | None = None
    destroy: Any = False  # walkerOS lets anything stand here and acts on true alone
    suppress: Any = False
    unsuppress: Any = False
    add_device: Value | None = None
    delete_device: Value | None = None
    merge: Value | None = None
    send_email: Value | None = None
    send_push: Value | None = None
    send_sms: Value | None = None
    send_whatsapp: Value | None = None
    send_in_app: Value | None = None
    send_inbox: Value | None = None
    recipient: Value | None = None
