"""The fixtures: all logs are audited, none is left behind, nothing is random; a server's era, and what a connection writes."""

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

from realtime_fsm.fsm import pacer
from realtime_fsm.runtime.driver import Driver
from realtime_fsm.testing.eras import ERAS, EraName
from support import virtual
from support.brokenlogs import audited, collected, lines_of
from support.loopback import run_on_loopback
from support.network import Network
from support.served import served as served  # a fixture

# Where a change is judged, every run walks the same ways; elsewhere each run finds others.
settings.register_profile("derandomized", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("derandomized")

LOOPS = ("asyncio", "uvloop")
"""The event loops on which a test with the mark `loops` runs."""


@pytest.fixture(autouse=True)
def _no_logging_is_left_behind() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _no_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of a first delay, and the first ping after three quarters of an interval: else a test would fail now and then."""
    defaults = {**(Driver.__init__.__kwdefaults__ or {}), "draw": lambda: 0.25}
    monkeypatch.setattr(Driver.__init__, "__kwdefaults__", defaults)


@pytest.fixture(autouse=True)
def _no_dials_of_earlier_tests() -> None:
    """A server of an earlier test may have had the same port within the minute, and its dials are none of this one's."""
    pacer._SERVERS.clear()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("loops") is not None:
        metafunc.parametrize("_loop", LOOPS, indirect=True)
    if "server_era" in metafunc.fixturenames:
        said = metafunc.definition.get_closest_marker("eras")
        metafunc.parametrize("server_era", ERAS if said is None else said.args, indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine: in virtual time, or with the mark `loopback` on a loop of the real clock."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    test = partial(pyfuncitem.obj, **{name: pyfuncitem.funcargs[name] for name in names})
    if pyfuncitem.get_closest_marker("loopback") is not None:
        run_on_loopback(test)
    else:
        mark = pyfuncitem.get_closest_marker("virtual")
        virtual.run(test, **(mark.kwargs if mark is not None else {}))
    return True


@pytest.fixture(autouse=True)
def _loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop of `asyncio.run`; tests in virtual time bring their own."""
    if getattr(request, "param", "asyncio") == "uvloop":
        uvloop = pytest.importorskip("uvloop")
        monkeypatch.setattr("asyncio.events.new_event_loop", uvloop.new_event_loop)


@pytest.fixture
def server_era(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> EraName:
    """The era of the test's server; every `Network` that says nothing else is of it."""
    monkeypatch.setattr(Network, "era", request.param)
    return cast(EraName, request.param)


@pytest.fixture
def records() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is written into the log."""
    structlog.configure()
    with capture_logs() as captured:
        yield captured


_seen_before: set[str] = set()


@pytest.fixture(autouse=True)
def conformant(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever the connections of the test go through, their log audits as conformant."""
    if request.node.path.name == "test_simulation.py":  # it breaks the code, and the logging
        yield
        return
    with collected() as records:
        yield
    # A connection that an earlier test forgot may end in this one: its log has begun there, and not with number 1 here.
    begun_here = {record["connection_id"] for record in records if record["seq"] == 1}
    late = _seen_before - begun_here
    _seen_before.update(record["connection_id"] for record in records)
    records[:] = [record for record in records if record["connection_id"] not in late]
    if records:
        report = audited(lines_of(records))
        assert report.verdict == "conformant", report.first
