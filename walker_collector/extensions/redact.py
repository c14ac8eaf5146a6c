"""The extension `redact`: remove or mask parts of events before the mapping reads them."""

from typing import Any, ClassVar, Final

from attrs import Attribute, field, frozen

from walker_collector.config import MISSING
from walker_collector.hookspecs import Event, hookimpl
from walker_collector.mapping import delete_by_path, get_by_path, set_by_path

MASK: Final = "***"
_SECTIONS: Final = ("data", "user", "context", "globals", "custom", "nested", "source")


def _parts(_: object, __: "Attribute[Any]", paths: list[str]) -> None:
    for path in paths:
        section = path.partition(".")[0]
        if section not in _SECTIONS or not all(path.split(".")):
            raise ValueError(
                f"{path[:80]!r} is no part that can be redacted; write a path below one of"
                f" {', '.join(_SECTIONS)}, such as user.email"
            )


@frozen(kw_only=True)
class Settings:
    """Settings of the extension.

    remove: paths of the event that are removed, such as `user.email`.
    mask: paths of the event whose values are replaced by `***`, where they stand.
    """

    remove: list[str] = field(factory=list, validator=_parts)
    mask: list[str] = field(factory=list, validator=_parts)


class Redact:
    """Removes and masks parts of every event; mappings find nothing there, or the mask."""

    settings: ClassVar = Settings

    def __init__(self, settings: Settings) -> None:
        self._remove = tuple(settings.remove)
        self._mask = tuple(settings.mask)

    @hookimpl
    def transform(self, event: Event) -> None:
        """Remove and mask the paths of the settings."""
        clean: Any = event
        for path in self._mask:
            if get_by_path(clean, path) is not MISSING:
                clean = set_by_path(clean, path, MASK)
        for path in self._remove:
            clean = delete_by_path(clean, path)
        if clean is not event:
            clean = dict(clean)
            event.clear()
            event.update(clean)
