"""The site's own extensions of Sphinx, which lie in no package."""

import importlib.util
from types import ModuleType

from tests.docs.pages import ROOT


def extension(name: str) -> ModuleType:
    """Return a module of `docs/_ext`."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "_ext" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
