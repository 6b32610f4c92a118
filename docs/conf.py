"""The settings of Sphinx: `make docs` builds the site of documentation into docs/_build, without network."""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import version as installed
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE / "_ext"), str(ROOT), str(ROOT / "tests")]  # the pages describe the package of this tree

project = "realtime_fsm"
author = "The realtime_fsm founders"
project_copyright = author
version = release = installed("realtime-fsm")

_urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
html_baseurl = _urls["Documentation"]
source_url = _urls["Source"]  # a page links there to files that are not part of the site

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "site_pages",
]
suppress_warnings = ["ref.python"]  # a name such as Realtime is in `realtime_fsm` and in `realtime_fsm.sync`: the first is meant
exclude_patterns = ["_build", "README.md", "examples/**"]

myst_enable_extensions = ["attrs_inline", "deflist", "tasklist"]
myst_heading_anchors = 3

default_role = "py:obj"  # a single backtick in a docstring names an object of Python
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autoclass_content = "both"  # the class's docstring, and that of __init__ where there is one
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 72
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
toc_object_entries_show_parents = "hide"

_NAMES = {"color-api-name": "var(--color-foreground-primary)", "color-api-pre-name": "var(--color-foreground-muted)"}
html_theme = "furo"
html_title = "realtime_fsm"
_MERMAID = ROOT / "tests" / "peers" / "node_modules" / "@mermaid-js" / "tiny" / "dist" / "mermaid.tiny.js"
html_static_path = ["_static", *([str(_MERMAID)] if _MERMAID.is_file() else [])]  # without npm, a page shows the text alone
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": _NAMES | {"color-brand-primary": "#006A52", "color-brand-content": "#006A52"},
    "dark_css_variables": {"color-brand-primary": "#4CC9A4", "color-brand-content": "#4CC9A4"},
}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "github-dark"

copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
