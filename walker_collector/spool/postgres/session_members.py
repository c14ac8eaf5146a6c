"""The processes of a spool in PostgreSQL, for the keeper of leases."""

from walker_collector.spool.deliverer import Member
from walker_collector.spool.postgres.lease_session import LeaseSession
from walker_collector.spool.postgres.roster import in_order, read_roster
from walker_collector.spool.postgres.sessions import Database


class SessionMembers:
    """The processes of a spool, each with a session that holds a lock under its name."""

    def __init__(self, session: LeaseSession) -> None:
        self._session = session

    @property
    def token(self) -> str:
        """The name of this process among the others; "" while it has no session."""
        return self._session.token

    @property
    def version(self) -> int:
        """Another value than before: locks of the spool's database are others than before."""
        return self._session.locks_seen

    def sign(self) -> None:
        """Join anew if the session is lost."""
        self._session.ensure()

    def living(self) -> list[Member]:
        """Return the living processes, the one that came first first; delete the others."""
        return self._session.run(self._living)

    @staticmethod
    def _living(database: Database) -> list[Member]:
        roster = read_roster(database)
        if roster.dead:
            database.run("delete_members", (list(roster.dead),))
        members = roster.members.items()
        return in_order(member for token, member in members if token not in roster.leaving)

    def leave(self) -> None:
        """Take no part in sharing out leases any more, and stay a living process."""
        self._session.leave()

    def close(self) -> None:
        """End the session."""
        self._session.close()

    def abandon(self) -> None:
        """Leave the session to the parent process, in a forked child."""
        self._session.abandon()
