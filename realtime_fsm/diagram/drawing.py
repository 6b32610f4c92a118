"""One diagram of one table: the choice of view and format."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, get_args, overload

from realtime_fsm.diagram.graph import graph
from realtime_fsm.diagram.graphviz import dot, draw
from realtime_fsm.diagram.json_ import as_json
from realtime_fsm.diagram.markdown import one_state, states, transitions
from realtime_fsm.diagram.mermaid import mermaid
from realtime_fsm.diagram.overview import overview
from realtime_fsm.diagram.plantuml import plantuml
from realtime_fsm.diagram.state import full_view, state_view
from realtime_fsm.errors import BadOption
from realtime_fsm.fsm.table import TABLE, State, Trigger
from realtime_fsm.fsm.tablespec import Table  # noqa: TC001  (for tools that read annotations)

Text = Literal["mermaid", "dot", "plantuml", "markdown", "json"]
Format = Literal["mermaid", "dot", "svg", "png", "plantuml", "markdown", "json"]
FORMATS: tuple[Format, ...] = get_args(Format)
"""The formats; the first is the default."""
VIEWS = ("overview", "full", "state:NAME")
"""The views; the first is the default."""


@dataclass(frozen=True)
class Diagram:
    """A diagram of a table. A notebook shows the picture of a diagram that is the last expression of a cell.

    Attributes:
        view: ``"overview"``, ``"full"`` or ``"state:NAME"``.
        table: the table; by default the one that runs.
        current: the state to mark, where a connection is; None to mark no state.

    Raises:
        BadOption: when the view or the state is not known.
    """

    view: str = "overview"
    table: Table[State, Trigger] = TABLE
    current: State | None = None

    def __post_init__(self) -> None:
        kind, _, name = self.view.partition(":") if isinstance(self.view, str) else ("", "", "")
        names = ", ".join(State)
        if kind == "state" and name not in set(State):
            raise BadOption("view", f"{self.view!r} names no state; after 'state:' put one of {names}")
        if kind != "state" and self.view not in VIEWS:
            raise BadOption("view", f"{self.view!r} is not known; use one of {', '.join(VIEWS)}")
        if self.current is not None and self.current not in set(State):
            raise BadOption("current", f"{self.current!r} is no state; use None or one of {names}")

    @property
    def _state(self) -> State | None:
        kind, _, name = self.view.partition(":")
        return State(name) if kind == "state" else None

    def text(self, format: Text) -> str:  # noqa: A002  (the public signature)
        """Return the diagram in a text format."""
        table, state, current, full = self.table, self._state, self.current, self.view == "full"
        if format == "json":
            return as_json(table, state, current)
        if format == "markdown":
            return one_state(table, state, current) if state else (transitions if full else states)(table, current)
        content = graph(table, state, full=full, current=current)
        if format == "dot":
            return dot(content)
        return plantuml(content, table) if format == "plantuml" else mermaid(content, table.initial)

    def picture(self, format: Literal["svg", "png"], *, timeout: float = 60.0) -> bytes:  # noqa: A002  (as above)
        """Return the diagram as a picture: an SVG, or a PNG that Graphviz lays out in at most `timeout` seconds.

        Raises:
            DrawingFailed: when a PNG is wanted and Graphviz is missing, or fails.
        """
        if format == "png":
            return draw(self.text("dot"), self.provenance(), timeout)
        return f"<!-- {self.provenance()} -->\n{self._svg()}".encode()

    def provenance(self) -> str:
        """Return the comment that its pictures carry: the fingerprint of the table, and a hash of the drawing."""
        return f"realtime_fsm table {self.table.fingerprint} drawing {sha256(self._svg().encode()).hexdigest()[:12]}"

    def _svg(self) -> str:
        if self._state is not None:
            return state_view(self.table, self._state, self.current).to_svg()
        return (full_view if self.view == "full" else overview)(self.table, self.current).to_svg()

    def __str__(self) -> str:
        return self.text("mermaid")

    def __repr__(self) -> str:
        now = "" if self.current is None else f", now in {self.current}"
        return f"<Diagram {self.view} of table {self.table.fingerprint}{now}>"

    def _repr_svg_(self) -> str:
        """Return the picture for a notebook; it shrinks to the width of a narrower cell."""
        return self.picture("svg").decode().replace("<svg ", '<svg style="max-width:100%;height:auto" ', 1)


@overload
def diagram(
    format: Literal["png"], view: str = ..., *, table: Table[State, Trigger] = ..., current: State | None = ...
) -> bytes: ...
@overload
def diagram(
    format: Text | Literal["svg"] = ..., view: str = ..., *, table: Table[State, Trigger] = ..., current: State | None = ...
) -> str: ...
@overload
def diagram(format: str, view: str = ..., *, table: Table[State, Trigger] = ..., current: State | None = ...) -> str | bytes: ...
def diagram(
    format: str = "mermaid",  # noqa: A002  (what people write)
    view: str = "overview",
    *,
    table: Table[State, Trigger] = TABLE,
    current: State | None = None,
) -> str | bytes:
    """Draw the table that runs, in a format of your choice.

    Args:
        format: ``"mermaid"``, ``"dot"``, ``"svg"``, ``"png"`` (by Graphviz), ``"plantuml"``, ``"markdown"`` or ``"json"``.
        view: ``"overview"`` (eight states, one arrow for each pair), ``"full"`` (each transition rule) or
            ``"state:NAME"`` (one state, the states before and after it, and its rules).
        table: another table of the same states and triggers.
        current: a state to mark, where a connection is; None to mark no state.

    Returns:
        The text; bytes for ``"png"``.

    Raises:
        BadOption: when the format, the view or the state is not known.
        DrawingFailed: when a PNG is wanted and Graphviz is missing, or fails.
    """
    chosen = Diagram(view, table, current)
    match format:
        case "png":
            return chosen.picture("png")
        case "svg":
            return chosen.picture("svg").decode()
        case "mermaid" | "dot" | "plantuml" | "markdown" | "json":
            return chosen.text(format)
    raise BadOption("format", f"{format!r} is not known; use one of {', '.join(FORMATS)}")
