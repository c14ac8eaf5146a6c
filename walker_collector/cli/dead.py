"""`walker dead`: list, show, replay and drop dead letters."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from walker_collector.cli.dead_list import event_of, print_list
from walker_collector.cli.flow_run import FlowRun
from walker_collector.cli.live_line import live_line
from walker_collector.cli.options import (
    HelpfulGroup,
    destination_option,
    examples,
    flow_argument,
    flow_option,
    ids_option,
    json_option,
    yes_option,
)
from walker_collector.cli.progress_line import BytesRead, ProgressLine
from walker_collector.cli.signals import StopSignal
from walker_collector.cli.spool_access import (
    check_destination,
    is_spool,
    owning,
    reading,
    spool_of,
)
from walker_collector.cli.streams import say, say_json, to_json
from walker_collector.cli.summary import Summary
from walker_collector.moments import moment
from walker_collector.spool import DeadLetter, NothingStored
from walker_collector.text import counted

all_option = click.option("--all", "everything", is_flag=True, help="All dead letters.")


@click.group(
    cls=HelpfulGroup,
    epilog=examples(
        "walker dead list flow.json",
        "walker dead replay flow.json --all",
        "walker dead drop flow.json --id 4f0a9c11d2e3b4a5",
    ),
)
def dead() -> None:
    """List, show, replay and drop dead letters.

    A dead letter is an event that a destination rejected or that failed too often.
    """


@dead.command(
    "list",
    short_help="List dead letters by reason.",
    epilog=examples(
        "walker dead list flow.json --destination customerio",
        "walker dead list flow.json --limit 100",
    ),
)
@flow_argument
@flow_option
@destination_option
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    help="List at most N letters; 20 without it, with --json all.",
)
@json_option
def list_(
    flow: Path, name: str | None, destination: str | None, limit: int | None, as_json: bool
) -> None:
    """List the reasons of the dead letters in the spool of FLOW, and the letters.

    The most frequent reason comes first, each with its destination, and the times of the first and
    the last death. The letters come oldest first. FLOW is a flow file or a spool file. A collector
    may be running.
    """
    nothing = ""
    try:
        letters = _read(flow, name, destination)
    except NothingStored as error:
        check_destination(destination, flow, name)
        letters, nothing = [], f": {error}"
    if as_json:
        say_json([_as_object(letter) for letter in letters[:limit]])
    elif letters:
        print_list(letters, limit)
    else:
        say(f"no dead letters{nothing}")


@dead.command(
    epilog=examples(
        "walker dead show flow.json --id 4f0a9c11d2e3b4a5",
        "walker dead show flow.json --data --json",
    )
)
@flow_argument
@flow_option
@destination_option
@ids_option
@click.option(
    "--data",
    "show_data",
    is_flag=True,
    help="Show the event with its data, and the text of a plugin's exception.",
)
@json_option
def show(
    flow: Path,
    name: str | None,
    destination: str | None,
    ids: Sequence[str],
    show_data: bool,
    as_json: bool,
) -> None:
    """Show dead letters in full.

    Only the id of a person is shown, unless --data is given.
    """
    letters = _choose(_read(flow, name, destination), ids)
    if not letters and not as_json:
        say("no dead letters")
    for number, letter in enumerate(letters):
        shown = {
            **_as_object(letter),
            "person": letter.person or None,
            "consent": dict(letter.consent),
        }
        if show_data:
            shown["error"] = letter.error or None
            shown["body"] = event_of(letter)
        if as_json:
            say_json(shown)
        else:
            if number:
                say("")
            _print_lines(shown)


@dead.command(
    epilog=examples(
        "walker dead replay flow.json --all",
        "walker dead replay flow.json --destination customerio",
        "walker dead replay flow.json --id 4f0a9c11d2e3b4a5",
        "walker dead replay flow.json --all --without-messages",
    )
)
@flow_argument
@flow_option
@destination_option
@ids_option
@all_option
@click.option("--without", multiple=True, metavar="PART", help="Skip this part of the deliveries.")
@click.option(
    "--without-messages", is_flag=True, help="Skip all messages to people, such as mails."
)
@click.option(
    "--timeout", type=click.FloatRange(min=0), metavar="S", help="Seconds to wait for deliveries."
)
@json_option
def replay(
    flow: Path,
    name: str | None,
    destination: str | None,
    ids: Sequence[str],
    everything: bool,
    without: Sequence[str],
    without_messages: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Deliver dead letters again, under their event ids.

    Parts of a delivery that are done are skipped, and so are those named by --without and
    --without-messages. A part that may have happened is repeated, so it may happen twice. Other
    events that wait in the spool are delivered as well. Collectors may be running.

    Exit status: 0 if every event was delivered, 1 otherwise.
    """
    _require_choice(ids, everything, destination)
    spool_of(flow, name)  # raises for a flow without a spool, before it is run
    if not is_spool(flow):
        check_destination(destination, flow, name)
    letters = _choose(_read(flow, name, destination), ids)
    with StopSignal() as stop:
        flow_run = FlowRun.of_file(flow, name, stop)
        count = flow_run.collector.replay(letters, without, without_messages=without_messages)
        if not without_messages:
            _warn_of_repeats(letters, without)
        say(f"delivering {counted(count, 'dead letter')} again", err=True)
        with live_line(ProgressLine(flow_run.statuses, BytesRead(complete=True))):
            summary = flow_run.finish(Summary(), timeout)
        flow_run.report(summary, as_json, reading=False)
    again = _dead_again(flow, name, letters)
    if again:
        text = f"{counted(again, 'event')} dead again: `walker dead list` has the reasons"
        say(text, err=True, level="warning")
    sys.exit(stop.exit_status or (0 if summary.ok and not again else 1))


def _dead_again(flow: Path, name: str | None, letters: Iterable[DeadLetter]) -> int:
    """Return how many of these letters are dead letters, whichever process has tried them."""
    with reading(spool_of(flow, name)) as spool:
        found = {(letter.seq, letter.destination) for letter in spool.dead()}
    return sum((letter.seq, letter.destination) in found for letter in letters)


@dead.command(
    epilog=examples(
        "walker dead drop flow.json --id 4f0a9c11d2e3b4a5",
        "walker dead drop flow.json --destination customerio --yes",
    )
)
@flow_argument
@flow_option
@destination_option
@ids_option
@all_option
@yes_option
def drop(
    flow: Path,
    name: str | None,
    destination: str | None,
    ids: Sequence[str],
    everything: bool,
    yes: bool,
) -> None:
    """Remove dead letters for good, without delivering them. Collectors may be running."""
    _require_choice(ids, everything, destination)
    with owning(spool_of(flow, name)) as spool:
        check_destination(destination, flow, name, [spool])
        letters = _choose(spool.dead(destination), ids)
        if letters and not yes:
            question = f"Drop {counted(len(letters), 'dead letter')} for good?"
            click.confirm(question, abort=True, err=True)
        count = spool.delete_dead(letters)
        spool.announce()
    say(f"{counted(count, 'dead letter')} dropped", err=True)


def _warn_of_repeats(letters: Iterable[DeadLetter], without: Sequence[str]) -> None:
    """Warn of parts that may happen twice: their last attempt was cut off or got no response."""
    doubtful = Counter(
        part
        for letter in letters
        for part, state in letter.parts.items()
        if state == "begun" and part not in without
    )
    for part, count in doubtful.items():
        say(
            f"{part} of {counted(count, 'event')} may have happened already and may now happen "
            f"twice; --without {part} leaves it out",
            err=True,
            level="warning",
        )


def _require_choice(ids: Sequence[str], everything: bool, destination: str | None) -> None:
    if not (ids or everything or destination):
        raise click.UsageError("say which: --all, --destination or --id")


def _read(flow: Path, name: str | None, destination: str | None) -> list[DeadLetter]:
    with reading(spool_of(flow, name)) as spool:
        check_destination(destination, flow, name, [spool])
        return spool.dead(destination)


def _choose(letters: Iterable[DeadLetter], ids: Sequence[str]) -> list[DeadLetter]:
    """Return the letters of these events, or all if there are no ids.

    Raises ClickException for an id without a letter.
    """
    found = [letter for letter in letters if not ids or _event_id(letter) in ids]
    missing = set(ids) - {_event_id(letter) for letter in found}
    if missing:
        raise click.ClickException(f"no dead letter of event {', '.join(sorted(missing))}")
    return found


def _event_id(letter: DeadLetter) -> str:
    return str(event_of(letter)["id"])


def _as_object(letter: DeadLetter) -> dict[str, Any]:
    event = event_of(letter)
    return {
        "seq": letter.seq,
        "id": event["id"],
        "event": event["name"],
        "destination": letter.destination,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "accepted": letter.accepted_at,
        "died": letter.died_at,
        "parts": dict(letter.parts),
    }


def _print_lines(shown: Mapping[str, Any]) -> None:
    for key, value in shown.items():
        if key in ("accepted", "died"):
            value = moment(value)
        text = value if isinstance(value, str) else to_json(value)
        say(f"{key:<12} {text}")
