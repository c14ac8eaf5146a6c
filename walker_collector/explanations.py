"""The explanation in a refusal of a service, as far as it may be shown.

A service may quote anything: an email address, a key, the event. Such text is data, and no line of
a log, status or list of dead letters may hold it. So an explanation keeps only words that error
messages are usually made of, and names of fields.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

import orjson

_LONGEST: Final = 300
"""Characters of one message."""
_MOST: Final = 5
"""Messages of one refusal."""
_DEPTH: Final = 4
_GAP: Final = "..."

_VOCABULARY: Final = """
    a above accept accepted access account action actual after allow allowed already an and any api
    are argument array as at attribute attributes bad base64 batch be been before below between
    blank body boolean but by bytes call can cannot change character characters client code conflict
    constraint contain contains content convert could country create currency data database date
    datetime day decimal decode default delete denied deny deprecated did digits disabled do does
    domain duplicate duplicated each email empty enabled encoding end endpoint entire entity entry
    enum error errors event events exactly exceed exceeded exceeds exist exists expected expired
    extra failed failure false field fields file files finite float for forbidden foreign form
    format found from future given greater had has have header headers here hours http id identifier
    identifiers if ignored in incorrect index input instead integer internal into invalid is it item
    items its json key keys known language large last least length less limit limited list locale
    long longer lower malformed many match maximum may member message method minimum minutes missing
    mode more most must name named names negative nested no none nonzero not null nullable number
    numeric object of off on one only operation option or order other out over page pair parameter
    parameters parse parsing part past path pattern payload per permission permitted phone positive
    prefix present price processable processed product properties property quantity query quota
    range rate reached read reason received record records reference refused region rejected request
    requests required resource result retry right row rows same schema second seconds secret see
    send sent server service set short shorter should size small something special start state
    status stored string strings subscription support supported syntax table temporarily text than
    that the their there they this time timestamp timezone title to token too total true try type
    unable unauthorized unavailable unexpected unique unit unknown unprocessable unrecognized unset
    unsupported until up update url use used user valid validate validation value values version was
    were when which while with within without wrong year years you your zero
"""
_WORDS: Final = frozenset(_VOCABULARY.split())
_LIMITS: Final = """
    0 1 2 3 5 8 10 16 20 30 32 40 50 60 64 100 120 128 150 200 250 255 256 300 500 512 1000 1024
    2000 2048 4096 5000 10000 65535 100000 1000000
"""
_NUMBERS: Final = frozenset(_LIMITS.split())
"""Usual limits."""
_PUNCTUATION: Final = "\"'`.,:;!?()[]{}<>="
_NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z_-]{0,60}[0-9]{0,3}")
_BETWEEN_WORDS: Final = re.compile(r"\[[0-9]{1,3}\]|[._/-]")

_PLACES: Final = ("field", "loc", "path", "pointer", "param", "parameter", "property", "source")
_TEXTS: Final = (
    *("message", "msg", "detail", "details", "description", "error_description", "reason"),
    *("error", "errors", "messages", "title", "code"),
)


def explanation(body: bytes, value: Any = None) -> str:
    """Return a service's explanation of a refusal on one line, "" if its body has none to show.

    `value` is the JSON value that was refused: the names of its fields may be shown, too. The body
    is JSON in a usual shape, such as `{"error": {"message": ...}}` or `{"errors": [...]}`, or a
    line of text. Words that may be data are left out: `email ... is invalid`.
    """
    words = _WORDS | set(_names_in(value))
    return listed(
        known_words(f"{place}: {text}" if place else text, words)
        for place, text in _messages_of(body)
        if known_words(text, words)
    )


def known_words(text: str, words: Collection[str], numbers: Collection[str] = _NUMBERS) -> str:
    """Return a text with gaps in place of the words that may be data, "" if it has no other."""
    kept: list[str] = []
    for word in text[:_LONGEST].split():
        bare = word.strip(_PUNCTUATION)
        if not bare or bare in numbers or _is_known(bare, words):
            kept.append(word)
        elif not kept or kept[-1] != _GAP:
            kept.append(_GAP)
    return " ".join(kept) if any(map(_has_letters, kept)) else ""


def _has_letters(word: str) -> bool:
    return any(map(str.isalnum, word))


def _is_known(word: str, words: Collection[str]) -> bool:
    """Return whether a word may be shown, or all parts of one such as `missing_field`."""
    if word in words or word.lower() in words:
        return True
    parts = [part for part in _BETWEEN_WORDS.split(word) if part]
    return len(parts) > 0 and all(part in words or part.lower() in words for part in parts)


def listed(texts: Iterable[str]) -> str:
    """Return some texts on one line, each once."""
    found = list(dict.fromkeys(filter(None, texts)))
    more = f"; and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return "; ".join(found[:_MOST]) + more


def _names_in(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield the names of fields in a JSON value, those that look like names."""
    if depth > _DEPTH:
        return
    if isinstance(value, dict):
        yield from (key for key in value if isinstance(key, str) and _NAME.fullmatch(key))
        value = list(value.values())
    if isinstance(value, list):
        for item in value[:_LONGEST]:
            yield from _names_in(item, depth + 1)


_Message = tuple[str, str]
"""A message with the place that it is about, or ""."""


def _messages_of(body: bytes) -> Iterator[_Message]:
    """Yield the messages of a response: those of JSON, or its first line of text."""
    try:
        yield from _messages(orjson.loads(body))
    except orjson.JSONDecodeError:
        text = body.decode("utf-8", "replace").strip()
        if not text.startswith(("<", "{", "[")):
            yield "", text.partition("\n")[0]


def _messages(content: Any, place: str = "", depth: int = 0) -> Iterator[_Message]:
    if isinstance(content, str):
        yield place, content
    elif depth > _DEPTH:
        return
    elif isinstance(content, list):
        for item in content[: _MOST + 1]:
            yield from _messages(item, place, depth + 1)
    elif isinstance(content, dict):
        place = _place(content) or place
        if texts := [key for key in _TEXTS if key in content]:
            for key in texts:
                yield from _messages(content[key], place, depth + 1)
            return
        # Without any of these, its keys are fields: {"price": ["must be positive"]}.
        for key in list(content)[: _MOST + 1]:
            if isinstance(content[key], list if depth == 0 else list | str):
                yield from _messages(content[key], key, depth + 1)


def _place(content: dict[str, Any]) -> str:
    """Return the field that an error names, as a path, or ""."""
    for key in _PLACES:
        found = content.get(key)
        if isinstance(found, str) and found:
            return found.strip("/#").replace("/", ".")
        if isinstance(found, dict) and (inner := _place(found)):
            return inner
        if isinstance(found, list) and found:
            return ".".join(str(step) for step in found[:_LONGEST])
    return ""
