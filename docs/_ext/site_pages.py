"""The part of the site's build that is ours: generated parts in pages, links to public names, and the files for language models."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import generated_text
from sphinx.writers.text import TextTranslator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docutils import nodes
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

_FOLDERS = {"": "Start", "tutorial": "Tutorial", "how-to": "How-to", "reference": "Reference", "explanation": "Explanation"}
_SENTENCE = re.compile(r"(.+?[.:])(?:\s|$)", re.DOTALL)


def _fill(app: Sphinx, name: str, source: list[str]) -> None:
    filled = generated_text.fill(source[0])
    if filled != source[0]:
        app.env.note_reread()  # the code can change while the page does not
    source[0] = filled


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
    # A folder of pages may be empty; `suppress_warnings` does not reach this warning, which has no type.
    logging.getLogger("sphinx.sphinx.directives.other").addFilter(lambda told: getattr(told, "subtype", "") != "empty_glob")
    app.connect("source-read", _fill)
    app.connect("missing-reference", _resolve)
    app.connect("build-finished", _write_for_models)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
