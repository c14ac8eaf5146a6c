"""How Sphinx builds the documentation: `make docs`, into `site/`."""

import sys
from pathlib import Path

from walker_collector import __version__

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "walker-collector"
author = "the walker-collector authors"
copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "docstrings", "filenames"]
exclude_patterns = ["_ext", "_static", "**/__pycache__"]
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

default_role = "literal"  # docstrings put names into single backticks
highlight_language = "default"

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

nitpick_ignore_regex = [
    # Python's own documentation is not asked for its names: the build needs no network.
    ("py:.*", r"(collections(\.abc)?|concurrent|datetime|logging|pathlib|ssl|types|typing)\..*"),
    # Events that sources of the core hand on without reading them: no plugin makes one.
    ("py:class", r"walker_collector\.events\.unread\.UnreadEvent"),
    # A part of the spool that the collector gives to a source's positions.
    ("py:class", r"walker_collector\.offsets\.PositionStore"),
]

html_theme = "furo"
html_title = "walker-collector"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["reference/flow.schema.json"]
html_copy_source = False
html_show_sphinx = False
