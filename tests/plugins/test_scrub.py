"""The scrubbing extension: no email address reaches a destination that is not spared."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from walker_ext_scrub.extension import EXCEPT, Scrub
from walker_ext_scrub.text import scrubbed

from walker_collector import Collector, Item, Registry, hookimpl
from walker_collector.testing import Events, Harness, Recorder

ANN = "ann@mail.example.org"
MESSAGE = {"text": f"Write to {ANN}, please", "list": [{ANN: f"<{ANN}>"}], "n": 1}


def collecting(recorder: Recorder, *ids: str, **config: Any) -> Collector:
    registry = recorder.registry()
    registry.register_extension("scrub", Scrub)
    flow = {"destinations": {id: recorder.entry(**config) for id in ids}}
    return Collector.from_config(flow, registry=registry)


def test_destination_gets_no_address(walker_recorder: Recorder) -> None:
    with collecting(walker_recorder, "archive") as collector:
        collector.push("mail send", data=MESSAGE, user={"id": "u1", "email": ANN})
    (event,) = walker_recorder.events
    assert event["user"] == {"id": "u1", "email": "[email]"}
    assert event["data"] == {
        "text": "Write to [email], please",
        "list": [{"[email]": "<[email]>"}],
        "n": 1,
    }


def test_mapped_data_is_scrubbed_too(walker_recorder: Recorder) -> None:
    mapping = {"mail": {"send": {"data": {"map": {"to": "user.email", "all": "data.list"}}}}}
    with collecting(walker_recorder, "archive", mapping=mapping) as collector:
        collector.push("mail send", data=MESSAGE, user={"id": "u1", "email": ANN})
    (delivery,) = walker_recorder.deliveries
    assert delivery.data == {"to": "[email]", "all": [{"[email]": "<[email]>"}]}


def test_spared_destination_gets_everything(walker_recorder: Recorder) -> None:
    with collecting(walker_recorder, "customerio", "archive") as collector:
        collector.push("mail send", user={"id": "u1", "email": ANN})
    got = {d.destination: d.event["user"]["email"] for d in walker_recorder.deliveries}
    assert got == {"customerio": ANN, "archive": "[email]"}


def test_environment_names_who_is_spared(
    walker_recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(EXCEPT, "crm, receipts")
    with collecting(walker_recorder, "customerio", "receipts") as collector:
        collector.push("mail send", user={"id": "u1", "email": ANN})
    got = {d.destination: d.event["user"]["email"] for d in walker_recorder.deliveries}
    assert got == {"customerio": "[email]", "receipts": ANN}


def test_list_that_the_mapping_made_is_scrubbed(walker_recorder: Recorder) -> None:
    mapping = {"mail": {"send": {"data": {"set": ["user.email", "user.id"]}}}}
    with collecting(walker_recorder, "archive", mapping=mapping) as collector:
        collector.push("mail send", user={"id": "u1", "email": ANN})
    assert walker_recorder.deliveries[0].data == ["[email]", "u1"]


def test_bare_address_that_cannot_be_replaced_is_not_delivered(walker_recorder: Recorder) -> None:
    mapping = {"mail": {"send": {"data": "user.email"}}}
    with collecting(walker_recorder, "archive", mapping=mapping) as collector:
        result = collector.push("mail send", user={"id": "u1", "email": ANN}, wait=True)
    assert walker_recorder.deliveries == []
    assert result.reasons == {
        "archive": "the mapped data is an email address; map it into an object instead"
    }


def test_batches_are_scrubbed(walker_event: Events) -> None:
    seen: list[Item] = []

    class Batches:
        @hookimpl
        def push_batch(self, batch: list[Item]) -> None:
            seen.extend(batch)

    config = {"mapping": {"mail": {"send": {"data": "user.email"}}}}
    with Harness(Batches, config=config, id="archive", extensions={"scrub": Scrub()}) as archive:
        archive.deliver(walker_event("mail send", user={"id": "u1", "email": ANN}))
    assert [(item.event["user"]["email"], item.data) for item in seen] == [("[email]", "[email]")]
    with Harness(Batches, id="mail", extensions={"scrub": Scrub(["mail"])}) as spared:
        spared.deliver(walker_event("mail send", user={"id": "u1", "email": ANN}))
    assert seen[1].event["user"]["email"] == ANN


def test_extension_keeps_the_contract_of_hooks() -> None:
    Registry().register_extension("scrub", Scrub)


TEXT = st.text() | st.emails() | st.builds("{} {}".format, st.emails(), st.text())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
)


@given(value=JSON, name=st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8})?", fullmatch=True))
def test_no_address_survives_anywhere(value: Any, name: str) -> None:
    address = f"{name}@example.org"
    hidden = {"around": [value, {"deep": f"to {address}."}], address: value}
    assert address not in json.dumps(scrubbed(hidden))


@given(value=JSON)
def test_scrubbing_again_changes_nothing(value: Any) -> None:
    once = scrubbed(value)
    assert scrubbed(once) is once


@given(value=st.recursive(st.text(alphabet="abc .:<>"), st.lists))
def test_what_has_no_address_is_the_same_object(value: Any) -> None:
    assert scrubbed(value) is value
