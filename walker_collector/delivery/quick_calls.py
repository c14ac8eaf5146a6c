"""The number of calls that share a claim and an acknowledgement: several, while calls are quick."""

from typing import Final

_QUICK: Final = 0.005
"""Seconds that all calls of a batch took: whoever waits for their end does not notice them."""
_MOST: Final = 4
"""Calls of one batch. After a crash of the process, all of them may be repeated."""


class QuickCalls:
    """The calls that the next batch is for, by the time that those of the last one took.

    A claim and an acknowledgement take as long as the delivery of a hundred events to a destination
    that answers at once. One whose calls take a while gets a batch for each.
    """

    def __init__(self) -> None:
        self.count = 1

    def note(self, seconds: float) -> None:
        """Note the time that all calls of a batch took."""
        self.count = min(2 * self.count, _MOST) if seconds < _QUICK else 1

    def end(self) -> None:
        """Have the next batch be for one call: not all of this one were made."""
        self.count = 1

    @staticmethod
    def are_slow(seconds: float) -> bool:
        """Return whether calls that took this long are slow, so that others are not to wait."""
        return seconds >= _QUICK
