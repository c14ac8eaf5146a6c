"""Reason, wait and place of a plugin's exception, even if its class has odd attributes."""

import sys
import sysconfig
import traceback
from collections.abc import Callable
from types import CodeType
from typing import Any, Final

from walker_collector.text import storable, type_name

PYTHONS_OWN: Final = (ImportError, SyntaxError, AttributeError, NameError)
"""Exceptions with texts about code, not data."""
_LIBRARY: Final = sysconfig.get_paths()["stdlib"]
_PACKAGES: Final = ("site-packages", "dist-packages")
_COLLECTOR: Final = __name__.partition(".")[0]


def attribute_of(error: BaseException, name: str) -> Any:
    """Return an attribute of an exception; None if it has none, or if reading it raises."""
    try:
        return getattr(error, name, None)
    except BaseException:  # a property of a plugin's class may raise anything, even SystemExit
        return None


def reason_of(error: BaseException) -> str:
    """Return the reason of one of the collector's errors; never empty, never raises."""
    reason = attribute_of(error, "reason")
    return storable(error if reason is None else reason) or type_name(error)


def after_of(error: BaseException) -> float | None:
    """Return the wait (s) that an error asks for, if it is a number; never raises."""
    after = attribute_of(error, "after")
    # Exactly these types: a subclass may have comparisons that raise.
    return after if type(after) is float or type(after) is int else None


def place_of(error: BaseException, module: str = "") -> str:
    """Return the file and line of an exception, in the code of a plugin or application.

    That is the last line in the package of `module`, if it has part in it; else the last one of an
    application, else of any package but the collector. Never raises.
    """
    try:
        return _place(error, module) or "?"
    except BaseException:  # as above
        return "?"


def definition_of(found: Any) -> str:
    """Return file and line of a function or class, "" if unknown; never raises."""
    try:
        code = getattr(getattr(found, "__func__", found), "__code__", None)
        if type(code) is CodeType:
            return storable(f"{code.co_filename}:{code.co_firstlineno}")
        file = getattr(sys.modules.get(found.__module__), "__file__", None)
        line = getattr(found, "__firstlineno__", None) or _first_line(found)
        return storable(f"{file}:{line}" if line else file) if file else ""
    except BaseException:  # attributes of a plugin's class may raise anything
        return ""


def _first_line(cls: type) -> int | None:
    """Return the line of the first function that a class defines."""
    lines = [
        value.__code__.co_firstlineno for value in vars(cls).values() if hasattr(value, "__code__")
    ]
    return min(lines, default=None)


def _place(error: BaseException, module: str) -> str | None:
    frames = [
        (frame.f_code.co_filename, line, str(frame.f_globals.get("__name__", "")))
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    package = module.partition(".")[0]
    if package == _COLLECTOR:  # a plugin that comes with it: a module, not a package
        package = module
    tests: tuple[Callable[[str, str], bool], ...] = (
        lambda file, name: bool(package) and f"{name}.".startswith(f"{package}."),
        lambda file, name: _is_foreign(file, name) and not any(at in file for at in _PACKAGES),
        _is_foreign,
        lambda file, name: True,
    )
    for test in tests:
        for file, line, name in reversed(frames):
            if test(file, name):
                return storable(f"{file}:{line}")
    return None


def _is_foreign(file: str, module: str) -> bool:
    """Return whether code is neither Python's own nor the collector's."""
    if module.partition(".")[0] == _COLLECTOR or file.startswith("<"):
        return False
    return not file.startswith(_LIBRARY) or any(at in file for at in _PACKAGES)


def failure_of(error: BaseException, module: str = "", otherwise_at: str = "") -> str:
    """Return an exception of foreign code for messages: its type and place, and no more.

    Its text may quote a secret or a person's data. Python's own text about imports, syntax and
    names quotes neither, and is shown. `module` is the plugin's, if one is known. `otherwise_at` is
    the place of an exception that was never raised. Never raises.
    """
    place = place_of(error, module)
    if place == "?" and otherwise_at:
        place = otherwise_at
    if issubclass(type(error), PYTHONS_OWN):
        at = f" at {place}" if _is_foreign(place, "") and place != "?" else ""
        return f"{type_name(error)}: {storable(error)}{at}"
    return f"{type_name(error)} at {place}"
