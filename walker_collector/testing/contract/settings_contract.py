"""Settings: good ones are accepted, bad ones refused, each with its path."""

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import attrs
import pytest

from walker_collector.config import Secret
from walker_collector.errors import ConfigError
from walker_collector.flow.types import disk_key
from walker_collector.plugins import Registry, verify_destination
from walker_collector.testing.backend import Backend
from walker_collector.testing.contract.contract_base import ContractBase
from walker_collector.testing.harness import Harness

_PLACE = "destinations.destination.config.settings"
_SCALARS = (str, int, float, bool, Secret, NoneType)
_CREDENTIALS = ("token", "key", "password", "secret")


class SettingsContract(ContractBase):
    """The plugin can be loaded, and its settings find the mistakes of a flow file."""

    def test_plugin_can_be_loaded(self) -> None:
        verify_destination("under-test", self.plugin)

    def test_plugin_is_found_by_its_entry_point(self) -> None:
        if self.package is None:
            pytest.skip("package = ... is not set: the entry point's name")
        assert Registry().discover().find(self.package) is self.plugin, (
            f"the entry point {self.package!r} of the group walker_collector.destinations must"
            f" name {self.plugin.__qualname__}"
        )

    def test_settings_of_the_backend_are_taken(self, backend: Backend) -> None:
        assert self._problems(backend.settings, backend) == {}

    def test_unknown_setting_is_refused_with_its_place(self, backend: Backend) -> None:
        found = self._problems({**backend.settings, "noSuchSetting": True}, backend)
        assert f"{_PLACE}.noSuchSetting" in found, (
            "an unknown setting must be refused: declare every setting in the attrs class"
            " `settings` and nothing else"
        )

    def test_required_settings_are_asked_for_by_name(self, backend: Backend) -> None:
        for field in self._fields():
            if field.default is not attrs.NOTHING:
                continue
            without = {
                key: value
                for key, value in backend.settings.items()
                if key not in (field.name, disk_key(field))
            }
            assert f"{_PLACE}.{disk_key(field)}" in self._problems(without, backend)

    def test_settings_of_a_wrong_type_are_refused_with_their_place(self, backend: Backend) -> None:
        for field in self._fields():
            if not _is_scalar(field.type):
                continue
            key = disk_key(field)
            wrong = {**backend.settings, key: {"wrong": "type"}}
            wrong = {
                name: value for name, value in wrong.items() if name == key or name != field.name
            }
            assert f"{_PLACE}.{key}" in self._problems(wrong, backend)

    def test_bad_settings_are_refused_with_their_place(self, backend: Backend) -> None:
        if not self.bad_settings:
            pytest.skip(
                "bad_settings = {...} is not set: values that your validators refuse, by key"
            )
        for key, value in self.bad_settings.items():
            assert f"{_PLACE}.{key}" in self._problems({**backend.settings, key: value}, backend), (
                f"{value!r} for {key} was accepted: give the field an attrs validator that raises"
                " ValueError and says what to write instead"
            )

    def test_credentials_are_secrets(self) -> None:
        shown = [field.name for field in self._fields() if _is_plain_credential(field)]
        assert not shown, (
            f"use Secret for the settings {', '.join(shown)}: a plain str is shown in logs and"
            " errors (if a name only sounds like a credential, override this test)"
        )

    def _fields(self) -> "list[attrs.Attribute[Any]]":
        cls = getattr(self.plugin, "settings", None)
        if cls is None:
            pytest.skip("the plugin takes no settings")
        attrs.resolve_types(cls)
        return [field for field in attrs.fields(cls) if field.init]

    def _problems(self, settings: Mapping[str, Any], backend: Backend) -> dict[str, str]:
        """Return the message of each problem with the settings, by path."""
        try:
            Harness(self.plugin, settings, config=backend.config)
        except ConfigError as error:
            return {problem.path: problem.message for problem in error.problems}
        return {}


def _is_scalar(cls: Any) -> bool:
    """Return whether a type allows plain text, numbers and booleans only."""
    if get_origin(cls) in (Union, UnionType):
        return all(map(_is_scalar, get_args(cls)))
    return cls in _SCALARS or get_origin(cls) is Literal


def _is_plain_credential(field: "attrs.Attribute[Any]") -> bool:
    """Return whether a setting has the name of a credential, but is plain text."""
    return field.name.removesuffix("s").endswith(_CREDENTIALS) and _is_plain_text(field.type)


def _is_plain_text(cls: Any) -> bool:
    """Return whether a type allows a plain str, alone or as an item or value."""
    if get_origin(cls) is Literal:
        return False
    arguments = get_args(cls)
    if get_origin(cls) in (dict, Mapping):
        arguments = arguments[1:]
    return cls is str or any(map(_is_plain_text, arguments))
