"""The diagrams as PlantUML state diagrams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.diagram.style import LIGHT, kind_of
from realtime_fsm.fsm.descriptions import STATES, StateKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from realtime_fsm.diagram.arrows import StateTable
    from realtime_fsm.diagram.graph import Graph
    from realtime_fsm.fsm.table import State

_BREAK = r"\n"


def plantuml(graph: Graph, table: StateTable) -> str:
    """Return the text of a PlantUML diagram."""
    body = [*(_grouped(graph) if graph.groups else _nodes(graph, graph.nodes))]
    body += [f"{state} : {_color(state)}{line}" for state, lines in graph.lines.items() for line in lines]
    body += [f"[*] --> {table.initial}"] if graph.groups else []
    for arrow in graph.arrows:
        color = LIGHT.kinds[kind_of(graph.nodes.get(arrow.head, arrow.head))].line
        body.append(f"{arrow.tail} -[{color}]-> {arrow.head} : {_BREAK.join(arrow.labels)}")
    body += [f"{table.final} --> [*]"] if graph.groups else []
    return "\n".join(
        (
            "@startuml",
            f"' {graph.title}",
            "hide empty description",
            "top to bottom direction" if len(graph.lines) > 1 else "left to right direction",
            f"skinparam backgroundColor {LIGHT.paper}",
            "skinparam shadowing false",
            "skinparam defaultFontName Helvetica",
            f"skinparam state {{\n  FontColor {LIGHT.ink}\n  ArrowColor {LIGHT.soft}",
            f"  BorderColor {LIGHT.soft}\n  FontSize 13\n}}",
            *body,
            f"caption table {table.fingerprint}",
            "@enduml\n",
        )
    )


def _grouped(graph: Graph) -> Iterator[str]:
    any_, live, inner = graph.groups.values()
    yield from _nodes(graph, [name for name, state in graph.nodes.items() if state not in live.members])
    yield f'state "{live.label}" as {live.name} {LIGHT.kinds[StateKind.LIVE].tint} {{'
    yield f'  state "{inner.label}" as {inner.name} {LIGHT.card} {{'
    yield from (f"    {node}" for node in _nodes(graph, inner.members))
    yield "  }"
    yield from (f"  {node}" for node in _nodes(graph, [each for each in live.members if each not in inner.members]))
    yield "}"
    if any(any_.name in (arrow.tail, arrow.head) for arrow in graph.arrows):
        yield f'state "{any_.label}" as {any_.name} {LIGHT.paper}'


def _nodes(graph: Graph, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        state = graph.nodes[name]
        paint, here = LIGHT.kinds[STATES[state].kind], state == graph.current
        line = f"##[bold]{LIGHT.current[1:]}" if here else f"##{paint.line[1:]}"
        yield f'state "{_color(state)}<b>{state}{" (now)" if here else ""}" as {name} {paint.fill} {line}'


def _color(state: State) -> str:
    return "<color:white>" if STATES[state].kind in (StateKind.ERROR, StateKind.END) else ""
