"""Names of files over the blocks that hold them.

A fenced block names its file behind its language (`json flow.json`), for the tests that follow a
page. Markdown shows nothing of that; the site shows it as a caption.
"""

import re
from typing import Final

from sphinx.application import Sphinx

_FENCE: Final = re.compile(r"^```(\w+) (\S+)$", re.MULTILINE)
_SECOND_TERMINAL: Final = "in a second terminal"


def with_captions(text: str) -> str:
    """Return the Markdown with a caption for each block of a file or of a second terminal."""
    return _FENCE.sub(_captioned, text)


def _captioned(fence: re.Match[str]) -> str:
    language, word = fence.groups()
    if "." not in word and word != "stays":
        return fence[0]
    caption = _SECOND_TERMINAL if word == "stays" else word
    return f"```{{code-block}} {language}\n:caption: {caption}\n"


def _read(app: Sphinx, page: str, content: list[str]) -> None:
    content[0] = with_captions(content[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Change pages as they are read."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}
