"""Findings: the place, the record, the records before it, and the transition rules that the table allows; without secrets."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from realtime_fsm.audit.decoding import TRANSITION, BadRecord, decode_unusual
from realtime_fsm.audit.formats.text_utils import pluralize
from realtime_fsm.audit.report import ContextRecord, Finding, Location
from realtime_fsm.audit.row_facts import UNKNOWN
from realtime_fsm.audit.rules import RULES, RuleBreach, Severity, weigh
from realtime_fsm.audit.secret_scan import masked, redact
from realtime_fsm.fsm.table import State, Trigger

if TYPE_CHECKING:
    from collections.abc import Collection

    from realtime_fsm.audit.collector import ReportBuilder
    from realtime_fsm.audit.tracking import TrackedConnection
    from realtime_fsm.audit.window import Window
    from realtime_fsm.fsm.tablespec import Row


class LineNumbers:
    """Number lines through all files."""

    def __init__(self) -> None:
        self.files: list[str] = []  # their names, in order
        self.number: int = 0  # of lines so far
        self._starts: list[int] = []
        self._earlier: list[int] = []  # how many lines of the file came before: files that grow take turns
        self._counts: Counter[str] = Counter()

    def begin(self, name: str) -> None:
        """Name the file of the next lines."""
        if self.files:
            self._counts[self.files[-1]] += self.number - self._starts[-1]
        self._starts.append(self.number)
        self._earlier.append(self._counts[name])
        self.files.append(name)

    @property
    def is_begun(self) -> bool:
        """Whether the last file has given a line."""
        return bool(self._starts) and self.number > self._starts[-1]

    def of(self, number: int) -> Location:
        """Find the file and the line of a number."""
        index = bisect_right(self._starts, number - 1) - 1
        if index < 0:
            return Location("-", number)
        return Location(self.files[index], self._earlier[index] + number - self._starts[index])

    @property
    def here(self) -> Location:
        """The place of the last line."""
        return self.of(self.number)


class Reporter:
    """Makes findings about lines, and gives them to the builder of the report."""

    def __init__(self, builder: ReportBuilder, places: LineNumbers, window: Window, fail_on: Collection[str]) -> None:
        self._builder, self._places, self._window, self._fail_on = builder, places, window, frozenset(fail_on)
        self.here: tuple[int, bytes] = 0, b""  # the number of the line that is judged, and the line

    def report(self, tracked: TrackedConnection, said: RuleBreach) -> bool:
        """Note a finding about a connection, and tell whether the record contradicts the known facts."""
        weight = RULES[said.rule].weight
        if tracked.book is UNKNOWN and weight is Severity.VIOLATION and said.rule != "secret":
            return True  # only its table could tell
        if not self._window.reports(tracked):
            return True
        known = tracked.findings.get(said.rule)
        self._builder.add(tracked, known[0] if known is not None else self._finding(tracked, said))
        return weight is Severity.VIOLATION

    def report_secrets(self, tracked: TrackedConnection, names: tuple[str, ...]) -> None:
        """Note the fields of a record that look like secrets."""
        self.report(tracked, RuleBreach("secret", f"{', '.join(names)}: the value looks like a secret"))

    def report_line(self, said: RuleBreach) -> None:
        """Note a finding about a line that names no connection."""
        self._builder.add_unattributed(self._finding(None, said))

    def _finding(self, tracked: TrackedConnection | None, said: RuleBreach) -> Finding:
        weight, places = weigh(said.rule, self._fail_on), self._places
        place, record = places.of(self.here[0]), decode_redacted(self.here[1])
        name = None if tracked is None else masked(tracked.connection_id)
        if tracked is None or weight is Severity.NOTE:
            return Finding(said.rule, weight.value, said.text, place, name, record)
        before = [ContextRecord(places.of(number), decode_redacted(earlier) or {}) for number, earlier in tracked.recent]
        is_step = record is not None and record.get("event") == TRANSITION  # other records follow no transition rule
        allowed = describe_allowed(tracked, record.get("trigger")) if record is not None and is_step else []
        return Finding(said.rule, weight.value, said.text, place, name, record, before, allowed)


def describe_allowed(tracked: TrackedConnection, trigger: object) -> list[str]:
    """Describe in lines the transition rules that the table allows in the state of a connection: of a known trigger, or all."""
    if tracked.facts.state is None:
        return ["anything: records are missing before, so the state is not known"]
    table, steps = tracked.book
    if not steps:
        return ["anything: the table of this connection is not known"]
    state = State(tracked.facts.state)
    known = next((each for each in Trigger if each == trigger), None)
    if known is None:
        return [describe_row(row) for row in table.rows if row.source is state]
    rows = table.cells.get((state, known), ())
    return [describe_row(row) for row in rows] or [f"{state} x {known}: no step. {table.ignored.get((state, known), '')}".strip()]


def describe_row(row: Row[State, Trigger]) -> str:
    """Describe a transition rule in a line."""
    dest = f"stays {row.source}" if row.dest is None else f"-> {row.dest}"
    when = f" if {' and '.join(row.guards)}" if row.guards else ""
    return f"{row.id}: {row.source} x {row.trigger}{when} {dest}"


def explain_missing_field(wrong: RuleBreach, line: bytes) -> RuleBreach:
    """Replace a breach that only the default of a missing field causes."""
    made = decode_unusual(line)
    return RuleBreach(made.rule, made.text) if isinstance(made, BadRecord) else wrong


def describe_hole(before: int, seq: int) -> str:
    """Describe how a number does not follow the one before it."""
    if before == 0:
        return f"the connection's log begins with number {seq}"
    return f"{pluralize(seq - before - 1, 'record is', 'records are')} missing before number {seq}"


def describe_repetition(seq: int, *, is_sure: bool) -> str:
    """Describe a number that has had its turn; not `is_sure` where an earlier number was missing, which may be this one."""
    if is_sure:
        return f"number {seq} is repeated: name a copied log once, or leave repeated lines out"
    return f"number {seq} is repeated, or comes too late to be judged"


def decode_redacted(line: bytes) -> dict[str, Any] | None:
    """Decode a record and hide its secrets; None for a line without a record."""
    try:
        record = msgspec.json.decode(line)
    except ValueError:
        return None
    return redact(record) if isinstance(record, dict) else None
