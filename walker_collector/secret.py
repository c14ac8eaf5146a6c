"""Secrets: a type that no way of showing reveals, and the texts that are struck out elsewhere."""

import json
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, Final, NoReturn

import attrs

_SHORT: Final = 8
"""Shortest secret (characters) that is struck out of text; a shorter one may be a usual word."""
_SECRETS_MAX: Final = 1_000
"""Texts that are struck out, the latest: each text shown is searched for all of them."""
_DATABASES: Final = frozenset(
    {"postgresql", "postgres", "mysql", "mariadb", "mssql", "oracle", "mongodb", "redis"}
)
"""Schemes of URLs of databases, also with a driver after a +."""
_known: dict[str, None] = {}
"""The secrets of this process and their telling parts, the latest last."""
_secrets: tuple[str, ...] = ()
"""The same, the longest first."""


def _remember(secret: str) -> None:
    """Strike a text out of everything that is shown, logged or stored as a reason from now on."""
    global _secrets
    texts = [secret, *_telling_parts(secret)]
    quoted = [form for text in texts for form in (repr(text)[1:-1], json.dumps(text)[1:-1])]
    plain = [json.dumps(text, ensure_ascii=False)[1:-1] for text in texts]
    for text in (*texts, *quoted, *plain):
        if len(text) >= _SHORT:
            _known.pop(text, None)
            _known[text] = None
    for oldest in [*_known][:-_SECRETS_MAX]:
        _known.pop(oldest, None)
    _secrets = tuple(sorted([*_known], key=len, reverse=True))


def _telling_parts(secret: str) -> list[str]:
    """Return the parts of a secret URL that stand in messages by themselves."""
    scheme, separator, rest = secret.partition("://")
    if not separator:
        return []
    host, _, path = rest.partition("/")
    login = host.rpartition("@")[0]
    if scheme.partition("+")[0] in _DATABASES:  # the path is the database, which is no secret
        return [login, login.partition(":")[2], *path.split("?", 1)[1:]]
    return [login, path, *path.split("?", 1)]


def without_secrets(text: str) -> str:
    """Return text with the known secrets struck out."""
    for secret in _secrets:
        if secret in text:
            text = text.replace(secret, "***")
    return text


class Placeholder(str):
    """Replacement for a credential or an unset environment variable in a simulation."""

    __slots__ = ()


class Secret:
    """A text that is never shown: not by print, format, repr, logging, vars, JSON or pickle.

    It is no `str`. What is added to it is secret as well. Where text is shown or logged, or a
    reason is stored, the known secrets are struck out by their text: those of at least 8 letters.
    """

    __slots__ = ("_text", "is_placeholder")

    is_placeholder: bool
    """Whether it stands for a credential in a simulation."""

    def __init__(self, text: "str | Secret") -> None:
        of_secret = isinstance(text, Secret) and text.is_placeholder
        self.is_placeholder = of_secret or isinstance(text, Placeholder)
        self._text: str = text._text if isinstance(text, Secret) else str.__str__(text)
        if not isinstance(text, Secret | Placeholder):
            _remember(self._text)

    def reveal(self) -> str:
        """Return the text, for the one place that must send it."""
        return self._text

    def __repr__(self) -> str:
        return "'***'"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __add__(self, other: "str | Secret") -> "Secret":
        return Secret(self._text + Secret(other)._text)

    def __radd__(self, other: str) -> "Secret":
        return Secret(other + self._text)

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __getstate__(self) -> NoReturn:
        raise TypeError("a Secret is not written anywhere; pass reveal() to what must have it")

    __reduce__ = __getstate__


def revealed(value: Any) -> Any:
    """Return a value to send: the texts of the secrets stand in it."""
    if isinstance(value, Secret):
        return value.reveal()
    if type(value) is dict:
        return {key: revealed(item) for key, item in value.items()}
    if type(value) is list:
        return [revealed(item) for item in value]
    return value


def secrets_in(config: Any) -> Iterator[str]:
    """Yield the texts of the secrets of a configuration, of any length."""
    if isinstance(config, Secret):
        yield config.reveal()
    elif attrs.has(type(config)):
        for field in attrs.fields(type(config)):
            yield from secrets_in(getattr(config, field.name))
    elif isinstance(config, Mapping):
        yield from chain.from_iterable(map(secrets_in, config.values()))
    elif isinstance(config, list | tuple):
        yield from chain.from_iterable(map(secrets_in, config))


def masked(value: Any, secrets: frozenset[str]) -> Any:
    """Return a JSON value with `***` for each text that is one of `secrets`."""
    if isinstance(value, str):
        return "***" if value in secrets else value
    if isinstance(value, Mapping):
        return {key: masked(item, secrets) for key, item in value.items()}
    return [masked(item, secrets) for item in value] if isinstance(value, list | tuple) else value
