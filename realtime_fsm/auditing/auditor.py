"""The auditor: records in, a report out. One pass; what it keeps grows with the connections that live, not with the log.

The law: it does no I/O and knows no files but by name. `begin` says whose lines come next, `feed` takes them, `finish` ends it.

What is guaranteed: connections may be interleaved in any way. The records of one connection are judged in the order in which
they come; what is out of order or missing there is a doubt, and what a doubt hides is not judged. A connection is summed up
when it has been disposed of; those that never are stay in memory, as live ones do.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from realtime_fsm.auditing.finding import disorder, explained, finding_of
from realtime_fsm.auditing.follow import configure, follow, note, resync
from realtime_fsm.auditing.gauges import Histogram
from realtime_fsm.auditing.judge import misplaced, ordinary
from realtime_fsm.auditing.ledger import Ledger
from realtime_fsm.auditing.lines import TRANSITION, Line, Slow, Trouble, decode_fast, decode_slowly
from realtime_fsm.auditing.places import Places
from realtime_fsm.auditing.report import Finding, Place, Report
from realtime_fsm.auditing.rules import RULES, SLEEP, UNNOTICED, Said, Weight
from realtime_fsm.auditing.secrets import looks_secret
from realtime_fsm.auditing.shadow import STEPS, Shadow
from realtime_fsm.vocabulary.table import State

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from realtime_fsm.auditing.shadow import Step
    from realtime_fsm.vocabulary.records import OpenRecord

REMEMBERED = 256
"""Ended connections that are remembered, so that what follows their end is noticed."""


class Auditor:
    """Judges the records of any number of connections.

    Args:
        only: the ids of the connections to look at; all if empty.
        since: what was written before it is followed and not judged.
        until: what was written after it is left out.
        fail_on: the names of rules whose findings count as violations, whatever their weight.
        detail: whether to keep what pictures need.
    """

    def __init__(
        self,
        *,
        only: Collection[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        fail_on: Collection[str] = (),
        detail: bool = False,
    ) -> None:
        self._only, self._since, self._until = frozenset(only), since, until
        self._fail_on, self._detail = frozenset(fail_on), detail
        self._windowed = since is not None or until is not None
        self._live: dict[str, Shadow] = {}
        self._ended: OrderedDict[str, Shadow] = OrderedDict()
        self._ledger = Ledger(detail=detail)
        self._dwells: dict[str, Histogram] = {}
        self._places = Places()
        self._line = b""

    @property
    def lines(self) -> int:
        """How many lines were fed."""
        return self._places.number

    @property
    def live(self) -> int:
        """How many connections are followed."""
        return len(self._live)

    @property
    def violation(self) -> Finding | None:
        """The first violation so far."""
        return self._ledger.first if self._ledger.first is not None and self._ledger.first.weight == "violation" else None

    def begin(self, name: str) -> None:
        """The lines of a file come next."""
        self._places.begin(name)

    def feed(self, lines: Iterable[bytes]) -> None:
        """Take lines."""
        places, live, in_parts = self._places, self._live, self._windowed
        for line in lines:
            places.number += 1
            try:
                record = decode_fast(line)
            except (msgspec.MsgspecError, ValueError):
                self._take_slowly(line)
                continue
            shadow = live.get(record.connection_id)
            if shadow is None or in_parts or record.seq != shadow.seq + 1:
                self._take(record, line)
                continue
            # What `_take` does, for the record that was expected: nearly every line comes this way.
            self._line = line
            shadow.seq = record.seq
            shadow.last = record.timestamp
            shadow.records += 1
            if record.row:
                self._step(shadow, record)
            else:
                self._note(shadow, record, None)
            shadow.recent.append((places.number, line))

    def unusable(self, name: str, text: str, line: int = 0) -> None:
        """Note that a file cannot be read, or not to its end."""
        self._ledger.add_unusable(Finding("cut", "unusable", text, Place(name, line)))

    def finish(self) -> Report:
        """The end of all lines.

        Returns:
            The report. The auditor is used up.
        """
        for shadows in (self._ended, self._live):
            while shadows:
                _, shadow = shadows.popitem()
                self._conclude(shadow)
        return self._ledger.report(self._places.files, self._places.number, self._dwells)

    def _take_slowly(self, line: bytes) -> None:
        made = decode_slowly(line)
        if isinstance(made, Slow):
            self._take(made.line, line, made)
        elif isinstance(made, Trouble):
            self._take_trouble(made, line)

    def _take_trouble(self, trouble: Trouble, line: bytes) -> None:
        identifier = trouble.connection_id
        if self._only and identifier not in self._only:
            return
        self._line = line
        if identifier is None:
            self._ledger.add_loose(self._finding(None, Said(trouble.rule, trouble.text)), self._places.number)
            return
        shadow = self._live.get(identifier) or self._meet(identifier, trouble.timestamp)
        if trouble.seq is not None:
            if trouble.seq != shadow.seq + 1:
                self._disorder(shadow, trouble.seq)
            shadow.seq = trouble.seq
        shadow.records += 1
        if trouble.timestamp is not None:
            shadow.first = shadow.first or trouble.timestamp
            shadow.last = trouble.timestamp
        if self._counts(trouble.timestamp):
            self._say(shadow, Said(trouble.rule, trouble.text))
        shadow.blind()
        shadow.recent.append((self._places.number, line))

    def _take(self, record: Line, line: bytes, slow: Slow | None = None) -> None:
        shadow = self._live.get(record.connection_id)
        if shadow is None:
            if self._only and record.connection_id not in self._only:
                return
            shadow = self._meet(record.connection_id, record.timestamp)
        if self._windowed and not self._in_window(shadow, record):
            return
        self._line = line
        if record.seq != shadow.seq + 1:
            self._disorder(shadow, record.seq)
        shadow.seq = record.seq
        shadow.last = record.timestamp
        shadow.records += 1
        if record.row or record.event == TRANSITION:
            self._step(shadow, record)
        else:
            self._note(shadow, record, None if slow is None else slow.opened)
        if slow is not None and slow.secrets:
            self._say(shadow, Said("secret", f"{', '.join(slow.secrets)}: the value looks like a secret"))
        shadow.recent.append((self._places.number, line))

    def _step(self, shadow: Shadow, line: Line) -> None:
        step = STEPS.get(line.row)
        if shadow.done:
            self._say(shadow, Said("end", "the connection object was closed before"))
        if (
            step is None
            or line.source != shadow.state
            or line.trigger != step.trigger
            or line.dest != step.dest
            or line.source != step.source
        ):
            said = misplaced(shadow, line, step)
            if said is not None:
                self._say(shadow, said, step)
                resync(shadow, line)
                if step is None:
                    shadow.state = None
                    return
            elif shadow.state is None:
                resync(shadow, line)
            assert step is not None
        t = shadow.entered + line.dwell
        for check in step.screened if ordinary(shadow, line, step, t) else step.checks:
            wrong = check(shadow, line, step, t)
            if wrong is not None:
                if self._say(shadow, explained(wrong, self._line), step, t):
                    resync(shadow, line)
                    t = shadow.entered + max(0.0, line.dwell)
                break
        if shadow.late is not None or step.wakes:
            self._judge_late(shadow, step, t)
        if self._detail:
            self._dwells.setdefault(step.id, Histogram()).add(line.dwell)
        follow(shadow, line, step, t, detail=self._detail)

    def _note(self, shadow: Shadow, line: Line, opened: OpenRecord | None) -> None:
        if shadow.done and line.event != "realtime.dropped":  # a consumer may empty its stream after the end
            self._say(shadow, Said("end", "the connection object was closed before"))
        said = note(shadow, line)
        if said is None and opened is not None:
            said = configure(shadow, opened)
        if said is not None:
            self._say(shadow, said)
        if shadow.done and shadow.connection_id in self._live:
            del self._live[shadow.connection_id]
            self._ended[shadow.connection_id] = shadow
            if len(self._ended) > REMEMBERED:
                self._conclude(self._ended.popitem(last=False)[1])

    def _meet(self, identifier: str, moment: datetime | None) -> Shadow:
        """A connection whose records come for the first time, or after its end."""
        shadow = self._ended.get(identifier)
        if shadow is None:
            shadow = self._live[identifier] = Shadow(identifier, self._places.number)
            if not self._windowed:
                shadow.first = moment
            if looks_secret(identifier):
                self._say(shadow, Said("secret", "the connection's id looks like a secret"))
        return shadow

    def _in_window(self, shadow: Shadow, line: Line) -> bool:
        if shadow.over or (self._until is not None and line.timestamp > self._until):
            shadow.over = True
            return False
        if self._since is not None and shadow.first is None and line.timestamp >= self._since:
            waited = 0.0 if shadow.last is None else (self._since - shadow.last).total_seconds()
            self._ledger.drop(shadow)
            shadow.life_from = shadow.now + max(0.0, waited)
        if shadow.first is None and (self._since is None or line.timestamp >= self._since):
            shadow.first = line.timestamp
        return True

    def _counts(self, moment: datetime | None) -> bool:
        return self._since is None or (moment is not None and moment >= self._since)

    def _disorder(self, shadow: Shadow, seq: int) -> None:
        self._say(shadow, Said("seq", disorder(shadow.seq, seq)))
        shadow.blind()

    def _judge_late(self, shadow: Shadow, step: Step, t: float) -> None:
        """A sleep explains what is late around the moment at which it is noticed."""
        if step.wakes:
            shadow.woken_at = t
        if shadow.late is None:
            return
        since, number, finding = shadow.late
        if step.wakes and t - since <= SLEEP:
            shadow.late = None
        elif t - since > SLEEP:
            shadow.late = None
            self._ledger.add(shadow, finding, number)

    def _conclude(self, shadow: Shadow) -> None:
        if self._windowed and shadow.first is None:  # nothing of it is in the time that is asked for
            return
        if shadow.late is not None:
            self._ledger.add(shadow, shadow.late[2], shadow.late[1])
        self._ledger.conclude(shadow, self._places.here, self._places.number, self._fail_on)

    def _say(self, shadow: Shadow, said: Said, step: Step | None = None, t: float = 0.0) -> bool:
        """Note a finding. The answer tells whether the record contradicts what is known, not only the clock."""
        if shadow.first is None and self._since is not None:
            return True
        # Where a late step leads to rest, nobody looks for sleeps any more, so none can be told.
        rests = step is not None and step.dest in (State.DISCONNECTED, State.ERROR)
        if said.late and (rests or said.late <= UNNOTICED):
            said = Said("late", said.text)
        if said.late:
            if t - shadow.woken_at > SLEEP and shadow.late is None:
                shadow.late = t, self._places.number, self._finding(shadow, said)
            return False
        known = shadow.findings.get(said.rule)
        finding = known[0] if known is not None else self._finding(shadow, said)
        self._ledger.add(shadow, finding, self._places.number)
        return RULES[said.rule].weight is Weight.VIOLATION

    def _finding(self, shadow: Shadow | None, said: Said) -> Finding:
        return finding_of(shadow, said, self._line, self._places, self._fail_on)
