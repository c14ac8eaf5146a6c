"""A service may quote anything. None of it reaches log, status or the reasons of dead letters."""

import json
import logging
from typing import Any
from urllib.parse import quote

import pytest

from tests.customerio.whole import flow_of
from tests.support import wait_until
from walker_collector import Collector
from walker_dest_customerio.sandbox import Sandbox

EMAIL = "ines@private.example"
FOREIGN = (EMAIL, quote(EMAIL, safe=""), "Ines Quoted", "+491761234567", "\x1b[31mred", "\u202ertl")
MAIL = {"map": {"to": "user.email", "transactional_message_id": {"value": 1}}}


def quoting(text: str) -> list[str]:
    """Return bodies that hold a text in each of the shapes of an error, and in some others."""
    said = f"value for attribute '{text}' cannot be longer than 1000 bytes: {text}"
    shapes: list[Any] = [
        {"meta": {"error": said}},
        {"meta": {"errors": [said, {"message": said}]}},
        {"errors": [{"batch_index": 0, "field": text, "reason": text, "message": said}]},
        {"errors": [{"batch_index": text, "field": f"attributes.{text}", "detail": said}]},
        {"errors": {text: text}},
        [text],
    ]
    return [json.dumps(shape) for shape in shapes] + [f"<html>{said}</html>"]


@pytest.mark.parametrize("delivery", ["batch", "single"])
@pytest.mark.parametrize("status", [207, 400, 401, 500])
def test_quoted_text_reaches_no_log_no_status_and_no_reason(
    customerio: Sandbox, status: int, delivery: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    given = customerio.settings()
    basic = "c2FuZGJveC1zaXRlOnNhbmRib3gtYXBpLWtleQ=="  # of site id and key
    secrets = (given["apiKey"], given["appApiKey"], basic)
    settings = {**given, "delivery": delivery, "rateLimit": 100_000, "appRateLimit": 100_000}
    flow = flow_of(settings, {"settings": {"sendEmail": MAIL}}, retry={"base": 1, "attempts": 2})
    bodies = [body for text in (*FOREIGN, *secrets) for body in quoting(text)]
    shown: list[str] = []
    for body in bodies[status % 5 :: 20]:  # some here, and all of them in test_responses
        customerio.fault("status", status=status, body=body, times=None)
        with Collector.from_config({**flow, "collector": {"closeTimeout": 0}}) as collector:
            user = {"id": "u1", "email": EMAIL}
            collector.push("order complete", data={"note": "Ines Quoted"}, user=user)

            def is_settled() -> bool:
                figures = collector.status().destinations["customerio"]
                return bool(figures.delivered or figures.died or figures.reason)

            wait_until(is_settled)
            shown += [letter.reason for letter in collector.dead()]
            shown.append(repr(collector.status()))
        customerio.clear_faults()
    told = "\n".join(shown) + caplog.text
    for text in (*FOREIGN, *secrets, "private.example", "1761234567", "Quoted"):
        assert text not in told
