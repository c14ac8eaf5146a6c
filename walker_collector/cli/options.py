"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Final

import click

FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)

flow_argument = click.argument("flow", type=FILE)
events_argument = click.argument(
    "events", type=click.Path(exists=True, dir_okay=False, allow_dash=True), default="-"
)
flow_option = click.option("--flow", "name", metavar="NAME", help="Which flow of the file.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
destination_option = click.option("--destination", metavar="ID", help="Of this destination only.")
ids_option = click.option(
    "--id", "ids", metavar="EVENT_ID", multiple=True, help="Of this event; may be repeated."
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def verbose() -> bool:
    """Whether -v stands before the command."""
    return bool(click.get_current_context().find_root().params.get("verbose"))


def examples(*lines: str) -> str:
    """Return what shows examples below a command's help, one per line."""
    # \b keeps click from joining the lines to a paragraph.
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
