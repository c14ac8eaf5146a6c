"""The ids of sent messages, by which Customer.io and its webhooks name them: for log and caller."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any, Final

from walker_collector import Item
from walker_dest_customerio.operations import Message
from walker_dest_customerio.settings import Settings

_LONGEST: Final = 200


def check_listener(settings: Settings) -> Iterable[tuple[str, str]]:
    """Yield path and message for an `onMessageSent` that cannot be called for a message."""
    function = settings.on_message_sent
    problem = None if function is None else _problem(function)
    if problem is not None:
        yield "settings.onMessageSent", problem


def _problem(function: Callable[..., object]) -> str | None:
    if any(map(inspect.iscoroutinefunction, (function, type(function).__call__))):
        return "is async, and would never run; it must be a plain function"
    try:
        signature = inspect.signature(function)
    except ValueError:  # some built-ins have none
        return None
    try:
        signature.bind("delivery_id", "message", {})
    except TypeError:
        return f"must take (delivery_id, message, event), not {signature}"
    return None


def report(item: Item, message: Message, answer: Any) -> None:
    """Log the delivery id in the App API's answer to a message, and pass it to `onMessageSent`.

    The message is sent, whatever the function does: its exception is logged by its type alone, as
    its text may hold personal data.
    """
    delivery_id = answer.get("delivery_id") if isinstance(answer, dict) else None
    if not isinstance(delivery_id, str) or not _may_be_shown(delivery_id):
        return
    context = item.context.destination
    context.logger.info("event %s: %s is %s", item.event.get("id"), message.part, delivery_id)
    on_message_sent = context.settings.on_message_sent
    if on_message_sent is None:
        return
    try:
        result = on_message_sent(delivery_id, message.part, item.event)
        failure = "returned a coroutine, which is not run" if _closed(result) else ""
    except Exception as error:
        failure = f"raised {type(error).__name__}"
    if failure:
        context.warn(
            "destination %s: event %s: onMessageSent %s; %s is sent, as %s",
            context.id,
            item.event.get("id"),
            failure,
            message.part,
            delivery_id,
        )


def _closed(result: object) -> bool:
    """Close a coroutine, or Python warns that nobody awaits it; return whether it is one."""
    if not inspect.iscoroutine(result):
        return False
    result.close()
    return True


def _may_be_shown(text: str) -> bool:
    return 0 < len(text) <= _LONGEST and text.isprintable()
