"""Resolve references inside a flow file: `$env.NAME`, `$secret.NAME` and `$var.name`.

The grammar is walkerOS's (core, references.ts): a dot walks, a colon starts a literal. A
reference that is a whole string keeps the type of what it names, and the text of the environment
becomes the number or boolean that its place wants; inside a string it is written into it.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import Factory, define, frozen

from walker_collector.config import EnvText, Placeholder, Secret, Unset
from walker_collector.errors import Problem
from walker_collector.flow.source_file import Unreadable, read_bounded
from walker_collector.flow.types import CODE_ADVICE, CODE_PREFIX
from walker_collector.naming import hint, join, kind

_NAME = r"[a-zA-Z_][a-zA-Z0-9_]*"
_PATH = rf"{_NAME}(?:\.{_NAME})*"
_ONLY_VAR: Final = re.compile(rf"\$var\.({_PATH})")
_ONLY_ENV: Final = re.compile(rf"\$env\.(?P<env>{_NAME})(?::(?P<default>[^\"}}\s]*))?")
_ONLY_SECRET: Final = re.compile(r"\$secret\.([A-Z0-9_]+)")
_INLINE: Final = re.compile(
    rf"\$var\.(?P<var>{_PATH})|\$env\.(?P<env>{_NAME})(?::(?P<default>[^\"}}\s]*))?"
)
_DEFAULT: Final = re.compile(rf"\$env\.{_NAME}:")
_DEEPEST: Final = 60
_DEFAULTS: Final = 10
"""Levels of defaults: each is read with all that are nested in it."""
_LARGEST: Final = 50_000
_LONGEST: Final = 10_000_000
_SECRET_MAX: Final = 100_000
"""Bytes of a file that holds a secret."""
STAND_IN: Final = Placeholder("simulated")

_CALLABLES: Final = ("fn", "condition", "validate")
_UNSUPPORTED: Final = {
    "$contract.": "contracts are not evaluated here; write the value itself",
    "$flow.": "other flows cannot be referred to here; write the value itself, or a variable",
    "$store.": "stores are not run here; give the value through code, or leave the key out",
}

_WHOLE_SECRET: Final = (
    "a secret is the whole string, with its name in capitals: $secret.NAME; inside a text write"
    " $env.NAME"
)


@frozen
class ReferenceContext:
    """Environment and variables for references.

    With `lenient`, a placeholder replaces an unset name, which is no problem then.
    """

    environ: Mapping[str, str]
    variables: Mapping[str, Any] = Factory(dict)
    lenient: bool = False

    def with_variables(self, inner: Mapping[str, Any] | None) -> "ReferenceContext":
        """Return this context with more variables; the inner ones win."""
        merged = {**self.variables, **(inner or {})}
        return ReferenceContext(self.environ, merged, self.lenient)


def resolve(raw: Any, context: ReferenceContext, path: str = "") -> tuple[Any, list[Problem]]:
    """Return `raw` with every reference replaced, and a problem for each that could not be.

    A reference with a problem is replaced by a placeholder, so that the rest can be checked.
    """
    resolver = _Resolver(context)
    try:
        return resolver.value(raw, path), resolver.problems
    except _TooLarge as error:
        message = (
            f"variables make more of it than {_LARGEST:,} values, {_LONGEST:,} characters or"
            f" {_DEEPEST} levels"
        )
        nothing: Any = {} if isinstance(raw, Mapping) else STAND_IN
        return nothing, [*resolver.problems, Problem(str(error), message)]


_FOREIGN: Final = re.compile(
    r"\$[A-Z_][A-Z0-9_]+|\$ENV\.\w+|\$\{\s*\w+\s*\}|\$?\{\{[^{}]*\}\}|(?:process\.)?env\.\w+", re.A
)


def foreign_references(raw: Any, path: str) -> Iterator[str]:
    """Yield a warning for each setting that is a variable in the spelling of other tools."""
    settings = raw.get("settings") if isinstance(raw, Mapping) else None
    for key, value in settings.items() if isinstance(settings, Mapping) else ():
        if isinstance(value, str) and _FOREIGN.fullmatch(value):
            place = join(path, "settings", key)
            yield f"{place}: is used as it stands; a variable of the environment is $env.NAME"


class _TooLarge(Exception):
    """Variables that refer to each other grow without end; the text is the place."""


def _advice_on_code(path: str) -> str:
    """Return the advice on JavaScript: by its place write a function, or a value."""
    if path.endswith(tuple(f".{key}" for key in _CALLABLES)):
        return CODE_ADVICE
    if path.startswith("destinations."):
        return f'{CODE_ADVICE}, as {{"fn": "module:name"}} where a mapping takes a value'
    return "JavaScript ($code:) cannot run here; write the value itself"


@define
class _Resolver:
    context: ReferenceContext
    problems: list[Problem] = Factory(list)
    visiting: tuple[str, ...] = ()
    values: int = 0
    length: int = 0
    depth: int = 0

    def value(self, raw: Any, path: str) -> Any:
        self.values += bool(self.visiting)
        if self.values > _LARGEST or self.length > _LONGEST or self.depth > _DEEPEST:
            raise _TooLarge(path)
        if isinstance(raw, str):
            return self.text(raw, path) if "$" in raw else raw
        if not isinstance(raw, Mapping | list | tuple):
            return raw
        self.depth += 1
        items = raw.items() if isinstance(raw, Mapping) else enumerate(raw)
        found = {key: self.value(value, join(path, key)) for key, value in items}
        self.depth -= 1
        return found if isinstance(raw, Mapping) else list(found.values())

    def text(self, raw: str, path: str) -> Any:
        if raw.startswith(CODE_PREFIX):
            return self.fail(path, _advice_on_code(path))
        for prefix, advice in _UNSUPPORTED.items():
            if raw.startswith(prefix):
                return self.fail(path, advice)
        if match := _ONLY_ENV.fullmatch(raw):
            return self.whole_env(match, path)
        if match := _ONLY_VAR.fullmatch(raw):
            return self.variable(match[1], path)
        if match := _ONLY_SECRET.fullmatch(raw):
            return self.secret(match[1], path)
        if "$secret." in raw:
            return self.fail(path, _WHOLE_SECRET)
        return self.inline(raw, path)

    def inline(self, raw: str, path: str) -> str | Secret:
        found: list[Any] = []

        def replaced(match: re.Match[str]) -> str:
            part = self.scalar(match["var"], path) if match["var"] else self.env(match, path)
            found.append(part)
            return part.reveal() if isinstance(part, Secret) else str.__str__(part)

        text = _INLINE.sub(replaced, raw)
        self.length += len(text)
        secret = any(isinstance(part, Secret) for part in found)
        stood_in = any(isinstance(part, Placeholder) for part in found)
        return Secret(text) if secret else Placeholder(text) if stood_in else text

    def whole_env(self, match: re.Match[str], path: str) -> str | Secret:
        name = match["env"]
        text = self.env(match, path)
        if name not in self.context.environ and match["default"] is None:
            return text if self.context.lenient or isinstance(text, Secret) else Unset(text)
        if isinstance(text, Secret | Placeholder):
            return text
        return EnvText(text, name, is_default=name not in self.context.environ)

    def env(self, match: re.Match[str], path: str) -> str | Secret:
        name, default = match["env"], match["default"]
        if name in self.context.environ:
            return self.from_environment(name, path)
        if default is not None and len(_DEFAULT.findall(default)) >= _DEFAULTS:
            return self.fail(path, f"defaults of $env nested more than {_DEFAULTS} levels deep")
        if default is not None:
            return self.inline(default, path)
        advice = f"set it, or write a default: $env.{name}:default"
        return self.unset(path, f"environment variable {name} is not set; {advice}")

    def secret(self, name: str, path: str) -> str | Secret:
        environ = self.context.environ
        if name in environ:
            text = self.from_environment(name, path)
            return text if isinstance(text, Placeholder) else Secret(text)
        file = environ.get(f"{name}_FILE")
        if file is None:
            advice = f"set the environment variable {name}, or {name}_FILE to a file that holds it"
            return self.unset(path, f"secret {name} is not set; {advice}")
        try:
            body = read_bounded(Path(file), _SECRET_MAX, pipes=False)
            return Secret(body.decode("utf-8-sig").rstrip("\r\n"))
        except (Unreadable, UnicodeDecodeError) as error:
            reason = error if isinstance(error, Unreadable) else "not UTF-8 text"
            return self.unset(path, f"secret {name}: cannot read {file} ({name}_FILE): {reason}")

    def from_environment(self, name: str, path: str) -> str:
        text = self.context.environ[name]
        try:
            text.encode()
        except UnicodeEncodeError:  # bytes that are no UTF-8, which no event can have
            return self.fail(path, f"environment variable {name} is not valid UTF-8")
        return text

    def scalar(self, reference: str, path: str) -> str | Secret:
        value = self.variable(reference, path)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return f"{value:.0f}" if value == int(value) else str(value)
        if isinstance(value, str | Secret):
            return value
        advice = f'use it as a whole string: "$var.{reference}"'
        return self.fail(path, f"$var.{reference} is {kind(value)}, inside a string; {advice}")

    def variable(self, reference: str, path: str) -> Any:
        name, *deep = reference.split(".")
        variables = self.context.variables
        if name not in variables:
            advice = "define it under variables" + hint(name, variables, "defined")
            return self.fail(path, f"variable {name} is not defined; {advice}")
        if name in self.visiting:
            chain = " -> ".join([*self.visiting, name])
            return self.fail(path, f"variables refer to each other in a circle: {chain}")
        if len(self.visiting) >= _DEEPEST:
            raise _TooLarge(path)
        outer, self.visiting = self.visiting, (*self.visiting, name)
        value = self.value(variables[name], path)
        self.visiting = outer
        for key in deep:
            if not isinstance(value, Mapping) or key not in value:
                return self.fail(path, f"$var.{reference}: there is no {key} in variable {name}")
            value = value[key]
        return value

    def unset(self, path: str, message: str) -> str:
        return STAND_IN if self.context.lenient else self.fail(path, message)

    def fail(self, path: str, message: str) -> Placeholder:
        self.problems.append(Problem(path, message))
        return STAND_IN
