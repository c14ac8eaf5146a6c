"""The group of all commands: version, log level, and errors told without a traceback."""

import os
from typing import Any

import click

from walker_collector.cli.dead import dead
from walker_collector.cli.destinations import destinations
from walker_collector.cli.explain import explain
from walker_collector.cli.forget import forget
from walker_collector.cli.log import log_to_stderr
from walker_collector.cli.new import new
from walker_collector.cli.options import examples
from walker_collector.cli.run import run
from walker_collector.cli.schema import schema
from walker_collector.cli.simulate import simulate
from walker_collector.cli.spool import spool
from walker_collector.cli.validate import validate
from walker_collector.errors import ConfigError, WalkerError
from walker_collector.version import __version__

INTERRUPTED = 130


class Walker(click.Group):
    """A group whose commands' errors are messages: exit status 1, and 130 for Ctrl-C."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except WalkerError as error:
            raise click.ClickException(_message(error)) from error
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)


def _message(error: WalkerError) -> str:
    """Return the error on one line, but for problems of a flow: those have a line each."""
    return str(error) if isinstance(error, ConfigError) else " ".join(str(error).split("\n"))


@click.group(
    cls=Walker,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "walker validate flow.json",
        "walker simulate flow.json events.ndjson",
        "walker run flow.json events.ndjson",
        "tail -f app.ndjson | walker run flow.json",
    ),
)
@click.version_option(__version__, message="walker %(version)s")
@click.option("-v", "--verbose", count=True, help="Log more: -v each batch, -vv each event.")
@click.pass_context
def main(ctx: click.Context, verbose: int) -> None:
    """Collect events, and deliver them to destinations as a flow file says.

    Every command has examples of its own: walker COMMAND --help.
    """
    if os.environ.get("NO_COLOR"):
        ctx.color = False
    ctx.with_resource(log_to_stderr(verbose))


for command in (run, simulate, explain, validate, destinations, schema, spool, dead, forget, new):
    main.add_command(command)
