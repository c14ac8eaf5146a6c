"""The state of a workspace, without sockets."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from tests.customerio.sandbox.conftest import NOW
from walker_dest_customerio.limits import takes_more
from walker_dest_customerio.sandbox import v1_checks, v2_checks
from walker_dest_customerio.sandbox.api_call import ApiCall
from walker_dest_customerio.sandbox.app_endpoints import send
from walker_dest_customerio.sandbox.attributes import is_unsubscribed, with_changes, with_defaults
from walker_dest_customerio.sandbox.checks import is_ulid
from walker_dest_customerio.sandbox.received import (
    Identifier,
    ReceivedAddDevice,
    ReceivedDelete,
    ReceivedEvent,
    ReceivedIdentify,
    ReceivedMerge,
    ReceivedOperation,
    ReceivedSuppress,
    ReceivedUnsuppress,
    identifier,
)
from walker_dest_customerio.sandbox.response import Response
from walker_dest_customerio.sandbox.v1_endpoints import identifier_in_path
from walker_dest_customerio.sandbox.v2_endpoints import READERS, batch, entity
from walker_dest_customerio.sandbox.views import all_events_view, people_view, workspace_view
from walker_dest_customerio.sandbox.workspace import Workspace

U1, U2 = identifier("id", "u1"), identifier("id", "u2")
EMAIL = identifier("email", "A@b.c")


def workspace(*operations: ReceivedOperation, **options: Any) -> Workspace:
    result = Workspace(**options)
    for operation in operations:
        result.apply(operation, NOW)
    return result


def reasons(state: Workspace) -> list[str]:
    return [note["reason"] for note in state.ignored]


def test_conflicting_identifiers_drop_the_update() -> None:
    state = workspace(
        ReceivedIdentify(U1, {"email": "a@b.c"}),
        ReceivedIdentify(U2, {"plan": "free"}),
        ReceivedIdentify(U2, {"email": "A@B.C", "plan": "pro"}),
    )
    assert people_view(state)["u2"]["attributes"] == {"plan": "free"}
    assert reasons(state) == ["attribute update failure: an identifier belongs to someone else"]


def test_identifier_is_changed_by_cio_id_only() -> None:
    state = workspace(
        ReceivedIdentify(U1, {"email": "a@b.c"}), ReceivedIdentify(U1, {"email": "new@b.c"})
    )
    assert reasons(state) == ["attribute update failure: changing an identifier needs cio_<id>"]
    cio = Identifier("cio_id", people_view(state)["u1"]["cio_id"])
    state.apply(ReceivedIdentify(cio, {"email": "new@b.c", "id": "u9"}), NOW)
    assert people_view(state)["u9"]["email"] == "new@b.c"
    state.apply(ReceivedIdentify(EMAIL, {"plan": "pro"}), NOW)
    assert list(people_view(state)) == ["u9", "a@b.c"]


def test_email_may_change_by_id_where_the_workspace_allows_it() -> None:
    state = workspace(
        ReceivedIdentify(U1, {"email": "a@b.c"}),
        ReceivedIdentify(U1, {"email": "new@b.c"}),
        allow_email_change=True,
    )
    assert people_view(state)["u1"]["email"] == "new@b.c"


def test_removed_email_no_longer_finds_the_person() -> None:
    state = workspace(ReceivedIdentify(U1, {"email": "a@b.c"}), ReceivedIdentify(U1, {"email": ""}))
    assert people_view(state)["u1"]["email"] is None
    assert state.people.find(EMAIL) is None


def test_unknown_cio_id_is_dropped_everywhere() -> None:
    ghost = Identifier("cio_id", "a3999999")
    state = workspace(
        ReceivedIdentify(ghost, {"email": "a@b.c"}),
        ReceivedEvent(ghost, "event", "seen", {}),
        ReceivedAddDevice(ghost, "T", {}),
        ReceivedSuppress(ghost),
    )
    assert people_view(state) == {}
    assert state.suppressed == {}
    assert reasons(state) == ["unknown cio_id"] * 4


def test_suppressing_by_cio_id_blocks_the_other_names() -> None:
    state = workspace(ReceivedIdentify(U1, {"email": "a@b.c"}))
    cio = Identifier("cio_id", people_view(state)["u1"]["cio_id"])
    state.apply(ReceivedSuppress(cio), NOW)
    assert set(state.suppressed) == {U1, EMAIL}
    state.apply(ReceivedUnsuppress(U1), NOW)
    state.apply(ReceivedUnsuppress(U1), NOW)
    assert state.suppressed == {}


def test_a_stranger_can_be_suppressed_in_advance() -> None:
    state = workspace(ReceivedSuppress(U1), ReceivedIdentify(EMAIL, {"id": "u1"}))
    assert people_view(state) == {}
    assert reasons(state) == ["suppressed"]


def test_a_profile_has_at_most_300_attributes() -> None:
    state = workspace(
        ReceivedIdentify(U1, {f"a{n}": n for n in range(300)}),
        ReceivedIdentify(U1, {"one": "more"}),
        ReceivedIdentify(U1, {"a1": None, "one": "instead"}),
    )
    assert reasons(state) == ["more than 300 attributes"]
    assert len(people_view(state)["u1"]["attributes"]) == 300


def test_anonymous_id_is_not_reusable_by_someone_else() -> None:
    state = workspace(
        ReceivedIdentify(U1, {"anonymous_id": "a1"}),
        ReceivedIdentify(U2, {"anonymous_id": "a1", "plan": "pro"}),
        ReceivedEvent(None, "event", "seen", {}, anonymous_id="a1"),
    )
    assert [event["person"] for event in all_events_view(state)] == ["u1"]
    assert reasons(state) == ["anonymous_id belongs to someone else"]
    assert people_view(state)["u2"]["attributes"]["plan"] == "pro"


def test_anonymous_events_join_for_thirty_days() -> None:
    state = workspace(ReceivedEvent(None, "event", "old", {}, anonymous_id="a1"))
    state.apply(ReceivedEvent(None, "event", "new", {}, anonymous_id="a1"), NOW + 1)
    state.apply(ReceivedIdentify(U1, {"anonymous_id": "a1"}), NOW + 30 * 86_400 + 1)
    assert [event["name"] for event in people_view(state)["u1"]["events"]] == ["new"]


def test_anonymous_id_goes_along_in_a_merge_and_is_free_after_a_delete() -> None:
    state = workspace(
        ReceivedIdentify(U1, {}),
        ReceivedIdentify(U2, {"anonymous_id": "a1"}),
        ReceivedMerge(U1, U2),
        ReceivedEvent(None, "event", "seen", {}, anonymous_id="a1"),
    )
    assert people_view(state)["u1"]["anonymous_ids"] == ["a1"]
    assert len(people_view(state)["u1"]["events"]) == 1
    state.apply(ReceivedDelete(U1), NOW)
    state.apply(ReceivedIdentify(U2, {"anonymous_id": "a1"}), NOW)
    assert people_view(state)["u2"]["anonymous_ids"] == ["a1"]


def test_merging_someone_with_themselves_does_nothing() -> None:
    state = workspace(ReceivedIdentify(U1, {"email": "a@b.c"}), ReceivedMerge(U1, EMAIL))
    assert reasons(state) == ["primary and secondary are the same person"]
    assert list(people_view(state)) == ["u1"]


def test_an_id_that_is_anothers_email_hides_nobody() -> None:
    state = workspace(ReceivedIdentify(identifier("id", "a@b.c"), {}), ReceivedIdentify(EMAIL, {}))
    assert list(people_view(state)) == ["a@b.c", "cio_a3000002"]


def test_a_person_without_a_name_is_shown_by_cio_id() -> None:
    state = workspace(ReceivedIdentify(EMAIL, {}))
    cio = Identifier("cio_id", people_view(state)["a@b.c"]["cio_id"])
    state.apply(ReceivedIdentify(cio, {"email": None}), NOW)
    assert list(people_view(state)) == [f"cio_{cio.value}"]


def test_subscription_topics_change_one_by_one() -> None:
    first = with_changes({}, {"cio_subscription_preferences": {"topics": {"topic_1": True}}})
    second = with_changes(first, {"cio_subscription_preferences.topics.topic_2": False})
    assert second == {
        "cio_subscription_preferences": {"topics": {"topic_1": True, "topic_2": False}}
    }
    assert first == {"cio_subscription_preferences": {"topics": {"topic_1": True}}}
    assert with_changes({}, {"cio_subscription_preferences.topics.topic_2": True}) != {}


@pytest.mark.parametrize("value", [True, "true", "TRUE", 1, "1"])
def test_these_mean_unsubscribed(value: object) -> None:
    assert is_unsubscribed(value)
    assert with_changes({}, {"unsubscribed": value}) == {"unsubscribed": True}


@pytest.mark.parametrize("value", [False, "yes", 0, 2, [], {}])
def test_these_mean_subscribed(value: object) -> None:
    assert not is_unsubscribed(value)


def test_path_identifier_is_told_by_its_shape() -> None:
    assert identifier_in_path("cio_a3") == ("cio_id", "a3")
    assert identifier_in_path("A@b.c") == ("email", "a@b.c")
    assert identifier_in_path("+4712345678") == ("id", "+4712345678")


@given(st.integers(0, 2**128 - 1))
def test_every_ulid_is_one(number: int) -> None:
    text = str(ULID.from_int(number))
    assert is_ulid(text)
    assert is_ulid(text.lower())
    assert not is_ulid(text[1:])
    assert not is_ulid(f"8{text[1:]}")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "email", "token", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(json_values, st.integers(0, 40))
def test_length_of_a_value_is_that_of_its_bytes(value: Any, limit: int) -> None:
    if isinstance(value, str):
        assert takes_more(value, limit) == (len(value.encode()) > limit)
    elif isinstance(value, (list, dict)):
        assert takes_more(value, limit) == (len(orjson.dumps(value)) > limit)
    else:
        assert not takes_more(value, limit)


def test_bottomless_value_is_too_long() -> None:
    value: list[Any] = []
    for _ in range(300):
        value = [value]
    assert takes_more(value, 10**6)


attributes = st.dictionaries(
    st.sampled_from(["a", "b", "unsubscribed", "cio_subscription_preferences.topics.topic_1"]),
    st.none() | st.just("") | st.booleans() | st.text(max_size=3),
)


@given(attributes, attributes)
def test_changes_can_be_repeated(current: dict[str, Any], changes: dict[str, Any]) -> None:
    once = with_changes(current, changes)
    assert with_changes(once, changes) == once


@given(attributes, attributes)
def test_merge_keeps_what_the_primary_has(mine: dict[str, Any], spare: dict[str, Any]) -> None:
    result = with_defaults(mine, spare)
    kept = {name: value for name, value in mine.items() if value not in (None, "")}
    assert result | kept == result
    assert result.keys() <= mine.keys() | spare.keys()


fields = st.sampled_from(
    [
        *("type", "action", "identifiers", "attributes", "name", "id", "timestamp", "device"),
        *("primary", "secondary", "cio_relationships", "data", "email", "to", "anonymous_id"),
        *("custom_device", "attachments", "headers", "send_at", "transactional_message_id"),
        *("_update", "_timestamp", "platform"),
    ]
)
bodies = st.dictionaries(fields, json_values, max_size=6)


@given(bodies, st.sampled_from(sorted(READERS)))
def test_any_operation_is_applied_or_rejected(
    content: dict[str, Any], kind: tuple[str, str]
) -> None:
    state = Workspace()
    operation = {**content, "type": kind[0], "action": kind[1]}
    call = ApiCall(state, {}, orjson.dumps({"batch": [operation]}), NOW)
    problems = v2_checks.check_operation(operation)
    assert batch(call).status == (207 if problems else 200)
    single = ApiCall(state, {}, orjson.dumps(operation), NOW)
    assert entity(single).status == (400 if problems else 200)
    assert orjson.dumps(workspace_view(state))


@given(bodies, st.text(st.characters(exclude_categories=["Cs"]), max_size=5))
def test_any_v1_body_has_problems_or_none(content: dict[str, Any], path: str) -> None:
    who = identifier_in_path(path)
    for check in (v1_checks.check_event, v1_checks.check_anonymous_event, v1_checks.check_device):
        assert all(check(content))
    assert all(v1_checks.check_identify(who, content))
    assert all(v1_checks.check_merge(content))


@pytest.mark.parametrize("channel", ["email", "push", "whatsapp"])
@given(content=bodies)
def test_any_message_is_queued_or_rejected(channel: str, content: dict[str, Any]) -> None:
    answer: Response = send(channel, ApiCall(Workspace(), {}, orjson.dumps(content), NOW))
    assert answer.status in (200, 400)


names = st.sampled_from([U1, U2, EMAIL, Identifier("cio_id", "a3000001")])
operations = st.one_of(
    st.builds(
        ReceivedIdentify,
        names,
        st.fixed_dictionaries(
            {},
            optional={
                "id": st.sampled_from(["u1", "u2"]),
                "email": st.sampled_from(["a@b.c", "d@e.f", ""]),
                "anonymous_id": st.sampled_from(["a1", "a2"]),
            },
        ),
        st.none() | st.integers(NOW - 3, NOW + 3),
        st.booleans(),
    ),
    st.builds(ReceivedDelete, names),
    st.builds(ReceivedSuppress, names),
    st.builds(ReceivedUnsuppress, names),
    st.builds(ReceivedMerge, names, names),
    st.builds(ReceivedAddDevice, names, st.just("T"), st.just({"platform": "ios"})),
    st.builds(
        ReceivedEvent,
        st.none() | names,
        st.just("event"),
        st.just("x"),
        st.just({}),
        id=st.none() | st.just("01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        anonymous_id=st.none() | st.sampled_from(["a1", "a2"]),
    ),
)


@given(st.lists(operations, max_size=25), st.booleans())
def test_every_history_leaves_a_consistent_workspace(
    history: list[ReceivedOperation], allow_email_change: bool
) -> None:
    state = workspace(*history, allow_email_change=allow_email_change)
    for person in state.people:
        for kind, value in {**person.identifiers, "cio_id": person.cio_id}.items():
            assert state.people.find(Identifier(kind, value)) is person
            assert Identifier(kind, value) not in state.suppressed
    ids = [event["id"] for event in all_events_view(state) if event["id"]]
    assert len(ids) == len(set(ids))
    assert len(people_view(state)) == len(list(state.people))
