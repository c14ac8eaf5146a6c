"""The group of all commands: version, log level, errors without a traceback.

A command is imported when it is first asked for: the help of all takes a tenth of that time.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import StringIO
from itertools import pairwise
from typing import IO, Any, Final, NoReturn, cast

import click

from walker_collector.cli.log_output import log_to_stderr
from walker_collector.cli.options import (
    HelpfulGroup,
    examples,
    log_format_option,
    verbose_option,
)
from walker_collector.cli.streams import give_up, logs_json, prepare_streams, say
from walker_collector.errors import ConfigError, WalkerError
from walker_collector.tracebacks import log_traceback
from walker_collector.version import __version__

INTERRUPTED = 130
_COMMANDS: Final = {
    "check": "Check address and credentials of each destination, and the spool.",
    "dead": "List, show, replay and drop dead letters.",
    "deliver": "Deliver the events that others accept into the spool.",
    "destinations": "List the installed destinations, sources and extensions.",
    "explain": "Show the effects of each event, with the reasons.",
    "forget": "Erase a person from the spool of FLOW, on disk too.",
    "new": "Write a package to start a plugin from.",
    "people": "Show everything known of a person in the spool of FLOW.",
    "run": "Deliver EVENTS to the destinations of FLOW.",
    "schema": "Print the JSON Schema of a plugin's settings.",
    "serve": "Start the sources of FLOW, and deliver their events.",
    "simulate": "Show the effects of each event, without delivering it.",
    "spool": "Count or drop the events in the spool.",
    "top": "Show the work of the processes of FLOW, live.",
    "validate": "Check each FLOW, and print every problem.",
    "why": "Show the fate of an event, or of a person's events.",
}
"""Commands by name, each with its line in the help of all commands."""
_MODULES: Final = {"destinations": "installed", "schema": "installed"}
"""Modules of commands that have not the name of their module."""
_LOGGING: Final = (("run",), ("serve",), ("deliver",), ("dead", "replay"))
"""Commands that log while they run."""


class WalkerGroup(HelpfulGroup):
    """Group of commands that prints errors without a traceback.

    Exit status 1 for errors of the package, 130 for Ctrl-C.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported when it is first asked for; None if there is none."""
        if cmd_name in _COMMANDS and cmd_name not in self.commands:
            self.add_command(_imported(cmd_name), cmd_name)
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line for each command, without importing it."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_COMMANDS.items()))

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run a command, and exit; its output goes through `streams`."""
        prepare_streams()
        with log_to_stderr() as log:
            if _asks_for_json(args[0] if args else kwargs.get("args")):
                log.use_json()  # before the arguments are read: a mistake in them is told as JSON
            status = self._run(*args, **kwargs, obj=log)
        sys.exit(status if isinstance(status, int) else 0)

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command; print an error as a line. Return the exit status."""
        try:
            return super().main(*args, **{**kwargs, "standalone_mode": False})
        except click.ClickException as error:
            _show(error)
            return error.exit_code
        except click.Abort:
            say("Aborted!", err=True, level="error")
            return 1
        except OSError as error:
            return _failed(error)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except WalkerError as error:
            if (cause := error.__cause__) and not isinstance(cause, WalkerError):
                log_traceback("cause of the error", cause)
            raise click.ClickException(_message(error)) from error
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)


def _asks_for_json(args: Sequence[str] | None) -> bool:
    """Return whether the arguments of a command have --log-format json."""
    given = list(sys.argv[1:] if args is None else args)
    given = given[: given.index("--")] if "--" in given else given
    return "--log-format=json" in given or ("--log-format", "json") in pairwise(given)


def _show(error: click.ClickException) -> None:
    """Print an error of a command; in a log that is JSON, its lines are errors without a usage."""
    if logs_json():
        for line in error.format_message().splitlines():
            say(line, err=True, level="error")
        return
    text = StringIO()
    error.show(cast(IO[str], text))
    for line in text.getvalue().splitlines():
        say(line, err=True)


def _failed(error: OSError) -> int:
    """Tell why nothing more can be printed, or read; return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            give_up(stream)
    say(f"Error: {error.strerror or type(error).__name__}", err=True)
    return 1


def _message(error: WalkerError) -> str:
    """Return the error on one line; the problems of a flow on a line each."""
    return str(error) if isinstance(error, ConfigError) else " ".join(str(error).split("\n"))


@click.group(
    cls=WalkerGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "walker validate flow.json",
        "walker simulate flow.json events.ndjson",
        "walker run flow.json events.ndjson",
        "tail -f app.ndjson | walker run flow.json",
    ),
)
@click.version_option(__version__, message="walker %(version)s")
@click.option(
    "--functions",
    metavar="MODULES",
    help='Modules, by commas, whose functions a flow may name, with their submodules; "" for none. '
    "Without it, and without the environment variable WALKER_FUNCTIONS: all.",
)
@click.pass_context
def main(ctx: click.Context, functions: str | None) -> None:
    """Collect events, and deliver them to the destinations of a flow file.

    walker COMMAND --help has examples of a command.
    """
    if functions is None:  # not by click, which takes an empty variable for none
        functions = os.environ.get("WALKER_FUNCTIONS")
    if functions is not None:
        from walker_collector.flow.types import allow_functions

        names = [name.strip() for name in functions.split(",") if name.strip()]
        ctx.with_resource(allow_functions(names))
    if os.environ.get("NO_COLOR"):
        ctx.color = False


def _imported(name: str) -> click.Command:
    """Import a command, and give it its line of help and the options of all commands."""
    module = import_module(f"walker_collector.cli.{_MODULES.get(name, name)}")
    command: click.Command = getattr(module, name)
    command.short_help = _COMMANDS[name]
    _with_log_options(command, name)
    return command


def _with_log_options(command: click.Command, *names: str) -> None:
    """Add -v to a command, and those below it; --log-format to those that log while they run."""
    command.params.append(verbose_option())
    if names in _LOGGING:
        command.params.append(log_format_option())
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            _with_log_options(child, *names, name)


_with_log_options(main)
