"""What must not be shown: credentials and personal data, in any text that reaches a person."""

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import pytest

from walker_collector.config import Secret
from walker_collector.hookspecs import Item
from walker_collector.testing.backend import Backend
from walker_collector.testing.contract.base import ContractBase, answer, breaking, needed
from walker_collector.testing.events import Events
from walker_collector.testing.harness import Harness

_SHORTEST = 4
"""Characters below which a secret is found in any text by chance."""
_EMAILS = ("ann.user@example.org", "ann.data@example.org", "ann.mapped@example.org")
"""In the user of an event, in its data, and in what the mapping made of it."""


@attrs.frozen
class ConsentSnapshot:
    """What a destination has said from `init` to `shutdown`."""

    reasons: str
    log: str
    printed: str


class SecrecyContract(ContractBase):
    """Secrets stay secret, and so does what is known of persons."""

    @pytest.fixture(params=["none", "reject", "retry", "down"])
    def trouble(self, request: pytest.FixtureRequest) -> str:
        """What fails."""
        return str(request.param)

    @pytest.fixture
    def said(
        self,
        trouble: str,
        backend: Backend,
        event: Events,
        caplog: pytest.LogCaptureFixture,
        capsys: pytest.CaptureFixture[str],
    ) -> ConsentSnapshot:
        """What the destination says when it begins, delivers and fails, at every level."""
        caplog.set_level("DEBUG")
        reasons = "\n".join(map(str, self._failures(trouble, backend, event)))
        printed = capsys.readouterr()
        return ConsentSnapshot(reasons, caplog.text, printed.out + printed.err)

    def test_repr_shows_no_secret(self, harness: Harness) -> None:
        shown = [repr(harness.context), repr(harness.context.settings), repr(harness.instance)]
        for secret in _secrets_or_skip(harness):
            assert not any(secret in text for text in shown), (
                "repr shows a secret: declare the field as Secret, and keep what `reveal()` gave"
                " out of attrs classes, or under field(repr=False)"
            )

    def test_no_secret_is_said(self, backend: Backend, said: ConsentSnapshot) -> None:
        for secret in _secrets_or_skip(self.harness_of(backend)):
            assert secret not in said.reasons, "the reason of a failure shows a secret"
            assert secret not in said.log, "the log shows a secret"
            assert secret not in said.printed, "a secret is printed"

    def test_reasons_and_log_hold_no_personal_data(self, said: ConsentSnapshot) -> None:
        for email in _EMAILS:
            assert email not in said.reasons, "a reason may name fields and ids, no personal data"
            assert email not in said.log, "the log may name fields and ids, no personal data"

    def test_no_personal_data_is_printed(self, said: ConsentSnapshot) -> None:
        for email in _EMAILS:
            assert email not in said.printed, "personal data is printed, to stdout or stderr"

    def _failures(self, trouble: str, backend: Backend, event: Events) -> Iterator[Exception]:
        """Yield what fails, in `init` too; with the trouble `none` nothing needs to."""
        refused = "parts of an event that is refused for ever"
        parts = needed(backend.reject, "reject", refused) if trouble == "reject" else {}
        fail = breaking(backend, trouble) if trouble in ("retry", "down") else None
        with self.harness_of(backend) as harness:
            if fail:
                fail()
            failure = answer(harness, _personal(harness, event, parts))
            if failure:
                yield failure
        try:
            with self.harness_of(backend):
                pass
        except Exception as error:  # whatever the plugin raises is its answer
            yield error


def _personal(harness: Harness, event: Events, parts: Mapping[str, Any]) -> Item:
    """Return a mapped event that holds something personal wherever it can."""
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
