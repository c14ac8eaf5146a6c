"""The inspector: a look into a collector that is at work.

`app` makes its page, as an ASGI application; `sampler` and `overview` have the same as plain data.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from walker_collector.collector import Collector
    from walker_collector.figures import Figures
    from walker_collector.inspector.web import Inspector

__all__ = ["app"]


def app(
    collector: "Collector",
    *,
    token: str | None = None,
    show_values: bool = False,
    remote: bool = False,
    figures: "Figures | None" = None,
) -> "Inspector":
    """Return the page about a collector at work, as an ASGI application to be mounted.

    token: who has it may look, replay and delete dead letters, and erase people; of 16 characters
        or more. None makes a new one, which the result has as `token`. The page takes it from the
        fragment of its address, `/inspect/#token=...`, which no server and no log gets to see.
    show_values: whether the page may show values of events, which are masked otherwise.
    remote: whether it answers other machines too, and proxies; else the machine itself alone.
    figures: those of the sources beside it.

    Raises ConfigError for a short token. Nothing is recorded while nobody looks.
    """
    # Imported here: commands use other modules of this package, and need no page.
    import secrets

    from walker_collector.inspector.guard import Guard
    from walker_collector.inspector.live import Live
    from walker_collector.inspector.web import Inspector

    live = Live(collector, figures, keep_values=show_values)
    guard = Guard(secrets.token_urlsafe() if token is None else token, remote=remote)
    return Inspector(collector, guard, live, show_values=show_values)
