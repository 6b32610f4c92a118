"""The page: one HTML document, with the diagram of the table in it. It asks for nothing but the stream of its own server."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files

import msgspec

from realtime_fsm.diagram import style, timeline
from realtime_fsm.diagram.arrows import merged_arrows
from realtime_fsm.diagram.overview import overview
from realtime_fsm.fsm.descriptions import DEADLINES, STATES
from realtime_fsm.fsm.table import TABLE


@cache
def page() -> tuple[bytes, str]:
    """Make the page, and the content security policy that allows it and nothing else."""
    sheet = f"{style.variables()}{style.css()}{timeline.css()}\n{_part('page.css')}"
    script = f"\n{_part('page.js')}"
    parts = {"style": sheet, "script": script, "diagram": diagram(), "words": words()}
    text = _part("page.html")
    for name, content in parts.items():
        text = text.replace(f"@{name}@", content)
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(sheet)}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text.encode(), policy


def diagram() -> str:
    """Draw the overview, with the names of states and rules where the script looks for them."""
    canvas = overview(TABLE)
    svg = canvas.to_svg().replace(f"<style>{style.css()}</style>", "")  # the sheet of the page has it
    for arrow, edge in zip(merged_arrows(TABLE), canvas.edges, strict=False):  # the last edge is the one from the start
        rules = " ".join(row.id for row in arrow.rows)
        svg = svg.replace(edge.svg(), f'<g class="arrow" data-rules="{rules}">{edge.svg()}</g>')
        if edge.label is not None:
            svg = svg.replace(edge.label.svg(), f'<g class="label" data-rules="{rules}">{edge.label.svg()}</g>')
    for box in canvas.boxes:
        if box.name in STATES:
            svg = svg.replace(box.svg(), f'<g class="state" data-state="{box.name}">{box.svg()}</g>')
    return svg


def words() -> str:
    """Return the words and the shapes of states and rules, as JSON that a script element can hold."""
    content = {
        "states": {
            state: {"brief": about.brief, "advice": "" if about.advice.startswith("Nothing") else about.advice.replace("`", "")}
            for state, about in STATES.items()
        },
        "deadlines": dict(DEADLINES),
        "shapes": timeline.SHAPES,
        "why": {row.id: row.why for row in TABLE.rows},
    }
    return msgspec.json.encode(content).decode().replace("<", "\\u003c")


def _part(name: str) -> str:
    return (files("realtime_fsm.ops.inspector") / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
