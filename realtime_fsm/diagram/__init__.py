"""Diagrams and a reference that cannot drift: drawn from the table that runs, in every format.

The library `transitions` draws diagrams, too, and a test compares their arrows with these. They leave out effects and the order
of guards, and the machine that runs takes no labels, so this package draws from the rows of the table.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_fsm.diagram.drawing import FORMATS, VIEWS, Diagram, diagram
    from realtime_fsm.diagram.graphviz import DrawingFailed
    from realtime_fsm.diagram.notebook import NotebookDisplay

__all__ = ["FORMATS", "VIEWS", "Diagram", "DrawingFailed", "NotebookDisplay", "diagram"]


if not TYPE_CHECKING:  # a checker knows the names, and refuses others

    def __getattr__(name: str) -> Any:  # each is loaded when used: a client needs `NotebookDisplay` alone
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = {"DrawingFailed": "graphviz", "NotebookDisplay": "notebook"}.get(name, "drawing")
        value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
