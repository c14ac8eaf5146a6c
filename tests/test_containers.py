"""Dockerfile and compose.yaml: their commands run here, without a container."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import trustme
import yaml

from tests.core.cli_support import completed
from tests.core.sources.serve_support import ended, flow_in, post, serving, workers_of
from tests.support import ROOT

DOCKERFILE: Final = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
COLLECTOR: Final[dict[str, Any]] = COMPOSE["services"]["collector"]
PAGE: Final = (ROOT / "docs/howto/deploy.md").read_text("utf-8")
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

    usual = dict(re.findall(r"^ENV (\w+)=(.*)$", DOCKERFILE, re.MULTILINE))["HEALTH_URL"]
    assert usual == "http://127.0.0.1:8080/health"

    def is_healthy(url: str) -> bool:
        env = {**os.environ, "HEALTH_URL": url}
        command = [sys.executable, *check[1:]]
        return not subprocess.run(command, env=env, capture_output=True, timeout=20).returncode

    with serving(flow_in(tmp_path), *options[:2], "--port", 0) as (process, (url,)):
        health = usual.replace("8080", str(urlsplit(url).port))
        assert is_healthy(health)
        assert ended(process) == 0
    assert not is_healthy(health)
    assert is_healthy_with_tls(tmp_path, is_healthy)


def is_healthy_with_tls(folder: Path, is_healthy: Callable[[str], bool]) -> bool:
    """Serve over TLS, with the health elsewhere; return what the check of the image says."""
    issued = trustme.CA().issue_cert("shop.example")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    settings = {"port": 0, "tlsCert": "cert.pem", "tlsKey": "key.pem", "healthPath": "/alive"}
    flow = flow_in(folder, {"web": {"package": "http", "config": {"settings": settings}}})
    with serving(flow, "--port", 0) as (_, (url,)):
        return is_healthy(f"https://127.0.0.1:{urlsplit(url).port}/alive")


def test_command_of_compose_serves_with_several_workers(tmp_path: Path) -> None:
    command, flow, *options = COLLECTOR["command"]
    assert (command, flow, options[:4]) == ("serve", FLOW, ADDRESS)
    with serving(flow_in(tmp_path), *options[:2], "--port", 0, *options[4:]) as (process, (url,)):
        assert len(workers_of(process)) == 2
        assert post(url.replace("0.0.0.0", "127.0.0.1"), {"name": "page view"})[0] == 200
        assert ended(process) == 0


def test_compose_mounts_flow_and_spool_where_the_image_has_them() -> None:
    flow, spool = COLLECTOR["volumes"]
    assert (flow["target"], spool.split(":")[1]) == (FLOW, instruction("VOLUME"))
    assert flow["bind"] == {"create_host_path": False}
    assert COLLECTOR["stop_grace_period"] == "40s"


@pytest.mark.parametrize("part", ["secrets", "volumes"])
def test_what_services_of_compose_name_is_there_and_used(part: str) -> None:
    named = {
        item.split(":")[0]
        for service in COMPOSE["services"].values()
        for item in service.get(part, [])
        if isinstance(item, str)
    }
    assert named == set(COMPOSE[part])
    assert all(
        service.get("environment", {}).get(key, "").removeprefix("/run/secrets/")
        in service["secrets"]
        for service in COMPOSE["services"].values()
        for key in service.get("environment", {})
        if key.endswith("_FILE")
    )


def test_database_is_started_only_where_it_is_asked_for() -> None:
    assert COMPOSE["services"]["postgres"]["profiles"] == ["postgres"]


def test_steps_before_compose_make_all_that_it_reads(tmp_path: Path) -> None:
    flow = re.findall(r"```json flow\.json\n(.*?)```", PAGE, re.DOTALL)[0]
    (tmp_path / "flow.json").write_text(flow)
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    steps = [
        line
        for block in blocks
        if "docker compose" in block
        for line in block.splitlines()
        if not line.startswith(("docker", "curl"))
    ]
    script = "set -eu\n" + "\n".join(steps)
    subprocess.run(["sh", "-c", script], cwd=tmp_path, check=True, timeout=20)
    read = [COLLECTOR["volumes"][0]["source"], *COLLECTOR["env_file"]]
    read += [secret["file"] for secret in COMPOSE["secrets"].values()]
    assert all((tmp_path / file).is_file() for file in read)
    env = dict(line.split("=") for line in (tmp_path / "collector.env").read_text().split())
    env["SERVER_KEY_FILE"] = str(tmp_path / COMPOSE["secrets"]["server_key"]["file"])
    done = completed("validate", tmp_path / "flow.json", "--serve", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr


def test_unit_of_systemd_serves_as_long() -> None:
    unit = dict(re.findall(r"^(\w+)=(.*)$", PAGE, re.MULTILINE))
    assert shlex.split(unit["ExecStart"])[1:] == ["serve", FLOW, "--workers", "2"]
    assert unit["TimeoutStopSec"] == "40"


def test_pod_of_kubernetes_runs_the_image_with_what_the_flow_reads() -> None:
    pod_set, service = yaml.safe_load_all(
        re.findall(r"```yaml\n(apiVersion.*?)```", PAGE, re.DOTALL)[0]
    )
    pod = pod_set["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    claims = {claim["metadata"]["name"] for claim in pod_set["spec"]["volumeClaimTemplates"]}
    assert mounted.keys() == claims | {volume["name"] for volume in pod["volumes"]}
    assert (mounted["spool"], f"{mounted['flow']}/flow.json") == (instruction("VOLUME"), FLOW)
    assert str(pod["securityContext"]["runAsUser"]) == instruction("USER")
    assert pod["terminationGracePeriodSeconds"] == 40

    read = set(
        re.findall(
            r"\$(?:env|secret)\.(\w+)", PAGE.partition("```json flow.json")[2].partition("```")[0]
        )
    )
    assert {variable["name"].removesuffix("_FILE") for variable in container["env"]} == read
    made = set(re.findall(r"--from-literal=(\w+)=", PAGE)) - {"database_url"}
    files = {Path(each["value"]).name for each in container["env"] if "value" in each}
    keys = {
        each["valueFrom"]["secretKeyRef"]["key"] for each in container["env"] if "valueFrom" in each
    }
    assert files | keys == made
    labels = pod_set["spec"]["template"]["metadata"]["labels"]
    assert labels == pod_set["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]


def test_deployment_has_the_pod_of_the_stateful_set_and_the_url_of_its_database() -> None:
    texts = re.findall(r"```yaml\n(apiVersion.*?)```", PAGE, re.DOTALL)
    pod_set, deployment = (next(iter(yaml.safe_load_all(text))) for text in texts)
    pod, other = (each["spec"]["template"]["spec"] for each in (pod_set, deployment))
    (container,), (of_deployment,) = pod.pop("containers"), other.pop("containers")
    assert pod == other
    url = {"name": "DATABASE_URL_FILE", "value": "/run/secrets/walker/database_url"}
    of_deployment["env"].remove(url)
    assert of_deployment["env"] == container["env"]
    mounts = [mount for mount in container["volumeMounts"] if mount["name"] != "spool"]
    assert of_deployment["volumeMounts"] == mounts
    assert "--from-literal=database_url=" in PAGE
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels == deployment["spec"]["selector"]["matchLabels"]
