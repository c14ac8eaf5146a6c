"""The default consent, which holds if neither an event nor its person states anything."""

from collections.abc import Mapping
from typing import Final

from walker_collector.config import Consent
from walker_collector.spool import DefaultConsent, PeopleStore
from walker_collector.text import brief, get_logger

_SHOWN: Final = 500

logger = get_logger("walker_collector")


class CurrentDefault:
    """The default of all processes of a durable spool, or of a process alone.

    It is that of the flow, until somebody changes it. The spool has both, so that a start with
    another flow is noticed.
    """

    def __init__(self, store: PeopleStore | None, flow: Consent) -> None:
        self._store = store
        self._of_flow = dict(flow)
        self._flow: Mapping[str, bool] = self._of_flow
        """The flow's default when the current one was stored."""
        self.consent: dict[str, bool] = dict(flow)

    def changed_to(self, consent: Consent) -> DefaultConsent:
        """Return the row to store for another default."""
        return DefaultConsent(self._flow, consent)

    def from_flow(self) -> DefaultConsent | None:
        """Return the row to store if this process's flow says something new; None: the stored one
        counts.
        """
        stored = self._store.default_consent() if self._store else None
        known = stored.flow if stored else {}
        if known == self._of_flow:
            return None
        if stored:
            logger.warning(
                "collector.consent has changed: the default of all processes was %s, and is now %s",
                brief(str(dict(stored.current)), _SHOWN),
                brief(str(self._of_flow), _SHOWN),
            )
        return DefaultConsent(self._of_flow, self._of_flow)

    def show(self, default: DefaultConsent) -> None:
        """Let a default count that is stored."""
        self._flow, self.consent = default.flow, dict(default.current)

    def reread(self) -> None:
        """Let the default of the spool count, if it has one."""
        if self._store and (stored := self._store.default_consent()):
            self.show(stored)
