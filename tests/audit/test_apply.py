"""Records that do not follow from the records before: the audit believes some of their facts, and doubts others."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_fsm.audit.apply import _asks_in_url, _note_era, _note_link, _note_url_channels, _resume, doubt, resync
from realtime_fsm.audit.decoding import FlatRecord
from realtime_fsm.audit.facts import Facts, Link, OldLink
from realtime_fsm.audit.row_facts import STEPS
from realtime_fsm.fsm.names import Effect
from realtime_fsm.fsm.table import TABLE, State
from support.brokenlogs import Record, audited, lines_of
from support.flatrecord import flat_record, policies
from support.some import some
from support.wholelog import LOSS, RECORDS


def line(**fields: Any) -> FlatRecord:
    plain = {"source": "subscribed", "dwell": 2.0, "link": 3, "attempt": 2, "sends": 4, "trigger": "lost", "cause": None}
    return flat_record("transition", **{**plain, **fields})


# --- a record that is believed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "fields", "link", "attempt", "sends"),
    [
        (None, {}, 3, 2, 4),
        ("sub41", {}, 3, 2, 4),
        ("sub64", {}, 3, 2, 3),  # the step sent a ping
        ("dis1", {}, 2, 2, 4),  # the step dialed
        ("dis1", {"attempt": 0}, 3, 0, 4),  # its dial waits
        ("dis1", {"attempt": 1}, 2, 1, 4),
        ("rec32", {}, 3, 2, 4),
        ("sub41", {"attempt": -1, "sends": -1}, 3, 0, 0),
    ],
)
def test_the_audit_infers_the_numbers_before_a_record_from_its_rule(
    row: str | None, fields: dict[str, Any], link: int, attempt: int, sends: int
) -> None:
    facts = Facts(state="ping")
    facts.last_step.now = 100.0
    resync(facts, line(**fields), None if row is None else STEPS[row])
    assert (facts.newest_link, facts.link.number, facts.attempt, facts.frames.sends) == (link, 3, attempt, sends)
    assert (facts.state, facts.entered, facts.complete) == ("subscribed", 98.0, False)


@pytest.mark.parametrize("state", State)
def test_a_state_tells_whether_there_is_a_link(state: State) -> None:
    facts = Facts()
    resync(facts, line(source=state.value, dwell=-1.0), None)
    is_open = True if state.is_live else False if state in (State.DISCONNECTED, State.ERROR) else None
    assert (facts.link.is_open, facts.state, facts.entered) == (is_open, state.value, 0.0)
    resync(facts, line(source="dreaming"), None)
    assert (facts.link.is_open, facts.state) == (None, None)


def test_a_believed_step_may_have_sent_a_request_or_dialed() -> None:
    for row, in_flight, is_open in (("sub41", None, True), ("sub64", False, True), ("rec32", False, None), ("dis1", False, True)):
        facts = Facts()
        facts.link.is_open = True
        doubt(facts, STEPS[row])
        assert (facts.frames.in_flight, facts.frames.put_back, facts.link.is_open) == (in_flight, in_flight, is_open), row


# --- the way back to an old link --------------------------------------------------------------------------------------


def test_the_old_link_takes_over_again() -> None:
    old = OldLink(Link(2, in_url=True), frozenset({"s1", "s2"}), True)
    facts = Facts(draining=old, policies=policies(max_link_age=100.0))
    facts.link, facts.next_dial.awaits, facts.next_dial.throttled = Link(3), 2, True
    facts.subscriptions.desired, facts.subscriptions.acknowledged = {"s2", "s3"}, {"s3"}
    _resume(facts, line(sends=7), 500.0)
    assert (facts.link.number, facts.link.is_open, facts.link.in_url, facts.next_dial.in_url) == (2, True, True, True)
    assert (facts.link.up_at, facts.link.idle_from) == (420.0, 500.0)
    assert [facts.link.proven, facts.link.accepted] == [None, None]
    assert (facts.frames.sends, facts.frames.sent_known, facts.frames.in_flight) == (7, False, None)
    assert (facts.next_dial.awaits, facts.next_dial.throttled, facts.history.refusals) == (0, False, None)
    assert (facts.history.been_up, facts.draining, facts.subscriptions.acknowledged) == (True, None, {"s2", "s3"})


def test_without_records_of_the_old_link_the_audit_takes_the_newest_link() -> None:
    facts = Facts()
    facts.link, facts.history.been_up = Link(3), True
    _resume(facts, line(), 500.0)
    assert (facts.link.number, facts.link.up_at) == (3, 500.0)
    assert [facts.link.in_url, facts.history.been_up] == [None, None]


@pytest.mark.parametrize(
    ("fields", "not_before"),
    [
        ({}, float("-inf")),
        ({"cause": "upgrade_refused", "status": 503}, float("-inf")),
        ({"cause": "upgrade_refused", "status": 429}, 560.0),
        ({"cause": "upgrade_refused", "status": 429, "retry_after": 90.0}, 590.0),
        ({"cause": "upgrade_refused", "status": 503, "retry_after": 7.0}, 507.0),
    ],
)
def test_the_dial_after_a_resumed_link_waits_as_long_as_the_server_asked(fields: Record, not_before: float) -> None:
    facts = Facts()
    _resume(facts, line(**fields), 500.0)
    assert facts.next_dial.not_before == not_before


@pytest.mark.parametrize(
    ("held", "least", "throttled"), [(0.5, 0.5, True), (0.0, 0.0, False), (-5.0, 0.0, False), (9.0, 9.0, True)]
)
def test_a_later_dial_waits_as_long_as_the_server_asked(held: float, least: float, throttled: bool) -> None:
    """The first dial after a loss may leave at once where the server asked for nothing."""
    facts = Facts(newest_link=3, policies=policies(retry={"base": 2.0}))
    facts.next_dial.not_before = 100.0 + held
    _note_link(facts, line(attempt=0, era="E4", cause="stream_ended"), STEPS["sub58"], 100.0)
    assert facts.next_dial.throttled is throttled
    assert facts.next_dial.retry == (100.0, least, max(2.0, least + 2.0) if held > 0 else 2.0)


# --- channels in the URL ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("era", "doubtful", "covered", "complete", "asks"),
    [
        ("E1", True, False, True, True), ("E2", None, True, False, True), ("E4", False, False, True, False),
        (None, False, False, True, False), ("E3", True, False, True, False), ("E3", False, False, True, True),
        ("E3", None, False, True, None), ("E3", True, True, True, True), ("E3", True, True, False, None),
    ],
)  # fmt: skip
def test_a_server_that_greets_like_an_e3_is_asked_once_like_an_e4(
    era: str | None, doubtful: bool | None, covered: bool, complete: bool, asks: bool | None
) -> None:
    facts = Facts(complete=complete)
    facts.next_dial.doubtful = doubtful
    assert _asks_in_url(facts, era, covered=covered) is asks


@pytest.mark.parametrize(
    ("before", "era", "own", "doubtful"),
    [("E4", "E3", None, True), ("E4", "E3", "E3", False), (None, "E3", None, False), ("E3", "E3", None, False),
     ("E3", "E4", None, False)],
)  # fmt: skip
def test_a_greeting_like_an_e3_is_doubtful_where_the_era_was_another(
    before: str | None, era: str, own: str | None, doubtful: bool
) -> None:
    facts = Facts(era=before, policies=policies(protocol=own))
    _note_era(facts, era)
    assert (facts.next_dial.doubtful, facts.era) == (doubtful, era)
    facts.complete = False
    _note_era(facts, era)
    assert facts.next_dial.doubtful is None


def test_a_greeting_after_missing_records_does_not_tell_whether_the_old_link_is_gone() -> None:
    facts = Facts(complete=False, draining=OldLink(Link(3), frozenset({"s1"}), True))
    facts.history.been_up = True
    _note_era(facts, "E4")
    assert facts.draining is None
    assert facts.history.been_up is None, "while an old link drains, the attempts of a first link count"


def test_the_era_decides_whether_a_new_attempt_has_channels_in_its_url() -> None:
    others = {Effect.FIND_ERA, Effect.USE_URL_SUBSCRIPTIONS, Effect.SCHEDULE_RETRY, Effect.RESTORE_IDENTITY}
    rows = [row for row in TABLE.rows if Effect.RESET_ATTEMPTS in row.effects and not others & set(row.effects)]
    assert {row.source.is_live for row in rows} == {True, False}
    for row in some(rows):
        for era, asks in (("E2", True), ("E4", False)):
            facts = Facts()
            facts.next_dial.in_url = None
            _note_url_channels(facts, era, STEPS[row.id], waits=False)
            assert facts.next_dial.in_url is (asks if row.source.is_live else None), row.id


# --- giving up --------------------------------------------------------------------------------------------------------


def test_the_audit_passes_on_each_outage_and_each_step_that_gives_up() -> None:
    told: list[FlatRecord] = []
    audited(lines_of(RECORDS), on_outage=told.append)
    assert [(record.event, record.change) for record in told] == [("realtime.outage", "opened"), ("realtime.outage", "closed")]
    told.clear()
    given_up = {**RECORDS[LOSS], "row": "sub59", "dest": "error"}
    report = audited(lines_of([*RECORDS[:LOSS], given_up]), on_outage=told.append)
    assert [record.dest for record in told] == ["error"]
    assert report.counts["error"] == 1
