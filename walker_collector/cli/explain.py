"""`walker explain`: why each event does what it does."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import click

from walker_collector.cli.options import (
    events_argument,
    examples,
    flow_argument,
    flow_option,
    json_option,
)
from walker_collector.cli.output import print_json, printable, to_json
from walker_collector.cli.rehearsal import BadLine, Rehearsal
from walker_collector.cli.simulate import as_object, headline
from walker_collector.consent import Grant
from walker_collector.simulation import Simulated

_MASK: Final = "***"


@click.command(
    epilog=examples(
        "walker explain flow.json events.ndjson",
        "walker explain flow.json events.ndjson --data",
        "walker explain flow.json events.ndjson --json | jq .consent",
    )
)
@flow_argument
@events_argument
@flow_option
@json_option
@click.option("--data", "show_data", is_flag=True, help="Show the values in calls, too.")
def explain(flow: Path, events: str, name: str | None, as_json: bool, show_data: bool) -> None:
    """Show why each event does what it does.

    As `walker simulate`, with the reasons: rule, consent, policies. Of a person only the id is
    shown: values in calls are masked unless --data is given.

    Exit status: 0; 1 where there are bad lines or invalid events.
    """
    rehearsal = Rehearsal(flow, name)
    for number, result in rehearsal.run(events):
        if isinstance(result, Simulated) and not show_data:
            result = attrs.evolve(result, calls=masked(result.calls, result.known))
        if as_json:
            print_json({**as_object(number, result), **_reasons(result)})
        else:
            click.echo("\n".join([headline(number, result), *_lines(result)]))
    sys.exit(0 if rehearsal.ok else 1)


def masked(calls: list[list[Any]], known: frozenset[str]) -> list[list[Any]]:
    """Return calls whose values are hidden, but for their names and what is in `known`."""
    return [[name, *(_hidden(item, known) for item in rest)] for name, *rest in calls]


def _hidden(value: Any, known: frozenset[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _hidden(item, known) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(item, known) for item in value]
    return value if value is None or value in known else _MASK


def _reasons(result: Simulated | BadLine) -> dict[str, Any]:
    """Return the reasons under JSON's names."""
    if isinstance(result, BadLine):
        return {}
    return {
        "person": result.person or None,
        "consent": {
            "required": result.required,
            "requiredByRule": result.rule_required,
            "mode": result.mode,
            "granted": [attrs.asdict(grant) for grant in result.grants],
        },
        "policies": list(result.policies),
    }


def _lines(result: Simulated | BadLine) -> Iterator[str]:
    if isinstance(result, BadLine):
        return
    yield f"    person    {printable(result.person) or 'nobody'}"
    yield f"    rule      {result.rule or 'none matches'}"
    for who, required in (("", result.required), ("the rule ", result.rule_required)):
        if required:
            keys = f" {result.mode} of " if len(required) > 1 else " "
            yield f"    consent   {who}requires{keys}{', '.join(sorted(required))}"
    for grant in result.grants:
        yield f"    {_told(grant)}"
    if result.policies:
        yield f"    policies  {', '.join(result.policies)}"
    for warning in result.warnings:
        yield f"    warning   {printable(warning)}"
    for name, *arguments in result.calls:
        yield f"    call      {name} {' '.join(map(to_json, arguments))}"


def _told(grant: Grant) -> str:
    said = "granted" if grant.granted else "denied"
    source = {"event": "the event", "person": "the person", "default": "the default"}
    return f"{said:<9} {printable(grant.key)} by {source[grant.source]}"
