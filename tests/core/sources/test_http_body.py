"""Bodies are read as the standard library reads them, however they are parsed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walker_collector.sources.http.body import parse_body

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(VALUES, st.booleans())
def test_body_is_read_as_the_standard_library_reads_it(value: Any, as_ascii: bool) -> None:
    body = json.dumps(value, ensure_ascii=as_ascii).encode("utf-8", "surrogatepass")
    assert repr(parse_body(body)) == repr(json.loads(body))


@pytest.mark.parametrize(
    "text",
    ["18446744073709551616", "-9223372036854775809", '{"a": 1, "a": 2}', '"\\ud800"', " 1 ", "1e5"],
)
def test_odd_json_is_read_as_the_standard_library_reads_it(text: str) -> None:
    assert repr(parse_body(text.encode())) == repr(json.loads(text))


def test_byte_order_mark_is_no_part_of_a_body() -> None:
    assert parse_body(b"\xef\xbb\xbf[1]") == [1]
