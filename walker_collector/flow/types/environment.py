"""Convert text of the environment to the number, boolean or option that a setting expects."""

import re
from collections.abc import Iterable
from math import isfinite
from typing import Any, Final

from walker_collector.config import EnvText
from walker_collector.flow.types.place import InvalidValue

_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,18}")
_WORDS: Final = {"true": True, "yes": True, "on": True, "1": True} | {
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


def typed(text: EnvText, cls: type[Any]) -> Any:
    """Return the text as an int, a float or a bool; raises `InvalidValue`."""
    word = text.strip()
    if cls is bool and (found := _WORDS.get(word.lower())) is not None:
        return found
    if cls is int and _WHOLE.fullmatch(word):
        return int(word)
    if cls is float and (number := _number(word)) is not None:
        return number
    wanted = {bool: "true or false", int: "a whole number", float: "a number"}[cls]
    raise InvalidValue(f"expected {wanted}")


def _number(word: str) -> float | None:
    try:
        number = float(word)
    except ValueError:
        return None
    return number if isfinite(number) else None


def option(text: EnvText, options: Iterable[Any]) -> Any:
    """Return the one of several options that the text spells; None where it is none of them."""
    word = text.strip()
    for value in options:
        spelled = str(value).lower() if isinstance(value, bool) else str(value)
        if word == spelled:
            return value
    return None


def plain(raw: Any) -> Any:
    """Return a value of no particular type, with the environment's text as simple text."""
    if isinstance(raw, EnvText):
        return str(raw)
    if type(raw) is dict:
        return {key: plain(value) for key, value in raw.items()}
    if type(raw) is list:
        return [plain(value) for value in raw]
    return raw
