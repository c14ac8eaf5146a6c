"""The words of an error response that may be shown. Pure.

A service may quote anything: an email address, a key, the payload. Such text is data, and no line
of a log, status or list of dead letters may hold it. So an error message keeps only words that
Customer.io's published messages are made of, and a field only if it looks like the name of one.
"""

import re
from typing import Any, Final

from walker_collector.clients import known_words

_LONGEST: Final = 300
"""Characters of a field's name."""

_VOCABULARY: Final = """
    a above accept accepted account action add add_device add_relationships address again allow
    allowed already an and android anonymous anonymous_id any app approved are array as at
    attachment attachments attribute attributes bad base base64 batch be been belongs beside
    between blank body boolean broadcast but by bytes call cannot change character characters
    cio_id cio_relationships client code conflict confirmed contain contains content could
    credentials customer customers data datacenter date day days default delete delete_device
    delete_relationships delivery demand device deny device_id disabled do does domain duplicate
    e e.164 each email empty enabled encoded encoding endpoint entire entity entry error errors
    event events exactly exceed exceeded exceeds exist expected expired failed false fault field
    file files for forbidden form format found from g greater has hash have header headers here
    http https id identified identifier identifiers identify identities if in incorrect integer
    internal invalid ios is it items its json key keys kb known language large last_used later
    least length less limit limited list long longer lower malformed many map match maximum may
    merge merge_customers message messages method minimum missing more most must name named
    names no none not null number object object_id object_type_id of off on one only operation
    operations or order organization other out over page parameter parse part pass path payload
    people per permission permitted person phone platform please positive prefix present primary
    processed push queue_draft range rate reached read reason recipient recipients region
    relationship relationships removed request requests required resource retry same schema
    screen second secondary seconds secret send send_at sending server service set short should
    size slow small something special string strings subscription suppress suppressed supported
    syntax temporarily text than that the their there this time timed timeout timestamp to token
    too total track transactional transactional_message_id true try type ulid unable
    unauthorized unavailable unexpected unix unknown unsupported unsuppress update updates url
    use used valid value values verified was were when which with without workspace wrong your
"""
_WORDS: Final = frozenset(_VOCABULARY.split())
"""Words of the messages in the API references and on the page of invalid requests."""
_NUMBERS: Final = frozenset(
    ["1", "2", "10", "15", "32", "90", "100", "150", "300", "301", "500", "1000", "2048", "100000"]
)
"""Customer.io's limits, as its messages name them."""
_ATTRIBUTE: Final = re.compile(r"[A-Za-z_$][A-Za-z_-]{0,60}[0-9]{0,3}")


def shown_words(text: str) -> str:
    """Return a message with gaps in place of words that may be data."""
    return known_words(text, _WORDS, _NUMBERS)


def field_name(value: Any) -> str:
    """Return a field that an error names, if it looks like the name of one; else nothing."""
    if not isinstance(value, str):
        return ""
    parts = value[:_LONGEST].split(".")
    is_known = all(
        part in _WORDS or (at > 0 and _ATTRIBUTE.fullmatch(part)) for at, part in enumerate(parts)
    )
    return value if is_known and value.isprintable() else ""
