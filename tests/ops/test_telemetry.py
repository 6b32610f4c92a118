"""Spans, metrics and events of connections, in memory; no hook is left, and no secret gets out."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextvars import Context
from typing import Any
from weakref import WeakValueDictionary

import pytest
from opentelemetry import metrics, trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk.metrics.export import HistogramDataPoint, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

from realtime_fsm import PingPolicy, Realtime, RetriesExhausted, RetryPolicy, State, SubscriptionRejected, hooks
from realtime_fsm.auditlog.schema import KINDS
from realtime_fsm.errors import DialFailed, UpgradeRefused
from realtime_fsm.ops.telemetry_counts import Counts, counts_of
from realtime_fsm.ops.telemetry_names import METRICS, SEVERITIES, attribute, attributes_of, event_name
from realtime_fsm.ops.telemetry_spans import HandlerSpans
from realtime_fsm.testing import RealtimeServer
from realtime_fsm.testing.assertions import recorded
from support.network import HANG, MUTE, Network
from support.opentelemetry import Telemetry
from support.served import Served, connected
from support.some import some
from support.virtual import VirtualLoop, eventually

CONSUMED, PROCESS, DIALS = "messaging.client.consumed.messages", "messaging.process.duration", "realtime_fsm.dial.duration"
DROPPED, OUTAGES, RECOVERY = "realtime_fsm.dropped.events", "realtime_fsm.outages", "realtime_fsm.outage.duration"


@pytest.fixture(autouse=True)
def no_other_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the connections of other tests that no garbage collection has reached."""
    monkeypatch.setattr(hooks, "connections", WeakValueDictionary())


def states(telemetry: Telemetry) -> dict[object, float]:
    """The states that connections are in, with their number."""
    return {state: count for (state,), count in telemetry.values("realtime_fsm.connection.count").items() if count}


def length(telemetry: Telemetry, name: str) -> float:
    """The sum of a histogram's only series."""
    (point,) = telemetry.points(name).values()
    assert isinstance(point, HistogramDataPoint)
    return point.sum


async def lose(network: Network, realtime: Realtime) -> None:
    """Lose the link, and wait for the next."""
    before = len(network.sockets)
    network.socket.cut()
    await eventually(lambda: len(network.sockets) > before and realtime.state is State.SUBSCRIBED)


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


def test_counts_that_no_instrumentation_uses_tell_nothing(caplog: pytest.LogCaptureFixture) -> None:
    telemetry = Telemetry()
    counts = Counts(telemetry.meters.get_meter("realtime_fsm"))
    assert (telemetry.values(CONSUMED), states(telemetry)) == ({}, {})
    with counts.counting():
        assert len(telemetry.values("realtime_fsm.connection.count")) == len(State)
    assert (telemetry.values(CONSUMED), caplog.records) == ({}, [])


def test_a_count_never_falls_where_a_connection_reads_lower_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    class One:
        state, link_number, events_received, events_dropped = State.SUBSCRIBED, 1, 5, 2

    one, telemetry = One(), Telemetry()
    monkeypatch.setattr(hooks, "all_connections", lambda: [one])
    with telemetry.instrument():
        assert (telemetry.total(CONSUMED), telemetry.total(DROPPED)) == (0, 0)
        seen = []
        for one.events_received, one.events_dropped in ((7, 3), (6, 1), (8, 4)):
            seen.append((telemetry.total(CONSUMED), telemetry.total(DROPPED)))
        assert seen == [(2, 1), (2, 1), (3, 2)]


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


# --- handlers ---------------------------------------------------------------------------------------------------------


def plain(event: Any) -> None:
    if event.payload.get("n") == 2:
        raise LookupError(event.payload)


async def patient(event: Any) -> None:
    await asyncio.sleep(1)
    plain(event)


@pytest.mark.parametrize("handler", [plain, patient])
@pytest.mark.virtual(reports=1)
async def test_each_call_of_a_handler_has_a_span_and_a_duration(handler: Callable[[Any], object]) -> None:
    network, telemetry = Network(), Telemetry()
    name = f"{__name__}.{handler.__name__}"
    with telemetry.instrument():
        async with network.realtime() as realtime:
            listener = await realtime.on("rows", handler)
            for number in range(3):
                network.publish("rows", payload={"n": number})
            await asyncio.sleep(10)
            assert listener.failures == 1, "the failure of the handler stays one"
    facts = {"messaging.system": "appwrite", "messaging.operation.name": "process", "code.function.name": name}
    spans = telemetry.spans("process")
    assert [dict(span.attributes or {}) for span in spans] == [facts, facts, {**facts, "error.type": "LookupError"}]
    assert [span.status.status_code for span in spans] == [StatusCode.UNSET, StatusCode.UNSET, StatusCode.ERROR]
    assert {(span.kind, span.parent, span.events, span.status.description) for span in spans} == {
        (SpanKind.CONSUMER, None, (), None)
    }, "no text of an exception"
    assert all(0 <= point.sum < 60 for point in telemetry.points(PROCESS).values() if isinstance(point, HistogramDataPoint))
    assert telemetry.values(PROCESS) == {(name, "process", "appwrite"): 2, (name, "LookupError", "process", "appwrite"): 1}


async def test_the_span_is_current_while_the_handler_runs_and_not_elsewhere() -> None:
    network, telemetry = Network(), Telemetry()
    tracer = telemetry.tracers.get_tracer("test")

    async def handler(_: object) -> None:
        with tracer.start_as_current_span("before"):
            await asyncio.sleep(1)
        await asyncio.create_task(child())

    async def child() -> None:
        with tracer.start_as_current_span("after"):
            await asyncio.sleep(0)

    with telemetry.instrument(), tracer.start_as_current_span("request"):
        async with network.realtime() as realtime:
            await realtime.on("rows", handler)
            network.publish("rows")
            await asyncio.sleep(0.5)
            assert trace.get_current_span().name == "request"  # type: ignore[attr-defined]
            await asyncio.sleep(5)
    (span,) = telemetry.spans("process")
    assert span.parent is None
    for name in ("before", "after"):
        (inner,) = telemetry.spans(name)
        assert inner.parent == span.context, name


async def test_a_handler_that_a_disposal_cancels_ends_its_span() -> None:
    network, telemetry = Network(), Telemetry()
    begun = []

    async def handler(event: object) -> None:
        begun.append(event)
        await asyncio.Event().wait()

    with telemetry.instrument():
        async with network.realtime() as realtime:
            await realtime.on("rows", handler)
            network.publish("rows")
            await eventually(lambda: begun)
    (span,) = telemetry.spans("process")
    assert (span.attributes or {})["error.type"] == "asyncio.exceptions.CancelledError"


def test_the_synchronous_client_is_instrumented_as_well(served: Served) -> None:
    telemetry = Telemetry()
    seen: list[tuple[str, Any]] = []

    def handler(_: object) -> None:
        seen.append((threading.current_thread().name, trace.get_current_span().get_span_context()))

    with telemetry.instrument(), connected(served) as realtime, realtime.on("rows", handler):
        served.publish("rows")
        end = time.monotonic() + 20
        while not telemetry.spans("process"):
            assert time.monotonic() < end
            threading.Event().wait(0.01)
        assert (states(telemetry), telemetry.total(CONSUMED)) == ({"subscribed": 1}, 1)
    (span,) = telemetry.spans("process")
    ((thread, current),) = seen
    assert "callable" in thread, "it runs in a thread of its own"
    assert current == span.context
    assert (span.attributes or {})["code.function.name"].endswith("handler")  # type: ignore[union-attr,arg-type]
    assert len(telemetry.spans("dial")) == 1


class Broken(SpanProcessor):
    """A processor of the application, with a fault."""

    def on_start(self, span: object, parent_context: Context | None = None) -> None:  # type: ignore[override]
        raise LookupError("on_start")

    def on_end(self, span: ReadableSpan) -> None:
        raise LookupError("on_end")


@pytest.mark.virtual(reports=2)
async def test_an_opentelemetry_that_raises_hurts_neither_link_nor_handler() -> None:
    network, telemetry = Network(), Telemetry(Broken())
    got: list[Any] = []
    with telemetry.instrument():
        async with network.realtime() as realtime:
            listener = await realtime.on("rows", got.append)
            for number in range(3):
                network.publish("rows", payload={"n": number})
            await eventually(lambda: len(got) == 3)
            await lose(network, realtime)
            assert listener.failures == 0
            assert sum(telemetry.values(PROCESS).values()) == 3
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    assert [context["message"] for context in loop.reported] == [
        "realtime_fsm: a log processor, a log handler or a hook failed", "realtime_fsm: the telemetry of handlers failed",
    ]  # fmt: skip


@pytest.mark.virtual(reports=1)
async def test_an_interrupt_within_opentelemetry_interrupts_the_loop_once() -> None:
    """Ctrl-C may come while OpenTelemetry begins a span. It reaches the program, and the handler runs."""

    class Interrupted(SpanProcessor):
        def on_start(self, span: object, parent_context: Context | None = None) -> None:  # type: ignore[override]
            raise KeyboardInterrupt

    interrupts: list[object] = []
    got: list[object] = []
    telemetry = Telemetry(Interrupted())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("realtime_fsm.containment._raise", interrupts.append)
        handle: Any = HandlerSpans(telemetry.tracers.get_tracer("test"), telemetry.meters.get_meter("test")).wrap("f", got.append)
        await handle("event")
        await asyncio.sleep(0)
    assert [type(each) for each in interrupts] == [KeyboardInterrupt]
    assert got == ["event"]


# --- events of OpenTelemetry ------------------------------------------------------------------------------------------


async def test_each_record_is_an_event_with_the_names_of_the_page() -> None:
    network, telemetry = Network(), Telemetry()
    with recorded() as records, telemetry.instrument(logs=True):
        async with network.realtime(ping=PingPolicy(interval=30)) as realtime:
            await realtime.subscribe("rows")
            network.refused_with[b'"files"'] = "42S02"
            with pytest.raises(SubscriptionRejected):
                await realtime.subscribe("files")
            await asyncio.sleep(60)
            await lose(network, realtime)
    names = {kind.event: [field.name for field in kind.fields if field.name != "timestamp"] for kind in KINDS}
    expected = []
    for record in some(records):
        kind, level = record["event"], record["level"]
        fields = {name: record[name] for name in names[kind] if record.get(name) is not None}
        if "error_code" in fields:
            fields["error_code"] = str(fields["error_code"])
        named = {attribute(kind, name): value for name, value in fields.items()} | {"network.protocol.name": "websocket"}
        expected.append((event_name(kind), named, *SEVERITIES[level], None))
    found = [log.log_record for log in telemetry.logs]
    attributes = [dict(log.attributes or {}) for log in found]
    sentences = [str(each.pop("realtime_fsm.record.sentence")) for each in attributes]
    assert sentences[1] == "the program wants subscription s1"
    assert "the server rejects subscription s2 (code 42S02)" in sentences
    assert [
        (
            log.event_name,
            its_own,
            log.severity_text,
            log.severity_number.value if log.severity_number else 0,
            log.body,
        )
        for log, its_own in zip(found, attributes, strict=True)
    ] == expected
    assert {"realtime_fsm.gap", "realtime_fsm.ping", "realtime_fsm.outage"} <= {log.event_name for log in found}
    assert "42S02" in {(log.attributes or {}).get("realtime_fsm.error_frame.code") for log in found}
    assert all(abs((log.timestamp or 0) - time.time_ns()) < 60e9 for log in found)


async def test_no_events_go_out_without_a_provider_of_loggers() -> None:
    network, telemetry = Network(), Telemetry()
    with telemetry.instrument():
        async with network.realtime() as realtime:
            await realtime.connect()
    assert (telemetry.logs, len(telemetry.spans("dial"))) == ([], 1)


@pytest.mark.loopback
async def test_nothing_secret_gets_out_and_metrics_are_those_of_the_page() -> None:
    telemetry, reported = Telemetry(), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    def handler(event: Any) -> None:
        raise LookupError(event.payload["text"])

    with telemetry.instrument(logs=True):
        async with RealtimeServer() as server:
            session = server.add_user("grace", session_secret="SESSION")  # noqa: S106
            retry = RetryPolicy(base=0.02, cap=0.1)
            async with Realtime(server.endpoint, "demo", session=session, retry=retry) as realtime:
                listener = await realtime.on("databases.HIDDEN.tables.t.rows", handler)
                stuck = await realtime.subscribe("databases.HIDDEN.tables.t.rows", buffer=1)
                for _ in range(3):
                    server.publish(["HIDDEN.create"], ["databases.HIDDEN.tables.t.rows"], {"$id": "1", "text": "PAYLOAD"})
                await eventually(lambda: listener.failures == 3, within=10)
                server.drop()
                await eventually(lambda: stuck.gaps, within=10)
                text = telemetry.text
                known = {metric.name: metric for metric in METRICS}
                for metric in some(telemetry.metrics):
                    means = known.pop(metric.name)
                    assert (metric.unit, metric.description) == (means.unit, means.means)
                    points: list[NumberDataPoint | HistogramDataPoint] = [*metric.data.data_points]
                    for point in some(points):
                        assert {*(point.attributes or {})} <= set(attributes_of(means).values()), metric.name
                        if isinstance(point, HistogramDataPoint):
                            assert tuple(point.explicit_bounds) == means.buckets
                assert set(known) <= {
                    "realtime_fsm.ping.duration",
                    "realtime_fsm.fault.duration",
                    "realtime_fsm.malformed.messages",
                }
    assert "realtime_fsm.subscription.id" in text
    assert "LookupError" in text
    assert [word for word in (session, "SESSION", "PAYLOAD", "HIDDEN", "grace") if word in text] == []


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


def test_each_provider_of_meters_has_counts_of_its_own_and_none_is_the_global_one() -> None:
    telemetry = Telemetry()
    meter = telemetry.meters.get_meter("test")
    assert counts_of(None, meter) is counts_of(metrics.get_meter_provider(), meter)
    assert counts_of(telemetry.meters, meter) is counts_of(telemetry.meters, meter)
    assert counts_of(telemetry.meters, meter) is not counts_of(None, meter)


def test_each_level_has_the_number_of_its_name_in_opentelemetry() -> None:
    assert [number for _, number in SEVERITIES.values()] == [SeverityNumber[name].value for name, _ in SEVERITIES.values()]
    assert [*SEVERITIES] == ["debug", "info", "warning", "error", "critical"]


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
