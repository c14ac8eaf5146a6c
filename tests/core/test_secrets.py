"""Secrets are shown nowhere: neither they, nor what is made of them."""

import copy
import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import orjson
import pytest
from click.testing import CliRunner

from tests.core.test_flowfile import KEYS, load, load_crm, problems, setting
from walker_collector import Secret
from walker_collector.cli import main
from walker_collector.config import CollectorConfig, FlowConfig
from walker_collector.errors import ConfigError, Problem
from walker_collector.flow import load_flow
from walker_collector.text import get_logger, storable

TEXT = "hunter2-and-more"
SECRET = Secret(TEXT)

SHOWN: dict[str, Callable[[], Any]] = {
    "str": lambda: str(SECRET),
    "repr": lambda: repr(SECRET),
    "%s": lambda: "%s" % SECRET,  # noqa: UP031  # one of the ways
    "f-string": lambda: f"{SECRET} {SECRET!r:>20}",
    "format": lambda: "{0} {0.reveal}".format(SECRET),  # noqa: UP032  # one of the ways
    "sum": lambda: str("Bearer " + SECRET) + repr(SECRET + ":") + str(SECRET + SECRET),
    "JSON": lambda: json.dumps([SECRET], default=str) + orjson.dumps(SECRET, default=str).decode(),
    "copy": lambda: str(copy.deepcopy({"a": SECRET})),
    "attrs": lambda: str(attrs.asdict(attrs.make_class("Settings", ["key"])(SECRET))),
}

WRITTEN: dict[str, Callable[[], Any]] = {
    "pickle": lambda: pickle.dumps(SECRET),
    "vars": lambda: vars(SECRET),
    "state": lambda: SECRET.__getstate__(),
    "JSON": lambda: json.dumps(SECRET),
    "join": lambda: "".join([SECRET]),  # type: ignore[list-item]  # it is no text
    "bytes": lambda: bytes(SECRET),  # type: ignore[call-overload]  # it is no text
    "letters": lambda: list(SECRET),  # type: ignore[call-overload]  # it is no text
}


@pytest.mark.parametrize("way", SHOWN)
def test_secret_is_not_shown(way: str) -> None:
    shown = SHOWN[way]()
    assert "***" in shown
    assert TEXT not in shown


@pytest.mark.parametrize("way", WRITTEN)
def test_secret_is_not_written(way: str) -> None:
    with pytest.raises(TypeError) as caught:
        WRITTEN[way]()
    assert TEXT not in str(caught.value)


def test_secrets_are_equal_by_their_texts() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), "a"}) == 2
    assert not Secret("")
    assert ("Bearer " + SECRET).reveal() == f"Bearer {TEXT}"


def test_known_secrets_are_struck_out_of_reasons_problems_and_logs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    Secret("https://hooks.example.com/services/T0/B1?token=x")
    for text in (f"refused {TEXT}", "https://proxy/services/T0/B1?token=x answered 400"):
        if "services" in text:
            text = text.replace("https://proxy/", "https://hooks.example.com/")
        assert "***" in storable(text)
        assert TEXT not in storable(text)
        assert "T0/B1" not in storable(text)
    assert TEXT not in str(ConfigError([Problem(f"a.{TEXT}", f"cannot use {TEXT}")]))
    with caplog.at_level(logging.INFO):
        get_logger("walker_collector.destinations.out").info("key %s", TEXT)
    assert "key ***" in caplog.text


def test_quoted_secrets_and_parts_of_urls_are_struck_out() -> None:
    text = 'quo"ted\\and-more\u00e9'
    Secret(text)
    Secret("https://user:password-1@hooks.example.com/services/T1-B2-C3?token=none-of-yours")
    for shown in (
        f"not {text!r}",
        json.dumps({"a": text}),
        json.dumps({"a": text}, ensure_ascii=False),
        "https://hooks.example.com/services/T1-B2-C3 answered 400",
        "no login for user:password-1",
        "token=none-of-yours was refused",
    ):
        assert "***" in storable(shown)
        for part in ("ted", "T1-B2", "password-1", "none-of"):
            assert part not in storable(shown)


def test_database_of_a_secret_url_is_shown_since_it_is_no_secret() -> None:
    url = Secret("postgresql://shop:hunter2-and-more@db.example/production").reveal()
    assert storable(f"no login at {url}") == "no login at ***"
    assert storable("production: wrong password hunter2-and-more") == (
        "production: wrong password ***"
    )


def test_credential_of_the_environment_is_struck_out_as_well() -> None:
    load_crm({"CRM_KEY": "key-of-the-environment"}, settings={**KEYS, "apiKey": "$env.CRM_KEY"})
    assert storable("refused key-of-the-environment") == "refused ***"


def test_placeholder_of_a_simulation_is_no_secret() -> None:
    raw = {"destinations": {"crm": {"package": "crm", "config": {"settings": {}}}}}
    load(raw, credentials=False)
    assert storable("event simulated-1") == "event simulated-1"


def test_reason_is_struck_out_before_it_is_cut() -> None:
    assert TEXT[:8] not in storable("x" * 490 + TEXT)


def test_latest_secrets_are_struck_out_however_many_there_were() -> None:
    for n in range(1_500):
        Secret(f"secret-of-tenant-{n:05}")
    assert storable("bad key secret-of-tenant-01499") == "bad key ***"


def test_short_secret_is_hidden_by_its_type_alone_since_it_may_be_a_usual_word() -> None:
    assert str(Secret("deliver")) == "***"
    assert storable("deliver") == "deliver"
    assert storable("delivered") == "delivered"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"\xff", "not UTF-8 text"),
        (b"x" * 100_001, "it has more than 100,000 bytes"),
        ("folder", "it is no regular file"),
    ],
)
def test_file_that_holds_no_secret_is_a_problem(content: Any, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    entry = {"package": "plain", "config": {"data": {"value": "$secret.KEY"}}}
    (message,) = problems({"destinations": {"p": entry}}, {"KEY_FILE": str(path)}).values()
    assert message.startswith(f"secret KEY: cannot read {path} (KEY_FILE): ")
    assert reason in message


def test_secret_of_a_file_has_no_line_end_and_no_mark(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.encode() + b"\r\n")
    assert setting("$secret.KEY", {"KEY_FILE": str(path)}) == SECRET


@pytest.mark.parametrize("text", ["12345678", "5", "1e5"])
def test_secret_that_looks_like_another_value_is_no_setting_of_that_type(text: str) -> None:
    config = {"timeout": "$secret.KEY", "queue": "$secret.KEY", "unmatched": "$secret.KEY"}
    flow = {"destinations": {"p": {"package": "plain", "config": config}}}
    found = problems(flow, {"KEY": text})
    assert found.keys() == {f"destinations.p.config.{key}" for key in config}
    assert not any(text in message for message in found.values())


def constants(environ: dict[str, str]) -> FlowConfig:
    data = {"map": {"key": {"value": "$secret.KEY"}}}
    flow = {
        "collector": {"globals": {"key": "$secret.KEY"}},
        "destinations": {"out": {"package": "console", "config": {"data": data}}},
    }
    return load_flow(flow, environ=environ)


def test_constants_of_a_flow_are_shown_by_no_repr() -> None:
    flow = constants({"KEY": TEXT})
    assert TEXT not in repr(flow)
    assert flow.collector == CollectorConfig(globals={"key": SECRET})


@pytest.mark.parametrize("secret", [TEXT, "hunter2", "deliver"])
def test_simulation_shows_no_secret_of_its_flow_of_any_length(secret: str, tmp_path: Path) -> None:
    data = {"map": {"key": {"value": "$secret.KEY"}, "kind": "data.kind"}}
    flow = {"destinations": {"out": {"package": "console", "config": {"data": data}}}}
    (tmp_path / "flow.json").write_text(json.dumps(flow))
    (tmp_path / "events.ndjson").write_text('{"name": "order complete", "data": {"kind": "gift"}}')
    command = ["simulate", str(tmp_path / "flow.json"), str(tmp_path / "events.ndjson"), "--json"]
    result = CliRunner(env={"KEY": secret}).invoke(main, command)
    (shown,) = map(json.loads, result.stdout.splitlines())
    assert shown["status"] == "deliver"
    assert '"key":"***"' in json.dumps(shown["calls"]).replace(" ", "").replace("\\", "")
    assert "gift" in json.dumps(shown["calls"])
