"""Python code that a flow file names: `"module:name"`.

A flow file is trusted like code. Where it is not, a list of modules bounds the code it may name.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from importlib import import_module
from types import ModuleType
from typing import Any, Final, get_origin

from walker_collector.error_details import failure_of
from walker_collector.flow.types.kind import Kind, Schema
from walker_collector.flow.types.place import InvalidValue
from walker_collector.naming import kind
from walker_collector.tracebacks import log_traceback

CODE_PREFIX: Final = "$code:"
CODE_ADVICE: Final = (
    'JavaScript ($code:) cannot run here; write the Python function into a module and "module:name"'
)
_NAMES: Final = re.compile(r"\w+(?:\.\w+)*:\w+(?:\.\w+)*")

_IMPORTING: Final[ContextVar[bool]] = ContextVar("importing", default=True)
_ALLOWED: Final[ContextVar[tuple[str, ...] | None]] = ContextVar("allowed modules", default=None)


@contextmanager
def without_imports() -> Iterator[None]:
    """Read the names of callables without importing them; the results cannot be called."""
    outer = _IMPORTING.set(False)
    try:
        yield
    finally:
        _IMPORTING.reset(outer)


@contextmanager
def allow_functions(modules: Iterable[str] | None) -> Iterator[None]:
    """Refuse callables of other modules than these and their submodules; None allows any."""
    if modules is None:
        yield
        return
    modules = [modules] if isinstance(modules, str) else modules
    outer = _ALLOWED.set(tuple(module.removesuffix(".*") for module in modules))
    try:
        yield
    finally:
        _ALLOWED.reset(outer)


def _not_imported(*_: Any) -> Any:
    raise RuntimeError("a flow was read without its callables, and called one")


def read_callable(raw: Any, _: Any) -> Callable[..., Any]:
    """Return a callable given as itself or by its name."""
    if callable(raw):
        return raw  # type: ignore[no-any-return]  # callable() does not narrow Any
    if isinstance(raw, str):
        return load_callable(raw)
    raise InvalidValue(f'expected a callable, written "module:name", got {kind(raw)}')


def load_callable(reference: str) -> Callable[..., Any]:
    """Import the callable named `"module:name"`, or raise `InvalidValue` with advice."""
    if reference.startswith(CODE_PREFIX):
        raise InvalidValue(CODE_ADVICE)
    if not _NAMES.fullmatch(reference):
        raise InvalidValue(f'expected a callable, written "module:name"{_with_colon(reference)}')
    module, _, name = reference.partition(":")
    if not _IMPORTING.get():
        return _not_imported
    _check_allowed(module)
    _check_public(name)
    found: Any = _import(module)
    for attribute in name.split("."):
        try:
            found = getattr(found, attribute, None)
        except BaseException as error:  # from the module's `__getattr__`
            raise InvalidValue(f"module {module}: {name} raised {failure_of(error)}") from error
        if isinstance(found, ModuleType):
            _check_allowed(found.__name__)
    if not callable(found):
        raise InvalidValue(f"module {module} has no callable {name}")
    _check_definer(found, name)
    return found  # type: ignore[no-any-return]  # callable() does not narrow Any


def _with_colon(reference: str) -> str:
    """Return advice for a name that has dots only."""
    module, dot, name = reference.rpartition(".")
    dotted = dot and _NAMES.fullmatch(f"{module}:{name}")
    return f'; write "{module}:{name}"' if dotted else ""


def _import(module: str) -> ModuleType:
    try:
        with redirect_stdout(sys.stderr):  # stdout belongs to the command, and may be JSON
            return import_module(module)
    except BaseException as error:  # importing runs foreign code, which may even try to exit
        log_traceback(f"module {module}", error)
        raise InvalidValue(
            f"cannot import module {module} ({failure_of(error)}); install it, or put its folder on"
            " PYTHONPATH"
        ) from error


def _check_public(name: str) -> None:
    """Refuse names such as `f.__globals__.get`, which lead out of an allowed module."""
    if _ALLOWED.get() is not None and any(part.startswith("_") for part in name.split(".")):
        raise InvalidValue(f"{name} is not allowed here: a part of it begins with _")


def _check_definer(found: Any, name: str) -> None:
    """Refuse a callable defined elsewhere, such as `myapp:system` or `myapp:CACHE.update`."""
    module = getattr(found, "__module__", None)
    if _ALLOWED.get() is not None and not isinstance(module, str):
        # Methods of built-in types have no module, whatever object they belong to.
        raise InvalidValue(f"{name} is not allowed here: it is a method of a built-in type")
    _check_allowed(module)


def _check_allowed(module: Any) -> None:
    allowed = _ALLOWED.get()
    if allowed is None or any(f"{module}.".startswith(f"{name}.") for name in allowed):
        return
    listed = ", ".join(allowed) or "none"
    raise InvalidValue(f"functions of module {module} are not allowed here (allowed: {listed})")


_SCHEMA: Final[Schema] = {
    "type": "string",
    "pattern": "^[^:$]+:[^:]+$",
    "description": 'A Python function, written "module:name".',
}
CALLABLE: Final = Kind(
    lambda cls: Callable in (cls, get_origin(cls)),
    lambda *_: read_callable,
    lambda *_: dict(_SCHEMA),
)
