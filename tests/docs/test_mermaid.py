"""The script of the site draws the Mermaid text of a page, and draws it again in the theme that the reader chooses."""

from __future__ import annotations

import html
from pathlib import Path

import pytest

from realtime_fsm import diagram
from support.browser import CHROMIUM, showing
from support.pages import ROOT

MERMAID = ROOT / "tests" / "peers" / "node_modules" / "@mermaid-js" / "tiny" / "dist" / "mermaid.tiny.js"
PICTURES = ROOT / "docs" / "_static" / "mermaid-pictures.js"
PAGE = """<!DOCTYPE html>
<body data-theme="light">
<p id="told"></p>
<div class="highlight-mermaid"><div class="highlight"><pre>{text}</pre></div></div>
<script>
new MutationObserver(() => {{
    const picture = document.querySelector(".mermaid-picture");
    const states = [...picture.querySelectorAll(".nodeLabel")].map((label) => label.textContent.trim());
    told.textContent = `${{picture.dataset.theme}}: ${{states.filter((state) => state === "subscribed").length}}`;
    if (document.body.dataset.theme === "light") document.body.dataset.theme = "dark";
}}).observe(document.body, {{ subtree: true, attributeFilter: ["data-theme"] }});
</script>
<script defer src="{mermaid}"></script>
<script defer src="{pictures}"></script>
"""


@pytest.mark.peers
@pytest.mark.loopback
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
async def test_the_text_is_drawn_in_each_theme(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    text = html.escape(diagram("mermaid"))
    page.write_text(PAGE.format(text=text, mermaid=MERMAID.as_uri(), pictures=PICTURES.as_uri()), encoding="utf-8")
    async with showing(page.as_uri(), tmp_path / "profile") as browser:
        await browser.shows("dark: 1")
