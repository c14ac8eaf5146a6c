"""The ids of sent messages, by which Customer.io and its webhooks name them: for log and caller."""

from typing import Any, Final

from walker_collector import Item
from walker_dest_customerio.operations import Message

_LONGEST: Final = 200


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
        on_message_sent(delivery_id, message.part, item.event)
    except Exception as error:
        context.warn("onMessageSent raised %s", type(error).__name__)


def _may_be_shown(text: str) -> bool:
    return 0 < len(text) <= _LONGEST and text.isprintable()
