"""Our part of the build of the site: generated parts of pages, links to public names, and the files for language models."""

from __future__ import annotations

import itertools
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from pygments.lexers.python import PythonLexer
from pygments.lexers.special import TextLexer
from sphinx.writers.text import TextTranslator

from generated.pages import fill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docutils import nodes
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

_FOLDERS = {"": "Start", "tutorial": "Tutorial", "how-to": "How-to", "reference": "Reference", "explanation": "Explanation"}
_OUTWARD = re.compile(r"(\]\(|^\[[^\]]+\]: )(\.\./[^)#\s]+)", re.MULTILINE)
"""A link to another folder, in a line or below a page."""
_AS_ANOTHER = re.compile(r"^( *)Raises:\n +As (`+[^`]+`+)\.$", re.MULTILINE)
"""A section of errors that names another call."""
_NOT_BUILT = ("AuditRecords", "Event", "Listener", "Subscription")
"""Classes that users never build."""
_MERMAID = "mermaid.tiny.js"
"""The script that draws a Mermaid text; conf.py puts it into the site where npm has installed it."""
_SENTENCE = re.compile(r"(.+?[.:])(?:\s|$)", re.DOTALL)


def _fill(app: Sphinx, name: str, source: list[str]) -> None:
    filled = fill(source[0])
    if filled != source[0]:
        app.env.note_reread()  # the code can change while the page does not
    folder = app.env.doc2path(name).parent
    source[0] = _OUTWARD.sub(lambda link: link[1] + _to_source(app, folder, link[2]), filled)


def _to_source(app: Sphinx, folder: Path, target: str) -> str:
    """Lead a link to a file outside the site, such as a test, to the place of the source; a diagram is part of the site."""
    path = (folder / target).resolve()
    docs = Path(app.srcdir).resolve()
    if path.is_relative_to(docs) or path.suffix == ".svg" or (path.parent.name == "diagrams" and path.suffix != ".md"):
        return target
    return f"{app.config.source_url}/{'tree' if path.is_dir() else 'blob'}/main/{path.relative_to(docs.parent).as_posix()}"


def _adapt(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Make a docstring fit for the site, before napoleon reads its sections."""
    text = _AS_ANOTHER.sub(r"\1Raises errors as \2.", "\n".join(lines))
    lines[:] = text.replace('PROTOCOL: "', ':doc:`PROTOCOL </reference/protocol>`: "').split("\n")
    if what == "module":  # a paragraph about the design is for readers of the code
        lines[:] = itertools.takewhile(lambda line: not line.startswith(("Design:", "Invariant:")), lines[:])
    if what in ("attribute", "property"):  # napoleon takes the words before a colon in its first line for a type
        lines[:0] = ["..", ""]


def _hide_signature(app: Sphinx, what: str, name: str, *_: object) -> tuple[str, str] | None:
    """Show no arguments for a class that the library alone builds."""
    return (
        ("", "") if what == "class" and name.rpartition(".")[2] in ("AuditRecords", "Event", "Listener", "Subscription") else None
    )


def _resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement) -> nodes.Node | None:
    """Lead a reference to a private place, such as realtime_fsm.events.Event, to the public name."""
    if node.get("refdomain") != "py":
        return None
    domain = env.domains.python_domain
    _, _, name = node["reftarget"].rpartition(".")
    if node["reftarget"].startswith("realtime_fsm.") and f"realtime_fsm.{name}" in domain.objects:
        return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", f"realtime_fsm.{name}", node, content)
    return None


def _write_for_models(app: Sphinx, failure: Exception | None) -> None:
    """Write llms.txt, the index of the pages with a sentence for each, and llms-full.txt, the pages as plain text."""
    if failure is not None or app.builder.format != "html":
        return
    index = ["# realtime_fsm\n", f"> {_summary(app, app.config.root_doc)}\n"]
    whole: list[str] = []
    names = list(dict.fromkeys(_in_order(app.env, app.config.root_doc)))
    for folder, title in _FOLDERS.items():
        pages = [name for name in names if _folder(name) == folder]
        if not pages:
            continue
        index.append(f"## {title}\n")
        for name in pages:
            link = urljoin(app.config.html_baseurl, app.builder.get_target_uri(name))
            index.append(f"- [{app.env.titles[name].astext()}]({link}): {_summary(app, name)}")
        index.append("")
    for name in names:
        doctree = app.env.get_and_resolve_doctree(name, app.builder)
        doctree.walkabout(translator := TextTranslator(doctree, app.builder))  # type: ignore[arg-type]
        whole.append(translator.body)
    out = Path(app.outdir)
    (out / "llms.txt").write_text("\n".join(index), encoding="utf-8")
    (out / "llms-full.txt").write_text("\n\n".join(whole), encoding="utf-8")


def _draw_mermaid(app: Sphinx, name: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Let a page with a Mermaid text draw the text in the browser; the script is large, so other pages do without."""
    from docutils import nodes

    blocks = () if doctree is None else doctree.findall(nodes.literal_block)
    is_there = any(path.endswith(_MERMAID) for path in app.config.html_static_path)
    if is_there and any(block.get("language") == "mermaid" for block in blocks):
        app.add_js_file(_MERMAID, loading_method="defer")
        app.add_js_file("mermaid-pictures.js", loading_method="defer")


def _in_order(env: BuildEnvironment, name: str) -> Iterator[str]:
    """Yield a page and those below it, in the order of the contents."""
    yield name
    for below in env.toctree_includes.get(name, ()):
        yield from _in_order(env, below)


def _folder(name: str) -> str:
    first, slash, _ = name.partition("/")
    return first if slash and first in _FOLDERS else ""


def _summary(app: Sphinx, name: str) -> str:
    """Give the first sentence of a page."""
    from docutils import nodes

    paragraph = next(iter(app.env.get_doctree(name).findall(nodes.paragraph)), None)
    text = "" if paragraph is None else " ".join(paragraph.astext().split())
    found = _SENTENCE.match(text)
    return found[1].rstrip(":") if found else text


def setup(app: Sphinx) -> dict[str, Any]:
    """Add this module to a build."""
    app.add_config_value("source_url", "", "env", str)
    # A folder of pages may be empty; `suppress_warnings` does not reach this warning, which has no type.
    logging.getLogger("sphinx.sphinx.directives.other").addFilter(lambda told: getattr(told, "subtype", "") != "empty_glob")
    app.add_lexer("ipython", PythonLexer)  # a cell of a notebook, with an await outside of a function
    app.add_lexer("mermaid", TextLexer)
    app.connect("source-read", _fill)
    app.connect("html-page-context", _draw_mermaid)
    app.connect("autodoc-process-signature", _hide_signature)
    app.connect("autodoc-process-docstring", _adapt, priority=400)
    app.connect("missing-reference", _resolve)
    app.connect("build-finished", _write_for_models)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
