"""One diagram of one table: what is shown, in every format, and how notebooks show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, overload

from realtime_fsm.diagram import json_ as data
from realtime_fsm.diagram import markdown as reference
from realtime_fsm.diagram.full import full_view
from realtime_fsm.diagram.graphviz import DrawingFailed, draw, stamp_of
from realtime_fsm.diagram.mermaid import mermaid
from realtime_fsm.diagram.overview import overview
from realtime_fsm.diagram.plantuml import plantuml
from realtime_fsm.diagram.state import state_view
from realtime_fsm.errors import BadOption
from realtime_fsm.fsm.table import TABLE, State

if TYPE_CHECKING:
    from collections.abc import Container

    from realtime_fsm.diagram.arrows import StateTable
    from realtime_fsm.diagram.canvas import Canvas

Text = Literal["mermaid", "dot", "plantuml", "markdown", "json"]
Format = Literal["mermaid", "dot", "svg", "png", "plantuml", "markdown", "json"]
FORMATS: tuple[Format, ...] = get_args(Format)
"""The formats, the first being the default."""
VIEWS = ("overview", "full", "state:NAME")
"""The views, the first being the default."""
_SHOW_TIMEOUT = 10.0


@dataclass(frozen=True)
class Diagram:
    """A diagram of a table. The last expression of a notebook's cell, it shows itself.

    Attributes:
        view: ``"overview"``, ``"full"`` or ``"state:NAME"``.
        table: the table; by default the one that runs.
        current: the state to be marked as the one where a connection stands.

    Raises:
        BadOption: when the view or the state is not known.
    """

    view: str = "overview"
    table: StateTable = TABLE
    current: State | None = None

    def __post_init__(self) -> None:
        kind, _, name = self.view.partition(":") if isinstance(self.view, str) else ("", "", "")
        states = ", ".join(State)
        if kind == "state" and name not in set(State):
            raise BadOption("view", f"{self.view!r} names no state; after 'state:' put one of {states}")
        if kind != "state" and self.view not in VIEWS:
            raise BadOption("view", f"{self.view!r} is not known; use one of {', '.join(VIEWS)}")
        if self.current is not None and self.current not in set(State):
            raise BadOption("current", f"{self.current!r} is no state; use None or one of {states}")

    @property
    def _state(self) -> State | None:
        kind, _, name = self.view.partition(":")
        return State(name) if kind == "state" else None

    def text(self, format: Text) -> str:  # noqa: A002  (the public signature)
        """The diagram in a format that is text and needs nothing but this library."""
        table, current, full = self.table, self.current, self.view == "full"
        match format:
            case "mermaid":
                return mermaid(table, self._state, full=full, current=current)
            case "plantuml":
                return plantuml(table, self._state, full=full, current=current)
            case "json":
                return data.as_json(table, self._state, current)
            case "markdown":
                if self._state is not None:
                    return reference.one_state(table, self._state, current)
                return (reference.transitions if full else reference.states)(table, current)
            case _:
                return self._canvas().to_dot()

    def picture(self, format: Literal["svg", "png"], *, timeout: float = 60.0) -> bytes:  # noqa: A002  (as above)
        """The diagram as a picture, drawn by Graphviz.

        Raises:
            DrawingFailed: when Graphviz is not there, or fails.
        """
        dot = self.text("dot")
        return draw(dot, format, stamp_of(self.table.fingerprint, dot), timeout)

    def provenance(self) -> str:
        """What its pictures carry: the fingerprint of the table, and a hash of the drawing."""
        return stamp_of(self.table.fingerprint, self.text("dot"))

    def _canvas(self) -> Canvas:
        if self._state is not None:
            return state_view(self.table, self._state, self.current)
        return (full_view if self.view == "full" else overview)(self.table, self.current)

    def __str__(self) -> str:
        return self.text("mermaid")

    def __repr__(self) -> str:
        now = "" if self.current is None else f", now in {self.current}"
        return f"<Diagram {self.view} of table {self.table.fingerprint}{now}>"

    def _repr_mimebundle_(
        self, include: Container[str] | None = None, exclude: Container[str] | None = None, **_: Any
    ) -> dict[str, str]:
        """What notebooks show: the picture if Graphviz is there, else Mermaid, else Markdown."""
        code = self.text("mermaid")
        bundle = {"text/plain": repr(self), "text/vnd.mermaid": code, "text/markdown": f"```mermaid\n{code}```\n"}
        try:
            bundle["image/svg+xml"] = self.picture("svg", timeout=_SHOW_TIMEOUT).decode()
        except DrawingFailed:
            pass
        else:
            del bundle["text/vnd.mermaid"], bundle["text/markdown"]  # some front ends would prefer these
        return {
            kind: value
            for kind, value in bundle.items()
            if (include is None or kind in include) and (exclude is None or kind not in exclude)
        }


@overload
def diagram(format: Literal["png"], view: str = ..., *, table: StateTable = ..., current: State | None = ...) -> bytes: ...
@overload
def diagram(
    format: Literal["mermaid", "dot", "svg", "plantuml", "markdown", "json"] = ...,
    view: str = ...,
    *,
    table: StateTable = ...,
    current: State | None = ...,
) -> str: ...
@overload
def diagram(format: str, view: str = ..., *, table: StateTable = ..., current: State | None = ...) -> str | bytes: ...
def diagram(
    format: str = "mermaid",  # noqa: A002  (what people write)
    view: str = "overview",
    *,
    table: StateTable = TABLE,
    current: State | None = None,
) -> str | bytes:
    """A diagram of the table that runs, in a format of your choice.

    Args:
        format: ``"mermaid"``, ``"dot"``, ``"svg"``, ``"png"``, ``"plantuml"``, ``"markdown"`` or ``"json"``; ``svg`` and ``png``
            need Graphviz.
        view: ``"overview"`` (eight states, one arrow for each pair), ``"full"`` (each row) or ``"state:NAME"`` (one state, with
            what enters and leaves it).
        table: another table of the same states and triggers.
        current: a state to be marked as the one where a connection stands.

    Returns:
        The text; bytes for ``"png"``.

    Raises:
        BadOption: when the format, the view or the state is not known; it names the value and the remedy.
        DrawingFailed: when a picture is wanted and Graphviz is not there, or fails.
    """
    shown = Diagram(view, table, current)
    match format:
        case "png":
            return shown.picture("png")
        case "svg":
            return shown.picture("svg").decode()
        case "mermaid" | "dot" | "plantuml" | "markdown" | "json":
            return shown.text(format)
        case _:
            raise BadOption("format", f"{format!r} is not known; use one of {', '.join(FORMATS)}")


class _HasState(Protocol):
    @property
    def state(self) -> State: ...


class NotebookDisplay:
    """Mixed into what has a `state`: notebooks show it as the overview with that state marked."""

    __slots__ = ()

    def _repr_mimebundle_(
        self: _HasState, include: Container[str] | None = None, exclude: Container[str] | None = None, **_: Any
    ) -> dict[str, str]:
        bundle = Diagram(current=self.state)._repr_mimebundle_(include, exclude)
        return bundle | ({"text/plain": repr(self)} if "text/plain" in bundle else {})
