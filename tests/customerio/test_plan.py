from typing import Any

import pytest
from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st

from tests.customerio.support import NOON, context_of, event_of, item_of, rule_of
from walker_collector import MISSING, Rejected, Rule
from walker_dest_customerio.destination import CustomerioDestination
from walker_dest_customerio.identify_cache import IdentifyCache, WorkspaceCaches
from walker_dest_customerio.plan import Plan, plan

NOON_S = NOON // 1000


@define
class Planner:
    """Plans events one after the other, each as if those before it had been delivered."""

    settings: dict[str, Any] = field(factory=dict)
    cache: IdentifyCache = field(factory=lambda: IdentifyCache(100, 60, WorkspaceCaches()))

    def plan(
        self,
        event: dict[str, Any] | None = None,
        data: Any = MISSING,
        rule: Rule | None = None,
        **options: Any,
    ) -> Plan:
        item = item_of(context_of(**self.settings), event, data, rule)
        planned = plan(item.event, item.data, item.rule, item.context, self.cache, **options)
        for operation in planned.operations:
            operation.note(self.cache, NOON_S)
        return planned

    def calls(self, *args: Any, **options: Any) -> list[list[Any]]:
        return [operation.call for operation in self.plan(*args, **options).operations]


EMAIL = {"identify": {"map": {"email": "user.email"}}}


def test_event_of_a_person_is_tracked_with_its_name_data_and_time() -> None:
    expected = ["track", "u1", {"name": "order complete", "data": {"a": 1}, "timestamp": NOON_S}]
    assert Planner().calls(data={"a": 1}) == [expected]


@pytest.mark.parametrize(
    ("data", "rule", "name"),
    [
        ({"title": "Bought"}, None, "Bought"),
        ({"title": "Bought"}, rule_of("By rule"), "By rule"),
        ({"title": "Bought"}, rule_of(), "Bought"),
        ({"title": " "}, None, "order complete"),
        ({"title": 5}, None, "order complete"),
        ({}, None, "order complete"),
    ],
)
def test_event_name_is_the_rules_or_that_of_the_destination_or_its_own(
    data: dict[str, Any], rule: Rule | None, name: str
) -> None:
    planner = Planner({"eventName": "data.title"})
    for person in ("u1", None):
        (call,) = planner.calls(event_of(person, data=data), rule=rule)
        assert call[2]["name"] == name


def test_event_of_a_session_is_tracked_anonymously() -> None:
    (call,) = Planner().calls(event_of(None))
    assert call[:2] == ["track_anonymous", "s1"]


def test_event_that_names_nobody_is_unidentified() -> None:
    planned = Planner().plan(event_of(user={}))
    assert (planned.is_unidentified, planned.operations, planned.people) == (True, (), ())


def test_person_goes_before_session_and_a_blank_id_is_none() -> None:
    assert Planner().plan(event_of(user={"id": "u1", "session": "s1"})).people == ("id:u1",)
    for blank in ("", "  ", True):
        planned = Planner().plan(event_of(user={"id": blank, "session": "s1"}))
        assert planned.people == ("anonymous:s1",)


def test_device_stands_in_for_a_session_that_is_not_there() -> None:
    device = {"device": "d1"}
    for session in ({}, {"session": ""}, {"session": None}):
        assert Planner().plan(event_of(user={**device, **session})).anonymous_id == "d1"
    assert Planner().plan(event_of(user={**device, "session": "s1"})).anonymous_id == "s1"


def test_alternative_that_is_no_identity_does_not_stand_in_the_way_of_the_next() -> None:
    planner = Planner({"customerId": ["user.id", "user.email"]})
    for blank in ("", " ", False, [], {}):
        event = event_of(user={"id": blank, "email": "a@b.c", "session": "s1"})
        assert planner.plan(event).person == "a@b.c"


def test_numeric_ids_are_identities() -> None:
    assert Planner().calls(event_of(42))[0][:2] == ["track", "42"]
    assert Planner().calls(event_of(user={"session": 7}))[0][:2] == ["track_anonymous", "7"]
    assert Planner().plan(event_of(user={"id": True})).is_unidentified


def test_identities_are_found_where_the_settings_say() -> None:
    planner = Planner({"customerId": "data.member", "anonymousId": "data.device"})
    assert planner.calls(event_of(data={"member": "m1"}))[0][1] == "m1"
    assert planner.calls(event_of(data={"device": "d1"}))[0][1] == "d1"


@pytest.mark.parametrize(
    ("when", "seconds"), [(NOON + 999, NOON_S), (NOON + 0.5, NOON_S), (0, None), (None, None)]
)
def test_time_is_whole_seconds_and_zero_is_none(when: object, seconds: int | None) -> None:
    (call,) = Planner().calls(event_of(timestamp=when))
    assert call[2].get("timestamp") == seconds


def test_event_without_data_has_an_empty_object() -> None:
    planned = Planner().plan(data=MISSING)
    assert [operation.call[2]["data"] for operation in planned.operations] == [{}]
    assert planned.warnings == []


@pytest.mark.parametrize(
    ("data", "kind"),
    [(None, "null"), (1, "a number"), (True, "true or false"), ("text", "text"), ([1], "a list")],
)
def test_data_that_is_no_object_is_left_out_and_told(data: object, kind: str) -> None:
    for event in (event_of(), event_of(None)):
        planned = Planner().plan(event, data)
        assert planned.operations[-1].call[2]["data"] == {}
        assert planned.warnings == [
            f"data is {kind}, and Customer.io takes an object: the event goes out without it"
        ]


def test_name_of_the_rule_goes_before_the_events_even_if_empty() -> None:
    for name, expected in (("purchase", "purchase"), ("", ""), (None, "order complete")):
        assert Planner().calls(rule=rule_of(name))[0][2]["name"] == expected


def test_skip_leaves_out_the_event_and_nothing_else() -> None:
    rule = rule_of(skip=True, page={"map": {"url": {"value": "/x"}}})
    assert Planner().calls(rule=rule) == [["pageview", "u1", "/x"]]
    assert Planner().calls(event_of(None), rule=rule) == [["pageview_anonymous", "s1", "/x"]]


def test_person_is_identified_when_attributes_change_and_not_again() -> None:
    planner = Planner(EMAIL)
    names = [
        [call[0] for call in planner.calls(event_of(user={"id": "u1", "email": email}))]
        for email in ("a@b.c", "a@b.c", "x@b.c", "x@b.c", "a@b.c")
    ]
    identified = ["identify", "track"]
    assert names == [identified, ["track"], identified, ["track"], identified]


def test_each_person_is_remembered_apart() -> None:
    planner = Planner(EMAIL)
    people = ["u1", "u2", "u1", "u2"]
    made = [planner.calls(event_of(user={"id": who, "email": "a@b.c"})) for who in people]
    assert [len(calls) for calls in made] == [2, 2, 1, 1]


def test_identify_of_the_rule_replaces_the_destinations() -> None:
    planner = Planner(EMAIL)
    rule = rule_of(identify={"map": {"plan": {"value": "pro"}}})
    event = event_of(user={"id": "u1", "email": "a@b.c"})
    assert planner.calls(event, rule=rule)[0] == ["identify", "u1", {"plan": "pro"}]
    assert planner.calls(event, rule=rule_of(identify=None))[0][2] == {"email": "a@b.c"}


def test_identify_of_nothing_is_still_an_identify() -> None:
    assert Planner(EMAIL).calls()[0] == ["identify", "u1", {}]


def test_identify_that_makes_no_object_is_none() -> None:
    assert [call[0] for call in Planner({"identify": "user.id"}).calls()] == ["track"]


@pytest.mark.parametrize("gone", [{"destroy": True}, {"suppress": True}])
def test_person_who_is_gone_is_identified_anew(gone: dict[str, Any]) -> None:
    planner = Planner(EMAIL)
    planner.calls()
    assert [call[0] for call in planner.calls()] == ["track"]
    planner.calls(rule=rule_of(**gone))
    assert planner.calls()[0][0] == "identify"


def test_people_who_were_merged_are_identified_anew() -> None:
    planner = Planner(EMAIL)
    for who in ("u1", "u2"):
        planner.calls(event_of(who))
    merge = {"primaryType": "id", "primaryId": "u1", "secondaryType": "id", "secondaryId": "u2"}
    planner.calls(event_of("u3"), rule=rule_of(merge={"value": merge}))
    assert [planner.calls(event_of(who))[0][0] for who in ("u1", "u2")] == ["identify", "identify"]


def test_identify_bears_the_time_of_its_event_unless_told_not_to() -> None:
    for chosen, expected in ((True, NOON_S), (False, None)):
        identify = Planner({**EMAIL, "identifyTimestamp": chosen}).plan().operations[0]
        assert identify.timestamp == expected  # type: ignore[attr-defined]  # an Identify


def test_identify_never_claims_a_time_to_come() -> None:
    identify = Planner(EMAIL).plan(now=NOON_S - 100.5).operations[0]
    assert identify.timestamp == NOON_S - 101  # type: ignore[attr-defined]  # an Identify


def test_ids_among_attributes_are_texts() -> None:
    planner = Planner({"identify": {"map": {"id": "user.id", "visits": {"value": 3}}}})
    assert planner.calls(event_of(42))[0] == ["identify", "42", {"id": "42", "visits": 3}]


def test_attributes_that_json_cannot_hold_reject_the_event() -> None:
    rule = rule_of(identify={"value": {"when": {1, 2}}})
    with pytest.raises(Rejected, match="identify cannot be written as JSON"):
        Planner().plan(rule=rule)


def test_page_needs_an_url_and_keeps_the_rest_as_data() -> None:
    page = {"map": {"url": "data.url", "title": "data.title"}}
    rule = rule_of(skip=True, page=page)
    both = event_of(data={"url": "/x", "title": "X"})
    assert Planner().calls(both, rule=rule) == [["pageview", "u1", "/x", {"title": "X"}]]
    for url in (None, "", 7):
        assert Planner().calls(event_of(data={"url": url, "title": "X"}), rule=rule) == []


def test_device_needs_token_and_platform_as_texts() -> None:
    device: dict[str, Any] = {"deviceId": "d1", "platform": "ios"}
    for name in ("addDevice", "deleteDevice"):
        for broken in ({"deviceId": True}, {"platform": None}, {"deviceId": ""}, "text"):
            value = {**device, **broken} if isinstance(broken, dict) else broken
            given: dict[str, Any] = {name: {"value": value}}
            rule = rule_of(skip=True, **given)
            assert Planner().calls(rule=rule) == []
    rule = rule_of(skip=True, addDevice={"value": device}, deleteDevice={"value": device})
    assert Planner().calls(rule=rule) == [
        ["add_device", "u1", "d1", "ios"],
        ["delete_device", "u1", "d1", "ios"],
    ]


def test_device_has_data_only_if_it_is_an_object() -> None:
    for data, expected in (({"os": "1"}, [{"os": "1"}]), ("text", []), ({}, [{}])):
        value = {"deviceId": "d1", "platform": "ios", "data": data}
        (call,) = Planner().calls(rule=rule_of(skip=True, addDevice={"value": value}))
        assert call[4:] == expected


def test_merge_needs_all_four_parts_and_takes_numeric_ids() -> None:
    merge: dict[str, Any] = {"primaryType": "id", "primaryId": 42}
    rule = rule_of(skip=True, merge={"value": merge})
    assert Planner().calls(rule=rule) == []
    merge.update(secondaryType="email", secondaryId="old@b.c")
    rule = rule_of(skip=True, merge={"value": merge})
    expected = ["merge_customers", "id", "42", "email", "old@b.c"]
    assert Planner().calls(rule=rule) == [expected]


def test_screen_has_its_own_name_and_all_else_as_data() -> None:
    at = "2023-11-14T22:13:20Z"
    value = {"map": {"name": "data.screen", "open": {"value": at}}}
    rule = rule_of("Renamed", skip=True, screen=value)
    (seen,) = Planner().plan(event_of(data={"screen": " Home "}), rule=rule).operations
    assert seen.call == ["screen", "u1", "Home", {"open": NOON_S}]
    assert seen.timestamp == NOON_S
    (seen,) = Planner().plan(event_of(None, data={"screen": "H\xf6" * 60}), rule=rule).operations
    assert seen.call == ["screen_anonymous", "s1", "H\xf6" * 33 + "H", {"open": NOON_S}]
    bare = rule_of(skip=True, screen={"map": {"name": "data.screen"}})
    calls = Planner().calls(event_of(data={"screen": "Home"}), rule=bare)
    assert calls == [["screen", "u1", "Home"]]


@pytest.mark.parametrize("name", [None, "", "  ", 5, ["x"]])
def test_screen_without_a_name_is_none(name: object) -> None:
    rule = rule_of(skip=True, screen={"map": {"name": "data.screen", "a": {"value": 1}}})
    assert Planner().calls(event_of(data={"screen": name}), rule=rule) == []


@pytest.mark.parametrize("value", ["true", 1, {}, [True], None])
def test_flags_count_only_as_true(value: object) -> None:
    rule = rule_of(skip=True, destroy=value, suppress=value, unsuppress=value)
    assert Planner().calls(rule=rule) == []


def test_messages_are_sent_to_strangers_too_and_name_people_as_texts() -> None:
    email = {"map": {"to": "user.email", "identifiers": {"map": {"id": "user.id"}}}}
    rule = rule_of(skip=True, sendEmail=email, sendPush={"map": {"title": {"value": "Hi"}}})
    known = event_of(user={"id": 42, "email": "a@b.c"})
    sent = [["send_email", {"to": "a@b.c", "identifiers": {"id": "42"}}]]
    push = [["send_push", {"title": "Hi"}]]
    assert Planner().calls(known, rule=rule) == sent + push
    stranger = event_of(user={"session": "s1", "email": "a@b.c"})
    bare = [["send_email", {"to": "a@b.c", "identifiers": {}}]]
    assert Planner().calls(stranger, rule=rule) == bare + push


@pytest.mark.parametrize("key", ["sendSms", "sendWhatsapp", "sendInApp", "sendInbox"])
def test_stranger_gets_a_message_that_names_its_own_recipient(key: str) -> None:
    named = {"map": {"to": "data.phone", "identifiers": {"map": {"email": "user.email"}}}}
    rule = rule_of(skip=True, **{key: named})
    assert Planner().calls(event_of(None), rule=rule) == []
    (call,) = Planner().calls(event_of(None, data={"phone": 4915112345678}), rule=rule)
    assert call[1] == {"to": "4915112345678", "identifiers": {}}
    stranger = event_of(user={"session": "s1", "email": "a@b.c"})
    (call,) = Planner().calls(stranger, rule=rule)
    assert call[1] == {"identifiers": {"email": "a@b.c"}}
    assert len(Planner().calls(event_of(), rule=rule)) == 1


def test_message_that_is_no_object_is_none() -> None:
    assert Planner().calls(rule=rule_of(skip=True, sendEmail="user.id")) == []


def test_order_of_everything_one_event_can_ask() -> None:
    device = {"value": {"deviceId": "d", "platform": "ios"}}
    merge = {"primaryType": "id", "primaryId": "p", "secondaryType": "id", "secondaryId": "s"}
    template = {"value": {"transactional_message_id": 1, "identifiers": {"id": "u1"}}}
    rule = rule_of(
        sendInbox=template,
        sendInApp=template,
        sendWhatsapp=template,
        sendSms=template,
        sendPush={"value": {"t": 1}},
        sendEmail={"value": {"to": "u1"}},
        merge={"value": merge},
        deleteDevice=device,
        addDevice=device,
        unsuppress=True,
        suppress=True,
        destroy=True,
        screen={"value": {"name": "Home"}},
        page={"value": {"url": "/x"}},
        unrelate={"value": COMPANY},
        relate={"value": COMPANY},
        object={"value": COMPANY},
        identify={"value": {"a": 1}},
    )
    planned = Planner().plan(rule=rule)
    parts = (
        "identify object relate unrelate page screen delete suppress unsuppress add_device "
        "delete_device merge send_email send_push send_sms send_whatsapp send_in_app send_inbox "
        "track"
    )
    assert [operation.part for operation in planned.operations] == parts.split()
    stranger = Planner().plan(event_of(None), rule=rule)
    parts = "object page screen send_email send_push send_sms send_whatsapp send_in_app send_inbox"
    assert [operation.part for operation in stranger.operations] == [*parts.split(), "track"]


ids = st.one_of(st.none(), st.text(max_size=5), st.integers(), st.floats(), st.booleans())


@given(ids, ids, st.one_of(st.none(), st.integers(0, 2**45)), st.booleans())
def test_every_event_has_a_plan_with_parts_that_differ(
    customer: object, session: object, when: int | None, skip: bool
) -> None:
    event = event_of(user={"id": customer, "session": session}, timestamp=when)
    planned = Planner(EMAIL).plan(event, rule=rule_of(skip=skip, page={"value": {"url": "/"}}))
    parts = [operation.part for operation in planned.operations]
    assert len(parts) == len(set(parts))
    assert planned.is_unidentified == (not planned.people)


def test_attributes_in_another_order_are_no_change() -> None:
    planner = Planner({"identify": "data"})
    for data, made in (({"a": 1, "b": [2]}, 2), ({"b": [2], "a": 1}, 1), ({"a": 1}, 2)):
        assert len(planner.calls(event_of(data=data))) == made


# --- senders that are not trusted -----------------------------------------------------------------

DEVICE = {"map": {"deviceId": {"value": "t"}, "platform": {"value": "ios"}}}
COMPANY = {"typeId": "1", "id": "acme"}
MERGED = {"primaryType": "id", "primaryId": "a", "secondaryType": "id", "secondaryId": "b"}
TRANSACTIONAL: dict[str, Any] = {
    "transactional_message_id": {"value": 1},
    "identifiers": {"map": {"id": "user.id"}},
}
GUARDED: dict[str, Any] = {
    "destroy": True,
    "suppress": True,
    "unsuppress": True,
    "deleteDevice": DEVICE,
    "object": {"value": {**COMPANY, "delete": True}},
    "unrelate": {"value": COMPANY},
    "merge": {"map": {key: {"value": value} for key, value in MERGED.items()}},
    "sendEmail": {"map": {"to": "user.id"}},
    "sendPush": {"map": {"to": "user.id"}},
    "sendSms": {"map": {"to": "user.id", **TRANSACTIONAL}},
    "sendWhatsapp": {"map": {"to": "user.id", **TRANSACTIONAL}},
    "sendInApp": {"map": TRANSACTIONAL},
    "sendInbox": {"map": TRANSACTIONAL},
    "recipient": {"value": "eva@post.example"},
}


def from_anybody(rule: Rule, **parts: Any) -> list[list[Any]]:
    """Return the calls of an event whose sender is not trusted."""
    item = item_of(context_of(), event_of(**parts), MISSING, rule)
    item.context.trusted = False
    planned = plan(item.event, item.data, item.rule, item.context, Planner().cache)
    return [operation.call for operation in planned.operations]


@pytest.mark.parametrize(("key", "value"), GUARDED.items())
def test_untrusted_sender_causes_nothing_guarded_unless_the_rule_says_so(
    key: str, value: Any
) -> None:
    with pytest.raises(Rejected, match=f'^{key}: .* write "untrusted": true in the rule'):
        from_anybody(rule_of(**{key: value}))
    opened = evolve(rule_of(**{key: value}), untrusted=True)
    assert from_anybody(opened) == Planner().calls(rule=rule_of(**{key: value}))


def test_untrusted_sender_causes_all_else() -> None:
    rule = rule_of(
        identify={"map": {"plan": {"value": "a"}}},
        page={"map": {"url": {"value": "/"}}},
        addDevice=DEVICE,
        destroy=False,
        sendEmail="data.absent",
        object={"value": {**COMPANY, "delete": "yes"}},
        relate={"value": COMPANY},
    )
    names = [call[0] for call in from_anybody(rule)]
    assert names == ["identify", "object", "relate", "pageview", "add_device", "track"]


def test_untrusted_sender_without_an_id_cannot_send_messages_either() -> None:
    with pytest.raises(Rejected, match="sendEmail"):
        from_anybody(rule_of(sendEmail=GUARDED["sendEmail"]), user={"session": "s"})
    assert from_anybody(rule_of(destroy=True), user={"session": "s"})[0][0] == "track_anonymous"


def test_guarded_settings_are_settings_of_rules() -> None:
    assert GUARDED.keys() == CustomerioDestination.guarded
