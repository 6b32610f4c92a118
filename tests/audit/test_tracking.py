"""The facts of a connection before its records tell them, and the facts that a record of an acknowledgement changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from realtime_fsm.audit.facts import Facts, Frames, LastStep, Link, NextDial, OldLink, Outages
from realtime_fsm.audit.tracking import TrackedConnection
from realtime_fsm.fsm.inputs import (
    Acknowledged,
    Authenticate,
    Connect,
    Dispose,
    PingEnabledChanged,
    Reconnect,
    ResumedFromSuspend,
    Unsubscribe,
)
from realtime_fsm.fsm.pacer import Pacer
from realtime_fsm.fsm.policies import PingPolicy, RetryPolicy
from realtime_fsm.fsm.table import State
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.frames import AcknowledgedSubscription
from support.bench import Bench
from support.brokenlogs import Record, Scribe, audited, collected, lines_of
from support.verdicts import altered, found
from support.wholelog import LINES, kind


def logged(live: Callable[[Bench], object], **options: Any) -> list[Record]:
    with collected() as records:
        bench = Bench(**options)
        Scribe(bench)
        live(bench)
    return records


def rows(records: list[Record]) -> list[str]:
    return [record["row"] for record in records if "row" in record]


def test_the_time_before_the_first_connect_is_no_failure() -> None:
    def live(bench: Bench) -> None:
        bench.do(PingEnabledChanged(enabled=True))
        bench.do(Connect(), after=50.0)
        bench.open()
        bench.greet()
        bench.do(Dispose(), after=10.0)

    (connection,) = audited(lines_of(logged(live))).connections
    assert (connection.life.states["disconnected"], connection.life.states["connected"]) == (50.0, 10.0)
    assert connection.life.availability == 100.0


def test_nothing_holds_the_first_dial_back() -> None:
    records = logged(lambda bench: bench.do(Connect()), retry=RetryPolicy(dials_per_minute=None))
    (index,) = (number for number, record in enumerate(records) if "row" in record)
    assert found(audited(lines_of(records))) == ("conformant", None)
    assert found(audited(altered(records, index, link=0, attempt=0))) == ("violated", "attempt")


@pytest.mark.parametrize("woken", [False, True])
def test_a_first_dial_that_waits_for_the_rate_limit_is_made_in_its_time_or_after_a_sleep(woken: bool) -> None:
    pacer = Pacer(1)
    pacer.reserve(1000.0)

    def live(bench: Bench) -> None:
        bench.do(Connect())
        if woken:
            bench.do(ResumedFromSuspend(), after=1.0)
        bench.expire()
        bench.open()

    records = logged(live, pacer=pacer)
    assert rows(records) == ["dis1", *["rec76"] * woken, "rec32", "rec21"]
    assert found(audited(lines_of(records))) == ("conformant", None)


def test_an_identity_that_fails_before_any_link_was_up_leaves_the_count_of_a_first_link() -> None:
    def live(bench: Bench) -> None:
        bench.do(Authenticate("session"))
        bench.fail_dial()
        bench.fail_dial()
        assert bench.state is State.ERROR

    records = logged(live, retry=RetryPolicy(attempts=1, reconnect_attempts=None))
    assert found(audited(lines_of(records))) == ("conformant", None)
    (last,) = (number for number, record in enumerate(records) if record.get("dest") == "error")
    wrong = altered(records, last, row="rec24", dest="reconnecting")
    assert found(audited(wrong)) == ("violated", "row")


def test_an_outage_whose_beginning_is_missing_has_no_gap_that_no_record_tells() -> None:
    (connection,) = audited(LINES[kind("outage") + 1 :]).connections
    (outage,) = connection.life.outages
    assert (outage.cause, outage.gap) == ("stream_ended", 0.0)


def test_the_frames_of_a_link_are_unknown_after_a_handover_that_led_back_to_it() -> None:
    """No record tells when the budget of the old link has room again, so any moment is right."""

    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED)
        for number in range(2, 40):
            if bench.context.subscriptions.in_flight is not None:
                bench.acknowledge()
            bench.subscribe(f"s{number}")
        bench.do(Reconnect(), after=1.0)
        bench.fail_dial()
        bench.expire_until("con66")

    records = logged(live, ping=PingPolicy(enabled=False), retry=RetryPolicy(attempts=1))
    assert found(audited(lines_of(records))) == ("conformant", None)


def test_a_step_to_subscribed_proves_the_link_though_the_records_of_its_subscriptions_are_missing() -> None:
    records = logged(lambda bench: bench.to(State.SUBSCRIBED).lose(), retry=RetryPolicy(attempts=1))
    loss = next(number for number, record in enumerate(records) if record.get("row") == "sub58")
    silent = [record for record in records[:loss] if record["event"] != "realtime.subscription"]
    given_up = {**records[loss], "row": "sub59", "dest": "error"}
    assert found(audited(lines_of([*silent, given_up]))) == ("violated", "row"), "a link that was up is waited for"


# --- acknowledgements -------------------------------------------------------------------------------------------------


def granted(bench: Bench, *identifiers: str) -> Acknowledged:
    return Acknowledged(bench.generation, "subscribe", tuple(AcknowledgedSubscription(one, ("rows",)) for one in identifiers))


def test_a_late_reply_during_a_ping_proves_the_link() -> None:
    """The server dropped a request, said so, and has answered it all the same: no step tells, and its record does."""

    def live(bench: Bench) -> None:
        bench.subscribe("s1")
        bench.open()
        bench.greet()
        asked = bench.context.subscriptions.in_flight
        assert asked is not None
        bench.err(1013)
        bench.expire_until("con64")  # with the next window, before the request
        bench.hear(granted(bench, *asked.ids))
        bench.lose(1008)

    records = logged(live, retry=RetryPolicy(attempts=1))
    index = next(number for number, record in enumerate(records) if record.get("change") == "acknowledged")
    assert (rows(records)[-1], records[index - 1]["dest"]) == ("pin58", "ping")
    assert found(audited(lines_of(records))) == ("conformant", None)


def test_a_subscription_that_ended_is_a_new_one_where_it_is_asked_for_again() -> None:
    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED).do(Unsubscribe("s1"))
        bench.acknowledge()
        bench.subscribe("s1")
        bench.err(500)

    report = audited(lines_of(logged(live, retry=RetryPolicy(attempts=1))))
    assert (report.verdict, report.counts["rejected"], "kept" in report.counts) == ("conformant", 1, False)


def test_an_acknowledgement_ends_a_row_of_refusals_though_more_is_asked_for() -> None:
    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED).lose()
        bench.expire()
        bench.open()
        bench.err(1008)
        bench.expire()
        bench.open()
        bench.greet()
        bench.subscribe("s2")
        bench.acknowledge()
        bench.err(1013)
        bench.err(1008)
        bench.lose(1008)
        assert bench.state is State.RECONNECTING

    records = logged(live, retry=RetryPolicy(attempts=2), era=Era.E4)
    assert found(audited(lines_of(records))) == ("conformant", None)
    (index,) = (number for number, record in enumerate(records) if record.get("change") == "acknowledged" and record["link"] == 3)
    silent = lines_of([*records[:index], *({**one, "seq": one["seq"] - 1} for one in records[index + 1 :])])
    assert found(audited(silent)) == ("violated", "row"), "without the acknowledgement it was the second refusal in a row"


def test_a_refusal_that_answers_a_request_is_no_failed_attempt_where_another_one_was_accepted() -> None:
    def live(bench: Bench) -> None:
        bench.subscribe("s1")
        bench.open()
        bench.greet()
        bench.subscribe("s2")
        bench.acknowledge()
        bench.err(1008)
        bench.lose(1008)

    records = logged(live, era=Era.E4)
    assert (records[-2]["row"], records[-2]["attempt"]) == ("sub58", 0)
    assert found(audited(lines_of(records))) == ("conformant", None)
    assert found(audited(altered(records, len(records) - 2, attempt=1))) == ("violated", "attempt")


# --- before the records -----------------------------------------------------------------------------------------------


def test_a_connection_begins_without_a_link_and_without_doubt() -> None:
    never = float("-inf")
    facts = asdict(TrackedConnection("c", 1).facts)
    nested = {name: facts.pop(name) for name in list(facts) if isinstance(facts[name], dict)}
    assert facts == {
        "state": "disconnected", "entered": 0.0, "state_before_ping": "disconnected", "newest_link": 0, "attempt": 0, "era": None,
        "draining": None, "complete": True, "closed": False, "closed_by_record": False, "policies": None,
    }  # fmt: skip
    assert nested == {
        "last_step": {
            "now": 0.0, "now_at": None, "noted": 0.0, "origin": None, "wall": None, "ping_took": None, "dials": 0, "rejected": 0,
            "next_triggers": None,
        },
        "link": {
            "number": 0, "is_open": False, "dialed_at": never, "opened_at": never, "up_at": never, "idle_from": never,
            "in_url": False, "proven": False, "accepted": False,
        },
        "next_dial": {
            "awaits": 0, "retry": None, "throttled": False, "not_before": never, "in_url": False, "doubtful": False,
        },
        "history": {"been_up": False, "ever_up": False, "refusals": 0, "failure_code": None},
        "frames": {
            "sends": 0, "sent": [], "sent_known": True, "closed_until": never, "in_flight": False, "asked_at": never,
            "put_back": False, "error_answered": False, "erred": False,
        },
        "subscriptions": {"known": False, "desired": set(), "acknowledged": set(), "withdrawn": set(), "established": set()},
        "outages": {
            "current": None, "lost_by": None, "gap": 0.0, "covered_from": None, "faulty_since": None, "unwanted": False,
        },
    }  # fmt: skip


def test_a_connection_begins_without_records_and_figures() -> None:
    tracked = TrackedConnection("c", 7)
    assert (tracked.first_line, tracked.seq, tracked.missing, tracked.records, tracked.in_window, tracked.past_window) == (
        7, 0, 0, 0, False, False,
    )  # fmt: skip
    stats = tracked.stats
    assert (stats.since, stats.longest, stats.failures, stats.outages_left_out) == (0.0, 0.0, 0, 0)
    assert (stats.covered, stats.unwanted, stats.faulty, stats.up, stats.availability) == (0.0, 0.0, 0.0, 0.0, None)
    assert stats.states == dict.fromkeys(State, 0.0)


def test_a_hole_makes_the_state_unknown() -> None:
    """The moments, the numbers of links and frames, and the old link of a handover stay."""
    facts = Facts(newest_link=4, attempt=2, entered=7.0, draining=OldLink(Link(3), frozenset(), None))
    facts.last_step = LastStep(now=9.0, noted=9.5, origin=100.0, wall=50.0, ping_took=1.0, dials=2, rejected=1)
    facts.link, facts.frames.sends, facts.next_dial.not_before = Link(4, is_open=True, up_at=3.0), 12, 70.0
    facts.frames.sent, facts.frames.closed_until = [1.0], 60.0
    facts.outages.covered_from, facts.outages.faulty_since, facts.outages.unwanted = 8.0, 5.0, True
    facts.note_hole()
    assert (facts.state, facts.state_before_ping, facts.entered, facts.complete) == (None, None, 7.0, False)
    assert (facts.newest_link, facts.attempt, facts.draining is not None) == (4, 2, True)
    assert asdict(facts.last_step) == asdict(LastStep(9.0, None, float("-inf"), wall=50.0))
    assert asdict(facts.link) == asdict(Link(4, is_open=None, in_url=None, proven=None, accepted=None))
    assert asdict(facts.next_dial) == asdict(NextDial(None, None, None, 70.0, None, None))
    assert asdict(facts.history) == {"been_up": None, "ever_up": None, "refusals": None, "failure_code": None}
    assert asdict(facts.frames) == asdict(
        Frames(12, sent_known=False, in_flight=None, put_back=None, error_answered=None, erred=None)
    )
    assert asdict(facts.outages) == asdict(Outages())


# --- a request that an error answers ----------------------------------------------------------------------------------


def test_an_acknowledgement_after_an_error_needs_a_repeated_request() -> None:
    """A request that a server fault answers is repeated; without the repetition, nothing is left to acknowledge."""

    def live(bench: Bench) -> None:
        bench.to(State.CONNECTED).subscribe("s0")
        bench.err(0)
        bench.expire_until("con115")
        bench.acknowledge()

    records = logged(live)
    repeated = next(number for number, record in enumerate(records) if record.get("row") == "con115")
    assert found(audited(lines_of(records))) == ("conformant", None)
    fewer = [{**record, "sends": record["sends"] - 1} if "sends" in record else record for record in records[repeated + 1 :]]
    told = [record for record in [*records[:repeated], *fewer] if record.get("change") not in ("acknowledged", "closed")]
    report = audited(lines_of([{**record, "seq": seq} for seq, record in enumerate(told, 1)]))
    assert report.first is not None
    assert (report.first.rule, report.first.text) == ("request", "no request was in flight")


# --- figures ----------------------------------------------------------------------------------------------------------


def test_figures_are_told_to_the_microsecond() -> None:
    part = 1 / 3e5

    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED)
        bench.now += part
        bench.lose()
        bench.now += part
        bench.expire()
        bench.fail_dial()
        bench.do(PingEnabledChanged(enabled=True), after=part)

    (connection,) = audited(lines_of(logged(live))).connections
    (outage,) = connection.life.outages
    for figure in [outage.at, outage.seconds, outage.within, connection.life.states["reconnecting"]]:
        assert figure != round(figure, 5)
        assert figure == round(figure, 6)


def test_a_gap_belongs_to_one_outage() -> None:
    """A gap does not belong to the next outage, even if the record of that outage's beginning is missing."""

    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED).lose()
        for _ in range(2):
            bench.expire()
            bench.open()
            bench.greet()
            bench.acknowledge()
            bench.lose()

    records = logged(live)
    closed = next(index for index, record in enumerate(records) if record.get("change") == "closed")
    gap = {**records[closed], "event": "realtime.gap", "subscription": "s1", "since": None, "until": records[0]["timestamp"]}
    gap = {name: value for name, value in gap.items() if name not in ("change", "cause", "planned")} | {"seconds": 9.0}
    told = [{**record, "seq": seq} for seq, record in enumerate([*records[:closed], gap, *records[closed:]], 1)]
    missing = next(index for index, record in enumerate(told) if index > closed and record.get("change") == "opened")
    (connection,) = audited(lines_of([*told[:missing], *told[missing + 1 :]])).connections
    assert [(outage.end, outage.gap) for outage in connection.life.outages] == [("healed", 9.0), ("healed", 0.0), ("", 0.0)]
