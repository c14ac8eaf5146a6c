"""The names of commands, which come among events and take effect in their place."""

from typing import Any, Final

COMMANDS: Final = frozenset({"walker consent", "walker user", "walker globals"})


def is_command(name: Any) -> bool:
    """Return whether this is the name of a command."""
    # Of a subclass of str only its text counts, whatever its methods say.
    return isinstance(name, str) and str.__str__(name) in COMMANDS
