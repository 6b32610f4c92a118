"""The fixtures: each test begins like a new process, and all logs are audited; the era of a server, and the records of a log."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, MutableMapping
from functools import partial
from typing import Any, cast

import pytest
import structlog
from hypothesis import settings
from structlog.testing import capture_logs

from realtime_fsm.fsm.pacer import forget_dials
from realtime_fsm.runtime.jitter import drawing
from realtime_fsm.testing.eras import ERAS, EraName
from support import virtual
from support.brokenlogs import audited, collected, lines_of
from support.loopback import run_on_loopback
from support.network import Network
from support.served import served as served  # a fixture

# In continuous integration every run tries the same examples; elsewhere each run finds others.
settings.register_profile("derandomized", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("derandomized")

LOOPS = ("asyncio", "uvloop")
"""The event loops on which a test with the mark `loops` runs, unless the mark names some."""


@pytest.fixture(autouse=True)
def _new_process() -> Iterator[None]:
    """Begin a test like a new process: no dials count, no logging is configured; and delays are the same in every run.

    A first delay is a quarter of its longest, and the first ping comes after three quarters of an interval.
    """
    forget_dials()
    with drawing(lambda: 0.25):
        yield
    structlog.reset_defaults()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    loops = metafunc.definition.get_closest_marker("loops")
    if loops is not None:
        metafunc.parametrize("event_loop_of", loops.args or LOOPS, indirect=True)
    if "server_era" in metafunc.fixturenames:
        eras = metafunc.definition.get_closest_marker("eras")
        metafunc.parametrize("server_era", ERAS if eras is None else eras.args, indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine: in virtual time, or with the mark `loopback` on a loop of the real clock."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    test = partial(pyfuncitem.obj, **{name: pyfuncitem.funcargs[name] for name in names})
    if pyfuncitem.get_closest_marker("loopback") is not None:
        run_on_loopback(test)
    else:
        mark = pyfuncitem.get_closest_marker("virtual")
        virtual.run(test, **(mark.kwargs if mark is not None else {}))
    return True


@pytest.fixture(autouse=True)
def event_loop_of(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the event loop of `asyncio.run` for a test with the mark `loops`, and change nothing for other tests."""
    if getattr(request, "param", "asyncio") == "uvloop":
        uvloop = pytest.importorskip("uvloop")
        monkeypatch.setattr("asyncio.events.new_event_loop", uvloop.new_event_loop)


@pytest.fixture
def server_era(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> EraName:
    """The era of the test's server; a `Network` without an era of its own gets it."""
    monkeypatch.setattr(Network, "era", request.param)
    return cast(EraName, request.param)


@pytest.fixture
def records() -> Iterator[list[MutableMapping[str, Any]]]:
    """The records that the test writes."""
    structlog.configure()
    with capture_logs() as captured:
        yield captured


_connections_of_earlier_tests: set[str] = set()


@pytest.fixture(autouse=True)
def conformant(request: pytest.FixtureRequest) -> Iterator[None]:
    """Audit the log of the test's connections, which must be conformant."""
    if request.node.path.name == "test_simulation.py":  # its mutations break the code, and the logging
        yield
        return
    with collected() as records:
        yield
    # A connection that an earlier test left open may end in this one; then its log does not begin here with number 1.
    opened_here = {record["connection_id"] for record in records if record["seq"] == 1}
    earlier = _connections_of_earlier_tests - opened_here
    _connections_of_earlier_tests.update(record["connection_id"] for record in records)
    records[:] = [record for record in records if record["connection_id"] not in earlier]
    if records:
        report = audited(lines_of(records))
        assert report.verdict == "conformant", report.first
