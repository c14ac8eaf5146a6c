"""Operations on the devices of a person."""

from typing import Any

from attrs import define

from walker_dest_customerio.operations.base import (
    DOT_SEGMENTS,
    Call,
    Json,
    PersonOperation,
    id_problem,
)

PLATFORMS = ("ios", "android")


def token_problem(token: str) -> str | None:
    return id_problem(token, "the token") if token in DOT_SEGMENTS else None


@define
class AddDevice(PersonOperation):
    """Add or update a device; `data` is None if the mapping has none."""

    part = "add_device"

    device_id: str
    platform: str
    data: Json | None = None

    @property
    def call(self) -> Call:
        call = ["add_device", self.person, self.device_id, self.platform]
        return call if self.data is None else [*call, self.data]

    def problem(self, now: float) -> str | None:
        if self.platform not in PLATFORMS:
            return f"platform must be {' or '.join(PLATFORMS)}"
        if type((self.data or {}).get("last_used", 0)) is not int:
            return "data.last_used is no time; give unix seconds or ISO 8601"
        return id_problem(self.person) or token_problem(self.device_id)

    @property
    def details(self) -> Json:
        """The data in the API's form: `last_used` on top, custom keys under `attributes`.

        The SDK's `add_device` would put everything on top, where Customer.io ignores it.
        """
        custom = dict(self.data or {})
        details: Json = {}
        if "last_used" in custom:
            details["last_used"] = custom.pop("last_used")
        if isinstance(nested := custom.get("attributes"), dict):
            custom = {**custom, **nested}
            del custom["attributes"]
        return {**details, "attributes": custom} if custom else details

    def send(self, client: Any) -> Any:
        return client.add_device(self.person, self.device_id, self.platform, **self.details)

    def entry(self) -> Json:
        device = {"token": self.device_id, "platform": self.platform, **self.details}
        return self.person_entry("add_device", device=device)


@define
class DeleteDevice(PersonOperation):
    """Remove a device from a person."""

    part = "delete_device"
    guarded = "deleteDevice"

    device_id: str
    platform: str

    def problem(self, now: float) -> str | None:
        return id_problem(self.person) or token_problem(self.device_id)

    @property
    def call(self) -> Call:
        return ["delete_device", self.person, self.device_id, self.platform]

    def send(self, client: Any) -> Any:
        return client.delete_device(self.person, self.device_id)

    def entry(self) -> Json:
        return self.person_entry("delete_device", device={"token": self.device_id})
