"""`walker validate`: check a flow file."""

import sys
from pathlib import Path
from typing import Any

import attrs
import click

from walker_collector.cli.options import examples, flow_argument, flow_option, json_option
from walker_collector.cli.output import counted
from walker_collector.cli.streams import say, say_json
from walker_collector.config import FlowConfig
from walker_collector.errors import ConfigError, Problem
from walker_collector.flow import load_flow


@click.command(
    epilog=examples(
        "walker validate flow.json",
        "walker validate flow.json --serve",
        "walker validate flow.json --no-credentials   # in CI, without the environment",
        "walker validate flows.json --flow shop --json",
    )
)
@flow_argument
@flow_option
@click.option(
    "--no-credentials",
    "lenient",
    is_flag=True,
    help="Accept absent credentials and environment variables.",
)
@click.option("--serve", is_flag=True, help="Check also what `walker serve` needs for the sources.")
@json_option
def validate(flow: Path, name: str | None, lenient: bool, serve: bool, as_json: bool) -> None:
    """Check FLOW, and print every problem.

    Each problem is a line, `place: problem`. Warnings and the number of problems come on stderr. No
    connection is opened.

    Exit status: 0 if the flow can be run, 1 if there are problems.
    """
    config: FlowConfig | None = None
    problems: tuple[Problem, ...] = ()
    try:
        config = load_flow(flow, flow=name, credentials=not lenient, serve=serve)
    except ConfigError as error:
        problems = error.problems
    if as_json:
        say_json(_as_object(flow, config, problems))
    else:
        _print(flow, config, problems)
    sys.exit(1 if problems else 0)


def _as_object(
    flow: Path, config: FlowConfig | None, problems: tuple[Problem, ...]
) -> dict[str, Any]:
    return {
        "file": str(flow),
        "valid": config is not None,
        "problems": [attrs.asdict(problem) for problem in problems],
        "warnings": list(config.warnings) if config else [],
    }


def _print(flow: Path, config: FlowConfig | None, problems: tuple[Problem, ...]) -> None:
    for problem in problems:
        say(str(problem))
    if config is None:
        say(f"{flow}: {counted(len(problems), 'problem')}", err=True)
        return
    for warning in config.warnings:
        say(f"warning: {warning}", err=True)
    names = ", ".join(config.destinations) or "none"
    say(f"{flow}: valid (flow {config.name}; destinations: {names})")
