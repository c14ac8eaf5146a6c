"""`walker explain`: show the effects of each event, with the reasons."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import click

from walker_collector.cli.options import (
    events_argument,
    examples,
    flow_argument,
    flow_option,
    json_option,
)
from walker_collector.cli.simulate import InvalidLine, LineSimulation, as_object, headline
from walker_collector.cli.streams import say, say_json, to_json
from walker_collector.inspector.masking import masked
from walker_collector.people.consent import Grant
from walker_collector.simulation import Simulated


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
@click.option("--data", "show_data", is_flag=True, help="Show the values in calls.")
def explain(flow: Path, events: str, name: str | None, as_json: bool, show_data: bool) -> None:
    """Show the effects of each event, with the reasons.

    Like `walker simulate`, and below each line the person, the rule, the consent and the policies.
    Only the id of a person is shown: values in calls are masked unless --data is given.

    Exit status: 0; 1 if there are bad lines or invalid events.
    """
    simulation = LineSimulation(flow, name)
    for number, result in simulation.run(events):
        if isinstance(result, Simulated) and not show_data:
            result = attrs.evolve(result, calls=mask_calls(result.calls, result.public_values))
        if as_json:
            say_json({**as_object(number, result), **_reasons(result)})
        else:
            say(*headline(number, result))
            for line in _lines(result):
                say(line)
    sys.exit(0 if simulation.ok else 1)


def mask_calls(calls: list[list[Any]], known: frozenset[str]) -> list[list[Any]]:
    """Return the calls with every value masked, except names and the values in `known`."""
    return [[name, *(masked(item, known) for item in rest)] for name, *rest in calls]


def _reasons(result: Simulated | InvalidLine) -> dict[str, Any]:
    """Return the reasons for --json."""
    if isinstance(result, InvalidLine):
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


def _lines(result: Simulated | InvalidLine) -> Iterator[str]:
    if isinstance(result, InvalidLine):
        return
    yield f"    person    {result.person or 'nobody'}"
    yield f"    rule      {result.rule or 'none matches'}"
    for subject, required in (("", result.required), ("the rule ", result.rule_required)):
        if required:
            keys = f" {result.mode} of " if len(required) > 1 else " "
            yield f"    consent   {subject}requires{keys}{', '.join(sorted(required))}"
    for grant in result.grants:
        yield f"    {_grant_line(grant)}"
    if result.policies:
        yield f"    policies  {', '.join(result.policies)}"
    for warning in result.warnings:
        yield f"    warning   {warning}"
    for name, *arguments in result.calls:
        yield f"    call      {name} {' '.join(map(to_json, arguments))}"


def _grant_line(grant: Grant) -> str:
    state = "granted" if grant.granted else "denied"
    return f"{state:<9} {grant.key} by the {grant.source}"
