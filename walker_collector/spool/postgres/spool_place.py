"""Where a spool is in a PostgreSQL database, and its bounds."""

from typing import Literal

from attrs import field, frozen


@frozen
class Place:
    """A schema of a database, and how much may wait there.

    url: that of the database. schema: all tables of the spool are in it. lease_url: a way to the
    same database without a pooler, for the sessions that hold leases; None: `url` is one.
    sync: `normal` commits as the server is configured to, `full` waits for its disk in any case.
    """

    url: str = field(repr=False)
    schema: str = "walker"
    lease_url: str | None = field(default=None, repr=False)
    max_events: int = 10_000_000
    max_bytes: int = 10_000_000_000
    sync: Literal["normal", "full"] = "normal"

    @property
    def direct_url(self) -> str:
        """The way to the database that has no pooler."""
        return self.lease_url or self.url
