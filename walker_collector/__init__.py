"""A Python event collector for servers: the public names, which `public` lists."""

from typing import TYPE_CHECKING

from walker_collector.lazy import names_of
from walker_collector.version import __version__ as __version__

if TYPE_CHECKING:
    from walker_collector.public import *
else:
    __getattr__, __dir__ = names_of(
        __name__, "walker_collector.public", first="walker_collector.application"
    )
