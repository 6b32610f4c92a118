"""Spans, metrics and events of connections, in memory; no hook is left, and no secret gets out."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict

import pytest
from opentelemetry.sdk.metrics.export import HistogramDataPoint
from opentelemetry.trace import SpanKind, StatusCode

from realtime_fsm import PingPolicy, RetriesExhausted, RetryPolicy, State, SubscriptionRejected, hooks
from realtime_fsm.errors import DialFailed, UpgradeRefused
from realtime_fsm.ops.telemetry_names import METRICS
from realtime_fsm.testing.assertions import recorded
from support.network import HANG, MUTE, Network
from support.opentelemetry import Telemetry, lose, states
from support.opentelemetry import no_other_connections as no_other_connections  # a fixture
from support.some import some
from support.virtual import eventually

CONSUMED, DIALS = "messaging.client.consumed.messages", "realtime_fsm.dial.duration"
DROPPED, OUTAGES, RECOVERY = "realtime_fsm.dropped.events", "realtime_fsm.outages", "realtime_fsm.outage.duration"


def length(telemetry: Telemetry, name: str) -> float:
    """The sum of a histogram's only series."""
    (point,) = telemetry.points(name).values()
    assert isinstance(point, HistogramDataPoint)
    return point.sum


# --- outages and dials ------------------------------------------------------------------------------------------------


async def test_an_outage_counts_with_its_cause_its_duration_and_its_gap() -> None:
    network, telemetry = Network(), Telemetry()
    with telemetry.instrument():
        assert telemetry.values(OUTAGES) == {(False,): 0, (True,): 0}, "the first outage is a step from 0"
        async with network.realtime(retry=RetryPolicy(attempts=None)) as realtime:
            subscription = await realtime.subscribe("rows")
            assert states(telemetry) == {"subscribed": 1}
            network.script.extend([DialFailed("refused"), DialFailed("refused")])
            network.socket.cut()
            await eventually(lambda: realtime.state is State.RECONNECTING)
            assert states(telemetry) == {"reconnecting": 1}
            assert (telemetry.values(OUTAGES)[False,], telemetry.values(RECOVERY)) == (1, {})
            await eventually(lambda: realtime.state is State.SUBSCRIBED)
            assert telemetry.values("realtime_fsm.link.failures") == {("stream_ended",): 1, ("dial_failed",): 2}
            assert telemetry.values(RECOVERY) == {(False,): 1}
            assert length(telemetry, RECOVERY) == pytest.approx(subscription.gaps[0].outage_seconds, abs=0.1)
            assert telemetry.total("realtime_fsm.gap.duration") == 1
            await realtime.disconnect()
            assert telemetry.values(OUTAGES) == {(False,): 1, (True,): 1}
        assert states(telemetry) == {}, "a connection that is disposed of counts no more"


async def test_each_dial_has_a_span_and_a_duration() -> None:
    network, telemetry = Network(), Telemetry()
    with telemetry.instrument():
        async with network.realtime(retry=RetryPolicy(attempts=None)) as realtime:
            await realtime.subscribe("rows")
            network.script.append(DialFailed("refused"))
            await lose(network, realtime)
            first, failed, last = telemetry.spans("dial")
            assert dict(failed.attributes or {}) == {
                "realtime_fsm.connection.id": realtime.connection_id, "realtime_fsm.link.number": 2,
                "realtime_fsm.dial.attempt": 2, "network.protocol.name": "websocket", "realtime_fsm.server.era": "E4",
                "error.type": "dial_failed",
            }  # fmt: skip
            assert [span.status.status_code for span in (first, failed, last)] == [
                StatusCode.UNSET, StatusCode.ERROR, StatusCode.UNSET,
            ]  # fmt: skip
            assert {"error.type", *failed.attributes} > {*last.attributes} > {"realtime_fsm.server.era"}  # type: ignore[misc]
            assert [span.kind for span in (first, failed, last)] == [SpanKind.CLIENT] * 3
            assert telemetry.values(DIALS) == {(): 2, ("dial_failed",): 1}
            assert length_of(telemetry, DIALS, ()) == pytest.approx(2 * 0.02, abs=0.03)


def length_of(telemetry: Telemetry, name: str, key: tuple[object, ...]) -> float:
    point = telemetry.points(name)[key]
    assert isinstance(point, HistogramDataPoint)
    return point.sum


async def test_a_dial_that_a_call_ends_names_the_call_and_is_no_error() -> None:
    network, telemetry = Network(), Telemetry()
    network.script.append(HANG)
    with telemetry.instrument():
        async with network.realtime() as realtime:
            connecting = asyncio.ensure_future(realtime.connect())
            await asyncio.sleep(3)
            await realtime.reconnect()
            await connecting
            (early, greeted) = telemetry.spans("dial")
            assert (early.attributes or {})["error.type"] == "reconnect"
            assert early.status.status_code is StatusCode.UNSET
            assert "error.type" not in (greeted.attributes or {})
            assert length_of(telemetry, DIALS, ("reconnect",)) == pytest.approx(3, abs=0.1)


async def test_a_connection_that_gives_up_is_seen_in_its_state() -> None:
    network, telemetry = Network(), Telemetry()
    network.otherwise = DialFailed("refused")
    with telemetry.instrument():
        async with network.realtime(retry=RetryPolicy(attempts=2)) as realtime:
            with pytest.raises(RetriesExhausted):
                await realtime.connect()
            assert states(telemetry) == {"error": 1}
            assert telemetry.values(DIALS) == {("dial_failed",): 2}


async def test_a_dial_has_a_trace_of_its_own_and_ends_with_the_instrumentation() -> None:
    network, telemetry = Network(), Telemetry()
    network.otherwise = HANG
    with telemetry.tracers.get_tracer("test").start_as_current_span("request"):
        async with network.realtime() as realtime:
            with telemetry.instrument():
                connecting = asyncio.ensure_future(realtime.connect())
                await asyncio.sleep(1)
                assert telemetry.spans("dial") == []
            (span,) = telemetry.spans("dial")
            assert span.parent is None
            connecting.cancel()


async def test_pings_faults_refusals_and_unusable_messages_count() -> None:
    network, telemetry = Network(), Telemetry()
    with telemetry.instrument():
        async with network.realtime(ping=PingPolicy(interval=30)) as realtime:
            await realtime.subscribe("rows")
            await asyncio.sleep(100)
            pings = telemetry.total("realtime_fsm.ping.duration")
            assert pings == network.socket.sent.count(b'{"type":"ping"}') > 2
            assert length(telemetry, "realtime_fsm.ping.duration") == pytest.approx(pings * 0.02, abs=0.01)
            network.refused.add(b'"files"')
            with pytest.raises(SubscriptionRejected):
                await realtime.subscribe("files")
            network.socket.push(b"{")
            network.fault = 500
            teams = asyncio.ensure_future(realtime.subscribe("teams"))
            await eventually(lambda: telemetry.total("realtime_fsm.faults"))
            network.fault = None
            await teams
            assert telemetry.total("realtime_fsm.fault.duration") == 1
            assert telemetry.total("realtime_fsm.subscription.rejections") == 1
            assert telemetry.values("realtime_fsm.malformed.messages") == {("not_json",): 1}


async def test_transitions_and_the_time_in_states_add_up_to_those_of_the_records() -> None:
    network, telemetry = Network(), Telemetry()
    taken: Counter[tuple[str]] = Counter()
    times: dict[tuple[str], float] = defaultdict(float)
    with recorded() as records, telemetry.instrument():
        async with network.realtime(ping=PingPolicy(interval=30)) as realtime:
            await realtime.subscribe("rows")
            await asyncio.sleep(60)
            await lose(network, realtime)
    for record in some(records):
        if record["event"] == "realtime.transition":
            taken[record["row"],] += 1
            if record["source"] != record["dest"]:
                times[record["source"],] += record["dwell"]
    assert telemetry.values("realtime_fsm.transitions") == taken
    assert telemetry.values("realtime_fsm.state.time") == pytest.approx(times)
    assert max(times.values()) > 10


async def test_each_count_without_attributes_begins_with_0() -> None:
    telemetry = Telemetry()
    with telemetry.instrument():
        counters = [metric for metric in METRICS if metric.instrument == "Counter" and metric.name != CONSUMED]
        assert {metric.name: telemetry.values(metric.name) for metric in counters} == {
            "realtime_fsm.transitions": {},
            "realtime_fsm.state.time": {},
            "realtime_fsm.link.failures": {},
            OUTAGES: {(False,): 0, (True,): 0},
            "realtime_fsm.faults": {(): 0},
            DROPPED: {(): 0},
            "realtime_fsm.subscription.rejections": {(): 0},
            "realtime_fsm.malformed.messages": {},
            "realtime_fsm.relayed.messages": {(): 0},
        }


async def test_a_dial_names_the_answer_of_the_server() -> None:
    network, telemetry = Network(), Telemetry()
    network.script.extend([UpgradeRefused(503), MUTE, MUTE])
    frame = b'{"type":"error","data":{"code":500,"message":"no"}}'
    with telemetry.instrument():
        async with network.realtime(retry=RetryPolicy(attempts=None, base=0.1, cap=0.1)) as realtime:
            connecting = asyncio.ensure_future(realtime.connect())
            await eventually(lambda: network.sockets)
            network.socket.cut(4001)
            await eventually(lambda: len(network.sockets) == 2)
            network.socket.push(frame)
            await connecting
    told = ("http.response.status_code", "realtime_fsm.websocket.close_code", "realtime_fsm.error_frame.code")
    facts = [span.attributes or {} for span in telemetry.spans("dial")]
    assert [[each.get(name) for name in told] for each in facts] == [
        [503, None, None], [None, 4001, None], [None, None, "500"], [None, None, None],
    ]  # fmt: skip


# --- events -----------------------------------------------------------------------------------------------------------


async def test_an_event_counts_once_for_each_subscription_and_nothing_else_does() -> None:
    network, telemetry = Network(), Telemetry()
    with telemetry.instrument():
        async with network.realtime() as first, network.realtime() as second:
            await asyncio.gather(first.subscribe("rows"), first.subscribe("rows", "files"))
            await second.subscribe("rows")
            assert telemetry.values(CONSUMED) == {("receive", "appwrite"): 0}
            network.publish("rows")
            await asyncio.sleep(100)  # with pings
            assert telemetry.total(CONSUMED) == 3
            await second.dispose()
            network.sockets[0].cut()
            await eventually(lambda: len(network.sockets) == 3 and first.state is State.SUBSCRIBED)
            network.publish("rows")
            await first.reconnect()
            network.publish("files")
            await asyncio.sleep(1)
            assert telemetry.total(CONSUMED) == 6, "both links of a handover brought the last one"
    with telemetry.instrument():
        assert telemetry.total(CONSUMED) == 6, "a counter never falls"


async def test_an_event_that_came_before_the_instrumentation_does_not_count() -> None:
    network, telemetry = Network(), Telemetry()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        network.publish("rows")
        await asyncio.sleep(1)
        with telemetry.instrument():
            network.publish("rows")
            await lose(network, realtime)
            assert telemetry.total(CONSUMED) == 1
            assert len(telemetry.spans("dial")) == 1, (
                "the first record that is seen of a connection may be in the midst of a dial"
            )


async def test_dropped_events_count_while_the_consumer_is_stuck() -> None:
    network, telemetry = Network(), Telemetry()
    with telemetry.instrument():
        async with network.realtime() as realtime:
            stuck = await realtime.subscribe("rows", buffer=2)
            for _ in range(5):
                network.publish("rows")
            await asyncio.sleep(1)
            assert telemetry.values(DROPPED) == {(): stuck.dropped}
            assert stuck.dropped == 3
            await stuck.unsubscribe()
            other = await realtime.subscribe("rows", buffer=2)
            for _ in range(3):
                network.publish("rows")
            await asyncio.sleep(1)
            assert (other.dropped, telemetry.total(DROPPED)) == (1, 4)
        assert (telemetry.total(CONSUMED), telemetry.total(DROPPED)) == (8, 4)


async def test_a_pause_is_no_event() -> None:
    network, telemetry = Network(), Telemetry()
    with telemetry.instrument():
        async with network.realtime() as realtime:
            rows = await realtime.subscribe("rows", buffer=4, overflow="pause")
            for number in range(12):
                network.publish("rows", payload={"n": number})
            await asyncio.sleep(10)
            assert [(await anext(rows)).payload["n"] for _ in range(12)] == list(range(12))
            assert telemetry.total(CONSUMED) == 12


# --- on and off -------------------------------------------------------------------------------------------------------


async def test_the_end_of_an_instrumentation_leaves_no_hook_and_the_next_one_goes_on() -> None:
    network, telemetry = Network(), Telemetry()
    before = [list(each) for each in (hooks.records, hooks.handlers, hooks.carriers)]
    async with network.realtime() as realtime:
        instrumentation = telemetry.instrument()
        await realtime.on("rows", lambda _: None)
        counted = telemetry.total("realtime_fsm.transitions")
        instrumentation.uninstrument()
        assert [hooks.records, hooks.handlers, hooks.carriers] == before
        network.publish("rows")
        await lose(network, realtime)
        assert len(telemetry.spans("dial")) == 1
        assert telemetry.spans("process") == []
        assert telemetry.values(CONSUMED) == {}
        assert states(telemetry) == {}
        instrumentation.uninstrument()
        with telemetry.instrument():
            network.publish("rows")
            await eventually(lambda: telemetry.spans("process"))
            assert telemetry.total(CONSUMED) == 1
            assert states(telemetry) == {"subscribed": 1}
            assert telemetry.total("realtime_fsm.transitions") == counted
        assert len(telemetry.spans("process")) == 1


async def test_only_the_provider_in_use_is_told() -> None:
    first, second = Telemetry(), Telemetry()
    network = Network()
    async with network.realtime() as realtime:
        with first.instrument():
            await realtime.connect()
        with second.instrument():
            assert (states(first), states(second)) == ({}, {"connected": 1})


async def test_a_second_instrumentation_warns_and_changes_nothing() -> None:
    first, second = Telemetry(), Telemetry()
    network = Network()
    with first.instrument():
        with pytest.warns(RuntimeWarning, match="instrumented already"), second.instrument():
            pass
        async with network.realtime() as realtime:
            await realtime.connect()
            assert states(first) == {"connected": 1}, "the end of the second left the first as it was"
    assert (len(first.spans("dial")), second.spans("dial"), second.metrics) == (1, [], [])
