"""Python code that a flow file names: `"module:name"`."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from walker_collector.naming import kind
from walker_collector.structuring.places import Unfit

CODE_PREFIX: Final = "$code:"
CODE_ADVICE: Final = (
    'JavaScript ($code:) cannot run here; write the Python function into a module and "module:name"'
)


def callable_hook(raw: Any, _: Any) -> Callable[..., Any]:
    """Read a callable: itself, or its name."""
    if callable(raw):
        return raw  # type: ignore[no-any-return]  # callable() does not narrow Any
    if isinstance(raw, str):
        return load_callable(raw)
    raise Unfit(f'expected a callable, written "module:name", got {kind(raw)}')


def load_callable(reference: str) -> Callable[..., Any]:
    """Import what `"module:name"` names; raises `Unfit` saying what to do where that fails."""
    if reference.startswith(CODE_PREFIX):
        raise Unfit(CODE_ADVICE)
    module, _, name = reference.partition(":")
    if not module or not name:
        raise Unfit('expected a callable, written "module:name"')
    try:
        found: Any = import_module(module)
    except (Exception, SystemExit) as error:  # importing runs foreign code: anything may come out
        reason = f"{type(error).__name__}: {error}"
        raise Unfit(
            f"cannot import module {module} ({reason}); install it, or put its folder on PYTHONPATH"
        ) from error
    for attribute in name.split("."):
        found = getattr(found, attribute, None)
    if not callable(found):
        raise Unfit(f"module {module} has no callable {name}")
    return found  # type: ignore[no-any-return]  # callable() does not narrow Any
