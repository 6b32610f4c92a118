"""The client for code without an event loop: the same names, calls and iterators that block, threads, forks, ends."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from appwrite.client import Client

import realtime_fsm
from realtime_fsm import (
    BadOption,
    Canary,
    Disconnected,
    Disposed,
    Era,
    Forked,
    PayloadMisfit,
    PingPolicy,
    RetriesExhausted,
    RetryPolicy,
    State,
    SubscriptionEnded,
    WrongLoop,
)
from realtime_fsm.client.blocking import BlockingSubscribeOptions
from realtime_fsm.client.portal import Portal
from realtime_fsm.client.subscription import CommonOptions, SubscribeOptions
from realtime_fsm.sync import Realtime
from support.served import LONG, QUICK, Served, connected
from support.stubs import differences
from support.virtual import eventually

pytestmark = pytest.mark.loops


class Numbered(msgspec.Struct):
    n: int


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "realtime_fsm loop"]


def settle(realtime: Realtime, condition: Callable[[], object]) -> None:
    """Return when a condition holds on the loop of a connection."""
    realtime._portal.call(lambda: eventually(condition, within=LONG))


# --- the same names -----------------------------------------------------------------------------------------------------


def test_it_has_every_name_of_the_asynchronous_one() -> None:
    for name, here, foreign in (
        ("Realtime", realtime_fsm.sync.Realtime, set()),
        ("Subscription", realtime_fsm.sync.Subscription, set()),
        ("Listener", realtime_fsm.sync.Listener, {"task"}),  # of an event loop that the user does not see
    ):
        there = {each for each in dir(getattr(realtime_fsm, name)) if not each.startswith("_")}
        assert there - set(dir(here)) == foreign, name


@pytest.mark.parametrize("name", ["connect", "reconnect", "wait_connected", "wait_subscribed", "set_presence", "disconnect"])
def test_a_blocking_call_has_the_signature_and_documentation_of_its_coroutine(name: str) -> None:
    call, coroutine = getattr(Realtime, name), getattr(realtime_fsm.Realtime, name)
    assert inspect.signature(call) == inspect.signature(coroutine)
    assert call.__doc__ == coroutine.__doc__
    assert not inspect.iscoroutinefunction(call)


@pytest.mark.parametrize("kind", [Realtime, realtime_fsm.sync.Subscription])
def test_a_checker_sees_the_signatures_of_the_coroutines(kind: type) -> None:
    assert differences(kind) == []


@pytest.mark.parametrize("options", [CommonOptions, SubscribeOptions, BlockingSubscribeOptions])
def test_each_option_of_a_subscription_may_be_left_out(options: Any) -> None:
    assert options.__required_keys__ == frozenset()
    assert {"queries", "on_gap", "buffer", "overflow", "buffer_bytes"} <= options.__optional_keys__


def test_events_arrive_in_a_for_loop(served: Served) -> None:
    with connected(served) as realtime, realtime.subscribe("rows") as rows:
        assert (realtime.state, realtime.is_live, realtime.era, realtime.user, realtime.error) == (
            State.SUBSCRIBED, True, Era.E4, None, None,
        )  # fmt: skip
        for number in range(3):
            served.publish("rows", n=number)
        assert [event.payload["n"] for _, event in zip(range(3), rows, strict=False)] == [0, 1, 2]
        assert (rows.id, rows.channels, rows.dropped, rows.gaps, rows.misfits) == ("s1", ("rows",), 0, (), 0)


def test_batches_are_lists_of_buffered_events(served: Served) -> None:
    with connected(served) as realtime:
        rows, marks = realtime.subscribe("rows"), realtime.subscribe("marks")
        for number in range(5):
            served.publish("rows", n=number)
        served.publish("marks", n=0)
        marks.get(LONG)  # which came behind them
        batches = rows.batches(max=3)
        assert [event.payload["n"] for event in next(batches)] == [0, 1, 2]
        assert rows.get(LONG).payload["n"] == 3
        assert [event.payload["n"] for event in next(batches)] == [4]
        with pytest.raises(BadOption, match="max: 0 is not a whole number above 0"):
            rows.batches(max=0)
        rows.unsubscribe()
        assert list(batches) == []
        assert list(rows.batches()) == []


def test_batches_go_on_after_a_misfit(served: Served) -> None:
    with connected(served) as realtime:
        rows = realtime.subscribe("rows", payload=Numbered)
        for number in (1, "two", 3):
            served.publish("rows", n=number)
        held(realtime, rows, 3)
        batches = rows.batches()
        assert [event.payload.n for event in next(batches)] == [1]
        with pytest.raises(PayloadMisfit):
            next(batches)
        assert [event.payload.n for event in next(batches)] == [3]


def test_batches_that_are_held_keep_the_connection_alive(served: Served) -> None:
    batches = Realtime(served.endpoint, "demo").subscribe("rows").batches()
    gc.collect()
    served.publish("rows", n=1)
    assert [event.payload["n"] for event in next(batches)] == [1]


def test_a_lost_link_is_replaced_while_the_loop_waits(served: Served) -> None:
    with connected(served) as realtime:
        rows, changes = realtime.subscribe("rows"), realtime.states()
        served.do(lambda server: server.drop())
        assert next(change.dest for change in changes if change.dest is State.SUBSCRIBED) is State.SUBSCRIBED
        served.publish("rows", n=1)
        assert rows.get(LONG).payload["n"] == 1
        assert len(rows.gaps) == 1


def test_a_canary_may_be_written_by_code_that_blocks(served: Served) -> None:
    wrote = threading.Event()

    def write() -> None:
        served.publish("beats", n=0)
        wrote.set()

    with connected(served, canary=Canary(every=300, within=10, write=write, channel="beats")) as realtime:
        rows = realtime.subscribe("rows")
        assert wrote.wait(LONG)
        served.publish("rows", n=1)
        assert rows.get(LONG).payload["n"] == 1


def test_every_call_has_its_blocking_form(served: Served) -> None:
    session = served.do(lambda server: server.add_user("alice"))
    with connected(served) as realtime:
        realtime.connect()
        realtime.wait_connected(timeout=LONG)
        realtime.reconnect()
        realtime.wait_subscribed(timeout=LONG)
        assert realtime.authenticate(lambda: session)["$id"] == "alice"
        presence = realtime.set_presence("online", metadata={"device": "phone"}, presence_id="alice-phone")
        assert presence is not None
        assert (presence["status"], presence["$id"]) == ("online", "alice-phone")
        assert realtime.set_presence(None) is None
        assert realtime.authenticate(None) is None
        assert realtime.user is None
        for enabled in (False, True):
            realtime.set_ping_enabled(enabled)
            assert realtime._driver.context.ping_enabled is enabled
        rows = realtime.subscribe("rows")
        rows.update(channels=["files"])
        assert rows.channels == ("files",)
        realtime.disconnect()
        assert (realtime.state, realtime.malformed) == (State.DISCONNECTED, {})
        assert "thread" in repr(realtime)
        assert len(realtime.connection_id) == 32


def test_typed_payloads_and_misfits(served: Served) -> None:
    class Row(msgspec.Struct):
        n: int

    with connected(served) as realtime:
        rows = realtime.subscribe("rows", payload=Row)
        served.publish("rows", n="odd")
        served.publish("rows", n=2)
        with pytest.raises(PayloadMisfit):
            rows.get(LONG)
        assert rows.get(LONG).payload.n == 2
        misfits: list[PayloadMisfit] = []
        quiet = realtime.subscribe("files", payload=Row, on_misfit=misfits.append)
        served.publish("files", n="odd")
        served.publish("files", n=3)
        assert (quiet.get(LONG).payload.n, len(misfits)) == (3, 1)


def test_it_takes_the_official_client(served: Served) -> None:
    client = Client().set_endpoint(served.endpoint).set_project("demo")
    with Realtime.from_client(client) as realtime:
        realtime.connect()
        assert realtime.is_live


# --- waiting --------------------------------------------------------------------------------------------------------------


def test_waiting_ends_in_time_and_loses_nothing(served: Served) -> None:
    with connected(served) as realtime:
        rows = realtime.subscribe("rows")
        with pytest.raises(TimeoutError):
            rows.get(timeout=0.01)
        with pytest.raises(BadOption, match="timeout: 'soon' is not a number of seconds"):
            rows.get(timeout="soon")  # type: ignore[arg-type]
        served.publish("rows", n=1)
        assert rows.get(timeout=LONG).payload["n"] == 1
        with pytest.raises(TimeoutError):
            Realtime(served.endpoint, "demo").wait_connected(timeout=0.01)


def test_an_interrupted_wait_loses_nothing(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    with connected(served) as realtime:
        rows = realtime.subscribe("rows")
        call = rows._portal.call

        def interrupted(work: Any) -> None:
            call(work)
            raise KeyboardInterrupt

        served.publish("rows", n=1)
        monkeypatch.setattr(rows._portal, "call", interrupted)
        with pytest.raises(KeyboardInterrupt):
            rows.get(LONG)
        monkeypatch.undo()
        assert rows.get(LONG).payload["n"] == 1


def test_a_failure_raises_where_it_is_waited_for(served: Served) -> None:
    with Realtime("http://127.0.0.1:1/v1", "demo", retry=RetryPolicy(attempts=1)) as realtime:
        with pytest.raises(RetriesExhausted):
            realtime.subscribe("rows")
        assert realtime.error is not None
        assert realtime.last_failure is not None
        assert realtime.last_failure.next_dial is None
        with pytest.raises(BadOption):
            realtime.subscribe()


def test_with_a_subscription_unsubscribes_at_the_end(served: Served) -> None:
    with connected(served) as realtime:
        with realtime.subscribe("rows") as rows:
            assert rows.channels == ("rows",)
        assert realtime.state is State.UNSUBSCRIBED
        assert served.do(lambda server: server.publish(["a.create"], ["rows"], {})) == 0, "the server does not know it any more"
        assert list(rows) == []


def test_it_names_its_user(served: Served) -> None:
    session = served.do(lambda server: server.add_user("alice"))
    with connected(served, session=session) as realtime:
        assert realtime.user is None, "before the first link"
        realtime.connect()
        assert realtime.user is not None
        assert realtime.user["$id"] == "alice"


def test_a_subscription_ends_a_for_loop_and_a_get(served: Served) -> None:
    with connected(served) as realtime:
        rows = realtime.subscribe("rows")
        rows.unsubscribe()
        assert list(rows) == []
        with pytest.raises(SubscriptionEnded):
            rows.get(LONG)


# --- threads ----------------------------------------------------------------------------------------------------------------


def test_threads_may_share_a_subscription(served: Served) -> None:
    with connected(served) as realtime, ThreadPoolExecutor(4) as pool:
        rows = realtime.subscribe("rows")
        takers = [pool.submit(lambda: [rows.get(LONG).payload["n"] for _ in range(5)]) for _ in range(4)]
        for number in range(20):
            served.publish("rows", n=number)
        transition = [number for taker in takers for number in taker.result(LONG)]
        assert sorted(transition) == list(range(20))


def test_threads_may_subscribe_at_once(served: Served) -> None:
    with connected(served) as realtime, ThreadPoolExecutor(8) as pool:
        ids = {made.id for made in pool.map(lambda n: realtime.subscribe(f"channel{n}"), range(8))}
        assert len(ids) == 8


def test_a_disposal_ends_the_waits_of_other_threads(served: Served) -> None:
    with ThreadPoolExecutor(2) as pool:
        realtime = Realtime(served.endpoint, "demo", retry=QUICK)
        rows, changes = realtime.subscribe("rows"), realtime.states()
        events, states = pool.submit(lambda: list(rows)), pool.submit(lambda: [change.dest for change in changes])
        inboxes = [rows._delivery.buffer, *realtime._inner._driver._state_streams]
        settle(realtime, lambda: all(buffer._waiting for buffer in inboxes))
        realtime.dispose()
        assert events.result(LONG) == []
        assert states.result(LONG)[-1] is State.DISPOSING
        realtime.dispose()


def held(realtime: Realtime, rows: realtime_fsm.sync.Subscription[Any], count: int) -> None:
    """Return when the buffer of a subscription holds so many events."""
    settle(realtime, lambda: len(rows._delivery.buffer) == count)


def test_a_disposal_loses_no_buffered_event(served: Served) -> None:
    before = threads()
    realtime = Realtime(served.endpoint, "demo", retry=QUICK)
    rows, changes = realtime.subscribe("rows"), realtime.states()
    for number in range(4):
        served.publish("rows", n=number)
    assert next(rows).payload["n"] == 0
    held(realtime, rows, 3)
    realtime.dispose()
    assert rows.get(timeout=0).payload["n"] == 1
    assert [event.payload["n"] for event in rows] == [2, 3]
    assert [change.dest for change in changes] == [State.DISPOSING]
    with pytest.raises(SubscriptionEnded):
        rows.get()
    assert threads() == before, "each wait after the end has ended its own loop"


def test_buffered_events_keep_their_type_after_a_disposal(served: Served) -> None:
    told: list[PayloadMisfit] = []
    realtime = Realtime(served.endpoint, "demo", retry=QUICK)
    lenient = realtime.subscribe("rows", payload=Numbered, on_misfit=told.append)
    strict = realtime.subscribe("rows", payload=Numbered)
    for number in (1, "two", 3):
        served.publish("rows", n=number)
    held(realtime, lenient, 3)
    held(realtime, strict, 3)
    realtime.dispose()
    assert [event.payload.n for event in lenient] == [1, 3]
    assert (len(told), lenient.misfits) == (1, 1)
    assert next(strict).payload.n == 1
    with pytest.raises(PayloadMisfit):
        next(strict)
    assert [event.payload.n for event in strict] == [3]


def test_what_is_held_waits_for_the_loop_that_ends(served: Served) -> None:
    goes_on = threading.Event()
    realtime = Realtime(served.endpoint, "demo", retry=QUICK)
    rows = realtime.subscribe("rows")
    served.publish("rows", n=1)
    held(realtime, rows, 1)
    end = realtime._inner.dispose

    async def slow() -> None:
        await asyncio.to_thread(goes_on.wait, LONG)
        await end()

    realtime._portal.last = slow
    realtime._portal.close(wait=False)
    with pytest.raises(TimeoutError):
        rows.get(timeout=0)
    goes_on.set()
    assert [event.payload["n"] for event in rows] == [1]


def test_it_works_beside_a_running_loop(served: Served) -> None:
    async def notebook() -> str:
        with connected(served) as realtime:
            return realtime.subscribe("rows").id

    assert asyncio.run(notebook()) == "s1"


# --- callables of the caller's ------------------------------------------------------------------------------------------------


def test_a_handler_may_block_and_use_the_connection(served: Served) -> None:
    seen: list[Any] = []
    done = threading.Event()

    with connected(served) as realtime:

        def handle(event: realtime_fsm.Event) -> None:
            seen.append(
                (event.payload["n"], realtime.subscribe(f"files{event.payload['n']}").id, threading.current_thread().name)
            )
            if len(seen) == 2:
                done.set()

        listener = realtime.on("rows", handle)
        for number in range(2):
            served.publish("rows", n=number)
        assert done.wait(LONG)
        listener.stop()
        assert [number for number, _, _ in seen] == [0, 1]
        assert all(name.startswith("realtime_fsm callable") for _, _, name in seen)
        assert "Listener" in repr(listener)


def test_a_handler_may_stop_itself(served: Served) -> None:
    with connected(served) as realtime:
        seen: list[int] = []

        def handle(event: realtime_fsm.Event) -> None:
            seen.append(event.payload["n"])
            listener.stop()

        listener = realtime.on(["rows"], handle)
        served.publish("rows", n=1)
        listener.wait(LONG)
        served.publish("rows", n=2)
        assert seen == [1]


def test_an_async_handler_runs_on_the_loop(served: Served) -> None:
    seen: list[str] = []

    async def handle(event: realtime_fsm.Event) -> None:
        seen.append(threading.current_thread().name)
        try:
            realtime.connect()
        except WrongLoop:
            seen.append("refused")

    with connected(served) as realtime, realtime.on("rows", handle, payload=dict) as listener:
        served.publish("rows", n=1)
        while not seen:
            with pytest.raises(TimeoutError):
                listener.wait(0.01)
    assert seen == ["realtime_fsm loop", "refused"]


def test_a_handler_that_is_none_is_refused(served: Served) -> None:
    with connected(served) as realtime, pytest.raises(BadOption, match="handler"):
        realtime.on("rows", None)  # type: ignore[arg-type]


def test_gaps_sessions_and_catching_up_are_asked_apart(served: Served) -> None:
    names: dict[str, str] = {}
    session = served.do(lambda server: server.add_user("alice"))

    def ask() -> str:
        names["session"] = threading.current_thread().name
        return str(session)

    def catch_up(gap: realtime_fsm.Gap) -> list[dict[str, Any]]:
        names["catch_up"] = threading.current_thread().name
        return [{"$id": "missed", "n": 7}]

    told = threading.Event()

    def on_gap(gap: realtime_fsm.Gap) -> None:
        names["on_gap"] = threading.current_thread().name
        told.set()

    with connected(served, session=ask) as realtime:
        rows = realtime.subscribe("rows", catch_up=catch_up, on_gap=on_gap)
        served.do(lambda server: server.drop())
        assert rows.get(LONG).payload["n"] == 7
        assert told.wait(LONG)
    assert set(names) == {"session", "catch_up", "on_gap"}
    assert all(name.startswith("realtime_fsm callable") for name in names.values())


# --- ends ---------------------------------------------------------------------------------------------------------------------


def test_nothing_can_be_done_after_the_end(served: Served) -> None:
    realtime = Realtime(served.endpoint, "demo")
    rows = realtime.subscribe("rows")
    listener = realtime.on("rows", print)
    realtime.dispose()
    assert (realtime.state, realtime.is_live) == (State.DISPOSING, False)
    for call in (realtime.connect, rows.unsubscribe, realtime.__enter__, lambda: realtime.subscribe("rows")):
        with pytest.raises(Disposed):
            call()
    with rows, listener:
        pass


def test_one_that_was_never_used_needs_no_thread() -> None:
    before = threads()
    realtime = Realtime("http://127.0.0.1:1/v1", "demo")
    assert (realtime.state, threads()) == (State.DISCONNECTED, before)
    realtime.dispose()
    with pytest.raises(Disposed):
        realtime.connect()


def test_the_garbage_collector_closes_a_forgotten_client_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[bool] = []
    monkeypatch.setattr(Portal, "close", lambda self, *, wait=True: waits.append(wait))
    realtime = Realtime("http://127.0.0.1:1/v1", "demo")
    assert realtime.state is State.DISCONNECTED
    del realtime
    gc.collect()
    assert waits == [False]


def test_one_that_is_forgotten_is_disposed_of(served: Served) -> None:
    gc.collect()
    before = len(threads())
    realtime = Realtime(served.endpoint, "demo", ping=PingPolicy(enabled=False))
    realtime.connect()
    thread = realtime._portal._thread
    assert thread is not None
    assert len(threads()) == before + 1
    del realtime
    gc.collect()  # which does not wait: it may run in any thread
    thread.join(LONG)
    assert len(threads()) == before
    served.do(lambda server: server.wait_for_connections(0))


def test_a_name_lookup_keeps_no_process_from_ending() -> None:
    portal = Portal("this test")

    async def looks_up() -> bool:
        return await asyncio.get_running_loop().run_in_executor(None, lambda: threading.current_thread().daemon)

    assert portal.call(looks_up), "the thread is a daemon"
    portal.close()


def test_a_wait_that_the_end_of_the_loop_cuts_off_says_so() -> None:
    portal = Portal("this test")
    began = threading.Event()

    async def forever() -> None:
        began.set()
        await asyncio.Event().wait()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(portal.call, forever)
        assert began.wait(LONG)
        portal.close()
        with pytest.raises(Disposed):
            waiting.result(LONG)


def test_a_finalizer_on_its_own_loop_does_not_wait() -> None:
    portal = Portal("this test")

    async def forget() -> None:
        portal.close()

    portal.call(forget)
    assert portal._thread is not None
    portal._thread.join(LONG)
    assert not portal._thread.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_is_refused_clearly(served: Served) -> None:
    script = f"""
import os
from realtime_fsm import Forked
from realtime_fsm.sync import Realtime

realtime = Realtime({served.endpoint!r}, "demo")
realtime.connect()
child = os.fork()
if child == 0:
    try:
        realtime.connect()
    except Forked as refused:
        print(refused, flush=True)
    realtime.dispose()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
with Realtime({served.endpoint!r}, "demo") as another:
    another.connect()
print(realtime.state)
"""
    # Newer versions of Python warn of each fork where there are threads.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == [str(Forked("this Realtime")), "connected"]
    assert (done.stderr, done.returncode) == ("", 0), "and the end of the program disposes of it"


def test_a_pending_call_ends_with_a_disconnect(served: Served) -> None:
    served.do(lambda server: setattr(server, "greet", False))
    with connected(served) as realtime, ThreadPoolExecutor(1) as pool:
        pending = pool.submit(realtime.subscribe, "rows")
        while realtime.state is not State.RECONNECTING:
            with pytest.raises(TimeoutError):
                realtime.wait_connected(0.01)
        realtime.disconnect()
        with pytest.raises(Disconnected):
            pending.result(LONG)


def test_async_callables_run_on_the_loop(served: Served) -> None:
    names: list[str] = []
    session = served.do(lambda server: server.add_user("alice"))

    async def ask() -> str:
        names.append(threading.current_thread().name)
        return str(session)

    with connected(served, session=ask) as realtime:
        realtime.connect()
    assert names == ["realtime_fsm loop"]
