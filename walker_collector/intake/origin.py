"""The origins of events: the process itself, or a source."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from attrs import frozen

from walker_collector.config import FlowConfig
from walker_collector.events import UnreadEvent
from walker_collector.hookspecs import Received
from walker_collector.intake.steps import Steps, compile_steps
from walker_collector.spool import RECENT, Position


@frozen
class Origin:
    """The origin of events, and the treatment of its events.

    steps: the steps that they pass first; None: there are none.
    recent: the time (ms) for which the ids that they come with are remembered; 0: they are not.
    corrects_times: whether an event at an impossible time gets the time of its receipt, and is not
        refused.
    as_of: the number of erasures when its events were read. After another one they are not
        accepted (Overtaken), and have to be read anew. None: erasures do not reach them.
    """

    steps: Steps | None = None
    recent: int = 0
    corrects_times: bool = False
    as_of: int | None = None


class Placed(NamedTuple):
    """An event or command of a file, with the position after it; None: the position alone."""

    event: Mapping[str, Any] | UnreadEvent | None
    position: Position


class Posted(NamedTuple):
    """An event or command of the outbox, with the stamp of its push."""

    event: Mapping[str, Any]
    at: int


PROCESS: Final = Origin()
ITSELF: Final = Received({})
"""The process itself, as a sender."""


def origins_of(flow: FlowConfig) -> dict[str | None, Origin]:
    """Return the origins of a flow by the ids of its sources; None: a source outside of it."""
    given = flow.collector.recent
    recent = RECENT if given is None else given
    origins: dict[str | None, Origin] = {
        id: Origin(
            compile_steps(entry.config), recent, getattr(entry.plugin, "corrects_times", True)
        )
        for id, entry in flow.sources.items()
    }
    return {**origins, None: Origin(recent=recent, corrects_times=True)}
