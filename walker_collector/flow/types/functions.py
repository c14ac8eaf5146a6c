"""Python code that a flow file names: `"module:name"`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import Any, Final, get_origin

from walker_collector.flow.types.kind import Kind, Schema
from walker_collector.flow.types.place import InvalidValue
from walker_collector.naming import kind

CODE_PREFIX: Final = "$code:"
CODE_ADVICE: Final = (
    'JavaScript ($code:) cannot run here; write the Python function into a module and "module:name"'
)


_IMPORTING: Final[ContextVar[bool]] = ContextVar("importing", default=True)


@contextmanager
def without_imports() -> Iterator[None]:
    """Read the names of callables without importing them; the results cannot be called."""
    outer = _IMPORTING.set(False)
    try:
        yield
    finally:
        _IMPORTING.reset(outer)


def _not_imported(value: Any, context: Any) -> Any:
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
    module, _, name = reference.partition(":")
    if not module or not name:
        raise InvalidValue('expected a callable, written "module:name"')
    if not _IMPORTING.get():
        return _not_imported
    try:
        found: Any = import_module(module)
    except (Exception, SystemExit) as error:  # importing runs foreign code: anything may come out
        reason = f"{type(error).__name__}: {error}"
        raise InvalidValue(
            f"cannot import module {module} ({reason}); install it, or put its folder on PYTHONPATH"
        ) from error
    for attribute in name.split("."):
        found = getattr(found, attribute, None)
    if not callable(found):
        raise InvalidValue(f"module {module} has no callable {name}")
    return found  # type: ignore[no-any-return]  # callable() does not narrow Any


_SCHEMA: Final[Schema] = {
    "type": "string",
    "pattern": "^[^:$]+:[^:]+$",
    "description": 'A "module:name".',
}
CALLABLE: Final = Kind(
    lambda cls: Callable in (cls, get_origin(cls)),
    lambda *_: read_callable,
    lambda *_: dict(_SCHEMA),
)
