"""Explanations of refusals: the words that help are kept, the words that may be data are not."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from walker_collector.clients import explanation

SENT: dict[str, Any] = {"price": 1, "items": [{"sku": "x"}], "email": "ines@private.example"}


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"error": "price must be a number"}, "price must be a number"),
        ({"error": {"code": "invalid_price", "message": "not found"}}, "not found; invalid_price"),
        ({"message": "value 'free' is not allowed"}, "value ... is not allowed"),
        (
            {"detail": [{"loc": ["body", "price"], "msg": "field required", "input": "Ines"}]},
            "body.price: field required",
        ),
        ({"errors": [{"field": "items[0].sku", "reason": "missing"}]}, "items[0].sku: missing"),
        (
            {"errors": {"price": ["must be > 0"], "Ines": ["unknown"]}},
            "price: must be > 0; ... unknown",
        ),
        (
            {"title": "Unprocessable Entity", "detail": "at most 255 characters", "status": 422},
            "at most 255 characters; Unprocessable Entity",
        ),
        (
            {"errors": [{"source": {"pointer": "/data/price"}, "detail": "is blank"}]},
            "data.price: is blank",
        ),
        ({"price": ["is blank"]}, "price: is blank"),
        ({"received": SENT}, ""),
        ("missing_field", "missing_field"),
    ],
)
def test_explanation_is_found_in_usual_shapes(body: Any, shown: str) -> None:
    assert explanation(orjson.dumps(body), SENT) == shown


def test_line_of_text_is_an_explanation_and_a_page_is_none() -> None:
    assert explanation(b"Bad request: price is missing\nTraceback", SENT) == (
        "Bad request: price is missing"
    )
    for body in (b"", b"<html>price is missing", b'{"error": "price', b"\xff\xfe\x00"):
        assert explanation(body, SENT) == ""


def test_fields_are_named_only_if_they_were_sent() -> None:
    body = b'{"error": "wages is missing"}'
    assert explanation(body, SENT) == "... is missing"
    assert explanation(body, [{"wages": 1}]) == "wages is missing"


QUOTED = ("ines@private.example", "Ines", "4917612345678", "sk_live_51H", "a\x00b", "\u202e", "4.2")


@pytest.mark.parametrize("quoted", QUOTED)
def test_nothing_that_may_be_data_is_quoted(quoted: str) -> None:
    for shape in (
        {"error": f"the email {quoted} is invalid, {quoted}"},
        {"errors": [quoted, [quoted], {quoted: quoted}, {"field": quoted, "message": quoted}]},
        {"message": {"detail": {quoted: [quoted]}}},
        {"detail": [{"loc": [quoted, 1, None], "msg": [quoted]}]},
        quoted,
    ):
        found = explanation(orjson.dumps(shape), {"email": quoted})
        assert quoted not in found
        assert found.isprintable()


keys = st.sampled_from(["error", "errors", "loc", "msg", "x"]) | st.text()
json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["error", "errors", "loc", "msg", "x"]) | st.text(), inner
        )
    ),
)


@given(body=json.map(orjson.dumps) | st.binary(), value=json)
def test_any_body_has_a_bounded_explanation_on_one_line(body: bytes, value: Any) -> None:
    found = explanation(body, value)
    assert len(found) < 2_000
    assert found.isprintable()


def test_a_large_body_is_read_in_bounded_time_and_cut() -> None:
    body = orjson.dumps({"errors": [{"message": "invalid " * 1_000}] * 1_000})
    assert len(explanation(body)) < 400
