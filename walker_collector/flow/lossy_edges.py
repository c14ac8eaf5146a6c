"""Warn of flows that keep events in memory alone, though no sender would send them again."""

from collections.abc import Mapping

from walker_collector.config import CollectorConfig, DestinationEntry, SourceEntry


def warn_of_lossy_edge(
    sources: Mapping[str, SourceEntry],
    destinations: Mapping[str, DestinationEntry],
    collector: CollectorConfig,
) -> tuple[str, ...]:
    """Return a warning of sources with events that end with the process; none if there are none.

    Whoever sends events on to something durable expects that none is lost on the way.
    """
    relays = [
        id
        for id, entry in destinations.items()
        if getattr(entry.plugin, "relays", False) and not entry.config.disabled
    ]
    hasty = [
        id
        for id, entry in sources.items()
        if getattr(entry.config.settings, "acknowledge", "delivered") != "delivered"
    ]
    if collector.spool is not None or not relays or not hasty:
        return ()
    return (
        f"sources.{', sources.'.join(hasty)}: events are acknowledged while they are in memory, "
        f"and lost if the process ends before {', '.join(relays)} has sent them on; set "
        'acknowledge of the source to "delivered", or add a spool to the collector',
    )


def warn_of_lossy_worker(
    sources: Mapping[str, SourceEntry], collector: CollectorConfig
) -> tuple[str, ...]:
    """Return a warning of sources that want a spool, where there is none."""
    wanting = [
        id for id, entry in sources.items() if getattr(entry.plugin, "wants_spool", False) is True
    ]
    if collector.spool is not None or not wanting:
        return ()
    return (
        f"sources.{', sources.'.join(wanting)}: without a spool, held events, dead letters and "
        "consent are lost when the process ends, and no other process knows of them; add a spool "
        "to the collector, for processes of several machines one in PostgreSQL",
    )
