"""Dockerfile and compose.yaml: their commands run here, without a container."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from tests.core.sources.serve_support import ended, flow_in, post, serving, workers_of
from tests.support import ROOT

DOCKERFILE: Final = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
COLLECTOR: Final[dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))[
    "services"
]["collector"]
FLOW: Final = "/etc/walker/flow.json"
ADDRESS: Final = ["--host", "0.0.0.0", "--port", "8080"]


def instruction(name: str) -> str:
    """Return what the last instruction of that name says."""
    return re.findall(rf"^{name}\s+(.*)$", DOCKERFILE, re.MULTILINE)[-1].strip()


def test_image_is_a_process_of_its_own_and_not_of_root() -> None:
    assert json.loads(instruction("ENTRYPOINT")) == ["walker"]  # without a shell
    assert instruction("USER") == "10001"
    assert "--uid 10001" in DOCKERFILE
    assert instruction("WORKDIR") == instruction("VOLUME")


def test_command_of_the_image_serves_and_its_check_finds_it_healthy(tmp_path: Path) -> None:
    command, flow, *options = json.loads(instruction("CMD"))
    assert (command, flow, options) == ("serve", FLOW, ADDRESS)
    check = json.loads(instruction("HEALTHCHECK").partition("CMD ")[2])
    assert check[0] == "python"

    def is_healthy(url: str) -> bool:
        code = check[2].replace("8080", str(urlsplit(url).port))
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=20)
        return done.returncode == 0

    with serving(flow_in(tmp_path), *options[:2], "--port", 0) as (process, (url,)):
        assert is_healthy(url)
        assert ended(process) == 0
    assert not is_healthy(url)


def test_command_of_compose_serves_with_several_workers(tmp_path: Path) -> None:
    command, flow, *options = COLLECTOR["command"]
    assert (command, flow, options[:4]) == ("serve", FLOW, ADDRESS)
    with serving(flow_in(tmp_path), *options[:2], "--port", 0, *options[4:]) as (process, (url,)):
        assert len(workers_of(process)) == 2
        assert post(url.replace("0.0.0.0", "127.0.0.1"), {"name": "page view"})[0] == 200
        assert ended(process) == 0


def test_compose_mounts_flow_and_spool_where_the_image_has_them() -> None:
    mounts = [mount.split(":")[1] for mount in COLLECTOR["volumes"]]
    assert mounts == [FLOW, instruction("VOLUME")]
    assert COLLECTOR["stop_grace_period"] == "40s"


def test_unit_of_systemd_serves_as_long() -> None:
    page = (ROOT / "docs/howto/deploy.md").read_text("utf-8")
    unit = dict(re.findall(r"^(\w+)=(.*)$", page, re.MULTILINE))
    assert shlex.split(unit["ExecStart"])[1:] == ["serve", FLOW, "--workers", "2"]
    assert unit["TimeoutStopSec"] == "40"
