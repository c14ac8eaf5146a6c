"""From Kafka's errors to those that a destination raises. Pure."""

from typing import Final

from walker_collector.destinations.kafka.batch_producer import NO_ACKNOWLEDGEMENT, QUEUE_FULL
from walker_collector.errors import DestinationDown, NotAttempted, Rejected, RetryLater
from walker_collector.kafka.client_log import ClientError

_OF_A_MESSAGE: Final = frozenset(
    {"MSG_SIZE_TOO_LARGE", "INVALID_MSG_SIZE", "INVALID_RECORD", "INVALID_TIMESTAMP"}
)
"""Refusals of a message. The others that were sent with it are refused too, whatever they are."""
_CREDENTIALS: Final = "check security: username, password and mechanism, or the certificate"
_RIGHTS: Final = "give this user the right to write to the topic"
_DOWN: Final = {
    "_AUTHENTICATION": _CREDENTIALS,
    "SASL_AUTHENTICATION_FAILED": _CREDENTIALS,
    "UNSUPPORTED_SASL_MECHANISM": "set security.mechanism to one that the brokers know",
    "ILLEGAL_SASL_STATE": "set security.protocol to that of the brokers' port",
    "_SSL": "check security: protocol, caFile and certFile",
    "TOPIC_AUTHORIZATION_FAILED": _RIGHTS,
    "CLUSTER_AUTHORIZATION_FAILED": _RIGHTS,
    "UNKNOWN_TOPIC_OR_PART": "create the topic, or set topic to one that exists",
    "_UNKNOWN_TOPIC": "create the topic, or set topic to one that exists",
    "_UNKNOWN_PARTITION": "create the topic, or set topic to one that exists",
    "TOPIC_EXCEPTION": "set topic to a name that the brokers accept",
    "POLICY_VIOLATION": "the brokers' policy forbids it; ask whoever runs them",
    "UNSUPPORTED_COMPRESSION_TYPE": "set compression to one that the brokers know",
    "UNSUPPORTED_FOR_MESSAGE_FORMAT": "the topic's messages are of an old format: upgrade it",
    "INVALID_REQUIRED_ACKS": "the brokers do not take acks=all; ask whoever runs them",
}
"""Errors that a person has to mend, with the remedy."""
_NOT_REACHED: Final = (
    NO_ACKNOWLEDGEMENT,
    "_TRANSPORT",
    "_ALL_BROKERS_DOWN",
    "_PURGE",
    "_FATAL",
    "_GAPLESS",
)
"""Errors that follow from another one; names begin like this."""


def is_of_a_message(error: ClientError) -> bool:
    """Return whether an error is caused by one of the messages that were sent together."""
    return error.name in _OF_A_MESSAGE


def failure_of(
    error: ClientError,
    last: ClientError | None,
    where: str,
    timeout: float,
    missing: str = "acknowledgement",
) -> Exception:
    """Return the failure of an event, given the error of its message on the way to `where`.

    `last`: the last error of the client itself: the cause, if the brokers were not reached.
    `timeout`: the time (s) that its batch had. `missing`: what did not come in that time.
    """
    if error.name == QUEUE_FULL:
        return NotAttempted("the client's queue is full")
    if is_of_a_message(error):
        return Rejected(f"{where} refused the message: {error.text} ({error.name})")
    if error.name.startswith(_NOT_REACHED):
        if last is not None and last.name in _DOWN:
            return failure_of(last, None, where, timeout)
        because = f": {last.text}" if last else ""
        return RetryLater(f"{where}: no {missing} within {timeout:g} s{because}")
    if advice := _DOWN.get(error.name):
        return DestinationDown(f"{where}: {error.text} ({error.name}); {advice}")
    return RetryLater(f"{where}: {error.text} ({error.name})")
