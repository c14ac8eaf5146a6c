import gc
import math

from hypothesis import given
from hypothesis import strategies as st

from walker_dest_customerio.identify_cache import (
    IdentifyCache,
    Overlay,
    WorkspaceCaches,
    workspace_of,
)

NOW = 1_800_000_000.0
ALWAYS = math.inf


def cache_of(
    limit: int = 10, age: float = 60.0, workspace: WorkspaceCaches | None = None
) -> IdentifyCache:
    return IdentifyCache(limit, age, workspace or WorkspaceCaches())


def test_people_seen_last_are_remembered() -> None:
    cache = cache_of(2)
    cache.put("a", 1, (), ALWAYS)
    cache.put("b", 2, (), ALWAYS)
    cache.get("a", NOW)
    cache.put("c", 3, (), ALWAYS)
    assert [cache.get(person, NOW) for person in "abc"] == [1, None, 3]


def test_what_is_older_than_its_age_is_forgotten() -> None:
    now = 0.0
    cache = IdentifyCache(10, 60.0, WorkspaceCaches(), lambda: now)
    cache.put("a", 1, (), ALWAYS)
    now = 59.9
    assert cache.get("a", NOW) == 1
    now = 60.0
    assert cache.get("a", NOW) is None
    cache.put("a", 1, (), ALWAYS)
    assert cache.get("a", NOW) == 1


def test_identify_of_a_time_counts_for_no_later_ones() -> None:
    cache = cache_of()
    overlay = Overlay(cache)
    for memory in (overlay, cache):
        memory.put("a", 1, (), NOW)
        assert [memory.get("a", NOW + after) for after in (-1e9, 0, 1, ALWAYS)] == [
            1,
            1,
            None,
            None,
        ]


def test_batch_that_was_delivered_is_remembered_as_a_whole() -> None:
    cache = cache_of()
    overlay = Overlay(cache)
    overlay.put("a", 1, ("email:a@x.org",), ALWAYS)
    overlay.put("b", 2, (), ALWAYS)
    overlay.put("a", 3, ("email:a@x.org",), ALWAYS)
    assert overlay.keep()
    assert [cache.get(person, NOW) for person in "ab"] == [3, 2]
    assert cache.known_by(["email:a@x.org"]) == ["a"]


def test_batch_that_drops_anybody_is_not_remembered_as_a_whole() -> None:
    cache = cache_of()
    for drop in (lambda overlay: overlay.discard("b"), lambda o: o.discard_people(("id:b",))):
        overlay = Overlay(cache)
        overlay.put("a", 1, (), ALWAYS)
        drop(overlay)
        assert not overlay.keep()
        assert cache.get("a", NOW) is None


def test_person_who_was_cleared_meanwhile_is_not_remembered_with_a_batch() -> None:
    workspace = WorkspaceCaches()
    cache = cache_of(workspace=workspace)
    overlay = Overlay(cache)
    overlay.put("a", 1, (), ALWAYS)
    overlay.put("b", 2, (), ALWAYS)
    workspace.clear(("id:a",))
    assert overlay.keep()
    assert [cache.get(person, NOW) for person in "ab"] == [None, 2]


def test_age_of_nothing_remembers_nothing() -> None:
    cache = cache_of(age=0)
    cache.put("a", 1, (), ALWAYS)
    assert cache.get("a", NOW) is None


def test_person_is_forgotten_here_or_in_the_whole_workspace() -> None:
    one = cache_of()
    other = cache_of(workspace=one.workspace)
    elsewhere = cache_of()
    for cache in (one, other, elsewhere):
        cache.put("a", 1, (), ALWAYS)
        cache.put("b", 2, (), ALWAYS)
    one.discard("a")
    assert [cache.get("a", NOW) for cache in (one, other, elsewhere)] == [None, 1, 1]
    one.discard_people(["id:b"])
    assert [cache.get("b", NOW) for cache in (one, other, elsewhere)] == [None, None, 2]
    one.discard("never seen")
    one.discard_people(["id:never seen"])


def test_person_is_found_by_every_name_they_were_identified_with() -> None:
    cases = {
        "u1": ("id:u1", "email:a@b.com", "cio_id:a3"),
        "A@B.com": ("email:a@b.com",),
        "cio_a3": ("cio_id:a3",),
    }
    for person, keys in cases.items():
        for key in keys:
            cache = cache_of()
            more = ("email:a@b.com", "cio_id:a3") if person == "u1" else ()
            cache.put(person, 1, more, ALWAYS)
            cache.put("other", 2, ("email:x@y.com",), ALWAYS)
            cache.discard_people([key])
            assert (cache.get(person, NOW), cache.get("other", NOW)) == (None, 2), key


def test_people_with_one_address_are_remembered_apart_and_forgotten_together() -> None:
    cache = cache_of()
    for person in ("ann", "ben", "cat"):
        cache.put(person, 1, ("email:home@b.com",), ALWAYS)
    cache.discard("ben")
    cache.put("cat", 2, (), ALWAYS)  # has another address now
    assert [cache.get(person, NOW) for person in ("ann", "ben", "cat")] == [1, None, 2]
    cache.discard_people(["email:home@b.com"])
    assert [cache.get(person, NOW) for person in ("ann", "ben", "cat")] == [None, None, 2]


def test_everybody_is_forgotten() -> None:
    cache = cache_of()
    cache.put("a", 1, ("email:a@b.com",), ALWAYS)
    cache.clear()
    assert cache.get("a", NOW) is None
    assert cache.known_by(["id:a", "email:a@b.com"]) == []


def test_identify_that_was_under_way_when_its_person_was_cleared_is_not_remembered() -> None:
    one = cache_of()
    other = cache_of(workspace=one.workspace)
    overlay = Overlay(one)
    other.discard_people(["id:a"])
    overlay.delivered.put("a", 1, (), ALWAYS)
    overlay.delivered.put("b", 2, (), ALWAYS)
    overlay.delivered.put("c", 3, ("id:a",), ALWAYS)
    assert [one.get(person, NOW) for person in "abc"] == [None, 2, None]
    Overlay(one).delivered.put("a", 1, (), ALWAYS)
    assert one.get("a", NOW) == 1


def test_more_clears_than_are_kept_leave_nobody_remembered_by_mistake() -> None:
    cache = cache_of()
    mark = cache.workspace.mark()
    for at in range(10_001):
        cache.workspace.clear([f"id:{at}"])
    for person in ("0", "10000", "untouched"):
        cache.put(person, 1, (), ALWAYS, mark)
        assert cache.get(person, NOW) is None


def test_overlay_changes_nothing_in_its_cache() -> None:
    cache = cache_of()
    for person in "abc":
        cache.put(person, 1, (f"email:{person}@x.com",), ALWAYS)
    overlay = Overlay(cache)
    overlay.put("a", 9, ("id:alias",), ALWAYS)
    overlay.discard("b")
    overlay.discard_people(["email:c@x.com"])
    assert [overlay.get(person, NOW) for person in "abc"] == [9, None, None]
    overlay.discard_people(["id:alias"])
    assert overlay.get("a", NOW) is None
    assert [cache.get(person, NOW) for person in "abc"] == [1, 1, 1]


def test_workspace_is_one_for_all_who_name_it_and_goes_with_the_last() -> None:
    first = workspace_of("site", "us")
    assert workspace_of("site", "us") is first
    for other in (workspace_of("site", "eu"), workspace_of("s2", "us")):
        assert other is not first
    assert workspace_of("site", "us", simulated=True) is not first
    was = id(first)
    cache = IdentifyCache(1, 1.0, first)
    del first
    assert id(workspace_of("site", "us")) == was
    del cache
    gc.collect()


PEOPLE = st.sampled_from(["a", "b", "A@b.com", "a@b.com", "cio_a"])
KEYS = st.lists(
    st.sampled_from(["id:a", "id:b", "email:a@b.com", "email:x@b.com", "cio_id:a"]), max_size=3
)
STEPS = st.lists(st.tuples(st.sampled_from(["put", "discard", "clear"]), PEOPLE, KEYS), max_size=30)


@given(STEPS, st.integers(1, 4))
def test_nobody_who_was_cleared_by_any_name_is_remembered(
    steps: list[tuple[str, str, list[str]]], limit: int
) -> None:
    cache, named = cache_of(limit), dict[str, set[str]]()
    own = {
        "a": "id:a",
        "b": "id:b",
        "A@b.com": "email:a@b.com",
        "a@b.com": "email:a@b.com",
        "cio_a": "cio_id:a",
    }
    for step, person, keys in steps:
        if step == "put":
            cache.put(person, 1, keys, ALWAYS)
            named[person] = {own[person], *keys}
        elif step == "discard":
            cache.discard(person)
            named.pop(person, None)
        else:
            cache.discard_people(keys)
            named = {who: names for who, names in named.items() if names.isdisjoint(keys)}
        assert all(cache.get(who, NOW) is None for who in own if who not in named)
    assert len(cache._entries) <= limit
    assert set(cache._people) <= {hash(key) for names in named.values() for key in names}
