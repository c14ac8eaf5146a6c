"""From plain JSON values to attrs classes: strict, and with every mistake collected.

Nothing is coerced: a number is not a string and a string is not a boolean. Keys are read in
camelCase and snake_case; an unknown one is a mistake, because a mapping that is silently not
applied is worse than none.
"""

from walker_collector.flow.types.classes import SHORT_FORM, SYNONYMS, disk_key
from walker_collector.flow.types.converter import converter, structure, structure_or_raise
from walker_collector.flow.types.functions import (
    CODE_ADVICE,
    CODE_PREFIX,
    load_callable,
    without_imports,
)

__all__ = [
    "CODE_ADVICE",
    "CODE_PREFIX",
    "SHORT_FORM",
    "SYNONYMS",
    "converter",
    "disk_key",
    "load_callable",
    "structure",
    "structure_or_raise",
    "without_imports",
]
