"""What must not be shown: credentials, in any text that reaches a log or a person."""

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import pytest

from walker_collector.config import Secret
from walker_collector.testing.backend import Backend
from walker_collector.testing.contract.base import ContractBase, answer, breaking
from walker_collector.testing.events import Events
from walker_collector.testing.harness import Harness

_SHORTEST = 4
"""Characters below which a secret is found in any text by chance."""


class SecrecyContract(ContractBase):
    """Secrets stay secret."""

    def test_repr_shows_no_secret(self, harness: Harness) -> None:
        shown = [repr(harness.context), repr(harness.context.settings), repr(harness.instance)]
        for secret in _secrets_or_skip(harness):
            assert not any(secret in text for text in shown), (
                "repr shows a secret: declare the field as Secret, and keep what `reveal()` gave"
                " out of attrs classes, or under field(repr=False)"
            )

    def test_failures_show_no_secret(
        self,
        backend: Backend,
        harness: Harness,
        event: Events,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        secrets = _secrets_or_skip(harness)
        caplog.set_level("DEBUG")
        breaking(backend, "down")()
        reason = str(answer(harness, harness.item(event())))
        for secret in secrets:
            assert secret not in reason, "the reason of a failure shows a secret"
            assert secret not in caplog.text, "the log shows a secret"


def _secrets_or_skip(harness: Harness) -> list[str]:
    settings = harness.context.settings
    secrets = [text for text in _secrets(settings) if len(text) >= _SHORTEST]
    if not secrets:
        pytest.skip("no setting of type Secret is set: there is nothing to hide")
    return secrets


def _secrets(value: Any) -> Iterator[str]:
    """Yield the text of every secret inside settings."""
    if isinstance(value, Secret):
        yield value.reveal()
    elif attrs.has(type(value)):
        for field in attrs.fields(type(value)):
            yield from _secrets(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _secrets(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secrets(item)
