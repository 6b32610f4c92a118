"""The pytest plugin: an embedded server, a client, virtual time and an audit for each test.

pytest loads it automatically where this package is installed. It offers:

- `realtime_server`, the embedded server: a `RealtimeServer` in a coroutine test, a `BlockingServer` in a plain test. It serves
  in a thread of its own, so any thread, fixture and event loop may call it.
- `realtime`, a client that is connected to it: a `realtime_fsm.Realtime` in a coroutine test, a `realtime_fsm.sync.Realtime` in
  a plain one. A lost link heals in milliseconds, and no delay is random.
- `realtime_audit`, the records of every connection of the test. A connection that does not conform fails the test at its end.
- `realtime_clock`, the clock of a test in virtual time.
- ``@pytest.mark.realtime(era="E2", virtual=True, server={}, client={}, audit=True)``: the era of the server; whether the test
  runs in virtual time, with a server in memory; further arguments of the server and of the client; whether to audit.

A coroutine test runs under pytest-asyncio, under anyio with asyncio, or under neither: with the mark, this plugin runs it. This
plugin also runs every test in virtual time, which must be a coroutine. Such a test cannot use the asynchronous fixtures of
pytest-asyncio and anyio, because they run on another loop, in real time.

Design: pytest imports this module in every run of every project, so each fixture imports its modules when a test asks for it.
"""

from __future__ import annotations

import functools
import inspect
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from realtime_fsm import sync
    from realtime_fsm.client.realtime import Realtime
    from realtime_fsm.testing.assertions import AuditRecords
    from realtime_fsm.testing.server import BlockingServer, RealtimeServer
    from realtime_fsm.testing.virtual import VirtualClock

    CoroutineTest: TypeAlias = Callable[..., Coroutine[Any, Any, Any]]

__all__ = ["realtime", "realtime_audit", "realtime_clock", "realtime_server"]

_MARK = "realtime"
_DEFAULTS: Mapping[str, Any] = {"era": "E4", "virtual": False, "server": {}, "client": {}, "audit": True}
_around = pytest.StashKey["list[AbstractAsyncContextManager[object]]"]()  # the contexts that a coroutine test enters first
_begun = pytest.StashKey[bool]()  # whether anything runs the coroutine of a test
_clock = pytest.StashKey["VirtualClock"]()
_NO_RUNNER = "no plugin runs this coroutine: mark it with @pytest.mark.realtime, or use pytest-asyncio or anyio"


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line(
        "markers",
        "realtime(era='E4', virtual=False, server={}, client={}, audit=True): the embedded Appwrite Realtime server of a test: "
        "its era, virtual time, further arguments of the server and the client, and whether to audit the connections",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a mark with wrong arguments, before any fixture runs."""
    _options(item)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Any:
    """Connect the client of a coroutine test on the test's own loop, and run the test where no other plugin does."""
    __tracebackhide__ = True
    if not isinstance(item, pytest.Function) or not inspect.iscoroutinefunction(item.obj):
        return (yield)
    options = _options(item)
    marked = item.get_closest_marker(_MARK) is not None
    if not marked and not set(__all__) & set(item.fixturenames):
        return (yield)
    item.stash[_begun] = False
    test, item.obj = item.obj, _surrounded(item.obj, item)
    if options["virtual"]:
        item.obj = _blocking(item.obj, _clock_of(item).run)
        item.runtest = functools.partial(pytest.Function.runtest, item)  # type: ignore[method-assign]  # not pytest-asyncio's
    elif marked and not _has_a_runner(item):
        item.obj = _blocking(item.obj, _run)
    try:
        return (yield)
    except pytest.fail.Exception:
        if marked or item.stash[_begun]:
            raise
    finally:
        item.obj = test
    pytest.fail(_NO_RUNNER, pytrace=False)  # pytest has refused to run a coroutine


@pytest.fixture
def realtime_audit(request: pytest.FixtureRequest) -> Iterator[AuditRecords]:
    """Keep the records of every connection of the test, and audit them at its end: iterate over them, or look at ``rows``."""
    from realtime_fsm.testing.assertions import assert_conformant, begun_here, recorded

    with recorded() as records:
        yield records
    if _options(request.node)["audit"] and (begun := begun_here(records)):
        try:
            assert_conformant(begun)
        except AssertionError as failure:
            pytest.fail(str(failure), pytrace=False)


@pytest.fixture
def realtime_clock(request: pytest.FixtureRequest) -> VirtualClock:
    """Give the clock of a test in virtual time; ``await realtime_clock.advance(3600)`` lets an hour pass."""
    if not _options(request.node)["virtual"]:
        pytest.fail("realtime_clock: mark the test with @pytest.mark.realtime(virtual=True)", pytrace=False)
    return _clock_of(request.node)


@pytest.fixture
def realtime_server(request: pytest.FixtureRequest, realtime_audit: AuditRecords) -> Iterator[RealtimeServer | BlockingServer]:
    """Serve with the embedded server: a `RealtimeServer` in a coroutine test, and a `BlockingServer` in a plain test."""
    from realtime_fsm.testing.quick import predictable
    from realtime_fsm.testing.server import RealtimeServer

    options = _options(request.node)
    arguments = {"era": options["era"], **options["server"]}
    with predictable():
        if options["virtual"]:
            from realtime_fsm.testing.memory import InMemoryServer, in_memory

            clock = _clock_of(request.node)
            memory = InMemoryServer(**{"clock": lambda: clock.now().timestamp(), **arguments})
            _before(request.node, memory)
            with in_memory(memory):
                yield memory
        else:
            server = RealtimeServer(**arguments)
            with server as blocking:
                yield server if _is_coroutine(request.node) else blocking


@pytest.fixture
def realtime(
    request: pytest.FixtureRequest, realtime_server: RealtimeServer | BlockingServer
) -> Iterator[Realtime | sync.Realtime]:
    """Connect a client to `realtime_server`: the asynchronous one for a coroutine test, the synchronous one for a plain test."""
    from realtime_fsm import sync
    from realtime_fsm.client.realtime import Realtime
    from realtime_fsm.testing.quick import QUICK_RETRY, connected

    options = _options(request.node)
    project = options["server"].get("projects", ["demo"])[0]
    arguments = {"project": project, **({} if options["virtual"] else {"retry": QUICK_RETRY}), **options["client"]}
    if _is_coroutine(request.node):
        client = Realtime(realtime_server.endpoint, **arguments)
        _before(request.node, connected(client))
        yield client
    else:
        with sync.Realtime(realtime_server.endpoint, **arguments) as blocking:
            blocking.connect()
            yield blocking


def _options(node: pytest.Item) -> dict[str, Any]:
    """Return the arguments of the marks of a test; the closest mark wins."""
    options = dict(_DEFAULTS)
    for mark in reversed(list(node.iter_markers(_MARK))):
        if mark.args or not mark.kwargs.keys() <= _DEFAULTS.keys():
            pytest.fail(f"@pytest.mark.realtime takes these keyword arguments: {', '.join(_DEFAULTS)}", pytrace=False)
        options.update(mark.kwargs)
    if options["virtual"] and not _is_coroutine(node):
        pytest.fail("@pytest.mark.realtime(virtual=True): a test in virtual time is a coroutine (async def)", pytrace=False)
    return options


def _is_coroutine(node: pytest.Item) -> bool:
    return isinstance(node, pytest.Function) and inspect.iscoroutinefunction(node.obj)


def _before(node: pytest.Item, manager: AbstractAsyncContextManager[object]) -> None:
    """Enter a context on the loop of a coroutine test, around the test."""
    if _around not in node.stash:
        node.stash[_around] = []
        node.addfinalizer(lambda: node.stash.__delitem__(_around))
    node.stash[_around].append(manager)


def _clock_of(node: pytest.Item) -> VirtualClock:
    if _clock not in node.stash:
        from realtime_fsm.testing.virtual import VirtualClock

        node.stash[_clock] = clock = VirtualClock()
        node.addfinalizer(clock.close)
        node.addfinalizer(lambda: node.stash.__delitem__(_clock))  # a test may run again
    return node.stash[_clock]


def _has_a_runner(item: pytest.Function) -> bool:
    """Whether another plugin runs this coroutine: pytest-asyncio by a class of its own, anyio by its fixture."""
    return type(item).runtest is not pytest.Function.runtest or "anyio_backend" in item.fixturenames


def _surrounded(test: CoroutineTest, item: pytest.Item) -> CoroutineTest:
    @functools.wraps(test)
    async def surrounded(**arguments: Any) -> Any:
        __tracebackhide__ = True
        item.stash[_begun] = True
        async with AsyncExitStack() as stack:
            for manager in item.stash.get(_around, []):
                await stack.enter_async_context(manager)
            return await test(**arguments)

    return surrounded


def _blocking(test: CoroutineTest, run: Callable[[CoroutineTest], Any]) -> Callable[..., Any]:
    @functools.wraps(test)
    def blocking(**arguments: Any) -> Any:
        __tracebackhide__ = True
        return run(functools.partial(test, **arguments))

    return blocking


def _run(test: CoroutineTest) -> Any:
    import asyncio

    return asyncio.run(test())
