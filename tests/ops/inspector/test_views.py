"""The view of a connection, made from its records."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from realtime_fsm.audit.decoding import FlatRecord
from realtime_fsm.audit.secret_scan import REDACTED
from realtime_fsm.fsm.table import State
from realtime_fsm.ops.inspector import views
from realtime_fsm.ops.inspector.views import SubscriptionView, View
from support.brokenlogs import BEGIN
from support.corpus import WALKS, begun, moment, told
from support.flatrecord import flat_record
from support.inspecting import flat, view_of
from support.some import some


def record(event: str, seq: int = 1, **fields: Any) -> FlatRecord:
    return flat_record(event, seq=seq, **fields)


def taken(*records: FlatRecord) -> View:
    view = View("c", 1)
    for number, each in enumerate(records, 1):
        each.seq = number
    assert [view.take(each) for each in records] == [True] * len(records)
    return view


def step(source: str, dest: str, **fields: Any) -> FlatRecord:
    plain = {"row": "sub58", "trigger": "link_lost", "dwell": 2.0, "cause": None}
    return record("transition", source=source, dest=dest, **{**plain, **fields})


def test_a_new_view_is_empty() -> None:
    assert msgspec.to_builtins(View("c", 1)) == {
        "id": "c", "number": 1, "seq": 0, "last": 0.0, "state": "disconnected", "since": None, "link": 0, "attempt": 0,
        "era": None, "round_trip": None, "closed": False, "stays": [], "steps": [], "marks": [], "causes": [], "outage": None,
        "fault": None, "awaited": "", "due": None, "pauses": [], "subscriptions": {}, "left_out": 0, "lost": 0, "malformed": 0,
        "relayed": 0, "relay_lag": 0.0, "others": {},
    }  # fmt: skip
    assert msgspec.to_builtins(SubscriptionView()) == {
        "phase": "desired", "channels": [], "dropped": 0, "gaps": 0, "missed": 0.0, "received": None, "waiting": None,
        "behind": None,
    }  # fmt: skip


# --- states -----------------------------------------------------------------------------------------------------------


def test_the_state_is_that_of_the_last_transition() -> None:
    for walk in some(WALKS.values()):
        steps = [each for each in walk if each["event"] == "realtime.transition"]
        changes = [each for each in steps if each["source"] != each["dest"]]
        view = view_of(walk)
        assert view.state == steps[-1]["dest"]
        assert view.since == moment(changes[-1]).timestamp()
        assert view.steps[-1].rule == steps[-1]["row"]
        assert [state for _, state in view.stays] == ["disconnected", *(each["dest"] for each in changes)][-views.STAYS :]


def test_a_log_without_its_head_tells_the_state_before() -> None:
    view = taken(step("subscribed", "reconnecting"))
    assert view.stays == [(BEGIN.timestamp() - 2.0, "subscribed"), (BEGIN.timestamp(), "reconnecting")]


def test_a_state_that_this_version_does_not_know_changes_nothing() -> None:
    view = taken(record("open"), step("disconnected", "hibernating"), step("hibernating", "subscribed"))
    assert (view.state, view.steps) == ("disconnected", [])


def test_a_record_that_comes_again_or_late_changes_nothing_and_a_hole_is_counted() -> None:
    whole, view = flat(WALKS["healed"]), View("healed", 1)
    for each in [*whole[:6], *whole[3:5], *whole[8:]]:
        view.take(each)
    assert view.seq == len(whole)
    assert view.lost == 2
    assert not view.take(whole[6])
    assert view.state == "subscribed"


# --- outages, faults, failures ----------------------------------------------------------------------------------------


def test_an_outage_is_open_until_it_is_closed() -> None:
    away, healed = view_of(WALKS["still_away"]), view_of(WALKS["healed"])
    assert away.outage is not None
    assert away.outage[:2] == (begun("still_away").timestamp(), "outage")
    assert away.outage[2].startswith("the server, or a middle box, ended the stream")
    assert healed.outage is None
    closed = moment(told("healed", "outage", "closed")).timestamp()
    ((begin, end, kind),) = healed.marks
    assert begin == pytest.approx(begun("healed").timestamp(), abs=0.01)
    assert (end, kind) == (closed, "outage")


def test_a_planned_outage_has_a_kind_of_its_own() -> None:
    assert view_of(WALKS["unwanted"]).outage is not None
    assert view_of(WALKS["unwanted"]).outage[1] == "planned"  # type: ignore[index]  # see above


def test_a_fault_is_open_until_the_server_works() -> None:
    faulty = view_of(WALKS["faulty"])
    assert faulty.state == "subscribed"
    assert faulty.fault is not None
    assert faulty.last - faulty.fault > 2
    assert faulty.causes[-1].text == "the server answers, and cannot do its work (server fault)"
    healed = taken(record("fault", change="opened", seconds=3.0), record("fault", change="closed", seconds=8.0))
    assert healed.fault is None
    assert healed.marks == [(BEGIN.timestamp() - 8, BEGIN.timestamp(), "fault")]


def test_the_same_failure_again_only_counts() -> None:
    view = view_of(WALKS["still_away"])
    assert [(cause.text.partition(" (")[0], cause.times) for cause in view.causes] == [
        ("the server, or a middle box, ended the stream", 1),
        ("no connection to the server came about", 4),
    ]


def test_a_deaf_link_is_a_failure() -> None:
    assert list(taken(record("canary", change="echoed")).causes) == []
    assert taken(record("canary", change="echoed"), record("canary", change="missed")).causes[0].text.endswith("may be deaf")


def test_pings_pauses_and_unusable_messages_are_told() -> None:
    view = taken(
        record("ping", round_trip=0.25), record("malformed", kind="not_json"), record("relayed", stored=5, lag=0.5),
        record("relayed", stored=2, lag=0.25),
        record("pause", change="opened", paused=1), record("pause", change="opened", paused=2),
        record("pause", change="closed", paused=1), record("close"),
    )  # fmt: skip
    assert (view.relayed, view.relay_lag) == (7, 0.25)
    assert (view.round_trip, view.malformed, view.pauses, view.closed) == (0.25, 1, [2], True)


def test_a_clock_that_was_set_back_makes_no_negative_time() -> None:
    now = BEGIN.timestamp()
    view = taken(
        step("subscribed", "reconnecting", dwell=-2.0),
        record("outage", change="closed", seconds=-3.0, planned=False),
        record("fault", change="closed", seconds=-4.0),
        record("gap", subscription="s1", seconds=-5.0),
    )
    assert view.stays == [(now, "subscribed"), (now, "reconnecting")]
    assert view.marks == [(now, now, "outage"), (now, now, "fault")]
    assert (view.subscriptions["s1"].gaps, view.subscriptions["s1"].missed) == (1, 0.0)


def test_short_times_are_told_as_they_are() -> None:
    now = BEGIN.timestamp()
    view = taken(
        step("subscribed", "reconnecting", dwell=0.5),
        record("outage", change="closed", seconds=0.25, planned=True),
        record("fault", change="opened", seconds=0.5),
    )
    assert view.stays[0] == (now - 0.5, "subscribed")
    assert view.marks == [(now - 0.25, now, "planned")]
    assert view.fault == now - 0.5


def test_only_the_first_record_of_a_log_tells_where_it_begins() -> None:
    view = View("c", 1)
    assert view.take(record("open", 7))
    assert (view.seq, view.lost, len(view.stays)) == (7, 0, 1)
    assert view.take(record("open", 8))
    assert (view.lost, len(view.stays)) == (0, 1)


# --- subscriptions ----------------------------------------------------------------------------------------------------


def changes(*words: str, name: str = "s1") -> list[FlatRecord]:
    return [record("subscription", subscription=name, change=word) for word in words]


def test_a_subscription_waits_again_in_an_outage() -> None:
    up = taken(*changes("desired", "acknowledged"))
    assert up.subscriptions["s1"].phase == "acknowledged"
    lost = taken(*changes("desired", "acknowledged"), record("outage", change="opened", planned=False, cause="stream_ended"))
    assert lost.subscriptions["s1"].phase == "desired"
    refused = taken(*changes("desired", "rejected"), record("outage", change="opened", planned=False, cause="stream_ended"))
    assert refused.subscriptions["s1"].phase == "rejected"


def test_a_removed_subscription_is_gone() -> None:
    assert taken(*changes("desired", "acknowledged", "withdrawn", "removed")).subscriptions == {}


def test_the_end_of_an_unknown_subscription_counts_nothing() -> None:
    assert taken(*changes("removed")).left_out == 0


def test_gaps_and_drops_add_up() -> None:
    parts = [record(event, subscription="s1", seconds=1.5, count=7) for event in ("gap", "gap", "dropped", "dropped")]
    view = taken(*parts)
    one = view.subscriptions["s1"]
    assert (one.gaps, one.missed, one.dropped) == (2, 3.0, 14)


def test_the_number_of_drops_of_a_live_connection_is_not_counted_twice() -> None:
    view = taken(record("dropped", subscription="s1", count=7))
    view.subscriptions["s1"].waiting = 0
    view.take(record("dropped", 2, subscription="s1", count=7))
    assert view.subscriptions["s1"].dropped == 7


# --- what a log may bring in ------------------------------------------------------------------------------------------


def test_a_view_is_bounded() -> None:
    states = [state.value for state in State]
    parts: list[FlatRecord] = []
    for number in range(400):
        parts += [
            step(states[number % 8], states[(number + 1) % 8], cause=("stream_ended", "dial_failed")[number % 2]),
            record("outage", change="closed", seconds=1.0, planned=False),
            record("subscription", subscription=f"s{number}", change="desired"),
            record("pause", change="opened", paused=number),
            record(f"kind{number}"),
        ]
    view = taken(*parts)
    lengths = [len(each) for each in (view.stays, view.steps, view.marks, view.causes, view.subscriptions, view.others)]
    assert lengths == [views.STAYS, views.STEPS, views.MARKS, views.CAUSES, views.SUBSCRIPTIONS, views.KINDS]
    assert len(view.pauses) == views.KINDS
    assert view.left_out == 400 - views.SUBSCRIPTIONS
    left = taken(*parts, record("subscription", subscription="s399", change="removed"))
    assert left.left_out == view.left_out - 1


def test_a_kind_that_the_page_does_not_know_is_only_counted() -> None:
    view = taken(record("open"), record("unheard", count=4), record("unheard", count=2), record("presence", change="stored"))
    assert view.others == {"realtime.unheard": 2}
    assert view.state == "disconnected"


def test_a_likely_secret_is_hidden_wherever_it_stands() -> None:
    jwt = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VySWQiOiJ1In0"
    view = taken(
        step("subscribed", "reconnecting", row=jwt, trigger=jwt, era=jwt, cause=jwt, error_code=jwt),
        record("outage", change="opened", planned=False, cause=jwt),
        record("subscription", subscription=jwt, change="desired"),
        record(jwt),
    )
    assert "eyJ" not in repr(view)
    assert repr(view).count(REDACTED) >= 6


@pytest.mark.parametrize("walk", WALKS)
def test_each_record_is_news_once(walk: str) -> None:
    view = View(walk, 1)
    assert [view.take(each) for each in flat(WALKS[walk])] == [True] * len(WALKS[walk])
    assert [view.take(each) for each in flat(WALKS[walk])] == [False] * len(WALKS[walk])
