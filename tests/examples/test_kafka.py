"""The flows of `examples/kafka` are valid, and fit each other."""

import json
from typing import Any

import pytest

from tests.examples.support import EXAMPLES
from walker_collector.flow import load_flow
from walker_collector.plugins import Registry

FOLDER = EXAMPLES / "kafka"
VARIABLES = {
    "CIO_API_KEY": "api-key",
    "CIO_SITE_ID": "site",
    "DATABASE_URL": "postgresql://walker@db.example/walker",
    "SERVER_KEY": "server-key-0123456789",
    "WEB_KEY": "web-key-0123456789",
}


def flow(name: str) -> Any:
    return json.loads((FOLDER / name).read_text("utf-8"))["flows"]["default"]


@pytest.mark.parametrize("name", ["edge.json", "worker.json"])
def test_flow_is_valid_without_a_warning(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in VARIABLES.items():
        monkeypatch.setenv(variable, value)
    loaded = load_flow(FOLDER / name, registry=Registry().discover(), serve=True)
    assert loaded.warnings == ()


def test_worker_reads_what_the_edge_writes() -> None:
    written = flow("edge.json")["destinations"]["events"]["config"]["settings"]
    read = flow("worker.json")["sources"]["events"]["config"]["settings"]
    assert read["topics"] == [written["topic"]]
    assert read["brokers"] == written["brokers"]
