"""The table of live figures and samples, from the processes of a spool to its viewers."""

from collections.abc import Sequence
from typing import Final, Protocol

SAMPLES_MAX: Final = 500
"""Samples that the table keeps, the latest ones."""


class SampleTable(Protocol):
    """Figures and masked samples of the processes of a spool, while it has viewers.

    Times are in ms since 1970. Mostly there are no viewers, and then it is empty. Each method
    raises SpoolError.
    """

    def watch(self, viewer: str, until: int) -> None:
        """Note the end of a viewer's watch; 0: it has ended."""

    def watched_until(self) -> int:
        """Return the end of the last watch; 0: there is none. Asked once a second."""

    def publish(self, process: str, at: int, figures: str, samples: Sequence[str]) -> None:
        """Write the figures of a process, in place of its earlier ones, and add samples."""

    def figures(self, since: int) -> dict[str, str]:
        """Return the figures of each process that has published them since a time."""

    def samples(self, after: int) -> list[tuple[int, str]]:
        """Return the samples that are kept and numbered above `after`, in order."""

    def newest(self) -> int:
        """Return the number of the last sample; 0: there is none."""

    def clear(self) -> None:
        """Delete all figures and samples."""
