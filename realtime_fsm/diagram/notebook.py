"""The picture that a notebook shows for an object with a state.

Design: the import of the drawing waits until a notebook needs it, because few programs that use `Realtime` draw.
"""

from __future__ import annotations

from typing import Any


class NotebookDisplay:
    """Show an object that has a `state` in a notebook, as the overview with that state marked."""

    __slots__ = ()

    def _repr_svg_(self: Any) -> str:
        from realtime_fsm.diagram.drawing import Diagram

        return Diagram(current=self.state)._repr_svg_()
