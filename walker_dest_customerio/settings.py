"""What the Customer.io destination can be told: its settings, and those of a mapping rule."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from attrs import Factory, field, frozen

from walker_collector import (
    AlternativesSpec,
    DestinationConfig,
    PathSpec,
    Secret,
    Value,
    may_make_object,
)
from walker_collector.clients import at_least, credential, filled, https_origin, positive
from walker_dest_customerio.limits import EVENT_NAME, is_longer

BY_ID = Value(PathSpec("user.id"), "customerId")
_VISITOR = Value(
    AlternativesSpec((PathSpec("user.session"), PathSpec("user.device"))), "anonymousId"
)


def _login(_: Any, __: Any, value: str) -> None:
    if ":" in value:
        raise ValueError("must not hold a colon, which ends it in the request")


@frozen(kw_only=True)
class ConsentAttributes:
    """The attributes a person gets when a consent key is granted, and when it is denied."""

    granted: dict[str, Any] = Factory(dict)
    denied: dict[str, Any] = Factory(dict)


@frozen(kw_only=True)
class Settings:
    """Settings of the Customer.io destination.

    site_id: which workspace, at the Track API; with api_key its credentials.
    api_key: the credential of the Track API.
    app_api_key: credential of the App API; needed for transactional messages.
    region: where the account is hosted.
    timeout: of a request, in ms.
    customer_id: where an event names a known person.
    anonymous_id: where it names them as long as they are not known.
    identify: the attributes of a person; a rule's own `identify` goes before it.
    track_url, api_url: other hosts (https://host:port), for a sandbox or a proxy.
    ca_file: a PEM file to trust there.
    delivery: many operations per request (Track v2), or one (v1).
    rate_limit, app_rate_limit: requests per second to the Track and the App API.
    identify_timestamp: an identify bears its event's time, so that a late one never undoes a newer
        one. Turn it off to backfill: Customer.io ignores what is older than the last change.
    timestamps: full date-times (ISO 8601 with a zone) in attributes and event data become unix
        seconds, which is what Customer.io compares dates by; `text` leaves them as they are.
    on_consent: consent key -> attributes to set when a person grants or denies it.
    forget_on: "destroy", "suppress": once Customer.io has done it to a person, the collector erases
        them too: what waits, is held or dead, and what they said of consent.
    identify_age: seconds after which an identify is repeated even if nothing has changed: whoever
        else changes or deletes people is not known here.
    people_max: how many people's last attributes are remembered, to not repeat them.
    """

    site_id: str = field(validator=[filled, credential, _login], metadata={"credential": True})
    api_key: Secret = field(validator=[filled, credential])
    app_api_key: Secret | None = field(default=None, validator=credential)
    region: Literal["us", "eu"] = "us"
    timeout: int = field(default=10_000, validator=positive)
    customer_id: Value = BY_ID
    anonymous_id: Value = _VISITOR
    identify: Value | None = None
    track_url: str | None = field(default=None, validator=https_origin)
    api_url: str | None = field(default=None, validator=https_origin)
    ca_file: str | None = None
    delivery: Literal["batch", "single"] = "batch"
    rate_limit: float = field(default=100.0, validator=positive)
    app_rate_limit: float = field(default=100.0, validator=positive)
    identify_timestamp: bool = True
    timestamps: Literal["unix", "text"] = "unix"
    on_consent: dict[str, ConsentAttributes] | None = None
    forget_on: list[Literal["destroy", "suppress"]] = Factory(list)
    identify_age: float = field(default=86_400, validator=at_least(0))
    people_max: int = field(default=100_000, validator=positive)


@frozen(kw_only=True)
class RuleSettings:
    """What a mapping rule asks of Customer.io beside its event.

    identify: attributes, instead of those of the destination's `identify`.
    page: an object with `url`; what else it holds is the page's data.
    destroy, suppress, unsuppress: true, and nothing else, does it to the person.
    add_device, delete_device: an object with `deviceId` and `platform` (and `data` to add).
    merge: an object with `primaryType`, `primaryId`, `secondaryType` and `secondaryId`.
    send_email, send_push: the body of a transactional message; needs the App API key.
    """

    identify: Value | None = None
    page: Value | None = None
    destroy: Any = False  # walkerOS lets anything stand here and acts on true alone
    suppress: Any = False
    unsuppress: Any = False
    add_device: Value | None = None
    delete_device: Value | None = None
    merge: Value | None = None
    send_email: Value | None = None
    send_push: Value | None = None


def check(settings: Settings, rules: Mapping[str, Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    """Yield path and message of every rule that sends messages the settings give no key for."""
    if settings.app_api_key:
        return
    for path, rule in _each(rules):
        for name, key in (("send_email", "sendEmail"), ("send_push", "sendPush")):
            if getattr(rule.settings, name, None) is not None:
                yield (
                    f"mapping.{path}.settings.{key}",
                    "transactional messages go through the App API; set settings.appApiKey",
                )


def advise(config: DestinationConfig) -> Iterable[tuple[str, str]]:
    """Yield path and message of data that surely is no object, and of names that are too long."""
    told = "makes no object, which is what Customer.io takes: events go out without data"
    if not may_make_object(config.data):
        yield "data", told
    for path, rule in _each(config.mapping or {}):
        if rule.skip or rule.ignore:
            continue
        if not may_make_object(rule.data):
            yield f"mapping.{path}.data", told
        if rule.name and is_longer(rule.name.strip(), EVENT_NAME):
            yield (
                f"mapping.{path}.name",
                f"takes more than Customer.io's {EVENT_NAME} bytes: it refuses these events",
            )


def _each(rules: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Every rule with its path under `mapping`; an action may have a list of them."""
    for entity, actions in rules.items():
        for action, rule in actions.items():
            if isinstance(rule, list):
                yield from ((f"{entity}.{action}.{at}", one) for at, one in enumerate(rule))
            else:
                yield f"{entity}.{action}", rule
