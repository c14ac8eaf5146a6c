"""Lazy packages: their public names are imported at the first use of one.

pytest imports the package at every start, in every project that has it installed, to find the
fixtures in `testing.plugin`: that must not import all of the collector.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec


def names_of(
    package: str, module: str, first: str | None = None
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a package that hands on a module's `__all__`.

    `first`: a module with some of these names, which needs less; it is looked into before.
    """

    def get(name: str) -> object:
        # Modules first: they may be asked for while the public names are being imported.
        if find_spec(f"{package}.{name}"):
            return import_module(f"{package}.{name}")
        public = import_module(first or module)
        if name not in public.__all__:  # `__all__` itself is not
            public = import_module(module)
        if name != "__all__" and name not in public.__all__:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value: object = getattr(public, name)
        setattr(sys.modules[package], name, value)  # so each name is asked for once
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *import_module(module).__all__})

    return get, names
