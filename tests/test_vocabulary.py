"""One word for one thing, and docstrings that name an object and a verb."""

import ast
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import chain, groupby
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
PACKAGES: Final = ("walker_collector", "walker_dest_customerio")

NAMES: Final = {
    # delivery
    "Lane": "DestinationWorker",
    "Backlog": "PendingEvents, or StoredCounts for figures of a spool",
    "PersonQueue": "KeyedQueue",
    "HeldEvents": "ConsentHold",
    "Verdict": "Disposition",
    "verdict": "dispose",
    "Throttle": "LogLimiter",
    "Pace": "RateLimiter",
    "RateLimit": "RateLimiter",
    "flying": "in_flight",
    "thawed": "on_refill_resumed",
    "tidy": "expire",
    "untidy": "needs_maintenance",
    "_frozen": "refill_paused",
    "_unsettled": "unacked",
    "_stir": "_notify_worker",
    "_turn": "_acquire_rate_limit",
    "_share": "_batch_size",
    "_again": "_retry_or_give_up",
    "_answer_blocked": "answer_blocked",
    # people
    "Ledger": "ConsentStore or IdentityGraph",
    "Said": "ConsentSnapshot",
    "Told": "ConsentRecord",
    "tell": "record_consent",
    "told": "consent_of",
    "any_told": "has_consent",
    "meet": "identify",
    "known_as": "all_keys",
    "_recognise": "_lookup",
    "_introduce": "_link",
    "_join": "_merge",
    "_point": "_set_alias",
    "_file": "_cache_alias",
    "owe": "schedule_erasure",
    "owed": "pending_erasures",
    "forgotten": "on_erased",
    "Forgotten": "Erased",
    # spool
    "bury": "delete_dead",
    "revive": "requeue",
    "Change": "SpoolUpdate",
    "Offer": "OnCommitted",
    "offer": "enqueue",
    "Record": "NewEvent",
    "Run": "EntryRun",
    "Stored": "StoredEntry",
    "Attempt": "DeliveryState",
    "audience": "subscribers",
    # configuration, plugins, mapping
    "Door": "InFlight",
    "Surroundings": "ReferenceContext",
    "Findings": "Diagnostics",
    "Unfit": "InvalidValue",
    "Connected": "Hooks",
    "_Seat": "_PluginProxy",
    "asks": "uses_scope",
    "isolate": "guarded",
    "duplicate": "copy_json",
    "walk": "read_path",
    # command line and kit
    "collect_seldom": "relax_gc",
    "Patience": "StallDetector",
    "Stop": "StopSignal",
    "Feed": "EventReader",
    "hurry": "flush_or_fail",
    "needed": "require",
    "breaking": "fault",
    # Customer.io
    "People": "IdentifyCache",
    "Known": "IdentifyMemory",
    "Draft": "Overlay",
    "recall": "get",
    "remember": "put",
    "once": "at_most_once",
    "Untaken": "NotProcessed",
    "NoAnswer": "NoResponse",
    "Refused": "RequestRejected",
    "NotNow": "ServiceUnavailable",
    "_halves": "_bisect",
    "waves": "stages",
    "stamp": "identify_timestamp",
    "_Recipe": "CompiledRule",
    "Line": "ClientOptions",
    "rehearse": "simulate",
    "_rehearse": "_simulate",
    "said": "statements, stated, messages",
    "meanwhile": "since",
    "untaken": "not_processed",
}
"""Names of modules, classes, functions and attributes that have a better one."""

SPACE: Final = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
"""Tokens that do not part the lines of a comment."""

PLAIN: Final = {"stamp", "needed"}
"""Names that are the right ones for a parameter or a local variable."""

PUBLIC: Final = {"bury": "walker_collector/collector.py"}
"""Names that stay where applications use them."""

MODULES: Final = {
    "lane": "worker",
    "backlog": "pending",
    "verdict": "outcome",
    "throttle": "log_limiter",
    "door": "in_flight",
    "statements": "commands",
    "findings": "diagnostics",
    "places": "place",
    "generated": "codegen",
    "garbage": "run",
    "patience": "drain",
    "stopping": "signals",
    "feed": "reader",
    "rehearsal": "simulate",
    "clock": "output",
    "once": "at_most_once",
    "answers": "responses",
}

WORDS: Final = {
    "lane": "worker",
    "backlog": "pending events",
    "ledger": "consent store, identity graph",
    "verdict": "disposition, outcome",
    "throttle": "rate limit, log limiter",
    "seat": "proxy",
    "by now": "now, or nothing",
    "meanwhile": "the time itself: inside the block, since then, in between",
    "at last": "finally, or nothing",
    "done with": "finished, acknowledged, removed",
    "such as are": "a relative clause with its noun",
    "none in use": "the same without a negation",
    "turns out to be": "an identity merge, re-keyed",
    "turned out to be": "an identity merge, re-keyed",
    "turn out to be": "an identity merge, re-keyed",
}
"""Words and turns of phrase in docstrings, and what says it plainly."""

CLAUSE: Final = re.compile(r"\b(what|who|whom|whose|whatever|whoever)\b", re.IGNORECASE)
CLAUSES_MAX: Final = 0.008

TWICE: Final = {
    "walker_collector": set[str](),
    "walker_dest_customerio": set[str](),
}
"""File names that stand twice inside one package still."""


def rooms(package: str) -> list[str]:
    """The files and folders of a package that are rooms, as paths below the repository."""
    return sorted(
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / package).iterdir()
        if path.suffix == ".py" or any(path.rglob("*.py"))
    )


ROOMS: Final = [room for package in PACKAGES for room in rooms(package)]


@cache
def modules(room: str) -> list[tuple[str, ast.Module]]:
    """Path and syntax tree of every module in a room."""
    path = ROOT / room
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    return [(f.relative_to(ROOT).as_posix(), ast.parse(f.read_text("utf-8"))) for f in files]


def docstrings(tree: ast.Module) -> Iterator[str]:
    """Docstrings of a module, its classes and functions, and texts below assignments."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield text
            for before, after in zip(node.body, node.body[1:], strict=False):
                if isinstance(before, ast.Assign | ast.AnnAssign) and isinstance(after, ast.Expr):
                    value = after.value
                    if isinstance(value, ast.Constant) and isinstance(value.value, str):
                        yield value.value


def first_sentence(text: str) -> str:
    """The first sentence of a docstring, on one line."""
    return re.split(r"(?<=[.!?])\s", " ".join(text.split("\n\n")[0].split()))[0]


def names(tree: ast.Module) -> Iterator[str]:
    """Names of classes, functions, attributes and module constants that a module defines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        if isinstance(node, ast.Module | ast.ClassDef):
            for item in node.body:
                targets = item.targets if isinstance(item, ast.Assign) else []
                targets = [item.target] if isinstance(item, ast.AnnAssign) else targets
                yield from (target.id for target in targets if isinstance(target, ast.Name))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def local_names(tree: ast.Module) -> Iterator[str]:
    """Names of parameters and local variables, but for those that are plain words."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            found = node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found = node.id
        else:
            continue
        if found not in PLAIN:
            yield found


def comments(path: str) -> Iterator[str]:
    """Comments of a module; those on lines that follow each other are one."""
    with (ROOT / path).open(encoding="utf-8") as source:
        tokens = [t for t in tokenize.generate_tokens(source.readline) if t.type not in SPACE]
    for is_comment, group in groupby(tokens, lambda token: token.type == tokenize.COMMENT):
        if is_comment:
            yield " ".join(token.string.lstrip("# ") for token in group)


def faults(room: str) -> Iterator[str]:
    """Old names and old words of a room, each with the word to use."""
    for path, tree in modules(room):
        stem = Path(path).stem
        if stem in MODULES:
            yield f"{path}: a module named {stem}; say {MODULES[stem]}"
        for name in {*names(tree), *local_names(tree)}:
            if name in NAMES and PUBLIC.get(name) != path:
                yield f"{path}: {name}; say {NAMES[name]}"
        for text in chain(docstrings(tree), comments(path)):
            plain = " ".join(text.split())
            for word, better in WORDS.items():
                if re.search(rf"\b{word}s?\b", plain, re.IGNORECASE):
                    yield f"{path}: {word!r} in {first_sentence(text)!r}; say {better}"


def clauses(room: str) -> tuple[list[str], int]:
    """First sentences of a room that are built on a clause without a noun, and how many it has."""
    sentences = [
        f"{path}: {first_sentence(text)}"
        for path, tree in modules(room)
        for text in docstrings(tree)
    ]
    return [item for item in sentences if CLAUSE.search(item.partition(": ")[2])], len(sentences)


@pytest.mark.parametrize("room", ROOMS)
def test_old_words_stay_out_of_names_docstrings_and_comments(room: str) -> None:
    assert list(faults(room)) == []


def test_first_sentences_name_an_object_and_a_verb() -> None:
    found = [clauses(room) for room in ROOMS]
    bad = [sentence for sentences, _ in found for sentence in sentences]
    assert len(bad) <= CLAUSES_MAX * sum(count for _, count in found), "\n".join(bad)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_name_stands_twice_in_one_package(package: str) -> None:
    stems = Counter(path.stem for path in (ROOT / package).rglob("*.py"))
    twice = {stem for stem, count in stems.items() if count > 1 and not stem.startswith("__")}
    assert twice == TWICE[package]


def test_messages_count_things_in_the_right_number() -> None:
    found = [
        f"{path}: {node.value!r}"
        for room in ROOMS
        for path, tree in modules(room)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.search(r"[a-z]{3}\(e?s\)", node.value)
    ]
    assert found == []


def test_a_parameter_a_local_and_a_comment_are_found(tmp_path: Path) -> None:
    source = """
def f(told):
    flying = 1  # a change
    # that came meanwhile
"""
    (tmp_path / "module.py").write_text(source, "utf-8")
    assert {*local_names(ast.parse(source))} == {"told", "flying"}
    assert [*comments(str(tmp_path / "module.py"))] == ["a change that came meanwhile"]


def test_a_name_and_a_sentence_are_found() -> None:
    source = '''
class Lane:
    """What waits in a lane."""

    def tell(self) -> None:
        self.owed = 1
'''
    tree = ast.parse(source)
    assert [name for name in names(tree) if name in NAMES] == ["Lane", "tell", "owed"]
    (text,) = docstrings(tree)
    assert CLAUSE.search(first_sentence(text))
