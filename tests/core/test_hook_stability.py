"""The contract with plugins changes only with its version, and with a warning before."""

import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from walker_collector import PluginError, Registry, hookimpl, hookspecs

VERSION_1 = {
    "init": ["context"],
    "push": ["event", "data", "rule", "context"],
    "push_batch": ["batch", "context"],
    "consent": ["update", "state", "person", "context"],
    "erased": ["person", "context"],
    "check": ["context"],
    "shutdown": ["context"],
    "run": ["context"],
    "transform": ["event", "context"],
}
"""What plugins written for API version 1 may ask for. Add to it freely; what goes from it, or is
renamed, breaks them: then raise `hookspecs.API_VERSION`."""


class Destination:
    @hookimpl
    def push(self, event: Any, rule: Any) -> None: ...

    @hookimpl
    def shutdown(self) -> None: ...


PUSH_LINE = inspect.getsourcelines(Destination.push)[1]


Deprecate = Callable[..., None]


@pytest.fixture
def deprecate() -> Iterator[Deprecate]:
    """Mark a hook as a later version of the collector might, until the test is over."""
    marks = {name: vars(getattr(hookspecs, name)).copy() for name in VERSION_1}

    def mark(hook: str, **how: Any) -> None:
        hookspecs.hookspec(**how)(getattr(hookspecs, hook))

    yield mark
    for name, before in marks.items():
        vars(getattr(hookspecs, name)).update(before)


def test_hooks_are_those_of_the_api_version() -> None:
    assert hookspecs.API_VERSION == 1
    hooks = {
        name: list(inspect.signature(function).parameters)
        for name, function in inspect.getmembers(hookspecs, inspect.isfunction)
        if hasattr(function, f"{hookspecs.PROJECT}_spec")
    }
    assert hooks == VERSION_1


def test_plugin_for_another_api_version_is_refused_with_both_versions() -> None:
    class Newer(Destination):
        api_version = 2

    with pytest.raises(PluginError, match="written for hook API 2, this collector has 1"):
        Registry().register("newer", Newer)


def test_deprecated_argument_warns_at_the_plugins_line_and_still_works(
    deprecate: Deprecate,
) -> None:
    warning = DeprecationWarning("rule: use context.rule")
    deprecate("push", firstresult=True, warn_on_impl_args={"rule": warning})
    registry = Registry()
    with pytest.warns(DeprecationWarning, match="rule: use context") as caught:
        registry.register("old", Destination)
    assert (caught[0].filename, caught[0].lineno) == (__file__, PUSH_LINE)
    assert registry.find("old") is Destination


def test_deprecated_hook_warns(deprecate: Deprecate) -> None:
    deprecate("shutdown", warn_on_impl=DeprecationWarning("shutdown: use close"))
    with pytest.warns(DeprecationWarning, match="shutdown: use close"):
        Registry().register("old", Destination)


def test_plugin_that_does_without_what_is_deprecated_is_not_warned(
    deprecate: Deprecate,
) -> None:
    class Modern:
        @hookimpl
        def push(self, event: Any) -> None: ...

    warning = DeprecationWarning("rule: use context.rule")
    deprecate("push", firstresult=True, warn_on_impl_args={"rule": warning})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Registry().register("modern", Modern)
