"""Every operation, in batches and one by one, at two strict services that share no code.

The sandbox shows its effect, the emulator that its request is that of the reference, and a
simulation its call.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs
import pytest
from attrs import Factory, frozen

from tests.customerio.support import CREDENTIALS, NOON
from tests.customerio.whole import PATIENCE, Json
from tests.emulator import Emulator
from walker_collector import Collector
from walker_collector.flow import load_flow
from walker_collector.flow.types import disk_key
from walker_collector.simulation import Simulation
from walker_dest_customerio.sandbox import Sandbox
from walker_dest_customerio.settings import RuleSettings

Effect = Callable[[Any], object]

NOON_S: Final = NOON // 1000
TEMPLATE: Final = {"transactional_message_id": "t", "identifiers": {"id": "ines"}}
SMS: Final = {**TEMPLATE, "to": "+15551234567", "send_to_unsubscribed": True}
ACME: Final = {"typeId": 1, "id": "acme"}
COMPANY: Final = {"object_type_id": "1", "object_id": "acme"}
DATA: Final = {"total": 55, "url": "https://shop.example/thanks"}
SUMMARY: Final = {"name": "Ordered", "data": DATA, "timestamp": NOON_S}
DEVICE: Final = {"deviceId": "tok-1", "platform": "ios"}
MERGE: Final = {
    "primaryType": "id",
    "primaryId": "ines",
    "secondaryType": "email",
    "secondaryId": "old@post.example",
}
INES: Final[Json] = {"id": "ines"}
VISITOR: Final[Json] = {"session": "s-1"}


def fixed(made: Any) -> Json:
    return {"value": made}


@frozen(kw_only=True)
class Case:
    """An event under a rule, and all that becomes of it.

    calls: as `walker simulate` shows them.
    accepted: person, action and name of each operation, as the emulator reads the requests.
    effect: holds for the sandbox afterwards.
    apis: the API that takes it in batches, and one by one.
    before: the rule's settings for an event that comes first, so that the person is there.
    """

    rule: Json
    calls: list[Any]
    accepted: list[tuple[str, str, str]]
    effect: Effect
    user: Json = INES
    data: Json = DATA
    apis: tuple[str, str] = ("v2", "v1")
    settings: Json = Factory(dict)
    before: Json = Factory(dict)


KNOWN: Final = {"identify": fixed({"plan": "pro"})}


def messages(channel: str) -> Effect:
    return lambda sandbox: [m["channel"] for m in sandbox.messages] == [channel]


def message(setting: str, part: str, channel: str, request: Json) -> Case:
    return Case(
        rule={"skip": True, "settings": {setting: fixed(request)}},
        calls=[[part, request]],
        accepted=[("id:ines", f"send_{channel}", "t")],
        effect=messages(channel),
        apis=("app", "app"),
    )


def identified(kind: str, given: str, shown: str) -> Case:
    """The event and the attributes of a person, named by an identifier of this kind."""
    cio_id = kind == "cio_id"
    return Case(
        rule={"name": "Ordered", "data": "data", "settings": {"identify": fixed({"plan": "pro"})}},
        settings={"identifier": kind},
        user={"id": given},
        calls=[["identify", shown, {"plan": "pro"}], ["track", shown, SUMMARY]],
        accepted=[(f"{kind}:{given}", "identify", ""), (f"{kind}:{given}", "event", "Ordered")],
        # A cio_id creates nobody.
        effect=lambda sandbox: (
            [item["reason"] for item in sandbox.ignored] == ["unknown cio_id"] * 2
            if cio_id
            else sandbox.people[given]["attributes"]["plan"] == "pro"
            and sandbox.people[given]["events"][0]["data"] == DATA
        ),
    )


def related(sandbox: Any) -> Any:
    return sandbox.people["ines"]["relationships"]


CASES: Final[dict[str, Case]] = {
    "sendEmail": message("sendEmail", "send_email", "email", {**TEMPLATE, "to": "a@b.com"}),
    "sendPush": message("sendPush", "send_push", "push", TEMPLATE),
    "sendSms": message("sendSms", "send_sms", "sms", SMS),
    "sendWhatsapp": message("sendWhatsapp", "send_whatsapp", "whatsapp", {**SMS, "tracked": True}),
    "sendInApp": message("sendInApp", "send_in_app", "in_app", TEMPLATE),
    "sendInbox": message("sendInbox", "send_inbox", "inbox_message", TEMPLATE),
    "page": Case(
        rule={"skip": True, "settings": {"page": "data"}},
        calls=[["pageview", "ines", DATA["url"], {"total": 55}]],
        accepted=[("id:ines", "page", "https://shop.example/thanks")],
        effect=lambda sandbox: sandbox.people["ines"]["events"][0]["type"] == "page",
    ),
    "page of a visitor": Case(
        rule={"skip": True, "settings": {"page": "data"}},
        user=VISITOR,
        calls=[["pageview_anonymous", "s-1", DATA["url"], {"total": 55}]],
        accepted=[("anonymous_id:s-1", "page", "https://shop.example/thanks")],
        effect=lambda sandbox: sandbox.anonymous_events["s-1"][0]["type"] == "page",
    ),
    "screen": Case(
        rule={"skip": True, "settings": {"screen": {"map": {"name": fixed("Thanks")}}}},
        calls=[["screen", "ines", "Thanks"]],
        accepted=[("id:ines", "screen", "Thanks")],
        effect=lambda sandbox: sandbox.people["ines"]["events"][0]["type"] == "screen",
    ),
    "screen of a visitor": Case(
        rule={"skip": True, "settings": {"screen": fixed({"name": "Thanks", "step": 3})}},
        user=VISITOR,
        calls=[["screen_anonymous", "s-1", "Thanks", {"step": 3}]],
        accepted=[("anonymous_id:s-1", "screen", "Thanks")],
        effect=lambda sandbox: sandbox.anonymous_events["s-1"][0]["data"] == {"step": 3},
    ),
    "object": Case(
        rule={
            "skip": True,
            "settings": {"object": fixed({**ACME, "attributes": {"seats": 5}})},
        },
        user={},
        calls=[["object", "1", "acme", {"seats": 5}]],
        accepted=[("", "object_identify", "")],
        apis=("v2", "v2"),
        effect=lambda sandbox: sandbox.state()["objects"] == {"1:acme": {"seats": 5}},
    ),
    "object, with delete": Case(
        before={"object": fixed(ACME)},
        rule={"skip": True, "settings": {"object": fixed({**ACME, "delete": True})}},
        calls=[["delete_object", "1", "acme"]],
        accepted=[("", "object_delete", "")],
        apis=("v2", "v2"),
        effect=lambda sandbox: sandbox.state()["objects"] == {},
    ),
    "relate": Case(
        before=KNOWN,
        rule={
            "skip": True,
            "settings": {"relate": fixed({**ACME, "attributes": {"role": "admin"}})},
        },
        calls=[["relate", "ines", "1", "acme", {"role": "admin"}]],
        accepted=[("id:ines", "add_relationships", "")],
        apis=("v2", "v2"),
        effect=lambda sandbox: related(sandbox) == [{**COMPANY, "attributes": {"role": "admin"}}],
    ),
    "unrelate": Case(
        before={"identify": fixed({"plan": "pro"}), "relate": fixed(ACME)},
        rule={"skip": True, "settings": {"unrelate": fixed(ACME)}},
        calls=[["unrelate", "ines", "1", "acme"]],
        accepted=[("id:ines", "delete_relationships", "")],
        apis=("v2", "v2"),
        effect=lambda sandbox: related(sandbox) == [] and sandbox.state()["objects"],
    ),
    "recipient": Case(
        rule={"name": "Ordered", "data": "data", "settings": {"recipient": fixed("a@b.com")}},
        calls=[["track_anonymous", None, {**SUMMARY, "data": {**DATA, "recipient": "a@b.com"}}]],
        accepted=[("", "event", "Ordered")],
        apis=("v1", "v1"),
        effect=lambda sandbox: len(sandbox.state()["invites"]) == 1 and not sandbox.people,
    ),
    "identify, that joins a visitor": Case(
        rule={"skip": True, "settings": {"identify": {"map": {"anonymous_id": "user.session"}}}},
        user={**INES, **VISITOR},
        calls=[["identify", "ines", {"anonymous_id": "s-1"}]],
        accepted=[("id:ines", "identify", "")],
        effect=lambda sandbox: sandbox.people["ines"]["anonymous_ids"] == ["s-1"],
    ),
    "identify, of nobody new": Case(
        rule={"skip": True, "settings": {"identify": fixed({"_update": True, "plan": "pro"})}},
        calls=[["identify", "ines", {"_update": True, "plan": "pro"}]],
        accepted=[("id:ines", "identify", "")],
        effect=lambda sandbox: not sandbox.people and len(sandbox.ignored) == 1,
    ),
    "identify, that removes an attribute": Case(
        before={"identify": fixed({"plan": "pro", "team": "blue"})},
        rule={
            "skip": True,
            "settings": {"identify": {"map": {"plan": {"key": "data.plan", "nullable": True}}}},
        },
        data={"plan": None},
        calls=[["identify", "ines", {"plan": None}]],
        accepted=[("id:ines", "identify", "")],
        effect=lambda sandbox: sandbox.people["ines"]["attributes"] == {"team": "blue"},
    ),
    "identifier id": identified("id", "ines", "ines"),
    "identifier email": identified("email", "ines@post.example", "ines@post.example"),
    "identifier cio_id": identified("cio_id", "a3000001", "cio_a3000001"),
    "event of a visitor": Case(
        rule={"name": "Ordered", "data": "data"},
        user=VISITOR,
        calls=[["track_anonymous", "s-1", SUMMARY]],
        accepted=[("anonymous_id:s-1", "event", "Ordered")],
        effect=lambda sandbox: sandbox.anonymous_events["s-1"][0]["name"] == "Ordered",
    ),
    "addDevice": Case(
        rule={"skip": True, "settings": {"addDevice": fixed(DEVICE)}},
        calls=[["add_device", "ines", "tok-1", "ios"]],
        accepted=[("id:ines", "add_device", "tok-1")],
        effect=lambda sandbox: list(sandbox.people["ines"]["devices"]) == ["tok-1"],
    ),
    "deleteDevice": Case(
        before={"addDevice": fixed(DEVICE)},
        rule={"skip": True, "settings": {"deleteDevice": fixed(DEVICE)}},
        calls=[["delete_device", "ines", "tok-1", "ios"]],
        accepted=[("id:ines", "delete_device", "tok-1")],
        effect=lambda sandbox: sandbox.people["ines"]["devices"] == {},
    ),
    "destroy": Case(
        before=KNOWN,
        rule={"skip": True, "settings": {"destroy": True}},
        calls=[["delete", "ines"]],
        accepted=[("id:ines", "delete", "")],
        effect=lambda sandbox: not sandbox.people and not sandbox.suppressed,
    ),
    "suppress": Case(
        before=KNOWN,
        rule={"skip": True, "settings": {"suppress": True}},
        calls=[["suppress", "ines"]],
        accepted=[("id:ines", "suppress", "")],
        effect=lambda sandbox: not sandbox.people and len(sandbox.suppressed) == 1,
    ),
    "unsuppress": Case(
        before={"suppress": True},
        rule={"skip": True, "settings": {"unsuppress": True}},
        calls=[["unsuppress", "ines"]],
        accepted=[("id:ines", "unsuppress", "")],
        effect=lambda sandbox: not sandbox.suppressed and len(sandbox.requests) == 2,
    ),
    "merge": Case(
        before=KNOWN,
        rule={"skip": True, "settings": {"merge": fixed(MERGE)}},
        calls=[["merge_customers", "id", "ines", "email", "old@post.example"]],
        accepted=[("id:ines", "merge", "")],
        effect=lambda sandbox: [one["operation"] for one in sandbox.ignored] == ["Merge"],
    ),
}

cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def config_of(case: Case, settings: Json) -> Json:
    first = {"skip": True, "settings": case.before}
    mapping = {"person": {"appear": first}, "order": {"complete": case.rule}}
    return {
        "package": "customerio",
        "config": {"settings": {**settings, **case.settings}, "mapping": mapping},
    }


def event_of(case: Case, name: str = "order complete") -> Json:
    return {"name": name, "timestamp": NOON, "user": case.user, "data": case.data}


@cases
def test_simulation_shows_the_calls(case: Case) -> None:
    flow = load_flow({"destinations": {"customerio": config_of(case, CREDENTIALS)}})
    simulation = Simulation(flow, now=lambda: NOON, new_id=lambda: "e1")
    (result,) = simulation.push(event_of(case))
    assert (result.status, result.calls) == ("deliver", case.calls)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with Emulator(tmp_path_factory.mktemp("emulator")) as emulator:
        yield emulator


@cases
@pytest.mark.parametrize("delivery", ["batch", "single"])
def test_both_services_take_it_and_it_has_its_effect(
    customerio: Sandbox, emulator: Emulator, case: Case, delivery: str
) -> None:
    emulator.accepted.clear()
    destinations = {
        name: config_of(case, {**service.settings(), "delivery": delivery, "rateLimit": 100_000})
        for name, service in (("sandbox", customerio), ("emulator", emulator))
    }
    with Collector.from_config({"destinations": destinations}) as collector:
        if case.before:
            collector.push({**event_of(case, "person appear"), "timestamp": NOON - 60_000})
        collector.push(event_of(case))
        assert collector.flush(PATIENCE)
        assert collector.dead() == []
    assert case.effect(customerio)
    assert {request.status for request in customerio.requests} == {200}
    assert emulator.violations == []
    made = emulator.accepted[-len(case.accepted) :]
    assert [(one.person, one.action, one.name) for one in made] == case.accepted
    assert {one.api for one in made} == {case.apis[delivery == "single"]}
    assert all(one.ulid for one in made if one.action in ("event", "page", "screen"))


def test_every_setting_of_a_rule_is_here() -> None:
    used = {name for case in CASES.values() for name in case.rule.get("settings", {})}
    assert used == {disk_key(each) for each in attrs.fields(RuleSettings)}
