"""The picture that notebooks show of an object with a state.

Design: the drawing is loaded when a notebook shows one, because every `Realtime` can show itself and few programs draw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from realtime_fsm.fsm.table import State


class _HasState(Protocol):
    @property
    def state(self) -> State: ...


class NotebookDisplay:
    """Show an object that has a `state` in notebooks: as the overview with that state marked."""

    __slots__ = ()

    def _repr_svg_(self: _HasState) -> str:
        from realtime_fsm.diagram.drawing import Diagram

        return Diagram(current=self.state)._repr_svg_()
