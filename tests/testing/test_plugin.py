"""The pytest plugin, in a pytest of its own: under pytest-asyncio, anyio and neither; and the text of each failure."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import realtime_fsm
from realtime_fsm.testing import plugin
from support.raising import hiding

pytest_plugins = ("pytester",)
PACKAGE = Path(realtime_fsm.__file__).parent
PLUGIN = ("-p", "realtime_fsm.testing.plugin")
PYTEST_ASYNCIO = ("-p", "pytest_asyncio.plugin", "-o", "asyncio_default_fixture_loop_scope=function")

USERS_TESTS = """
import asyncio

import pytest

import realtime_fsm
from realtime_fsm.testing import BlockingServer, InMemoryServer, RealtimeServer, assert_conformant, assert_rows

MARKS = [{marks}]
pytestmark = MARKS


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def session(realtime_server):
    return realtime_server.add_user("u1")


async def one_event(realtime_server, realtime):
    rows = await realtime.subscribe("rows")
    assert realtime_server.publish("rows.r1.create", "rows", {{"n": 1}}) >= 1
    assert (await anext(rows)).payload == {{"n": 1}}


async def test_coroutine(realtime_server, realtime, realtime_audit, session):
    assert isinstance(realtime_server, RealtimeServer) and isinstance(realtime, realtime_fsm.Realtime)
    assert realtime.is_live
    loop = asyncio.get_running_loop()
    await one_event(realtime_server, realtime)
    await asyncio.to_thread(realtime_server.drop)
    begun = loop.time()
    await realtime_server.wait_for_subscriptions(0)
    await realtime_server.wait_for_subscriptions(1)
    assert loop.time() - begun < 1, "a drop heals in milliseconds"
    await realtime_server.script("0ms drop; 5ms freeze 5ms")
    assert_conformant(realtime_audit)
    assert_rows(realtime_audit, "sub58", "rec21")


class TestClass:
    @pytest.mark.realtime(virtual=True, era="E2")
    @pytest.mark.parametrize("hours", [0.1, 1])
    async def test_virtual(self, realtime_server, realtime, realtime_clock, realtime_audit, hours):
        assert isinstance(realtime_server, InMemoryServer)
        await one_event(realtime_server, realtime)
        await realtime_server.stop()
        await realtime_clock.advance(hours * 3600)
        assert realtime_clock.elapsed > hours * 3600
        assert realtime.state == "reconnecting"
        await realtime_server.start()
        await realtime.wait_subscribed()
        assert realtime.era is realtime_fsm.Era.E2
        await one_event(realtime_server, realtime)


@pytest.mark.realtime(virtual=True)
async def test_virtual_without_a_server():
    await asyncio.sleep(3600)


def test_plain(realtime_server, realtime, session):
    assert isinstance(realtime_server, BlockingServer) and isinstance(realtime, realtime_fsm.sync.Realtime)
    rows = realtime.subscribe("rows")
    assert realtime_server.publish("rows.r1.create", "rows", {{"n": 1}}) == 1
    assert rows.get(20).payload == {{"n": 1}}


@pytest.mark.realtime(server={{"projects": ["p"], "deny_guests": True}}, client={{"auto_reconnect": False}}, audit=False)
def test_options(realtime_server, realtime):
    with pytest.raises(realtime_fsm.SubscriptionRejected):
        realtime.subscribe("rows")
"""


def run_pytest(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, *options: str) -> pytest.RunResult:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return pytester.runpytest_subprocess(*options, "-W", "error", "--strict-markers", timeout=120)


@pytest.mark.parametrize(
    ("marks", "options"),
    [
        pytest.param("pytest.mark.realtime", PLUGIN, id="neither"),
        pytest.param("", (*PYTEST_ASYNCIO, *PLUGIN, "-o", "asyncio_mode=auto"), id="pytest-asyncio auto"),
        pytest.param("pytest.mark.asyncio", (*PLUGIN, *PYTEST_ASYNCIO), id="pytest-asyncio strict"),
        pytest.param("pytest.mark.anyio", (*PLUGIN, "-p", "anyio.pytest_plugin"), id="anyio"),
    ],
)
def test_it_works_under(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, marks: str, options: Any) -> None:
    tests = USERS_TESTS.format(marks=marks)
    if marks == "pytest.mark.asyncio":  # which warns of a plain test with its mark
        tests = tests.replace("\npytestmark = MARKS", "").replace("async def test", "@pytest.mark.asyncio\nasync def test", 1)
    pytester.makepyfile(test_users=tests)
    run_pytest(pytester, monkeypatch, *options).assert_outcomes(passed=6)


def test_each_failure_explains_itself(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makepyfile(
        test_users="""
import asyncio

import pytest

from realtime_fsm import Realtime


def test_not_conformant(realtime, realtime_audit):
    for record in realtime_audit:
        if record.get("row") == "rec22":
            record["row"] = "rec21"


@pytest.mark.realtime(virtual=True)
def test_plain_in_virtual_time(realtime_server):
    pass


@pytest.mark.realtime("E2")
def test_positional(realtime_server):
    pass


@pytest.mark.realtime(eras="E2")
async def test_unknown():
    pass


async def test_clock_of_real_time(realtime_clock):
    pass


@pytest.mark.realtime(virtual=True)
async def test_hangs(realtime):
    await asyncio.get_running_loop().create_future()


@pytest.mark.realtime(virtual=True)
async def test_fails(realtime_clock):
    nothing = 1
    assert nothing == 2


@pytest.mark.realtime
async def test_ends_with_an_open_connection(realtime_server):
    realtime = Realtime(realtime_server.endpoint, "demo")
    await realtime.connect()
    await realtime.dispose()


async def test_without_a_mark():
    pass


async def test_server_without_a_mark(realtime_server):
    pass
"""
    )
    result = run_pytest(pytester, monkeypatch, *PLUGIN)
    result.assert_outcomes(passed=2, failed=4, errors=5)
    text = result.stdout.str()
    for line in (
        "the audit log is violated: ",
        "what the table allows there:",
        "@pytest.mark.realtime(virtual=True): a test in virtual time is a coroutine (async def)",
        "@pytest.mark.realtime takes these keyword arguments: era, virtual, server, client, audit",
        "realtime_clock: mark the test with @pytest.mark.realtime(virtual=True)",
        "the test takes more than 86400 s of virtual time: it hangs",
        ">       assert nothing == 2",
        "async def functions are not natively supported.",
        "no plugin runs this coroutine: mark it with @pytest.mark.realtime, or use pytest-asyncio or anyio",
    ):
        assert line in text, line
    failure = text.split("test_fails _")[1].split("____ ")[0]
    assert "plugin.py" not in failure, "the frames of the plugin are hidden"


def test_it_is_found_by_its_entry_point_and_breaks_no_coverage(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = pytester.mkdir("site") / "users_pytest-1.0.dist-info"
    entry.mkdir()
    (entry / "METADATA").write_text("Metadata-Version: 2.1\nName: users-pytest\nVersion: 1.0\n")
    (entry / "entry_points.txt").write_text("[pytest11]\nrealtime_fsm_of_the_test = realtime_fsm.testing.plugin\n")
    monkeypatch.setenv("PYTHONPATH", str(entry.parent))
    pytester.makepyfile(
        app="from realtime_fsm.sync import Realtime\n\n\ndef connect(endpoint):\n    return Realtime(endpoint, 'demo')\n",
        test_app="""
import sys

import pytest

HEAVY = {"aiohttp", "asyncio", "msgspec", "structlog", "transitions"} & sys.modules.keys()

from app import connect


def test_app(realtime_server):
    with connect(realtime_server.endpoint) as realtime:
        realtime.connect()
    assert HEAVY == set(), "they were loaded before a test needed them"
""",
    )
    others = ("-p", "no:asyncio", "-p", "no:anyio", "-p", "no:realtime_fsm", "-p", "no:hypothesispytest", "-p", "no:xdist")
    result = pytester.runpytest_subprocess(*others, "-W", "error", "--cov=app", "--cov-report=term-missing", timeout=120)
    result.assert_outcomes(passed=1)
    result.stdout.re_match_lines([r"app\.py\s+3\s+0\s+100%"])


def test_the_plugin_loads_nothing_heavy() -> None:
    code = (
        "import sys, pytest; before = {*sys.modules}; import realtime_fsm.testing.plugin; print(*sorted({*sys.modules} - before))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert loaded == ["realtime_fsm", "realtime_fsm.testing", "realtime_fsm.testing.plugin"]


def test_only_the_plugin_needs_pytest() -> None:
    importers = {
        path.name
        for path in PACKAGE.rglob("*.py")
        if re.search(r"^\s*(import|from) _?pytest\b", path.read_text("utf-8"), re.MULTILINE)
    }
    assert importers == {"plugin.py"}


def test_only_the_command_imports_the_test_kit() -> None:
    importers = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        if re.search(r"^\s*(from|import) realtime_fsm\.testing\b", path.read_text("utf-8"), re.MULTILINE)
    }
    assert importers - {"testing"} <= {"cli", "replay"}, "replay writes the import into the tests that it emits"


def test_a_traceback_in_pytest_leaves_the_plugin_out() -> None:
    async def broken() -> None:
        raise LookupError

    surrounded = plugin._surrounded(broken, SimpleNamespace(stash={}))  # type: ignore[arg-type]  # it needs no more of a test
    with pytest.raises(LookupError) as caught:
        plugin._blocking(surrounded, plugin._run)()
    assert hiding(caught.value) == ["blocking", "surrounded"]
