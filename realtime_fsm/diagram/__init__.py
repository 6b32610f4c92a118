"""Diagrams that cannot drift: drawn from the table that runs, in every format, and a reference beside them.

`transitions` has diagrams of its own. They serve as a check (a test compares their arrows with these), not as the drawing: its
Mermaid and DOT leave out the effects and the order of the guards, the plain machine that runs takes no labels, and neither
groups nor colours by meaning nor a legend can be asked for. So the text is written from the rows that the machine is built of.
"""

from realtime_fsm.diagram.drawing import FORMATS, VIEWS, Diagram, NotebookDisplay, diagram
from realtime_fsm.diagram.graphviz import DrawingFailed

__all__ = ["FORMATS", "VIEWS", "Diagram", "DrawingFailed", "NotebookDisplay", "diagram"]
