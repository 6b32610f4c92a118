"""The presence on each link: the newest one wins, and one that the server stored outlives calls that fail."""

from __future__ import annotations

import pytest

from realtime_fsm.errors import PresenceRejected, UnsupportedByServer
from realtime_fsm.fsm.commands import PresenceRefused, PresenceStored, SendFrame
from realtime_fsm.fsm.inputs import Acknowledged, Connect, Disconnect, Reconnect, SetPresence
from realtime_fsm.fsm.policies import PingPolicy
from realtime_fsm.fsm.table import State
from realtime_fsm.protocol.eras import Era
from support.bench import ONCE, Bench

D, R, C, S, U, P, E, X = State


OLD = {"era": Era.E2}


ONLINE, AWAY = b'{"type":"presence","data":{"status":"online"}}', b'{"type":"presence","data":{"status":"away"}}'


def stored(bench: Bench) -> None:
    bench.hear(Acknowledged(bench.generation, "presence", (), presence=b'{"$id":"p"}'))


def test_a_presence_that_is_deleted_with_the_old_link_is_sent_again() -> None:
    bench = Bench().to(S)
    bench.do(SetPresence(b"{}", "one"))
    stored(bench)
    bench.do(Reconnect())
    bench.open()
    bench.greet()
    bench.acknowledge()
    stored(bench)
    bench.drain()
    assert bench.context.subscriptions.in_flight is not None
    assert bench.context.subscriptions.in_flight.kind == "presence"


def test_a_presence_is_set_once_everything_is_subscribed_and_again_on_every_link() -> None:
    bench = Bench().to(S)
    bench.do(SetPresence(ONLINE))
    assert bench.requests(SendFrame)[0].data == ONLINE
    stored(bench)
    assert bench.requests(PresenceStored) == [PresenceStored(b'{"$id":"p"}')]
    bench.lose()
    bench.expire()
    bench.open()
    bench.greet()
    assert bench.requests(SendFrame)[0].data != ONLINE
    bench.acknowledge()
    assert (bench.state, bench.requests(SendFrame)[0].data) == (S, ONLINE)


def test_the_latest_presence_wins() -> None:
    bench = Bench().to(C)
    bench.do(SetPresence(ONLINE))
    bench.do(SetPresence(AWAY))
    stored(bench)
    assert (bench.requests(PresenceStored), bench.requests(SendFrame)[0].data) == ([], AWAY)
    bench.do(SetPresence(ONLINE))
    bench.err(1003)
    assert (bench.requests(PresenceRefused), bench.requests(SendFrame)[0].data) == ([], ONLINE)


def test_a_presence_that_is_not_wanted_any_more_is_not_restored() -> None:
    bench = Bench().to(C)
    bench.do(SetPresence(ONLINE))
    stored(bench)
    bench.do(SetPresence(None))
    bench.lose()
    bench.expire()
    bench.open()
    bench.greet()
    assert not bench.requests(SendFrame)


def test_a_refused_presence_is_told_and_forgotten() -> None:
    bench = Bench().to(C)
    bench.do(SetPresence(ONLINE))
    bench.err(401)
    (told,) = bench.requests(PresenceRefused)
    assert isinstance(told.error, PresenceRejected)
    assert (bench.state, told.error.code, bench.context.subscriptions.presence.message) == (C, 401, None)


def test_a_presence_that_was_one_message_too_many_is_sent_in_the_next_window() -> None:
    bench = Bench(ping=PingPolicy(interval=300.0)).to(C)
    bench.do(SetPresence(ONLINE))
    bench.err(1013)
    bench.expire_until("con66")
    assert bench.requests(SendFrame)[0].data == ONLINE


def test_a_presence_that_was_dropped_and_is_not_wanted_any_more_stays_away() -> None:
    bench = Bench().to(C)
    bench.do(SetPresence(ONLINE))
    bench.do(SetPresence(None))
    bench.err(1013)
    assert not bench.context.subscriptions.has_pending_request


def test_a_presence_that_was_never_stored_is_forgotten_with_the_link() -> None:
    bench = Bench(retry=ONCE)
    bench.do(SetPresence(ONLINE))
    bench.fail_dial()
    assert (bench.state, bench.context.subscriptions.presence.message) == (E, None)


def test_a_presence_that_was_stored_survives_an_end_of_retries() -> None:
    bench = Bench(retry=ONCE).to(C)
    bench.do(SetPresence(ONLINE))
    stored(bench)
    bench.lose()
    assert (bench.state, bench.context.subscriptions.presence.message) == (E, ONLINE)


@pytest.mark.parametrize("calls", [1, 2])
def test_a_presence_that_was_stored_outlives_later_calls_that_a_disconnect_ends(calls: int) -> None:
    bench = Bench().to(C)
    bench.do(SetPresence(ONLINE, "p"))
    stored(bench)
    for _ in range(calls):
        bench.do(SetPresence(AWAY, "p"))
    bench.do(Disconnect())
    assert (bench.state, bench.context.subscriptions.presence.message) == (D, ONLINE)
    bench.do(Connect())
    bench.open()
    bench.greet()
    assert bench.requests(SendFrame)[0].data == ONLINE


def test_a_presence_that_was_stored_outlives_one_that_is_refused() -> None:
    bench = Bench().to(C)
    bench.do(SetPresence(ONLINE, "p"))
    stored(bench)
    bench.do(SetPresence(AWAY, "p"))
    bench.err(1003)
    assert bench.requests(PresenceRefused)
    assert (bench.context.subscriptions.presence.message, bench.context.subscriptions.has_pending_request) == (ONLINE, False), (
        "the server shows it on this link"
    )
    bench.lose()
    bench.expire()
    bench.open()
    bench.greet()
    assert bench.requests(SendFrame)[0].data == ONLINE
    bench.err(1003)
    assert bench.context.subscriptions.presence.message is None, "refused itself, it is given up"


def test_a_server_without_presences_is_named() -> None:
    bench = Bench(**OLD)
    bench.do(SetPresence(ONLINE))
    bench.open()
    bench.greet()
    (told,) = bench.requests(PresenceRefused)
    assert isinstance(told.error, UnsupportedByServer)
    assert (told.error.feature, told.error.era, bench.context.subscriptions.presence.message) == ("presence", "E2", None)
