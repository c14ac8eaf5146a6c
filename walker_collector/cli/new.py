"""`walker new`: write the package of a new plugin."""

from pathlib import Path
from typing import get_args

import click

from walker_collector.cli.options import HelpfulGroup, examples
from walker_collector.cli.streams import say
from walker_collector.scaffold import DestinationKind, new_destination, new_extension, new_source

_INTO = click.option(
    "--into",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    default=".",
    help="Folder to write the package into.",
)


@click.group(
    cls=HelpfulGroup,
    epilog=examples(
        "walker new destination my-crm",
        "walker new source my-queue",
        "walker new extension my-filter",
    ),
)
def new() -> None:
    """Write a package to start a plugin from."""


@new.command(
    epilog=examples(
        "walker new destination my-crm",
        "walker new destination my-crm --kind sdk",
        "walker new destination my-lake --kind store --into plugins",
    )
)
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(get_args(DestinationKind)),
    default="http",
    show_default=True,
    help="http: requests of its own; sdk: the SDK of a service; store: a database.",
)
@_INTO
def destination(name: str, kind: DestinationKind, into: Path) -> None:
    """Write the package of a destination called NAME.

    Its tests check it against the contract of destinations. NAME is its name in flow files, as
    `package`: lower-case words with a dash between. The files written are printed.
    """
    _say_written(new_destination(name, into, kind), into / f"walker-dest-{name}")


@new.command(epilog=examples("walker new source my-queue"))
@click.argument("name")
@_INTO
def source(name: str, into: Path) -> None:
    """Write the package of a source called NAME.

    Its tests check it against the contract of sources. NAME is its name in flow files, as
    `package`: lower-case words with a dash between. The files written are printed.
    """
    _say_written(new_source(name, into), into / f"walker-source-{name}")


@new.command(epilog=examples("walker new extension my-filter"))
@click.argument("name")
@_INTO
def extension(name: str, into: Path) -> None:
    """Write the package of an extension called NAME.

    It changes events before destinations get them, and its tests show that. NAME is its name in
    flow files, as `package`: lower-case words with a dash between. The files written are printed.
    """
    _say_written(new_extension(name, into), into / f"walker-ext-{name}")


def _say_written(written: list[Path], folder: Path) -> None:
    for path in written:
        say(str(path))
    say(f"next: pip install -e '{folder}[dev]' && pytest {folder}", err=True)
