"""`walker validate`: check flow files."""

import sys
from pathlib import Path
from typing import Any

import attrs
import click
from attrs import frozen

from walker_collector.cli.default_source import with_a_source
from walker_collector.cli.options import FILE, examples, flow_option, json_option
from walker_collector.cli.streams import say, say_json
from walker_collector.config import FlowConfig
from walker_collector.errors import ConfigError, Problem
from walker_collector.flow import load_flow
from walker_collector.flow.parse import ParsedFlow, parse_flow
from walker_collector.naming import join
from walker_collector.plugins import Registry
from walker_collector.text import counted


@frozen
class Checked:
    """A file, and its flow or its problems. `flow` is the name of one of several flows."""

    file: Path
    flow: str | None = None
    config: FlowConfig | None = None
    problems: tuple[Problem, ...] = ()

    def in_file(self) -> "Checked":
        """Return the result with the places of problems from the top of the file."""
        above = join("flows", self.flow or "")
        problems = (
            attrs.evolve(item, path=f"{above}.{item.path}" if item.path else above)
            for item in self.problems
        )
        return attrs.evolve(self, problems=tuple(problems))

    def as_object(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "file": str(self.file),
            "flow": self.config.name if self.config else self.flow,
            "valid": self.config is not None,
            "problems": [attrs.asdict(problem) for problem in self.problems],
            "warnings": list(self.config.warnings) if self.config else [],
        }

    def show(self, before: str) -> None:
        """Print the result; `before` begins each line of a problem or warning."""
        for problem in self.problems:
            say(f"{before}{problem}")
        if self.config is None:
            flow = f" (flow {self.flow})" if self.flow else ""
            say(f"{self.file}{flow}: {counted(len(self.problems), 'problem')}", err=True)
            return
        for warning in self.config.warnings:
            say(f"{before}warning: {warning}", err=True)
        names = ", ".join(self.config.destinations) or "none"
        say(f"{self.file}: valid (flow {self.config.name}; destinations: {names})")


@click.command(
    epilog=examples(
        "walker validate flow.json",
        "walker validate flows/*.json --no-credentials   # without variables",
        "walker validate flow.json --serve",
        "walker validate flows.json --flow shop --json",
    )
)
@click.argument("flows", metavar="FLOW...", type=FILE, nargs=-1, required=True)
@flow_option
@click.option(
    "--no-credentials",
    "lenient",
    is_flag=True,
    help="Accept absent credentials, environment variables, files and folders.",
)
@click.option("--serve", is_flag=True, help="Check also what `walker serve` needs for the sources.")
@json_option
def validate(
    flows: tuple[Path, ...], name: str | None, lenient: bool, serve: bool, as_json: bool
) -> None:
    """Check each FLOW, and print every problem.

    Of a file with several flows all are checked, except those for browsers. Each problem is a line,
    `place: problem (line)`, after the name of the file if there are several. Warnings and the
    number of problems come on stderr. With --json, each flow is a line. No connection is opened.

    Exit status: 0 if every flow can be run, 1 if there are problems.
    """
    results = [result for flow in flows for result in _check(flow, name, lenient, serve)]
    for result in results:
        if as_json:
            say_json(result.as_object())
        else:
            result.show(f"{result.file}: " if len(flows) > 1 else "")
    broken = sum(result.config is None for result in results)
    if len(results) > 1 and not as_json:
        say(
            f"{len(results)} flows: {len(results) - broken} valid, {broken} with problems", err=True
        )
    sys.exit(1 if broken else 0)


def _check(file: Path, name: str | None, lenient: bool, serve: bool) -> list[Checked]:
    try:
        parsed = parse_flow(file)
    except ConfigError as error:
        return [Checked(file, problems=error.problems)]
    several = parsed.flows() if name is None else []
    if not several:
        return [_check_flow(file, parsed, name, lenient, serve)]
    results = [_check_flow(file, parsed, flow, lenient, serve) for flow in several]
    return [result.in_file() for result in results]


def _check_flow(
    file: Path, parsed: ParsedFlow, name: str | None, lenient: bool, serve: bool
) -> Checked:
    try:
        strict, registry = not lenient, Registry().discover()
        config = load_flow(
            parsed, flow=name, registry=registry, credentials=strict, serve=serve, files=strict
        )
        if serve:
            config = with_a_source(config, registry)
    except ConfigError as error:
        return Checked(file, name, problems=error.problems)
    return Checked(file, name, config)
