"""Advice on text that is no JSON: the usual mistakes in files written by hand."""

import re
from pathlib import PurePath
from typing import Final

_WORDS: Final = {"True": "true", "False": "false", "None": "null"}
_TOML: Final = re.compile(r"\s*(?:#[^\n]*\n\s*)*(?:\[\[?[\w.\"-]+\]|[\w.\"-]+[ \t]*=)")
_OTHER: Final = {
    ".yaml": "YAML is not read; write it as JSON or TOML",
    ".yml": "YAML is not read; write it as JSON or TOML",
    ".js": "JavaScript is not read; write the flow as JSON",
    ".ts": "TypeScript is not read; write the flow as JSON",
}


def json_advice(text: str, at: int, name: str) -> str:
    """Return advice, after "; ", on the error at `at` in the text of the file `name`."""
    advice = _OTHER.get(PurePath(name).suffix) or _on_file(text, at) or _on_place(text, at)
    return f"; {advice}" if advice else ""


def _on_file(text: str, at: int) -> str | None:
    if not text[at:].strip():
        return "the text ends too early: a bracket or a quotation mark is missing"
    if text[:at].strip(" \n\r\t[") == "" and _TOML.match(text):
        return "it looks like TOML; give the file a name that ends in .toml"
    return None


def _on_place(text: str, at: int) -> str | None:
    rest = text[at:].lstrip(" \n\r\t,")
    before = text[:at].rstrip()
    if rest.startswith(("//", "/*", "#")):
        return "JSON has no comments; remove it"
    if rest.startswith("'"):
        return 'text and keys stand in double quotes: "'
    if rest.startswith(("\u201c", "\u201d", "\u201e")):
        return 'typographic quotation marks are no quotes; write "'
    if rest.startswith(("}", "]")) and (before.endswith(",") or text[at] == ","):
        return "remove the comma before the bracket"
    for word, right in _WORDS.items():
        if rest.startswith(word):
            return f"write {right}"
    if rest.startswith('"') and not before.endswith((",", ":", "{", "[")):
        return "a comma is missing before it"
    if re.match(r"[A-Za-z_$]", rest):
        return 'text and keys stand in double quotes: "'
    return None
