"""The extension `sample`: deliver the events of a share of the people, always the same ones."""

from hashlib import blake2b
from typing import Any, ClassVar, Final

from attrs import Attribute, field, frozen

from walker_collector.errors import Ignored
from walker_collector.hookspecs import Event, PushContext, hookimpl

_BYTES: Final = 8


def _between_0_and_1(_: object, __: "Attribute[Any]", value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError("must be a share from 0 (nobody) to 1 (everybody), such as 0.1")


@frozen(kw_only=True)
class Settings:
    """Settings of the extension.

    rate: share of the people whose events are delivered, from 0 to 1.
    salt: any text; samples with another salt have other people.
    """

    rate: float = field(validator=_between_0_and_1)
    salt: str = ""


class Sample:
    """Leaves out the events of people outside of the sample.

    The key of the person decides, the same in every process and at every destination. Events of
    nobody are sampled one by one.
    """

    settings: ClassVar = Settings

    def __init__(self, settings: Settings) -> None:
        self._rate = settings.rate
        self._salt = settings.salt
        self._reason = f"not in the sample of {settings.rate:.4%}".replace(".0000%", "%")

    @hookimpl
    def transform(self, event: Event, context: PushContext) -> None:
        """Leave the event out unless its person is in the sample."""
        # What an untrusted sender says of a person is marked, but it is about the same person.
        key = context.person.removeprefix("~") or f"event:{event['id']}"
        if position(key, self._salt) >= self._rate:
            raise Ignored(self._reason)


def position(key: str, salt: str = "") -> float:
    """Return the place of a key among all keys, from 0 to below 1; the same at all times. Pure."""
    digest = blake2b(f"{salt}\0{key}".encode(), digest_size=_BYTES).digest()
    place: float = int.from_bytes(digest) / 2 ** (8 * _BYTES)
    return place
