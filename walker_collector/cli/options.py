"""Arguments and options that several commands take."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from walker_collector.cli.log_output import LogOutput
from walker_collector.moments import parse_ms
from walker_collector.sources.file.selection import Pattern, Selection, parse_pattern

FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)

flow_argument = click.argument("flow", type=FILE)
events_argument = click.argument(
    "events", type=click.Path(exists=True, dir_okay=False, allow_dash=True), default="-"
)
flow_option = click.option("--flow", "name", metavar="NAME", help="Name of the flow in the file.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
destination_option = click.option("--destination", metavar="ID", help="Only this destination.")
ids_option = click.option(
    "--id", "ids", metavar="EVENT_ID", multiple=True, help="Only this event; may be repeated."
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")

limit_option = click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    metavar="N",
    help="Only the latest N events.",
)
data_option = click.option("--data", "show_data", is_flag=True, help="Show events with their data.")


def person_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that name a person; see `person_of`."""
    for option in (
        click.option("--session", metavar="ID", help="A session of the person (user.session)."),
        click.option("--device", metavar="ID", help="A device of the person (user.device)."),
        click.option("--user-id", metavar="ID", help="The person's id (user.id of events)."),
    ):
        command = option(command)
    return command


def person_of(
    user_id: str | None, device: str | None, session: str | None
) -> dict[str, str | None]:
    """Return the `user` of an event that these options name."""
    return {"id": user_id, "device": device, "session": session}


def _as_ms(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Return ISO 8601 text as ms since 1970."""
    try:
        return None if value is None else parse_ms(value)
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is no time; write 2026-03-02, or 2026-03-02T08:22:00Z"
        ) from None


def _as_patterns(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> frozenset[Pattern]:
    """Return names of events, in which `*` is any entity or action."""
    try:
        return frozenset(map(parse_pattern, values))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that select events; the command gets a `selection`."""

    @functools.wraps(command)
    def selecting(
        *args: Any,
        since: int | None,
        until: int | None,
        only: frozenset[Pattern],
        **options: Any,
    ) -> Any:
        if since is not None and until is not None and since >= until:
            raise click.UsageError("--since must be before --until: no event is between them")
        selection = Selection(since=since, until=until, only=only)
        return command(*args, selection=selection, **options)

    for option in (
        click.option(
            "--only",
            callback=_as_patterns,
            multiple=True,
            metavar="NAME",
            help='Only events of this name; "order *" is any action, "* view" any entity. May '
            "be repeated. Commands are run in any case.",
        ),
        click.option(
            "--until", callback=_as_ms, metavar="TIME", help="Only events before this time."
        ),
        click.option(
            "--since",
            callback=_as_ms,
            metavar="TIME",
            help="Only events of this time (ISO 8601) and later ones. An event without a timestamp "
            "is of now.",
        ),
    ):
        selecting = option(selecting)
    return selecting


def verbose() -> bool:
    """Return whether -v was given."""
    return _log().verbosity > 0


def verbose_option() -> click.Option:
    """Return the option -v, which counts before and after the name of a command."""
    return click.Option(
        ["-v", "--verbose"],
        count=True,
        expose_value=False,
        callback=lambda ctx, param, count: _log().add_verbosity(count),
        help="Log more: -v each batch, -vv each event.",
    )


def log_format_option() -> click.Option:
    """Return the option of commands that log while they run."""
    return click.Option(
        ["--log-format"],
        type=click.Choice(["text", "json"]),
        default="text",
        expose_value=False,
        callback=lambda ctx, param, kind: _log().use_json() if kind == "json" else None,
        help="json: each line on stderr is an object with time, level, logger and message.",
    )


def _log() -> LogOutput:
    found = click.get_current_context().find_root().obj
    assert isinstance(found, LogOutput)
    return found


class HelpfulGroup(click.Group):
    """Group of commands that prints its help if no command is named; that is no mistake."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Print the help and exit if there are no arguments."""
        if not args and not ctx.resilient_parsing:  # else a shell asks for completions
            click.echo(ctx.get_help(), color=ctx.color)
            ctx.exit()
        return super().parse_args(ctx, args)


def examples(*lines: str) -> str:
    """Return the end of a command's help: a list of examples, one per line."""
    # \b keeps click from joining the lines into a paragraph.
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
