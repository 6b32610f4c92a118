"""The facts of a connection around an instant about which a user asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from realtime_fsm.audit.answer import Missed
    from realtime_fsm.audit.decoding import FlatRecord


@dataclass(frozen=True, slots=True)
class Seen:
    """A record, and the number of its line."""

    record: FlatRecord
    line: int


@dataclass(slots=True, eq=False)
class Spell:
    """A time in which a connection was not available."""

    kind: str
    since: datetime
    cause: str
    planned: bool = False
    is_exact: bool = True
    seen: Seen | None = None  # the record to look at
    opened: FlatRecord | None = None  # the record that begins the outage
    dials: int = 0
    until: datetime | None = None
    end: str = ""
    failure: FlatRecord | None = None  # the last step that failed in it
    gave_up: bool = False
    missed: list[Missed] = field(default_factory=list)

    def finish(self, moment: datetime, end: str) -> None:
        """Note the end."""
        self.until, self.end = moment, end


@dataclass(slots=True, eq=False)
class Watch:
    """The facts of a connection around the instant."""

    first: datetime
    standing: str | None = None  # at the instant, once it has come
    is_sure: bool = True
    spell: Spell | None = None
    sought: Seen | None = None  # the step since which a link is sought
    loss: Seen | None = None  # the last step that lost a live link
    opened: Seen | None = None  # the last record that begins an outage
    fault: Seen | None = None  # the last record that begins a server fault
    failure: FlatRecord | None = None  # the last step that failed since a link was up
    gave_up: bool = False  # since then
