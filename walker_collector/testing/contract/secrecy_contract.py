"""No credential and no personal data in reasons, logs, output and repr."""

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import pytest

from walker_collector.config import Secret
from walker_collector.hookspecs import Item
from walker_collector.testing.backend import Backend
from walker_collector.testing.contract.contract_base import ContractBase, failure_of, fault, require
from walker_collector.testing.harness import Harness
from walker_collector.testing.sample_events import Events

_SHORTEST = 4
"""Characters; a shorter secret would be found in any text by chance."""
_EMAILS = ("ann.user@example.org", "ann.data@example.org", "ann.mapped@example.org")
"""Addresses in the user of an event, in its data, and in its mapped data."""


@attrs.frozen
class Output:
    """Text that a destination has produced from `init` to `shutdown`."""

    reasons: str
    log: str
    printed: str


class SecrecyContract(ContractBase):
    """Neither secrets nor personal data leave the destination in any text for people."""

    @pytest.fixture(params=["none", "reject", "retry", "down", "unreachable"])
    def trouble(self, request: pytest.FixtureRequest) -> str:
        """The fault to inject; none, too."""
        return str(request.param)

    @pytest.fixture
    def output(
        self,
        trouble: str,
        backend: Backend,
        event: Events,
        caplog: pytest.LogCaptureFixture,
        capsys: pytest.CaptureFixture[str],
    ) -> Output:
        """Reasons, log at every level, and printed text of init, a delivery and a failure."""
        caplog.set_level("DEBUG")
        reasons = "\n".join(map(str, self._failures(trouble, backend, event)))
        printed = capsys.readouterr()
        return Output(reasons, caplog.text, printed.out + printed.err)

    def test_repr_shows_no_secret(self, harness: Harness) -> None:
        shown = [repr(harness.context), repr(harness.context.settings), repr(harness.instance)]
        for secret in _secrets_or_skip(harness):
            assert not any(secret in text for text in shown), (
                "repr shows a secret: declare the field as Secret, and keep the result of"
                " `reveal()` out of attrs classes, or in a field(repr=False)"
            )

    def test_no_secret_is_shown(self, backend: Backend, output: Output) -> None:
        for secret in _secrets_or_skip(self.harness_of(backend)):
            assert secret not in output.reasons, "the reason of a failure shows a secret"
            assert secret not in output.log, "the log shows a secret"
            assert secret not in output.printed, "a secret is printed"

    def test_reasons_and_log_hold_no_personal_data(self, output: Output) -> None:
        for email in _EMAILS:
            assert email not in output.reasons, (
                "a reason may name fields and ids, but no personal data"
            )
            assert email not in output.log, "the log may name fields and ids, but no personal data"

    def test_no_personal_data_is_printed(self, output: Output) -> None:
        for email in _EMAILS:
            assert email not in output.printed, "personal data is printed, to stdout or stderr"

    def _failures(self, trouble: str, backend: Backend, event: Events) -> Iterator[Exception]:
        """Yield the failures of a delivery and of `init`; the trouble `none` need not cause any."""
        refused = "parts of an event that the destination refuses for good"
        parts = require(backend.reject, "reject", refused) if trouble == "reject" else {}
        fail = fault(backend, trouble) if trouble not in ("none", "reject") else None
        with self.harness_of(backend) as harness:
            if fail:
                fail()
            failure = failure_of(harness, _personal(harness, event, parts))
            if failure:
                yield failure
        try:
            with self.harness_of(backend):
                pass
        except Exception as error:  # any exception is a failure here
            yield error


def _personal(harness: Harness, event: Events, parts: Mapping[str, Any]) -> Item:
    """Return a mapped event with personal data in its user, its data and its mapped data."""
    user, data, mapped = _EMAILS
    own = {
        **parts,
        "user": {"id": "u1", **parts.get("user", {}), "email": user},
        "data": {"total": 1, **parts.get("data", {}), "note": data},
    }
    item = harness.item(event(**own))
    if isinstance(item.data, dict):
        item.data = {**item.data, "note": mapped}
    return item


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
