"""Random events and mappings, over few words so that they meet."""

from typing import Any

from hypothesis import strategies as st

from walker_collector.config import MISSING, AlternativesSpec, ObjectSpec, PathSpec, ValueSpec

KEYS = st.sampled_from(["a", "b", "data", "list", "consent"])
SCALARS = st.sampled_from([None, False, True, 0, 1, 2.5, "", "1", "text"])
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
CONSENT = st.dictionaries(st.sampled_from(["m", "s"]), st.booleans(), max_size=2)
ITEMS = st.lists(
    st.fixed_dictionaries({"a": JSON}, optional={"data": JSON, "consent": CONSENT}) | SCALARS,
    max_size=3,
)
EVENTS = st.fixed_dictionaries(
    {"id": st.just("e1"), "name": st.just("order complete"), "data": JSON, "list": ITEMS},
    optional={"a": JSON, "b": JSON, "consent": CONSENT | SCALARS},
)
PATHS = st.lists(
    st.sampled_from(["a", "b", "data", "list", "*", "0", "1", "01", "length", ""]), max_size=4
).map(".".join) | st.sampled_from(["list.*.a", "list.*.data.a", "data.a", "data.a.b", "this"])


def identity(value: Any) -> Any:
    return value


def event_id(value: Any, context: Any) -> Any:
    return event_of(context).get("id")


def event_of(context: Any) -> Any:
    """The interpreter hands over the event itself where the real thing hands over a scope."""
    return context if isinstance(context, dict) else context.event


def is_object(value: Any) -> bool:
    return isinstance(value, dict)


def fail(value: Any) -> Any:
    raise RuntimeError


FUNCTIONS = st.none() | st.sampled_from([identity, event_id, is_object, fail])


FIELD_PATHS = st.sampled_from(["data.a", "data.b", "data.list", "a", "b", "list.0", "data.a.b"])
FIELDS = FIELD_PATHS.map(PathSpec) | st.builds(ObjectSpec, key=FIELD_PATHS, value=SCALARS)
"""Entries of a map that are mostly read from the same few places."""


NULLABLE = st.sampled_from([None, None, True, False])

LOOPED = st.sampled_from(["list", "this", "data", "list.*.data"]).map(PathSpec)


def _objects(
    inner: st.SearchStrategy[ValueSpec], nullable: st.SearchStrategy[bool | None]
) -> st.SearchStrategy[ValueSpec]:
    return st.builds(
        ObjectSpec,
        key=st.none() | PATHS,
        value=st.just(MISSING) | JSON,
        map=st.none() | st.dictionaries(KEYS, inner | st.none(), max_size=3),
        loop=st.none() | st.tuples(LOOPED | inner, inner),
        set=st.none() | st.lists(inner | st.none(), max_size=3),
        fn=FUNCTIONS,
        condition=FUNCTIONS,
        consent=st.none() | CONSENT,
        validate=FUNCTIONS,
        nullable=nullable,
    )


MAPS = st.dictionaries(st.text("xyz", min_size=1, max_size=2), FIELDS, max_size=8).map(
    lambda entries: ObjectSpec(map=entries)
)


def _specs(nullable: st.SearchStrategy[bool | None]) -> st.SearchStrategy[ValueSpec]:
    return st.recursive(
        PATHS.map(PathSpec),
        lambda inner: (
            st.lists(inner, max_size=3).map(lambda items: AlternativesSpec(tuple(items)))
            | _objects(inner | MAPS, nullable)
        ),
        max_leaves=6,
    )


SPECS = _specs(NULLABLE)
NEVER_NULLABLE = _specs(st.sampled_from([None, False]))

STRANGE = st.text(st.characters(exclude_characters="."), min_size=1).filter(
    lambda name: name not in ("*", "length") and not name.isdecimal()
)
"""Names of keys that may look like anything, but for what a path reads as more than a key."""


def _plain(inner: st.SearchStrategy[ValueSpec]) -> st.SearchStrategy[ValueSpec]:
    return (
        st.builds(
            ObjectSpec,
            map=st.dictionaries(KEYS, inner | st.none(), max_size=4),
            nullable=NULLABLE,
        )
        | st.builds(ObjectSpec, loop=st.tuples(LOOPED | inner, inner), nullable=NULLABLE)
        | st.builds(
            ObjectSpec,
            key=FIELD_PATHS,
            fn=FUNCTIONS,
            consent=st.none() | CONSENT,
            nullable=NULLABLE,
        )
    )


PLAIN_SPECS: st.SearchStrategy[ValueSpec] = st.recursive(
    FIELDS | PATHS.map(PathSpec), _plain, max_leaves=12
)
"""Maps and loops in one another, of what is read plainly for the most part."""
