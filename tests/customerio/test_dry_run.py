"""`walker run --dry-run`: counts, reasons and requests, without sending or storing anything."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.core.cli_support import to_file, walker, write_events, write_flow
from walker_dest_customerio.sandbox import Sandbox

CONSENT = {"marketing": True}
RULES: dict[str, Any] = {
    "debug": {"*": {"ignore": True}},
    "order": {"complete": {"data": "data"}},
    "person": {
        "login": {"skip": True, "settings": {"identify": "data"}},
        "remove": {"skip": True, "settings": {"destroy": True}},
        "merge": {
            "skip": True,
            "settings": {
                "merge": {
                    "map": {
                        "primaryType": {"value": "id"},
                        "primaryId": "user.id",
                        "secondaryType": {"value": "id"},
                        "secondaryId": "data.old",
                    }
                }
            },
        },
    },
    "company": {
        "join": {
            "settings": {
                "object": {"map": {"typeId": {"value": "1"}, "id": "data.company"}},
                "relate": {"map": {"typeId": {"value": "1"}, "id": "data.company"}},
            }
        }
    },
    "mail": {
        "send": {
            "settings": {
                "sendEmail": {
                    "map": {
                        "transactional_message_id": {"value": 1},
                        "to": {"value": "ann@example.com"},
                        "identifiers": {"map": {"id": "user.id"}},
                    }
                }
            }
        }
    },
}


def flow_of(folder: Path, sandbox: Sandbox, **settings: Any) -> Path:
    config = {
        "settings": {**sandbox.settings(), "rateLimit": 50, **settings},
        "consent": CONSENT,
        "concurrency": 1,
        "mapping": RULES,
    }
    archive = to_file(folder / "out", rateLimit=2, batch={"size": 100})
    destinations = {"crm": {"package": "customerio", "config": config}, "archive": archive}
    return write_flow(folder, destinations, spool={"path": str(folder / "spool.db")})


def event(name: str, person: str | None = "ann", **parts: object) -> dict[str, object]:
    user = {"id": person} if person else {}
    return {"name": name, "user": user, "consent": CONSENT, **parts}


def order(person: str | None = "ann", **parts: object) -> dict[str, object]:
    return event("order complete", person, **parts)


def mixed_events(folder: Path) -> Path:
    return write_events(
        folder,
        order(consent={}),
        event("debug log"),
        order(None),
        order("bob", data={"text": "x" * 100_100}),
        order("bob", data={"text": "x" * 100_200}),
        *(order(f"u{n}") for n in range(600)),
        "{bad",
        order(consent={}),
        {"name": "walker consent", "data": CONSENT, "user": {"id": "ann"}},
        order(consent={}, timestamp="2020-01-01"),
        order("eve", consent={}),
        *(event("person login", "ann", data={"bio": "x" * (1_001 + n)}) for n in range(3)),
    )


def test_counts_reasons_and_requests_and_sends_nothing(tmp_path: Path, customerio: Sandbox) -> None:
    flow, events = flow_of(tmp_path, customerio), mixed_events(tmp_path)
    result = walker("run", flow, events, "--dry-run", "--json", "--since", "2021-01-01")
    assert result.exit_code == 1
    figures = json.loads(result.stdout)
    assert {key: figures[key] for key in ("read", "left_out", "commands", "bad_lines")} == {
        "read": 613,
        "left_out": 1,
        "commands": 1,
        "bad_lines": [606],
    }
    crm = figures["destinations"]["crm"]
    statuses = ("deliver", "held", "ignored", "unidentified", "invalid")
    assert [crm[status] for status in statuses] == [605, 1, 1, 1, 2]
    (size, nobody) = crm["reasons"]
    assert (size["count"], size["line"]) == (2, 4)
    assert "Customer.io takes at most 100,000" in size["reason"]
    assert nobody["line"] == 3
    (bio,) = crm["warnings"]
    assert (bio["count"], bio["line"]) == (3, 611)
    assert "1,000 bytes and is left out" in bio["reason"]
    assert crm["requests"]["Track API"] == {"count": 2, "rate": 50, "seconds": 0.04}
    assert figures["destinations"]["archive"]["requests"] == {
        "deliveries": {"count": 7, "rate": 2, "seconds": 3.5}
    }
    assert not customerio.requests
    assert not (tmp_path / "spool.db").exists()
    assert not (tmp_path / "out").exists()


def test_figures_are_lines_for_people(tmp_path: Path, customerio: Sandbox) -> None:
    flow, events = flow_of(tmp_path, customerio), mixed_events(tmp_path)
    result = walker("run", flow, events, "--dry-run", "--since", "2021-01-01")
    assert "613 read, 1 left out, 1 command, 1 bad; nothing was sent or stored" in result.stdout
    assert "crm: about 2 requests to the Track API, at 50/s: 0:00 at least" in result.stdout
    assert "archive: about 7 deliveries, at 2/s: 0:04 at least" in result.stdout
    assert "crm: calls: 602 track, 3 identify" in result.stdout
    assert "crm: 2 refused, the first on line 4: track:" in result.stdout
    assert "crm: 3 with a warning, the first on line 611: attribute" in result.stdout
    assert "dropped" not in result.stdout
    assert "line 606: not JSON" in result.stderr


@pytest.mark.parametrize("delivery", ["batch", "single"])
def test_requests_are_those_of_the_run(tmp_path: Path, customerio: Sandbox, delivery: str) -> None:
    flow = flow_of(tmp_path, customerio, delivery=delivery, rateLimit=1_000)
    people = [f"u{n}" for n in range(9)]
    events = write_events(
        tmp_path,
        *(order(person) for person in people),
        *(event("company join", person, data={"company": "acme"}) for person in people),
        event("person merge", "u1", data={"old": "u2"}),
        order("u1"),
        event("mail send", "u3"),
        order("u3"),
        *(order(person, data={"text": "x" * 31_000}) for person in people),
        order("u4", data={"text": "x" * 40_000}),
        event("person remove", "u5"),
        order("u5"),
        {"name": "walker consent", "data": {"analytics": True}, "user": {"id": "u6"}},
    )
    dry = walker("run", flow, events, "--dry-run", "--json")
    assert dry.exit_code == 0, dry.output
    crm = json.loads(dry.stdout)["destinations"]["crm"]
    assert not customerio.requests
    assert walker("run", flow, events).exit_code == 0
    requests = [request.path for request in customerio.requests]
    messages = sum("/send/" in path for path in requests)
    assert messages == 1
    assert crm["requests"]["App API"]["count"] == messages
    assert crm["requests"]["Track API"]["count"] == len(requests) - messages


def test_events_beyond_those_that_are_held_count_as_dropped(tmp_path: Path) -> None:
    held = to_file(tmp_path / "out", consent=CONSENT, queueMax=2)
    events = write_events(tmp_path, *(order(f"u{n}", consent={}) for n in range(5)))
    flow = write_flow(tmp_path, {"out": held})
    expected = {"held": 2, "dropped": 3}
    for option in ("--dry-run", "--timeout=5"):
        result = walker("run", flow, events, option, "--json")
        figures = json.loads(result.stdout)["destinations"]["out"]
        assert {key: figures[key] for key in expected} == expected


def test_it_counts_all_so_that_it_goes_on_from_nowhere(tmp_path: Path, customerio: Sandbox) -> None:
    flow = flow_of(tmp_path, customerio)
    result = walker("run", flow, write_events(tmp_path, order()), "--dry-run", "--resume")
    assert result.exit_code == 2
    assert "leave out --resume" in result.stderr
