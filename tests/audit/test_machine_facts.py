"""The facts that the audit infers from records are those of the machine that wrote the records, after each step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

from realtime_fsm.audit.auditor import Auditor
from realtime_fsm.audit.facts import Facts
from realtime_fsm.fsm.commands import StepResult
from realtime_fsm.fsm.context import ConnectionContext
from realtime_fsm.fsm.inputs import Input
from realtime_fsm.fsm.link import Phase
from realtime_fsm.fsm.table import TABLE
from support.bench import Bench
from support.brokenlogs import Record, Scribe, collected, lines_of
from support.recorded_walk import RecordedWalk
from support.scenes import AnyRow, play

NEVER = float("-inf")
UNKNOWN_AFTER_A_WAY_BACK = {"request_in_flight", "proven", "refusals", "sent"}
"""No record tells these of an old link that takes over again."""


class Witness:
    """Feeds an auditor with the records of a bench, and compares its facts with those of the machine.

    Attributes:
        unknown: the names of the facts that were once unknown.
    """

    def __init__(self, bench: Bench, records: list[Record]) -> None:
        self._bench, self._records = bench, records
        self._scribe = Scribe(bench)
        self._do = bench.do
        self._auditor = Auditor()
        self._auditor.begin("log")
        self._read = 0
        self._began = 0.0
        self.unknown: set[str] = set()
        bench.do = self.do  # type: ignore[method-assign]

    def do(self, input_: Input, *, after: float = 0.0) -> StepResult:
        result = self._do(input_, after=after)
        self._auditor.feed(lines_of(self._records[self._read :]))
        self._read = len(self._records)
        context = self._bench.context
        self._began = self._began or context.state_entered_at or 0.0
        if self._began and self._auditor._connections.live:
            (tracked,) = self._auditor._connections.live.values()
            facts = self.facts(tracked.facts, context)
            unknown = {name for name, known, true in facts if known is None and true is not None}
            self.unknown |= unknown
            known = {name: known for name, known, _ in facts if name not in unknown}
            assert known == {name: true for name, _, true in facts if name not in unknown}, result.transition
        return result

    def facts(self, known: Facts, context: ConnectionContext) -> list[tuple[str, Any, Any]]:
        """The name of each fact, its value for the audit, and its true value. Each moment counts from the first step."""
        subscriptions, link, mine, frames = context.subscriptions, context.link, known.subscriptions, known.frames
        outage = self._scribe.outages.current

        def since_began(moment: float | None) -> float:
            return NEVER if moment is None or moment == NEVER else round(moment - self._began, 6)

        now = since_began(self._bench.now)
        desired = set(subscriptions.desired)
        facts: list[tuple[str, Any, Any]] = [
            ("state", known.state, context.state),
            ("entered", round(known.entered, 6), since_began(context.state_entered_at)),
            ("link", known.newest_link, context.generation),
            ("attempt", known.attempt, context.attempt),
            ("has_link", known.link.is_open, link is not None),
            ("draining", known.draining.link.number if known.draining is not None else 0, context.draining_generation or 0),
            ("not_before", max(known.next_dial.not_before, now), max(since_began(context.not_before), now)),
            ("throttled", known.next_dial.throttled, context.throttled),
            ("era", known.era, context.era),
            ("doubtful", known.next_dial.doubtful, context.doubtful),
            ("been_up", known.history.been_up, context.been_up),
            ("ever_up", known.history.ever_up, context.ever_up),
            ("refusals", known.history.refusals, context.refusals),
            ("sends", frames.sends, context.frames_sent),
            ("request_in_flight", known.frames.in_flight, subscriptions.in_flight is not None),
            ("desired", mine.desired, desired),
            ("acknowledged", mine.acknowledged & mine.desired, set(subscriptions._acknowledged) & desired),
            ("outage", known.outages.current is not None, outage is not None),
            ("lost_by", known.outages.lost_by, None),
        ]  # fmt: skip
        if context.awaited or link is not None:  # a machine that waits no longer for links may still wait for its slot
            facts.append(("awaits", known.next_dial.awaits, len(context.awaited)))
        if context.generation:
            facts.append(("next_dial_in_url", known.next_dial.in_url, context.subscribes_in_url))
        if known.next_dial.retry is not None and context.attempt_at is not None:
            planned, least, most = known.next_dial.retry
            due = since_began(context.attempt_at) - planned
            facts.append(("retry", least - 1e-6 <= due <= most + 1e-6, True))
        if link is not None:
            budget = link.budget
            sent = sorted(map(since_began, (*budget._pings, *budget._requests)))
            facts += [
                ("current", known.link.number, link.generation),
                ("dialed_in_url", known.link.in_url, link.subscribed_in_url),
                ("proven", known.link.proven, link.proven),
                ("closed_until", frames.closed_until, since_began(budget._closed_until)),
                (
                    "sent",
                    [round(moment, 6) for moment in frames.sent[-len(sent) :]] if frames.sent_known else None,
                    sent,
                ),
                ("faulty", known.outages.faulty_since is not None, link.at_fault),
            ]
            if link.phase is Phase.DIALING:
                facts.append(("dialed_at", round(known.link.dialed_at, 6), since_began(link.since)))
            if link.phase is Phase.GREETING:
                facts.append(("opened_at", round(known.link.opened_at, 6), since_began(link.since)))
            if link.request_sent_at is not None and known.frames.in_flight:
                facts.append(("asked_at", round(known.frames.asked_at, 6), since_began(link.request_sent_at)))
        return facts


@pytest.fixture
def witnesses(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The witnesses of all benches of the test."""
    found: list[Witness] = []
    build: Callable[..., None] = Bench.__init__

    with collected() as records:

        def init(bench: Bench, **options: Any) -> None:
            build(bench, **options)
            found.append(Witness(bench, records))

        monkeypatch.setattr(Bench, "__init__", init)
        yield found


@pytest.mark.parametrize("row", TABLE.rows, ids=lambda row: row.id)
def test_the_facts_are_known_and_true_in_each_scene(row: AnyRow, witnesses: list[Witness]) -> None:
    play(row)
    (witness,) = witnesses
    assert witness.unknown <= UNKNOWN_AFTER_A_WAY_BACK


class WitnessedWalk(RecordedWalk):
    """A walk whose facts are compared after each step."""

    def watch(self, bench: Bench) -> None:
        Witness(bench, self.records)

    def judge(self) -> None:
        """Judge nothing more."""


TestWitnessedWalk = WitnessedWalk.TestCase
TestWitnessedWalk.settings = settings(max_examples=40, stateful_step_count=40, deadline=None, derandomize=True)
