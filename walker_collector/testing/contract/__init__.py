"""The contract of destinations, as test classes to subclass."""

from walker_collector.testing.contract.delivery_contract import DeliveryContract
from walker_collector.testing.contract.failure_contract import FailureContract
from walker_collector.testing.contract.lifecycle_contract import LifecycleContract
from walker_collector.testing.contract.secrecy_contract import SecrecyContract
from walker_collector.testing.contract.settings_contract import SettingsContract
from walker_collector.testing.contract.simulation_contract import SimulationContract


class DestinationContract(
    SettingsContract,
    DeliveryContract,
    FailureContract,
    LifecycleContract,
    SecrecyContract,
    SimulationContract,
):
    """Tests that every destination must pass; subclass it with a plugin and a backend.

    plugin: class of the destination.
    package: name of the entry point, to have the installation tested as well.
    bad_settings: values that your validators must refuse, by key.

    Define a fixture `backend` that returns a `Backend`. Override a test that cannot hold for your
    destination, with the reason in its docstring.
    """
