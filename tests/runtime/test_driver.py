"""The driver under circumstances that a server does not make: defects, races, sends that fail."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
import structlog

from realtime_fsm import State
from realtime_fsm.auditlog.records import AnyRecord
from realtime_fsm.fsm.link import DRAIN_SECONDS
from realtime_fsm.testing.eras import EraName
from support.eras import ON_EVERY_ERA
from support.network import HANG, Network
from support.virtual import eventually, run

pytestmark = ON_EVERY_ERA


async def test_a_send_that_fails_is_left_to_the_reader_to_explain() -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        states = realtime.states()
        network.failing_sends = True
        assert (await anext(states)).dest is State.PING
        network.failing_sends = False
        network.socket.cut(1001)
        lost = await anext(states)
        assert (lost.dest, str(lost.cause)) == (State.RECONNECTING, "the stream ended (close code 1001)")
        await eventually(lambda: realtime.state is State.SUBSCRIBED)


@pytest.mark.virtual(reports=1)
async def test_a_defect_of_ours_does_not_make_the_connection_silent() -> None:
    network = Network()
    async with network.realtime() as realtime:
        network.script.append(ZeroDivisionError("a defect in the transport"))
        await realtime.subscribe("rows")
        assert realtime.state is State.SUBSCRIBED
        assert len(network.dials) == 2


async def test_frames_that_are_read_after_the_socket_was_let_go_are_dropped() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        socket = network.socket
        events = [network.event(b'"payload":{"n":%d}' % number) for number in range(5)]
        for frame in (events[1], b'{"type":"error","data":{"code":500,"message":""}}', events[2], events[3]):
            socket._inbound.put_nowait(frame)
        await eventually(lambda: realtime.state is State.RECONNECTING)
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        socket._inbound.put_nowait(events[4])
        network.publish("rows", payload={"n": 5})
        assert [(await anext(rows)).payload["n"] for _ in range(2)] == [1, 5]
        assert socket.closed == 0, "no peer was left to close with"


async def test_reconnect_gives_up_the_attempt_under_way() -> None:
    network = Network()
    network.script.append(HANG)
    async with network.realtime() as realtime:
        connecting = asyncio.ensure_future(realtime.connect())
        await eventually(lambda: network.dials)
        await realtime.reconnect()
        await connecting
        assert (len(network.dials), realtime.state) == (2, State.CONNECTED)
        await realtime.reconnect()
        await asyncio.sleep(2 * DRAIN_SECONDS)
        assert (len(network.dials), network.sockets[0].closed) == (3, 5.0)


def test_an_application_whose_logging_raises_is_told_once_and_stays_connected() -> None:
    def refuse(*_: object) -> Any:
        raise OSError("the disk is full")

    async def main() -> None:
        network = Network()
        async with network.realtime() as realtime:
            await realtime.subscribe("rows")
            assert realtime.state is State.SUBSCRIBED

    structlog.configure(processors=[refuse])
    try:
        run(main, reports=1)
    finally:
        structlog.reset_defaults()


def test_the_records_of_a_connection_have_no_holes_and_nothing_secret(server_era: EraName) -> None:
    async def main() -> str:
        network = Network()
        session = network.backend.add_user("alice")
        async with network.realtime(session=session) as realtime:
            await realtime.subscribe("rows")
            network.publish("rows", payload={"secret": "payload-of-a-row"})
            network.socket.cut()
            await eventually(lambda: realtime.state is State.SUBSCRIBED and len(network.dials) == 2)
            await asyncio.sleep(31)
        return session

    with structlog.testing.capture_logs() as records:
        structlog.configure()
        try:
            session = run(main)
        finally:
            structlog.reset_defaults()
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    assert len({record["connection_id"] for record in records}) == 1
    names = [record["event"] for record in records]
    assert names[:3] == ["realtime.open", "realtime.subscription", "realtime.transition"]
    assert names[-1] == "realtime.close"
    assert records[1]["dwell"] == 0, "the connection has not entered a state yet"
    for record in records:  # the levels are the application's; all the rest is a record of the schema
        msgspec.convert({key: value for key, value in record.items() if key != "log_level"}, AnyRecord)
    assert {"realtime.outage", "realtime.gap", "realtime.ping"} < set(names)
    records = [record for record in records if record["event"] == "realtime.transition"]
    rows = [record["row"] for record in records]
    asked = [] if server_era == "E4" else ["rec21", "rec94"]  # for the era
    assert rows[: len(asked) + 4] == ["dis2", *asked, "rec21", "rec22", "con40"]
    assert {"sub58", "sub64", "pin49" if server_era == "E1" else "pin42"} < set(rows)
    assert records[-1]["era"] == server_era
    lost = next(record for record in records if record["row"] == "sub58")
    assert (lost["cause"], lost["close_code"], lost["error_code"], lost["log_level"]) == ("stream_ended", 1006, None, "warning")
    first, sends = (1, 1) if server_era == "E4" else (2, 0)
    assert [(record["link"], record["sends"]) for record in records if record["row"] == "rec22"] == [
        (first, sends), (first + 1, sends),
    ]  # fmt: skip
    assert session not in str(records)
    assert "payload-of-a-row" not in str(records)


async def test_a_timer_that_fires_a_moment_early_is_set_again() -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        driver: Any = realtime._driver
        timer = driver._timer
        timer.cancel()
        driver._on_deadline()
        assert driver._timer is not timer
        assert driver._timer.when() == timer.when()
        states = realtime.states()
        assert (await anext(states)).dest is State.PING


@pytest.mark.parametrize("how", ["reconnect", "disconnect"])
async def test_streams_of_states_that_nobody_holds_are_forgotten(how: str) -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.connect()
        realtime.states()
        driver: Any = realtime._driver
        assert len(driver._state_streams) == 0
        kept = realtime.states()
        await getattr(realtime, how)()
        assert len(driver._state_streams) == 1
        assert (await anext(kept)).source is State.CONNECTED


async def test_an_event_whose_channels_are_odd_does_no_harm() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        for odd in (b"7", b"[7]", b'"rows"'):
            network.socket.push(b'{"type":"event","data":{"channels":%b,"payload":{"n":0}}}' % odd)
        network.publish("rows", payload={"n": 1})
        assert (await anext(rows)).payload == {"n": 1}
        assert realtime.state is State.SUBSCRIBED
