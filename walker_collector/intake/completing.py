"""Completion: the parts of an event that decide on it, and its JSON."""

from collections.abc import Mapping
from typing import Any

from walker_collector.events import (
    CONSENT_AT,
    UNTRUSTED,
    Bounds,
    Defaults,
    UnreadEvent,
    complete,
    complete_plain,
    complete_unread,
    encode,
    may_be_misnamed,
    whole,
)
from walker_collector.hookspecs import Received
from walker_collector.intake.origin import ITSELF
from walker_collector.intake.reading import blamed


class Completion:
    """Completes events, in the quickest way that their form allows.

    `began` (ms) is the start that their `timing` counts from; None: that is always 0.
    """

    def __init__(self, defaults: Defaults, bounds: Bounds, began: int | None) -> None:
        self._defaults = defaults
        self._bounds = bounds
        self._began = began

    def of(
        self, raw: Mapping[str, Any] | UnreadEvent, sender: Received, now: int
    ) -> tuple[Mapping[str, Any], bytes]:
        """Return the parts of a complete event that decide on it, with its JSON.

        Raises EventError.
        """
        timing = 0.0 if self._began is None else (now - self._began) // 10 / 100
        done = None
        if type(raw) is dict and not (sender.limited or sender.learn):
            try:
                done = complete_plain(raw, now, timing, self._defaults, self._bounds)
            except Exception as error:
                raise self._blamed(error, raw, now) from None
        elif type(raw) is UnreadEvent:
            stated_by = _latest(sender, now) if sender.learn else None
            done = complete_unread(
                raw, now, timing, self._defaults, self._bounds, sender.limited, stated_by
            )
        if done is None:
            return self._built(whole(raw), sender, now, timing)
        if sender is ITSELF and may_be_misnamed(user := done[0]["user"]):
            self._defaults.on_misnamed(user)
        return done

    def _built(
        self, raw: Mapping[str, Any], sender: Received, now: int, timing: float
    ) -> tuple[Mapping[str, Any], bytes]:
        """Return a complete event with its JSON; raises EventError."""
        try:
            event = complete(raw, now, timing, self._defaults)
            _mark(event, sender, now)
            if sender is ITSELF and may_be_misnamed(event["user"]):
                self._defaults.on_misnamed(event["user"])
            return event, encode(event, self._bounds, raw)
        except Exception as error:
            raise self._blamed(error, raw, now) from None

    def _blamed(self, error: Exception, raw: Mapping[str, Any], now: int) -> Exception:
        return blamed(error, lambda: encode(complete(raw, now, 0.0, self._defaults), self._bounds))


def _mark(event: dict[str, Any], sender: Received, now: int) -> None:
    """Mark an event: its sender is not trusted, or its consent is everything granted."""
    if sender.limited:
        event[UNTRUSTED] = True
    if sender.learn and type(event.get("consent")) is dict:
        event[CONSENT_AT] = min(event["timestamp"] * 1_000, _latest(sender, now))


def _latest(sender: Received, now: int) -> int:
    """Return the latest stamp that the consent of an event may have."""
    return now * 1_000 if sender.stated_at is None else min(sender.stated_at, now * 1_000)
