"""The diagrams as Mermaid state diagrams, in the syntax that GitHub accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.diagram.style import LIGHT, wrapped
from realtime_fsm.fsm.descriptions import STATES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime_fsm.diagram.arrows import Arrow
    from realtime_fsm.diagram.graph import Graph

_ROOM = 165


def mermaid(graph: Graph, initial: str) -> str:
    """Return the text of a Mermaid diagram."""
    full = len(graph.lines) > 1
    lines = [f"%% {graph.title}"]
    if not full:  # without this space the labels of neighbouring arrows touch
        lines.append('%%{init: {"state": {"nodeSpacing": 60, "rankSpacing": 90}}}%%')
    body = [*_nodes(graph), *(_grouped(graph, initial) if graph.groups else map(_arrow, graph.arrows)), *_classes(graph)]
    lines += ["stateDiagram-v2", f"    direction {'TB' if full else 'LR'}", *(f"    {line}" for line in body)]
    return "\n".join(lines) + "\n"


def _nodes(graph: Graph) -> Iterator[str]:
    for name, state in graph.nodes.items():
        if name != state:
            yield f'state "{state}" as {name}'
        elif state in graph.lines:
            yield f'state "{state}: {STATES[state].brief}" as {state}'
            yield from (f"{state}: {line}" for line in graph.lines[state])


def _grouped(graph: Graph, initial: str) -> Iterator[str]:
    """Draw each group that has an arrow as a box of its own, because Mermaid lays out arrows of frames badly."""
    any_, live, inner = graph.groups.values()
    used = [name for name in graph.groups if any(name in (arrow.tail, arrow.head) for arrow in graph.arrows)]
    within = [arrow for arrow in graph.arrows if {arrow.tail, arrow.head} <= {*live.members, inner.name}]
    yield f"[*] --> {initial}"
    yield f'state "{live.label}" as live {{'
    yield from (f"    {member}" for member in live.members)
    if inner.name in used:
        yield f'    state "{", ".join(inner.members[:-1])}<br/>or {inner.members[-1]}" as group_{inner.name}'
    yield from (f"    {_arrow(arrow)}" for arrow in within)
    yield "}"
    labels = {any_.name: any_.label, live.name: "any live state"}
    yield from (f'state "{label}" as group_{name}' for name, label in labels.items() if name in used)
    yield from (_arrow(arrow) for arrow in graph.arrows if arrow not in within)
    yield f"classDef group fill:{LIGHT.paper},stroke:{LIGHT.soft},color:{LIGHT.soft},stroke-dasharray:4 3"
    yield from (f"class group_{name} group" for name in used)


def _arrow(arrow: Arrow) -> str:
    tail, head = (f"group_{name}" if name in ("any", "live", "live_except_ping") else name for name in (arrow.tail, arrow.head))
    return f"{tail} --> {head}: {'<br/>'.join(wrapped(arrow.labels, ' · ', _ROOM, 10))}"


def _classes(graph: Graph) -> Iterator[str]:
    for kind, paint in LIGHT.kinds.items():
        yield (
            f"classDef is_{kind.key} fill:{paint.fill},stroke:{paint.line},color:{paint.text_color},"
            f"stroke-width:{paint.line_width:g}px"
        )
    yield f"classDef now stroke:{LIGHT.current},stroke-width:5px"
    for name, state in graph.nodes.items():
        yield f"class {name} is_{STATES[state].kind.key}"
        if state == graph.current:
            yield f"class {name} now"
