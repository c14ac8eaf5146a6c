"""Values that stand for others: none at all, an unset variable, the text of the environment."""

import re
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


_SHOWN: Final = 16
"""Characters of a text that is shown: a number or a word has fewer, a credential has more."""
_CREDENTIAL: Final = re.compile(r"key|token|secret|pass|pwd|auth|cred", re.I)


class EnvText(str):
    """A whole value `$env.NAME`: it becomes the number or boolean that its place wants.

    name: of the variable. is_default: the text is the default that the reference has.
    """

    name: str
    is_default: bool

    def __new__(cls, text: str, name: str, is_default: bool = False) -> "EnvText":
        made = super().__new__(cls, text)
        made.name = name
        made.is_default = is_default
        return made

    def origin(self, *, shown: bool) -> str:
        """Return the variable and, where it may be `shown`, its text.

        Long text, and a variable with the name of a credential, may be a secret in a wrong place.
        """
        if not shown or len(self) > _SHOWN or _CREDENTIAL.search(self.name):
            return f"from {'the default of $env.' if self.is_default else '$env.'}{self.name}"
        text = f'"{str.__str__(self)}"'
        if self.is_default:
            return f"the default of $env.{self.name} is {text}"
        return f"environment variable {self.name} holds {text}"
