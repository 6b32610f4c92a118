"""Diagrams and reference pages in every format, drawn from the table that runs, so that they always agree with it.

The library `transitions` draws diagrams, too, and a test compares their arrows with these. But its diagrams leave out the effects
and the order of guards. So this package draws from the rules of the table.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_fsm.diagram.drawing import FORMATS, VIEWS, Diagram, diagram
    from realtime_fsm.diagram.graphviz import DrawingFailed
    from realtime_fsm.diagram.notebook import NotebookDisplay

__all__ = ["FORMATS", "VIEWS", "Diagram", "DrawingFailed", "NotebookDisplay", "diagram"]


if not TYPE_CHECKING:  # a checker knows the names, and refuses others

    def __getattr__(name: str) -> Any:  # a module is loaded when used: a client needs only `NotebookDisplay`
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = {"DrawingFailed": "graphviz", "NotebookDisplay": "notebook"}.get(name, "drawing")
        value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
