"""Diagrams and a reference that cannot drift: drawn from the table that runs, in every format.

The library `transitions` draws diagrams, too, and a test compares their arrows with these. They leave out effects and the order
of guards, and the machine that runs takes no labels, so this package draws from the rows of the table.
"""

from typing import TYPE_CHECKING, Any

from realtime_fsm.diagram.drawing import FORMATS, VIEWS, Diagram, NotebookDisplay, diagram

if TYPE_CHECKING:
    from realtime_fsm.diagram.graphviz import DrawingFailed

__all__ = ["FORMATS", "VIEWS", "Diagram", "DrawingFailed", "NotebookDisplay", "diagram"]


if not TYPE_CHECKING:  # a checker knows the names, and refuses others

    def __getattr__(name: str) -> Any:
        if name != "DrawingFailed":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from realtime_fsm.diagram.graphviz import DrawingFailed

        return DrawingFailed


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
