"""The coverage: which rows were taken and which guards held and failed, cell by cell, over all runs of a process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from realtime_fsm.fsm import machine as the_machine
from realtime_fsm.fsm.context import ConnectionContext
from realtime_fsm.fsm.table import State, Trigger

Cell = tuple[State, Trigger]
machine: Any = the_machine


class Coverage:
    """The rows, guards and cells that a run covers.

    Attributes:
        rows: how often each row was taken, by its id.
        guards: the outcomes of each guard in each cell.
        cells: how often something happened in each cell, ignored ones included.
    """

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.guards: set[tuple[Cell, str, bool]] = set()
        self.cells: Counter[Cell] = Counter()
        self.cell: Cell | None = None

    def events(self) -> dict[str, Any]:
        """A machine of the table as it is now, whose guards are looked at."""
        with patch.dict(machine.GUARDS, {name: self._spy(name, guard) for name, guard in machine.GUARDS.items()}):
            events: dict[str, Any] = machine.build(machine.TABLE)
            return events

    def _spy(self, name: str, guard: Callable[[ConnectionContext], bool]) -> Callable[[ConnectionContext], bool]:
        def ask(context: ConnectionContext) -> bool:
            holds = guard(context)
            if self.cell is not None:
                self.guards.add((self.cell, name, bool(holds)))
            return holds

        return ask

    def add(self, other: Coverage) -> None:
        """Count what another one has seen."""
        self.rows += other.rows
        self.cells += other.cells
        self.guards |= other.guards

    # --- against the table ------------------------------------------------------------------------------------------------

    def rows_missing(self) -> list[str]:
        """The rows that were never taken."""
        return [row.id for row in machine.TABLE.rows if not self.rows[row.id]]

    def guards_missing(self) -> list[str]:
        """The outcomes of guards that were never seen."""
        return [
            f"{state}/{trigger}: {name} {'holds' if holds else 'fails'}"
            for (state, trigger), name, holds in self.guards_possible()
            if ((state, trigger), name, holds) not in self.guards
        ]

    @staticmethod
    def guards_possible() -> list[tuple[Cell, str, bool]]:
        """Every outcome that a guard of the table could have in its cell."""
        asked = dict.fromkeys(((row.source, row.trigger), name) for row in machine.TABLE.rows for name in row.guards)
        return [(cell, name, holds) for cell, name in asked for holds in (True, False)]
