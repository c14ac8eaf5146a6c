"""Write the package of a new plugin, from the templates that come with the collector."""

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from string import Template
from typing import Final, Literal

from walker_collector.errors import ScaffoldError
from walker_collector.text import with_article
from walker_collector.version import __version__

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST: Final = 40
"""Characters of a name, at most: file, class and variable names are made of it."""
_NO_TEST: Final = """
    __test__: ClassVar = False  # pytest collects classes named Test..."""
_SUFFIX: Final = ".template"
_PACKAGE: Final = "package"
"""Folder of the template that is renamed to the new Python package."""
_COMMON: Final = "common"
"""Template of the files that all packages have."""

DestinationKind = Literal["http", "sdk", "store"]
PluginKind = Literal["destination", "source", "extension"]
_REQUIREMENTS: Final = {"http": '\n    "urllib3>=2.8",'}


def new_destination(name: str, folder: Path, kind: DestinationKind = "http") -> list[Path]:
    """Write the package of a destination to `folder`/walker-dest-NAME.

    kind: `http` sends requests, `sdk` calls the SDK of a service, `store` writes to a database.

    Returns the files written. Raises ScaffoldError for a name that no package can have, for the
    name of an installed destination, and if the package's folder exists.
    """
    return _new(name, folder, "destination", kind, "walker-dest")


def new_source(name: str, folder: Path) -> list[Path]:
    """Write the package of a source to `folder`/walker-source-NAME, as `new_destination` does."""
    return _new(name, folder, "source", "source", "walker-source")


def new_extension(name: str, folder: Path) -> list[Path]:
    """Write the package of an extension to `folder`/walker-ext-NAME, as `new_destination` does."""
    return _new(name, folder, "extension", "extension", "walker-ext")


def _new(name: str, folder: Path, kind: PluginKind, template: str, prefix: str) -> list[Path]:
    _check_name(name, kind)
    terms = _terms(name, kind, prefix) | {"requirements": _REQUIREMENTS.get(template, "")}
    target = folder / terms["distribution"]
    if target.exists():
        raise ScaffoldError(f"{target} exists already; choose another name or folder")
    return [
        _write(target / path, text)
        for source in (_COMMON, template)
        for path, text in _rendered(source, terms)
    ]


def _check_name(name: str, kind: PluginKind) -> None:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise ScaffoldError(
            f"{name!r} is no name for {with_article(kind)}: write lower-case words and digits with"
            f" a dash between, {_LONGEST} characters at most, such as my-crm"
        )
    if name in entry_points(group=f"walker_collector.{kind}s").names:
        raise ScaffoldError(
            f"{with_article(kind)} named {name} is installed already, and two of the same name"
            " cannot be used; choose another name"
        )


def _terms(name: str, kind: PluginKind, prefix: str) -> dict[str, str]:
    """Return the value of each placeholder in the templates."""
    words = name.split("-")
    cls = f"{''.join(word.capitalize() for word in words)}{kind.capitalize()}"
    return {
        "name": name,
        "kind": kind,
        "distribution": f"{prefix}-{name}",
        "module": "_".join([*prefix.split("-"), *words]),
        "cls": cls,
        "no_test": _NO_TEST if cls.startswith("Test") else "",
        "constant": "_".join(words).upper(),
        "compatible": _compatible(__version__),
    }


def _compatible(installed: str) -> str:
    """Return a requirement for the versions of the same minor as the installed one."""
    major, minor = installed.split(".")[:2]
    return f">={major}.{minor},<{major}.{int(minor) + 1}"


def _rendered(source: str, terms: Mapping[str, str]) -> Iterator[tuple[PurePosixPath, str]]:
    template = files("walker_collector") / "template" / source
    for path, file in sorted(_walk(template, PurePosixPath())):
        parts = [terms["module"] if part == _PACKAGE else part for part in path.parts]
        text = Template(file.read_text("utf-8")).substitute(terms)
        yield PurePosixPath(*parts).with_name(path.name.removesuffix(_SUFFIX)), text


def _walk(folder: Traversable, path: PurePosixPath) -> Iterator[tuple[PurePosixPath, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, path / entry.name)
        elif entry.name.endswith(_SUFFIX):
            yield path / entry.name, entry


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path
