"""Who granted what: the decision for an event, and the ledger of what people said."""

from collections.abc import Mapping
from typing import Any

from walker_collector.config import Consent


def grants(required: Consent | None, state: Mapping[str, Any], mode: str = "any") -> bool:
    """Tell whether `state` satisfies `required`.

    Any one of the required keys is enough (walkerOS's rule); `mode="all"` wants every key.
    No requirement, or an empty one, is always satisfied. A key required as false can't be met.
    """
    if not required:
        return True
    met = (wanted and state.get(key) for key, wanted in required.items())
    return bool(all(met) if mode == "all" else any(met))
