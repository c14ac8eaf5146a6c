"""A local Customer.io for real clients: for tests, demos and development.

In a test: `with Sandbox() as sandbox: ...`.
From a shell: `python -m walker_dest_customerio.sandbox`.
Needs the extra `sandbox` (aiohttp, trustme).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from walker_dest_customerio.sandbox.background import Sandbox as Sandbox
    from walker_dest_customerio.sandbox.faults import Fault as Fault
    from walker_dest_customerio.sandbox.faults import FaultError as FaultError
    from walker_dest_customerio.sandbox.record import RequestRecord as RequestRecord

__all__ = ["Fault", "FaultError", "RequestRecord", "Sandbox"]

_MODULES = {
    "Fault": "faults",
    "FaultError": "faults",
    "RequestRecord": "record",
    "Sandbox": "background",
}

if not TYPE_CHECKING:  # or every misspelt name would pass the type checker

    def __getattr__(name: str) -> Any:
        """Import on first use, so that `python -m` can name a missing extra."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        except ModuleNotFoundError as error:
            error.add_note("pip install 'walker-dest-customerio[sandbox]'")
            raise
