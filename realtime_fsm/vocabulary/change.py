"""The change: what those who follow the states get."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from realtime_fsm.vocabulary.errors import LinkFailure
    from realtime_fsm.vocabulary.table import State, Trigger


@dataclass(frozen=True, slots=True)
class Change:
    """One change of state.

    Attributes:
        source: the state that was left.
        dest: the state that was entered.
        trigger: what happened.
        row: the id of the table's row that was taken.
        attempt: how many dials in a row have been made without being forgiven.
        cause: why an attempt or a link ended, if one did.
        at: the moment, aware, in UTC.
    """

    source: State
    dest: State
    trigger: Trigger
    row: str
    attempt: int
    cause: LinkFailure | None
    at: datetime
