"""The synchronous client and its callers' code: what raises, blocks, or outlives the connection."""

from __future__ import annotations

import functools
import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import aiohttp
import pytest

from realtime_fsm import BadOption, Event, State, Timeouts
from realtime_fsm.client.portal import Portal
from realtime_fsm.client.threads import DaemonThreads
from realtime_fsm.sync import Realtime
from support.served import LONG, QUICK, Served, connected
from support.some import some


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        threading.Event().wait(0.005)


@pytest.fixture
def threads() -> Iterator[DaemonThreads]:
    made = DaemonThreads("realtime_fsm test")
    yield made
    made.shutdown()


# --- what a callable raises -----------------------------------------------------------------------------------------------


class Fatal(BaseException):
    """Of a caller's own."""


FAILURES: list[BaseException] = [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), StopIteration(), Fatal(), ValueError()]


@pytest.mark.parametrize("raised", FAILURES, ids=lambda each: type(each).__name__)
def test_what_a_callable_raises_does_not_end_the_loop(raised: BaseException) -> None:
    portal = Portal("this test")
    reports: list[dict[str, Any]] = []

    def fail() -> None:
        raise raised

    async def use() -> BaseException | None:
        try:
            await portal.in_worker_thread(fail)()
        except BaseException as failure:  # noqa: BLE001
            return failure
        return None

    failure = portal.call(use)
    assert failure is not None
    if isinstance(raised, StopIteration | GeneratorExit):
        assert (type(failure), failure.__cause__) == (RuntimeError, raised)
    else:
        assert failure is raised

    async def let_it_pass() -> None:
        assert portal._loop is not None
        portal._loop.set_exception_handler(lambda _, context: reports.append(context))
        portal._loop.call_soon(fail)

    async def answer() -> int:
        return 42

    portal.call(let_it_pass)
    assert portal.call(answer) == 42
    wait_for(lambda: reports)
    assert reports[0]["exception"] is raised
    portal.close()
    assert portal._thread is not None
    assert not portal._thread.is_alive()


def test_a_handler_that_exits_leaves_all_the_rest_at_work(served: Served) -> None:
    reports: list[dict[str, Any]] = []
    with connected(served) as realtime:
        files = realtime.subscribe("files")
        realtime._portal._loop.set_exception_handler(lambda _, context: reports.append(context))  # type: ignore[union-attr]
        realtime.on("rows", lambda event: sys.exit(3))
        served.publish("rows")
        wait_for(lambda: reports)
        served.publish("files", n=1)
        assert files.get(LONG).payload["n"] == 1
        assert realtime.subscribe("teams").id
        assert realtime.state is State.SUBSCRIBED
    assert isinstance(reports[0]["exception"], SystemExit)


# --- what blocks -----------------------------------------------------------------------------------------------------------


def test_callables_that_block_delay_no_other() -> None:
    portal = Portal("this test")
    released, at_work = threading.Event(), threading.Semaphore(0)

    def block() -> None:
        at_work.release()
        released.wait(LONG)

    blocked = [
        portal.call_soon(portal.in_worker_thread(block)) for _ in range(100)
    ]  # more than any pool of a usual size has threads
    for _ in some(blocked):
        assert at_work.acquire(timeout=LONG)
    assert portal.call(portal.in_worker_thread(lambda: "token")) == "token"
    released.set()
    assert [each.result(LONG) for each in blocked] == [None] * 100
    portal.close()


def test_callables_that_block_do_not_delay_the_credential_of_a_new_link(served: Served) -> None:
    released, at_work, asked = threading.Event(), threading.Semaphore(0), threading.Semaphore(0)
    alice = served.do(lambda server: server.add_user("alice"))

    def block() -> None:
        at_work.release()
        released.wait(LONG)

    def session() -> str:
        asked.release()
        return str(alice)

    with connected(served, session=session) as realtime:
        realtime.subscribe("rows")
        assert asked.acquire(timeout=LONG), "for the first link"
        for _ in range(40):  # more than a usual pool has threads
            realtime._portal.call_soon(realtime._portal.in_worker_thread(block))
            assert at_work.acquire(timeout=LONG)
        served.do(lambda server: server.drop())
        assert asked.acquire(timeout=LONG)
        realtime.wait_subscribed(LONG)
        released.set()


def test_dispose_waits_for_a_handler_at_work(served: Served) -> None:
    at_work, released, done = threading.Event(), threading.Event(), threading.Event()

    def handle(event: Event[Any]) -> None:
        at_work.set()
        released.wait(LONG)
        done.set()

    with ThreadPoolExecutor(1) as pool:
        realtime = Realtime(served.endpoint, "demo", retry=QUICK, timeouts=Timeouts(close=LONG))
        realtime.on("rows", handle)
        served.publish("rows")
        assert at_work.wait(LONG)
        disposal = pool.submit(realtime.dispose)
        served.do(lambda server: server.wait_for_connections(0))
        assert not disposal.done()
        released.set()
        disposal.result(LONG)
        assert done.is_set()


def test_dispose_waits_no_longer_than_its_timeout(served: Served) -> None:
    at_work, released = threading.Event(), threading.Event()

    def handle(event: Event[Any]) -> None:
        at_work.set()
        released.wait(LONG)

    realtime = Realtime(served.endpoint, "demo", retry=QUICK, timeouts=Timeouts(close=0.2))
    realtime.on("rows", handle)
    served.publish("rows")
    assert at_work.wait(LONG)
    began = time.monotonic()
    realtime.dispose()
    assert time.monotonic() - began < LONG / 2
    assert not realtime._portal._callables.wait(0), "the handler is still at work"
    released.set()
    assert realtime._portal._callables.wait(LONG)


def test_a_handler_may_dispose_of_its_connection(served: Served) -> None:
    done = threading.Event()
    realtime = Realtime(served.endpoint, "demo", retry=QUICK, timeouts=Timeouts(close=2 * LONG))

    def handle(event: Event[Any]) -> None:
        realtime.dispose()
        done.set()

    realtime.on("rows", handle)
    served.publish("rows")
    assert done.wait(LONG), "it does not wait for itself"
    assert realtime.state is State.DISPOSING


AT_EXIT = """
import threading
from realtime_fsm import Timeouts
from realtime_fsm.sync import Realtime

at_work = threading.Event()

def handle(event):
    at_work.set()
    threading.Event().wait()

realtime = Realtime({endpoint!r}, "demo", timeouts=Timeouts(close=0.5))
realtime.on("rows", handle)
print("ready", flush=True)
at_work.wait()
print(realtime.state)
"""


def test_a_blocked_handler_does_not_keep_the_program_alive(served: Served) -> None:
    endpoint = served.endpoint.replace("127.0.0.1", "localhost")  # a name, so that a resolver is at work
    script = AT_EXIT.format(endpoint=endpoint)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        served.publish("rows")
        out, err = program.communicate(timeout=LONG)
    assert (out, err, program.returncode) == ("subscribed\n", "", 0)


def test_an_idle_thread_is_used_again(threads: DaemonThreads) -> None:
    names = [threads.submit(threading.get_ident).result(LONG) for _ in range(3) if threads.wait(LONG)]
    assert len(names) == 3
    assert len(set(names)) == 1


def test_a_job_that_was_cancelled_is_not_run(threads: DaemonThreads) -> None:
    ran: list[int] = []
    with threads._changed:  # the thread that takes the job waits here after the one before
        first = threads.submit(ran.append, 1)
        first.result(LONG)
        threads._idle += 1  # as if that one were done
        second = threads.submit(ran.append, 2)
        assert second.cancel()
    threads._idle -= 1
    assert threads.submit(ran.append, 3).result(LONG) is None
    assert ran == [1, 3]


def test_ended_threads_refuse_jobs(threads: DaemonThreads) -> None:
    threads.submit(int).result(LONG)
    threads.shutdown()
    with pytest.raises(RuntimeError, match="have ended"):
        threads.submit(int)


def test_shutdown_ends_the_threads(threads: DaemonThreads) -> None:
    thread = threads.submit(threading.current_thread).result(LONG)
    threads.shutdown()
    thread.join(LONG)
    assert not thread.is_alive()


# --- what is given, and where it runs ----------------------------------------------------------------------------------------


def test_a_callable_runs_in_the_context_in_which_it_was_given(served: Served) -> None:
    tenant: ContextVar[str] = ContextVar("tenant", default="no tenant")
    seen: list[str] = []
    with connected(served) as realtime:
        realtime.connect()  # in a context of its own
        tenant.set("acme")
        with realtime.on("rows", lambda event: seen.append(tenant.get())):
            tenant.set("another")
            served.publish("rows")
            wait_for(lambda: seen)
    assert seen == ["acme"]


class AsyncCallable:
    """Looks plain and gives an awaitable."""

    def __init__(self, seen: list[str]) -> None:
        self.seen = seen

    async def __call__(self, event: Event[Any]) -> None:
        self.seen.append(threading.current_thread().name)


def test_a_callable_that_gives_an_awaitable_is_awaited(served: Served) -> None:
    seen: list[str] = []
    handler = AsyncCallable(seen)
    for given in (handler, lambda event: handler(event), functools.partial(handler)):
        with connected(served) as realtime, realtime.on("rows", given):
            served.publish("rows")
            wait_for(lambda: seen)
        assert seen == ["realtime_fsm loop"]
        seen.clear()


def test_an_http_session_is_refused_at_once() -> None:
    before = threading.active_count()
    with pytest.raises(BadOption, match="http: an aiohttp session belongs to one event loop"):
        Realtime("http://127.0.0.1:1/v1", "demo", http=aiohttp.ClientSession.__new__(aiohttp.ClientSession))
    assert threading.active_count() == before
    assert Realtime("http://127.0.0.1:1/v1", "demo", http=None).state is State.DISCONNECTED


# --- who keeps it alive ------------------------------------------------------------------------------------------------------


def test_a_subscription_keeps_its_connection_alive(served: Served) -> None:
    rows = Realtime(served.endpoint, "demo", retry=QUICK).subscribe("rows")
    gc.collect()
    served.publish("rows", n=1)
    assert rows.get(LONG).payload["n"] == 1
    del rows
    gc.collect()
    served.do(lambda server: server.wait_for_connections(0))


def test_a_stream_of_states_keeps_its_connection_alive(served: Served) -> None:
    def begin() -> Iterator[Any]:
        realtime = Realtime(served.endpoint, "demo", retry=QUICK)
        realtime.connect()
        return realtime.states()

    changes = begin()
    gc.collect()
    served.do(lambda server: server.drop())
    assert next(change.dest for change in changes if change.dest.is_live) is State.CONNECTED


@pytest.mark.parametrize("is_async", [False, True])
def test_a_listener_at_work_keeps_its_connection_alive(served: Served, is_async: bool) -> None:
    seen: list[str] = []

    async def later(event: Event[Any]) -> None:
        seen.append(str(event.id))

    def now(event: Event[Any]) -> None:
        seen.append(str(event.id))

    handler: Callable[[Event[Any]], object] = later if is_async else now
    realtime = Realtime(served.endpoint, "demo", retry=QUICK)
    end = weakref.WeakMethod(realtime.dispose)
    realtime.on("rows", handler)
    del realtime
    gc.collect()
    served.publish("rows")
    wait_for(lambda: seen)
    assert seen == ["1"]
    dispose = end()
    assert dispose is not None
    dispose()
