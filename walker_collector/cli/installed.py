"""`walker destinations` and `walker schema`: installed plugins and their settings."""

from typing import Any

import click

from walker_collector.cli.options import examples, json_option
from walker_collector.cli.output import print_table
from walker_collector.cli.streams import Colored, say, say_json
from walker_collector.discovery import PluginInfo, log_cause
from walker_collector.flow.json_schema import flow_schema, rule_settings_schema, settings_schema
from walker_collector.plugins import Registry

_COLUMNS = ("name", "kind", "version", "distribution")


@click.command(epilog=examples("walker destinations", "walker destinations --json"))
@json_option
def destinations(as_json: bool) -> None:
    """List the installed destinations, sources and extensions.

    Each with its version, its origin and its other names in flow files; for a plugin that cannot be
    used, also the reason.
    """
    found = Registry().discover().installed()
    for info in found:
        log_cause(info)
    installed = [_as_object(info) for info in found]
    if as_json:
        say_json(installed)
        return
    print_table(_COLUMNS, [[plugin[key] for key in _COLUMNS] for plugin in installed])
    say("")
    for plugin in installed:
        # Long names on lines of their own: nothing is broken on a terminal of 80 columns.
        say(f"{plugin['name']} is {plugin['origin']}")
        for alias in plugin["aliases"]:
            say(f"{plugin['name']} is also known as {alias}")
        if plugin["error"]:
            say(Colored(f"{plugin['name']} cannot be used: {plugin['error']}", "red"))


def _as_object(info: PluginInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "kind": info.kind,
        "version": info.version,
        "distribution": info.distribution,
        "origin": info.origin,
        "aliases": list(info.aliases),
        "error": info.error,
    }


@click.command(
    epilog=examples(
        "walker schema customerio",
        "walker schema --source http",
        "walker schema --extension sample",
        "walker schema --flow > flow.schema.json   # for an editor's completion",
    ),
)
@click.argument("package", required=False)
@click.option("--source", "of_source", is_flag=True, help="PACKAGE is a source.")
@click.option("--extension", "of_extension", is_flag=True, help="PACKAGE is an extension.")
@click.option("--flow", "whole", is_flag=True, help="The schema of a whole flow file.")
def schema(package: str | None, of_source: bool, of_extension: bool, whole: bool) -> None:
    """Print the JSON Schema of a destination, source or extension.

    It describes the destination's settings and its rules' settings, or those of the source or
    extension. PACKAGE is the name or alias of an installed one.
    """
    if whole is (package is not None):
        raise click.UsageError("name either a PACKAGE or --flow")
    registry = Registry().discover()
    if package is None:
        found = flow_schema(registry)
    elif of_extension:
        found = {"settings": settings_schema(registry.find_extension(package))}
    elif of_source:
        found = {"settings": settings_schema(registry.find_source(package))}
    else:
        plugin = registry.find(package)
        found = {
            "settings": settings_schema(plugin),
            "ruleSettings": rule_settings_schema(plugin),
        }
    say_json(found, indent=True)
