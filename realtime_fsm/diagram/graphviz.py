"""The diagrams as DOT, and as PNG by the `dot` command of Graphviz."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zlib
from html import escape
from typing import TYPE_CHECKING

from realtime_fsm.diagram.style import FONT, LIGHT, kind_of, wrapped
from realtime_fsm.errors import RealtimeError
from realtime_fsm.fsm.descriptions import STATES, StateKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from realtime_fsm.diagram.arrows import Arrow
    from realtime_fsm.diagram.graph import Graph

_HEADER = 33
"""The length in bytes of the signature and header of a PNG; a comment follows them."""
_DPI = 144
_ROOM = 150


class DrawingFailed(RealtimeError):
    """Graphviz is missing or did not draw. Install or repair Graphviz, or choose a format that needs none.

    Attributes:
        remedy: how to get the picture.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.remedy = remedy


def dot(graph: Graph) -> str:
    """Return the text of a DOT diagram; Graphviz lays it out."""
    lines = [
        f"// {graph.title}. Render: dot -Tpng",
        "digraph realtime_fsm {",
        f'  graph [bgcolor="{LIGHT.paper}", compound=true, newrank=true, rankdir=LR, nodesep=0.5, fontname="{FONT}"];',
        f'  node [fontname="{FONT}", fontsize=13, shape=box, style="rounded,filled"];',
        f'  edge [fontname="{FONT}", fontsize=10, penwidth=1.4, arrowsize=0.75];',
    ]
    lines += _grouped(graph) if graph.groups else _nodes(graph, graph.nodes)
    lines += [f"  {_arrow(graph, arrow)}" for arrow in graph.arrows]
    return "\n".join((*lines, "}\n"))


def _grouped(graph: Graph) -> Iterator[str]:
    any_, live, inner = graph.groups.values()
    green = LIGHT.kinds[StateKind.LIVE]
    yield f'  subgraph cluster_live {{ label="{live.label}"; style="rounded,filled"; fillcolor="{green.tint}";'
    yield f'  subgraph cluster_{inner.name} {{ label="{inner.label}"; style="rounded,filled,dashed"; fillcolor="{LIGHT.card}";'
    yield from _nodes(graph, inner.members)
    yield "  }"
    yield from _nodes(graph, [each for each in live.members if each not in inner.members])
    yield "  }"
    yield from _nodes(graph, [name for name, state in graph.nodes.items() if state not in live.members])
    if any(any_.name in (arrow.tail, arrow.head) for arrow in graph.arrows):
        yield f'  {any_.name} [label="{any_.label}", style="rounded,dashed", fontcolor="{LIGHT.soft}"];'


def _nodes(graph: Graph, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        state = graph.nodes[name]
        paint, here = LIGHT.kinds[STATES[state].kind], state == graph.current
        label = f"<B>{state}{' (now)' if here else ''}</B>"
        if name == state and state in graph.lines:
            rules = "".join(map(_line, graph.lines[state]))
            label = f'<TABLE BORDER="0" CELLSPACING="0"><TR><TD>{label}</TD></TR>{rules}</TABLE>'
        line, width = (LIGHT.current, 4) if here else (paint.line, paint.line_width)
        yield (
            f'    {name} [label=<{label}>, fillcolor="{paint.fill}", color="{line}", fontcolor="{paint.text_color}",'
            f' penwidth={width:g}, URL="states.md#{state}", tooltip="{STATES[state].brief}"];'
        )


def _line(line: str) -> str:
    text = f'<FONT POINT-SIZE="10">{escape(line, quote=False)}</FONT>'
    return f'<TR><TD ALIGN="LEFT" HREF="transitions.md#{line.partition(" ")[0]}">{text}</TD></TR>'


def _arrow(graph: Graph, arrow: Arrow) -> str:
    """Draw an arrow. One of a group begins or ends at a member, and Graphviz cuts it at the border of the group."""
    clusters = {name: group.members[-1] for name, group in graph.groups.items() if name != "any"}
    tail, head = (clusters.get(name, name) for name in (arrow.tail, arrow.head))
    ends = ("ltail", arrow.tail), ("lhead", arrow.head)
    more = "".join(f', {end}="cluster_{name}"' for end, name in ends if name in clusters)
    color = LIGHT.kinds[kind_of(graph.nodes.get(arrow.head, arrow.head))].line
    label = r"\n".join(wrapped(arrow.labels, " · ", _ROOM, 10))
    return f'{tail} -> {head} [label="{label}", color="{color}", fontcolor="{color}"{more}];'


def draw(text: str, stamp: str, timeout: float) -> bytes:
    """Draw a PNG from DOT within `timeout` seconds, with `stamp` as the comment in the picture.

    Raises:
        DrawingFailed: when `dot` is missing, fails, or takes too long.
    """
    command = shutil.which("dot")
    if command is None:
        raise DrawingFailed(
            "png needs Graphviz, and there is no `dot` command",
            "install it (apt-get install graphviz, brew install graphviz), or use the format svg",
        )
    try:
        process = subprocess.run(  # noqa: S603  (no shell, and the arguments are ours)
            [command, "-Tpng", f"-Gdpi={_DPI}"], input=text.encode(), capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise DrawingFailed(f"`dot` did not finish in {timeout:g} seconds", "try again on a machine that is less busy") from None
    except OSError as failure:
        raise DrawingFailed(f"`dot` cannot be run: {failure}", "reinstall Graphviz") from failure
    if process.returncode != 0 or not process.stdout:
        last = process.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise DrawingFailed(f"`dot` failed: {last or f'exit code {process.returncode}'}", "use Graphviz 2.43 or newer")
    body = b"tEXtComment\x00" + stamp.encode("latin-1")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return process.stdout[:_HEADER] + chunk + process.stdout[_HEADER:]
