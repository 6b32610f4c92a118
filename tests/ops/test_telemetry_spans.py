"""Each call of a handler has a span, and a failing OpenTelemetry hurts no handler."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextvars import Context
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics.export import HistogramDataPoint
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

from realtime_fsm.ops.telemetry_spans import HandlerSpans
from support.network import Network
from support.opentelemetry import Telemetry, lose, states
from support.opentelemetry import no_other_connections as no_other_connections  # a fixture
from support.served import Served, connected
from support.virtual import VirtualLoop, eventually

CONSUMED, PROCESS = "messaging.client.consumed.messages", "messaging.process.duration"


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
