"""The portal: how long it waits at its end, and what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from realtime_fsm.client.portal import Portal
from realtime_fsm.client.threads import DaemonThreads

LONG = 30.0


class Recorder:
    """A thread, or the threads for callables: it keeps the seconds for which it is waited."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def join(self, seconds: float) -> None:
        self.waits.append(seconds)

    wait = join

    def is_alive(self) -> bool:
        return True


def waiting(monkeypatch: pytest.MonkeyPatch, *, took: float) -> tuple[Portal, Recorder, Recorder]:
    """A portal with a patience of two seconds, whose thread takes some seconds to end; its thread and those for callables."""
    portal, thread, callables = Portal("this test"), Recorder(), Recorder()
    portal.patience = 2.0
    stand_ins: dict[str, Any] = {"_thread": thread, "_callables": callables}
    for name, stand_in in stand_ins.items():
        setattr(portal, name, stand_in)
    monkeypatch.setattr("realtime_fsm.client.portal.time.monotonic", lambda: 10.0 + took * len(thread.waits))
    return portal, thread, callables


@pytest.mark.parametrize(("took", "left"), [(0.5, 1.5), (3.0, 0.0)])
def test_close_waits_a_second_longer_for_the_loop_than_for_the_callables(
    monkeypatch: pytest.MonkeyPatch, took: float, left: float
) -> None:
    portal, thread, callables = waiting(monkeypatch, took=took)
    portal.close()
    assert (thread.waits, callables.waits) == ([3.0], [left])


def test_close_without_waiting_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    portal, thread, callables = waiting(monkeypatch, took=0.0)
    portal.close(wait=False)
    assert (thread.waits, callables.waits, portal.closed) == ([], [], True)


@pytest.mark.parametrize(("timeout", "seconds"), [(None, 3.0), (1.0, 1.0), (10.0, 3.0)])
def test_the_end_is_awaited_no_longer_than_close_does(
    monkeypatch: pytest.MonkeyPatch, timeout: float | None, seconds: float
) -> None:
    portal, thread, _ = waiting(monkeypatch, took=0.0)
    assert not portal.await_end(timeout)
    assert thread.waits == [seconds]


def test_one_that_was_never_used_has_ended() -> None:
    assert Portal("this test").await_end(0.0)


def test_an_end_leaves_no_thread_no_open_loop_and_no_open_generator() -> None:
    portal, ended = Portal("this test"), []
    callables: list[threading.Thread] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            ended.append("generator")

    generator = numbers()

    async def use() -> None:
        assert await anext(generator) == 1
        callables.append(await portal.in_worker_thread(threading.current_thread)())
        callables.append(await asyncio.get_running_loop().run_in_executor(None, threading.current_thread))

    portal.call(use)
    assert [thread.name for thread in callables] == ["realtime_fsm callable", "realtime_fsm resolver"]
    assert portal._thread is not None
    assert (portal._thread.name, portal._thread.daemon) == ("realtime_fsm loop", True)
    assert all(thread.daemon for thread in callables)
    portal.close()
    assert portal.await_end(LONG)
    for thread in callables:
        thread.join(LONG)
    assert [thread.is_alive() for thread in callables] == [False, False]
    assert portal._loop is not None
    assert portal._loop.is_closed()
    assert ended == ["generator"]


def test_one_that_has_ended_is_let_go() -> None:
    portal = Portal("this test")

    async def nothing() -> None:
        pass

    portal.call(nothing)
    portal.close()
    assert portal.await_end(LONG)
    reference = weakref.ref(portal)
    del portal
    gc.collect()
    assert reference() is None


def test_a_call_that_is_interrupted_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    portal = Portal("this test")
    cancelled = threading.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    def interrupt(future: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("concurrent.futures.Future.result", interrupt)
        with pytest.raises(KeyboardInterrupt):
            portal.call(forever)
    assert cancelled.wait(LONG)
    portal.close()


def test_threads_wait_for_every_job_but_their_own() -> None:
    threads, free = DaemonThreads("this test"), threading.Event()
    assert threads.wait(0.0)
    own = threads.submit(lambda: threads.wait(LONG)).result(LONG)
    busy = threads.submit(free.wait, LONG)
    assert (own, threads.wait(0.0)) == (True, False)
    assert not threads.submit(lambda: threads.wait(0.0)).result(LONG), "another job runs"
    free.set()
    assert busy.result(LONG)
    assert threads.wait(LONG)
    threads.shutdown()


def test_a_wait_ends_with_the_last_job_and_not_with_its_time() -> None:
    threads, free = DaemonThreads("this test"), threading.Event()
    busy = threads.submit(free.wait, LONG)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(threads.wait, LONG)
        while not threads._changed._waiters:  # type: ignore[attr-defined]
            assert not waiting.done()
        free.set()
        assert waiting.result(LONG / 2)
    assert busy.result(0)
    threads.shutdown()


def test_an_idle_thread_takes_one_job() -> None:
    threads, free = DaemonThreads("this test"), threading.Event()
    first = threads.submit(threading.get_ident).result(LONG)
    assert threads.wait(LONG)
    busy = threads.submit(lambda: (threading.get_ident(), free.wait(LONG)))
    other = threads.submit(threading.get_ident).result(LONG / 2)  # in a thread of its own: the busy one waits for `free`
    free.set()
    assert first in (busy.result(LONG)[0], other), "either of them takes the job of the busy thread"
    assert busy.result(LONG) != (other, True)
    threads.shutdown()


AT_EXIT = """
from realtime_fsm.client.portal import Portal

async def say():
    print("the last words", flush=True)

async def nothing():
    pass

portal = Portal("this program")
portal.last = say
portal.call(nothing)
"""


def test_the_end_of_the_program_closes_a_portal() -> None:
    done = subprocess.run([sys.executable, "-c", AT_EXIT], capture_output=True, text=True, timeout=LONG, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("the last words\n", "", 0)
