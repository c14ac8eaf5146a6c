"""Order, losses and doubles, read from what the emulator accepted.

Events are numbered in the order of push: `data["n"]`, of a message `message_data["n"]`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable

from tests.emulator.requests import Operation


def number_of(operation: Operation) -> int | None:
    """Return the number of the event that an operation was made from."""
    found = operation.data.get("n", operation.data.get("message_data", {}).get("n"))
    return None if found is None else int(found)


def first_arrivals(operations: Iterable[Operation], action: str = "event") -> dict[str, list[int]]:
    """Return each person's numbers in the order in which they were first accepted."""
    seen: set[tuple[str, int]] = set()
    found: dict[str, list[int]] = defaultdict(list)
    for operation in operations:
        number = number_of(operation)
        key = (operation.person, number or 0)
        if operation.action == action and number is not None and key not in seen:
            seen.add(key)
            found[operation.person].append(number)
    return found


def inversions(operations: Iterable[Operation], action: str = "event") -> list[str]:
    """Name each event that came after a later one of its person."""
    found = []
    for person, numbers in first_arrivals(operations, action).items():
        latest = -1
        for number in numbers:
            if number < latest:
                found.append(f"{person}: {number} after {latest}")
            latest = max(latest, number)
    return found


def doubles(operations: Iterable[Operation]) -> list[str]:
    """Name each event that came with two ids, and each message that came twice."""
    ulids: dict[tuple[str, int | None], set[str | None]] = defaultdict(set)
    messages: Counter[tuple[str, int | None]] = Counter()
    for operation in operations:
        key = (operation.action, number_of(operation))
        if operation.action.startswith("send_"):
            messages[key] += 1
        elif operation.ulid is not None:
            ulids[key].add(operation.ulid)
    several = {key: f"{len(found)} ids" for key, found in ulids.items() if len(found) > 1}
    twice = {key: f"{count} times" for key, count in messages.items() if count > 1}
    return [f"{action} {n}: {what}" for (action, n), what in {**several, **twice}.items()]


def numbers(operations: Iterable[Operation], action: str = "event") -> set[int]:
    """Return the numbers that arrived."""
    return {n for arrived in first_arrivals(operations, action).values() for n in arrived}
