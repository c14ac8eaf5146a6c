"""`walker new`: write the package of a new plugin."""

from pathlib import Path

import click

from walker_collector.cli.options import examples
from walker_collector.cli.streams import say
from walker_collector.scaffold import new_destination


@click.group(epilog=examples("walker new destination my-crm"))
def new() -> None:
    """Write a package to start a plugin from."""


@new.command(
    epilog=examples("walker new destination my-crm", "walker new destination my-crm --into plugins")
)
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    default=".",
    help="Folder to write the package into.",
)
def destination(name: str, into: Path) -> None:
    """Write the package of a destination called NAME.

    Its tests check it against the contract of destinations. NAME is its name in flow files, as
    `package`: lower-case words with a dash between. The files written are printed.
    """
    written = new_destination(name, into)
    for path in written:
        say(str(path))
    folder = into / f"walker-dest-{name}"
    say(f"next: pip install -e '{folder}[dev]' && pytest {folder}", err=True)
