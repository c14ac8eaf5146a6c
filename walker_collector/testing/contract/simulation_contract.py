"""Simulation: the calls of a delivery, without making them."""

import json
from typing import Any

import pytest

from walker_collector.testing.backend import Backend
from walker_collector.testing.contract.contract_base import ContractBase
from walker_collector.testing.harness import Harness
from walker_collector.testing.sample_events import Events


class SimulationContract(ContractBase):
    """`simulate` returns the calls of `push` and makes none."""

    def test_simulate_returns_calls_as_json(self, backend: Backend, event: Events) -> None:
        calls = self._simulating(backend).simulate(event())
        assert calls == json.loads(json.dumps(calls)), "calls must be plain JSON: lists, not tuples"
        assert all(isinstance(call, list) and isinstance(call[0], str) for call in calls), (
            'each call is a list that begins with its name: [["track", "u1", {...}]]'
        )

    def test_simulate_leaves_no_trace(self, backend: Backend, event: Events) -> None:
        self._simulating(backend).simulate(event())
        assert list(backend.received()) == []

    def test_simulate_leaves_out_the_default_call_of_a_rule_with_skip(
        self, backend: Backend, event: Events
    ) -> None:
        harness = self._simulating(backend, mapping={"*": {"*": {"skip": True}}})
        default = self._simulating(backend).simulate(event())
        assert len(harness.simulate(event())) < len(default)

    def _simulating(self, backend: Backend, **changes: Any) -> Harness:
        """Return the destination before `init`, as in `walker simulate`."""
        if not hasattr(self.plugin, "simulate"):
            pytest.skip("the plugin has no simulate")
        return self.harness_of(backend, **changes)
