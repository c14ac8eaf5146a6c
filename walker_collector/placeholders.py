"""Values that stand for others: none at all, an unset variable, the text of the environment."""

from typing import Final

from walker_collector.secret import Placeholder


class Missing:
    """The type of MISSING: no value at all, as distinct from None (JSON null)."""

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False

    def __reduce__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()


class Unset(Placeholder):
    """Placeholder for a whole value `$env.NAME` that is not set and has no default."""

    __slots__ = ()


class EnvText(str):
    """A whole value `$env.NAME`: it becomes the number or boolean that its place wants."""

    name: str

    def __new__(cls, text: str, name: str) -> "EnvText":
        made = super().__new__(cls, text)
        made.name = name
        return made
