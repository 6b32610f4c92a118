"""Diagrams and a reference that cannot drift: drawn from the table that runs, in every format.

The library `transitions` draws diagrams, too, and a test compares their arrows with these. They leave out effects and the order
of guards, and the machine that runs takes no labels, so this package draws from the rows of the table.
"""

from realtime_fsm.diagram.drawing import FORMATS, VIEWS, Diagram, NotebookDisplay, diagram
from realtime_fsm.diagram.graphviz import DrawingFailed

__all__ = ["FORMATS", "VIEWS", "Diagram", "DrawingFailed", "NotebookDisplay", "diagram"]
