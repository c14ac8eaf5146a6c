"""Settings: good ones are accepted, bad ones refused, each with its path."""

from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin

import attrs
import pytest

from walker_collector.config import Secret
from walker_collector.errors import ConfigError
from walker_collector.flow.types import disk_key
from walker_collector.plugins import DESTINATIONS, Registry
from walker_collector.testing.backend import Backend
from walker_collector.testing.contract.contract_base import ContractBase
from walker_collector.testing.harness import Harness
from walker_collector.verification import verify_destination

_SCALARS = (str, int, float, bool, Secret, NoneType)
_CREDENTIALS = ("token", "key", "password", "secret")


@attrs.frozen(kw_only=True)
class Loading:
    """The ways in which a plugin of some kind is loaded.

    settings: good settings. place: where they stand in a flow. load: loads others; raises
    ConfigError. verify: raises PluginError for a class that is no plugin. find: returns the class
    of an entry point of `group`.
    """

    settings: Mapping[str, Any] = attrs.field(repr=False)
    place: str
    load: Callable[[Mapping[str, Any]], object]
    verify: Callable[[str, Any], None]
    find: Callable[[str], type]
    group: str

    def problems(self, settings: Mapping[str, Any]) -> dict[str, str]:
        """Return the message of each problem with settings, by path."""
        try:
            self.load(settings)
        except ConfigError as error:
            return {problem.path: problem.message for problem in error.problems}
        return {}


class PluginSettingsContract:
    """The plugin can be loaded, and its settings find the mistakes of a flow file."""

    plugin: ClassVar[type]
    package: ClassVar[str | None] = None
    bad_settings: ClassVar[Mapping[str, Any]] = {}

    def test_plugin_can_be_loaded(self, loading: Loading) -> None:
        loading.verify("under-test", self.plugin)

    def test_plugin_is_found_by_its_entry_point(self, loading: Loading) -> None:
        if self.package is None:
            pytest.skip("package = ... is not set: the entry point's name")
        assert loading.find(self.package) is self.plugin, (
            f"the entry point {self.package!r} of the group {loading.group} must"
            f" name {self.plugin.__qualname__}"
        )

    def test_good_settings_are_taken(self, loading: Loading) -> None:
        assert loading.problems(loading.settings) == {}

    def test_unknown_setting_is_refused_with_its_place(self, loading: Loading) -> None:
        found = loading.problems({**loading.settings, "noSuchSetting": True})
        assert f"{loading.place}.noSuchSetting" in found, (
            "an unknown setting must be refused: declare every setting in the attrs class"
            " `settings` and nothing else"
        )

    def test_required_settings_are_asked_for_by_name(self, loading: Loading) -> None:
        for field in self._fields():
            if field.default is not attrs.NOTHING:
                continue
            without = {
                key: value
                for key, value in loading.settings.items()
                if key not in (field.name, disk_key(field))
            }
            assert f"{loading.place}.{disk_key(field)}" in loading.problems(without)

    def test_settings_of_a_wrong_type_are_refused_with_their_place(self, loading: Loading) -> None:
        for field in self._fields():
            if not _is_scalar(field.type):
                continue
            key = disk_key(field)
            wrong = {**loading.settings, key: {"wrong": "type"}}
            wrong = {
                name: value for name, value in wrong.items() if name == key or name != field.name
            }
            assert f"{loading.place}.{key}" in loading.problems(wrong)

    def test_bad_settings_are_refused_with_their_place(self, loading: Loading) -> None:
        if not self.bad_settings:
            pytest.skip(
                "bad_settings = {...} is not set: values that your validators refuse, by key"
            )
        for key, value in self.bad_settings.items():
            assert f"{loading.place}.{key}" in loading.problems({**loading.settings, key: value}), (
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


class SettingsContract(PluginSettingsContract, ContractBase):
    """The settings of a destination."""

    @pytest.fixture
    def loading(self, backend: Backend) -> Loading:
        """The ways in which the destination is loaded."""
        return Loading(
            settings=backend.settings,
            place="destinations.destination.config.settings",
            load=lambda settings: Harness(self.plugin, settings, config=backend.config),
            verify=verify_destination,
            find=lambda package: Registry().discover().find(package),
            group=DESTINATIONS,
        )


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
