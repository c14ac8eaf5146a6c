"""The attrs classes of one entry of `collector.extensions`; part of `config`."""

from typing import Any

from attrs import Factory, frozen


@frozen(kw_only=True)
class ExtensionConfig:
    """The standard wrapper around an extension's own settings.

    settings: the package's own settings.
    destinations: the ids of the destinations it is at work for; unless given, all of them.
    disabled: leave the extension out.
    """

    settings: Any = None
    destinations: list[str] | None = None
    disabled: bool = False

    def is_for(self, destination: str) -> bool:
        """Return whether the extension is at work for a destination."""
        return self.destinations is None or destination in self.destinations


@frozen(kw_only=True)
class ExtensionEntry:
    """One extension at work: its package, its one instance, and its configuration."""

    package: str
    plugin: Any
    config: ExtensionConfig = Factory(ExtensionConfig)
