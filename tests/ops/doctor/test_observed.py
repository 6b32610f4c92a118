"""The times and frames of an observed link."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from realtime_fsm.ops.doctor import observed
from realtime_fsm.ops.doctor.observed import Observation, ObservedRealtime
from realtime_fsm.testing import RealtimeServer
from realtime_fsm.testing.assertions import recorded

PING, PONG = b'{"type":"ping"}', b'{"type":"pong"}'
GREETING = b'{"type":"connected","data":{"channels":[],"subscriptions":{},"user":null}}'
FAULT, THROTTLE = (b'{"type":"error","data":{"code":%d,"message":"no"}}' % code for code in (0, 1013))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that shows what a test sets."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(observed, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


def test_a_link_begins_with_the_times_of_upgrade_and_greeting(clock: SimpleNamespace) -> None:
    seen = Observation()
    assert (seen.dials, seen.throttled, seen.pings, seen.upgrade, seen.greeting) == (0, False, [], None, None)
    clock.now = 110.0
    seen.begin_dial()
    clock.now = 112.0
    seen.note_upgrade()
    clock.now = 115.0
    seen.note_received(GREETING)
    assert (seen.upgrade, seen.greeting) == (2.0, 3.0)
    seen.begin_dial()
    assert (seen.upgrade, seen.greeting) == (None, None)


def test_a_pong_and_an_error_answer_a_ping_once(clock: SimpleNamespace) -> None:
    seen = Observation()
    seen.note_received(PONG)
    assert seen.pings == [], "no ping is under way"
    seen.note_sent(PING)
    clock.now = 100.5
    seen.note_sent(b'{"type":"subscribe"}')
    clock.now = 101.0
    seen.note_received(GREETING)
    seen.note_received(PONG)
    seen.note_received(PONG)
    assert seen.pings == [1.0]
    seen.note_sent(PING)
    clock.now = 104.0
    seen.note_received(FAULT)
    assert (seen.pings, seen.throttled, seen.sent) == ([1.0, 3.0], False, 3)
    assert [frame.code for frame in seen.errors] == [0]
    seen.begin_dial()
    assert (seen.errors, seen.sent, seen.pings) == ([], 0, [1.0, 3.0])


@pytest.mark.loopback
async def test_an_examination_dials_once_and_waits_five_seconds_for_each_answer() -> None:
    with recorded() as records:
        async with RealtimeServer() as server, ObservedRealtime(server.endpoint, "demo", 2.5) as realtime:
            await realtime.connect()
    (opened,) = [record for record in records if record["event"] == "realtime.open"]
    assert (opened["retry"]["attempts"], opened["retry"]["base"], opened["auto_reconnect"]) == (1, 0.2, False)
    assert (opened["ping"]["interval"], opened["ping"]["timeout"]) == (2.5, 2.5)
    assert {name: opened["timeouts"][name] for name in ("dial", "greeting", "reply", "close")} == {
        "dial": 5.0, "greeting": 5.0, "reply": 5.0, "close": 1.0,
    }  # fmt: skip
    assert realtime.observation.dials == 1


def test_a_throttle_is_no_answer_to_a_ping_and_is_remembered(clock: SimpleNamespace) -> None:
    seen = Observation()
    seen.note_sent(PING)
    clock.now = 101.0
    seen.note_received(THROTTLE)
    assert (seen.pings, seen.throttled) == ([], True)
    seen.note_received(PONG)
    assert seen.pings == [], "the throttle has ended the wait"
    seen.note_received(FAULT)
    seen.begin_dial()
    assert seen.throttled
