"""Every kind of setting there is."""

from typing import Final

from walker_collector.flow.types.classes import CLASS
from walker_collector.flow.types.containers import LIST, MAPPING, UNION
from walker_collector.flow.types.functions import CALLABLE
from walker_collector.flow.types.kind import Kind
from walker_collector.flow.types.scalars import ANYTHING, ENUM, LITERAL, SCALARS
from walker_collector.flow.types.specs import CONSENT, SPEC, VALUE

KINDS: Final[tuple[Kind, ...]] = (
    CLASS,
    LIST,
    MAPPING,
    UNION,
    LITERAL,
    SPEC,
    VALUE,
    ANYTHING,
    CONSENT,
    CALLABLE,
    *SCALARS,
    ENUM,
)
"""If several cover a type, the last counts: consent is a mapping, an enum may be a string."""
