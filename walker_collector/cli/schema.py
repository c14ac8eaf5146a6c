"""`walker schema`: JSON Schema of plugins and flow files."""

import click
import orjson

from walker_collector.cli.options import examples
from walker_collector.plugins import Registry
from walker_collector.schema import flow_schema, rule_settings_schema, settings_schema


@click.command(
    epilog=examples(
        "walker schema customerio",
        "walker schema --flow > flow.schema.json   # for an editor's completion",
    )
)
@click.argument("package", required=False)
@click.option("--flow", "whole", is_flag=True, help="The schema of a whole flow file.")
def schema(package: str | None, whole: bool) -> None:
    """Print the JSON Schema of a destination.

    Of its settings, and of its rules' settings. PACKAGE is the name or alias of an installed
    destination.
    """
    if whole is (package is not None):
        raise click.UsageError("name either a PACKAGE or --flow")
    registry = Registry().discover()
    if package is None:
        found = flow_schema(registry)
    else:
        plugin = registry.find(package)
        found = {
            "settings": settings_schema(plugin),
            "ruleSettings": rule_settings_schema(plugin),
        }
    click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
