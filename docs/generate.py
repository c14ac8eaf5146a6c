"""Write the parts of the documentation that are made from code: the schema of a flow file.

python docs/generate.py            write them
python docs/generate.py --check    say which are out of date; exit status 1 where any is
"""

import sys
from pathlib import Path

import orjson
from _ext.schemapage import page

from walker_collector import Registry
from walker_collector.destinations.console import ConsoleDestination
from walker_collector.destinations.file import FileDestination
from walker_collector.destinations.http import HttpDestination
from walker_collector.flow.json_schema import flow_schema
from walker_collector.sources.http.source import HttpSource
from walker_dest_customerio.destination import CustomerioDestination

REFERENCE = Path(__file__).parent / "reference"
PACKAGES = {
    "console": ConsoleDestination,
    "customerio": CustomerioDestination,
    "file": FileDestination,
    "http": HttpDestination,
}


def generated() -> dict[Path, bytes]:
    """Return what each file should hold; other plugins that are installed take no part."""
    registry = Registry()
    for name, plugin in PACKAGES.items():
        registry.register(name, plugin)
    registry.register_source("http", HttpSource)
    schema = flow_schema(registry)
    return {
        REFERENCE / "flow.schema.json": orjson.dumps(schema, option=orjson.OPT_INDENT_2) + b"\n",
        REFERENCE / "flow-schema.md": page(schema).encode(),
    }


def outdated() -> list[Path]:
    """Return the files that hold something else, or are not there."""
    return [
        path
        for path, content in generated().items()
        if not path.exists() or path.read_bytes() != content
    ]


def main(arguments: list[str]) -> int:
    """Write or check, and return the exit status."""
    if arguments == ["--check"]:
        for path in outdated():
            print(f"{path} is out of date: python docs/generate.py")
        return 1 if outdated() else 0
    for path, content in generated().items():
        path.write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
