"""The contract of a destination, as tests to subclass."""

from walker_collector.testing.contract.delivery import DeliveryContract
from walker_collector.testing.contract.failures import FailureContract
from walker_collector.testing.contract.lifecycle import LifecycleContract
from walker_collector.testing.contract.secrecy import SecrecyContract
from walker_collector.testing.contract.settings import SettingsContract
from walker_collector.testing.contract.simulation import SimulationContract


class DestinationContract(
    SettingsContract,
    DeliveryContract,
    FailureContract,
    LifecycleContract,
    SecrecyContract,
    SimulationContract,
):
    """What every destination must do; subclass it with a plugin and a backend.

    Set `plugin`, and give a fixture `backend` that returns a `Backend`. Set `package` to the
    entry point's name to have the installation tested as well, and `bad_settings` to values that
    your validators must refuse, by key. A test that does not fit your destination is overridden
    by name, with the reason beside it.
    """
