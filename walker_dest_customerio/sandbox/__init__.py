"""A local Customer.io for real clients: for tests, demos and development.

In a test: the pytest fixture `customerio_sandbox`, or `with Sandbox() as sandbox: ...`.
From a shell: `python -m walker_dest_customerio.sandbox`.
Needs the extra `sandbox` (aiohttp, trustme).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from walker_dest_customerio.sandbox.arrivals import Device as Device
    from walker_dest_customerio.sandbox.arrivals import Event as Event
    from walker_dest_customerio.sandbox.arrivals import Message as Message
    from walker_dest_customerio.sandbox.arrivals import Object as Object
    from walker_dest_customerio.sandbox.arrivals import Person as Person
    from walker_dest_customerio.sandbox.arrivals import Relationship as Relationship
    from walker_dest_customerio.sandbox.background import Sandbox as Sandbox
    from walker_dest_customerio.sandbox.customerio_sandbox import (
        CustomerioSandbox as CustomerioSandbox,
    )
    from walker_dest_customerio.sandbox.faults import Fault as Fault
    from walker_dest_customerio.sandbox.faults import FaultError as FaultError
    from walker_dest_customerio.sandbox.record import RequestRecord as RequestRecord

__all__ = [
    "CustomerioSandbox",
    "Device",
    "Event",
    "Fault",
    "FaultError",
    "Message",
    "Object",
    "Person",
    "Relationship",
    "RequestRecord",
    "Sandbox",
]

_MODULES = {
    "CustomerioSandbox": "customerio_sandbox",
    "Device": "arrivals",
    "Event": "arrivals",
    "Fault": "faults",
    "FaultError": "faults",
    "Message": "arrivals",
    "Object": "arrivals",
    "Person": "arrivals",
    "Relationship": "arrivals",
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
