"""Settings of walkerOS's own destinations, with the keys of its flows.

As in the originals, `server-destination-api` sends the mapped data, while
`server-destination-file` and `destination-demo` write the event itself, without mapping.
"""

import csv
import io
from typing import Any, ClassVar, Final, Literal

import orjson
from attrs import Factory, field, frozen

from walker_collector.clients import filled, request_timeout, sendable_headers, web_address
from walker_collector.config import MISSING, Secret
from walker_collector.destinations.http_client import shown
from walker_collector.destinations.payload import part_of, to_json
from walker_collector.hookspecs import Event
from walker_collector.validators import names_file

API: Final = "@walkeros/server-destination-api"
FILE: Final = "@walkeros/server-destination-file"
DEMO: Final = "@walkeros/destination-demo"


def _no_javascript(_: Any, __: Any, value: Any) -> None:
    if value is not None:
        raise ValueError("JavaScript cannot run here; write data of the destination, with a fn")


@frozen(kw_only=True)
class ApiSettings:
    """Settings of walkerOS's `server-destination-api`.

    url: the http or https address; credentials in it are never shown.
    method: the method of the request.
    headers: these headers are added; their values are never shown.
    timeout: a request may take so many ms.
    transform: this is not supported, as it is JavaScript.
    """

    url: str = field(validator=web_address, repr=shown)
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    headers: dict[str, Secret] = field(default=Factory(dict), validator=sendable_headers)
    timeout: int = field(default=5_000, validator=request_timeout)
    transform: Any = field(default=None, validator=_no_javascript)
    batch: ClassVar = False
    ca_file: ClassVar = None


def _static(_: Any, __: Any, value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError(
            "must be text: a file for each event is not supported here; write a destination for"
            " each file, with mapping or consent to tell their events apart"
        )


def _paths(_: Any, __: Any, value: list[str] | None) -> None:
    for path in value or ():
        if "*" in path.split("."):
            raise ValueError(f"{path}: a path of one part, such as data.id; * is not supported")


def _columns(instance: Any, _: Any, value: Any) -> None:
    if value != "jsonl" and not getattr(instance, "fields", None):
        raise ValueError(f"{value} requires fields: the paths of the event that are its columns")


@frozen(kw_only=True)
class LinesSettings:
    """Settings of walkerOS's `server-destination-file`.

    filename: the file; a missing folder is created.
    format: `jsonl` is one event per line; `tsv` and `csv` have columns.
    fields: these paths of the event are the columns of `tsv` and `csv`.
    """

    filename: Any = field(validator=[_static, filled, names_file], metadata={"file": True})
    format: Literal["jsonl", "tsv", "csv"] = field(default="jsonl", validator=_columns)
    fields: list[str] = field(default=Factory(list), validator=_paths)
    max_bytes: ClassVar = None
    keep: ClassVar = 1
    fsync: ClassVar = False

    @property
    def path(self) -> str:
        """The file; `path` is its name in the settings of the file destination."""
        return str(self.filename)

    def line(self, event: Event) -> bytes:
        """Return the event as one line; raises Rejected for a value that JSON cannot express."""
        if self.format == "jsonl":
            return to_json(event) + b"\n"
        cells = [_cell(part_of(event, path)) for path in self.fields]
        if self.format == "tsv":
            return ("\t".join(cells) + "\n").encode()
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(cells)
        return text.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None or value is MISSING:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JavaScript has one kind of number
    return value if isinstance(value, str) else to_json(value).decode()


@frozen(kw_only=True)
class DemoSettings:
    """Settings of walkerOS's `destination-demo`.

    name: the heading of each event.
    values: only the parts at these paths of the event are shown.
    """

    name: str = "demo"
    values: list[str] | None = field(default=None, validator=_paths)
    stream: ClassVar = "stdout"

    def content(self, event: Event) -> dict[str, Any]:
        """Return the event, or the parts of it that are shown, by their paths."""
        if self.values is None:
            return event
        found = {path: part_of(event, path) for path in self.values}
        return {path: part for path, part in found.items() if part is not MISSING}

    def text(self, event: Event) -> str:
        """Return the printed text of an event."""
        shown = orjson.dumps(self.content(event), option=orjson.OPT_INDENT_2)
        return f"[{self.name}] {shown.decode()}\n"
