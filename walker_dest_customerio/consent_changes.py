"""The attributes that a change of consent sets."""

import time
from collections.abc import Mapping
from contextlib import suppress

from walker_collector import Consent, Person, PushContext
from walker_dest_customerio.identify_attributes import sendable
from walker_dest_customerio.identity import WrongIdentifier, customer_id
from walker_dest_customerio.operations import Identify, Json
from walker_dest_customerio.plan import identify_timestamp, seconds
from walker_dest_customerio.settings import ConsentAttributes, Settings


def consent_identify(
    update: Consent, state: Consent, person: Person | None, context: PushContext
) -> Identify | None:
    """Return the identify for a change of consent, or None without a person or attributes.

    By default it updates only existing people (`_update`): a denial is no reason to create a
    profile.
    """
    settings: Settings = context.settings
    attributes = consent_attributes(settings.on_consent, update)
    customer = None if person is None else customer_of(person, state, context)
    if not attributes or customer is None:
        return None
    when = identify_timestamp(seconds(context.event), settings, time.time())
    unix = settings.timestamps == "unix"
    made, warnings = sendable({"_update": True, **attributes}, unix, time.time())
    for warning in warnings:
        context.destination.warn("onConsent: %s", warning)
    return Identify(person=customer, attributes=made, timestamp=when)


def consent_attributes(on_consent: Mapping[str, ConsentAttributes] | None, update: Consent) -> Json:
    """Return the attributes for the granted and denied keys, in the order of the settings."""
    attributes: Json = {}
    for key, chosen in (on_consent or {}).items():
        if key in update:
            attributes.update(chosen.granted if update[key] else chosen.denied)
    return attributes


def customer_of(person: Person, state: Consent, context: PushContext) -> str | None:
    """Return the customer id of a person known only by the collector's identifiers, or None.

    It is resolved by `customerId` from an event that has these identifiers and nothing else.
    """
    names = {"id": person.id, "device": person.device, "session": person.session}
    event: Json = {"user": {key: value for key, value in names.items() if value is not None}}
    scope = PushContext(context.destination, event, state)
    settings: Settings = context.settings
    with suppress(WrongIdentifier):
        return customer_id(settings.customer_id, settings.identifier, event, scope)
    return None
