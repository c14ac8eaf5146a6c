"""Feeds long texts to whatever looks at those of others; run by `test_linear_time`.

What takes time by the square of a text's length takes minutes for one of these, and holds the
interpreter meanwhile: so this is a process of its own, which can be killed. Before each step it
prints what it is about to do.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

from tests.forms import form
from walker_collector.clients import retry_after
from walker_collector.events import Bounds, decode, encode, split_name
from walker_collector.flow.entry import _VERSIONED
from walker_collector.flow.parse import _ENDLESS, _LONG_KEY
from walker_collector.flow.references import ReferenceContext, resolve
from walker_collector.flow.types.environment import _WHOLE
from walker_collector.mapping.paths import delete_by_path, get_by_path, set_by_path
from walker_collector.moments import parse_ms
from walker_collector.naming import hint, join
from walker_collector.people.identity import identifiers as keys_of
from walker_collector.plugins import _PREFIX
from walker_collector.sources.file.documents import is_document, split_document
from walker_collector.sources.file.lines import parse
from walker_collector.text import describe, escaped, harmless, visible
from walker_collector.validators import HEADER_NAME, HEADER_VALUE
from walker_dest_customerio import dates, event_ids, identity, limits, responses, transport_errors
from walker_dest_customerio.sandbox import checks

LENGTH: Final = form(40_000, 100_000)
SLOW: Final = 2.0
"""Seconds of this process; what is linear takes a hundredth of it."""

ALPHABET: Final = ("a", "@", ".", " ", "\n", "0", "-", "{", '"', ",", "[", "(", "\\", "é")
BEGINNINGS: Final = ("", "a@", "cio_", "+1", "$var.a", "$env.A:")
ENDINGS: Final = ("@", "!")
PAIRS: Final = ("a.", "a@", "@.", "a ", "1-", "a_", "$v", "0,", '"a')


def texts() -> Iterator[str]:
    """Yield texts that patterns like to go back and forth in."""
    for beginning in BEGINNINGS:
        for ending in ENDINGS:
            for letter in ALPHABET:
                yield f"{beginning}{letter * LENGTH}{ending}"
            for pair in PAIRS:
                yield f"{beginning}{pair * (LENGTH // 2)}{ending}"


def _named(text: str) -> Any:
    return decode(encode({"name": "a b", "user": {"id": text}, text: text}, Bounds(32, 10**9)))


CALLS: Final[dict[str, Callable[[str], Any]]] = {
    "identifiers of a person": identity.identifiers,
    "shape of an email address": identity.is_email,
    "keys of people": lambda text: identity.person_keys({"email": text, "id": text}),
    "identity": identity.identity,
    "ULID": lambda text: event_ids.event_id({"id": text, "timestamp": 1}, text, "track"),
    "dates": lambda text: dates.with_seconds({"at": text, "later": [f"20240501T12{text}"]}),
    "times": dates.as_seconds,
    "length": lambda text: limits.is_longer(text, 150),
    "cut": lambda text: limits.cut(text, 100),
    "recipients": lambda text: limits.recipients({"to": text, "cc": text, "bcc": text}),
    "sandbox: email": checks.is_email,
    "sandbox: phone": checks.is_phone,
    "sandbox: ULID": checks.is_ulid,
    "answers: tunnel": transport_errors._TUNNEL.search,
    "answers: account": responses._ACCOUNT.search,
    "answers: messages": lambda text: responses.messages(text.encode("utf-8", "replace")),
    "core: Retry-After": lambda text: retry_after(text, 0.0),
    "core: header name": HEADER_NAME.fullmatch,
    "core: header value": HEADER_VALUE.fullmatch,
    "core: package": _VERSIONED.fullmatch,
    "core: reference": lambda text: resolve(text, ReferenceContext({}), "a"),
    "core: place": lambda text: join("a", text),
    "core: hint": lambda text: hint(text, ["customerio", "console"]),
    "core: keys of people": lambda text: keys_of({"id": text, "session": text}),
    "core: event": _named,
    "core: name": split_name,
    "core: time": parse_ms,
    "core: reason": lambda text: describe(RuntimeError(text)),
    "core: document": lambda text: is_document(text.encode("utf-8", "replace")),
    "core: values": lambda text: split_document(f"[{text}".encode("utf-8", "replace")),
    "core: variable": _WHOLE.fullmatch,
    "core: plugin": lambda text: _PREFIX.sub("", text),
    "core: line": lambda text: parse(text.encode("utf-8", "replace")),
    "core: visible": visible,
    "core: harmless": harmless,
    "core: escaped": lambda text: escaped(text, "ascii"),
    "core: dotted key": _LONG_KEY.search,
    "core: many digits": _ENDLESS.search,
    "core: path read": lambda text: get_by_path({"a": [text]}, text[:1000]),
    "core: path set": lambda text: set_by_path({"a": 1}, text[:100], text),
    "core: path deleted": lambda text: delete_by_path({"a": [text]}, text[:1000]),
}


def main() -> None:
    for name, call in CALLS.items():
        print(name, flush=True)
        for text in texts():
            began = time.process_time()
            with suppress(Exception):  # a refusal is an answer, too
                call(text)
            took = time.process_time() - began
            assert took < SLOW, f"{name}: {took:.1f} s for {text[:9]!r}...{text[-3:]!r}"


if __name__ == "__main__":
    main()
