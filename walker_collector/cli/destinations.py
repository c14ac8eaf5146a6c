"""`walker destinations`: what is installed."""

from typing import Any

import click

from walker_collector.cli.options import examples, json_option
from walker_collector.cli.output import print_json, print_table, printable
from walker_collector.plugins import PluginInfo, Registry


@click.command(epilog=examples("walker destinations", "walker destinations --json"))
@json_option
def destinations(as_json: bool) -> None:
    """List the installed destinations and extensions.

    For each: version, where it comes from, by which other names a flow may call it; and why it
    cannot be used, where it cannot.
    """
    installed = Registry().discover().installed()
    if as_json:
        print_json([_as_object(info) for info in installed])
        return
    print_table(
        ("name", "kind", "version", "distribution", "from", "also known as"),
        [
            (
                info.name,
                info.kind,
                info.version,
                info.distribution,
                info.origin,
                ", ".join(info.aliases),
            )
            for info in installed
        ],
    )
    for info in installed:
        if info.error:
            error = printable(" ".join(info.error.split("\n")))
            click.echo(click.style(f"{info.name} cannot be used: {error}", fg="red"))


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
