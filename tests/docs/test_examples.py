"""Each program of docs/examples/, run on the embedded server."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, redirect_stdout
from importlib.util import module_from_spec, spec_from_file_location
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import pytest

from realtime_fsm.testing import RealtimeServer
from support.browser import CHROMIUM, showing
from support.commands import PATIENCE, line, obey_ctrl_c
from support.pages import ROOT, appwrite, cells_of, eventually, running
from support.some import some

EXAMPLES = ROOT / "docs" / "examples"
ORDERS = "databases.main.tables.orders.rows"
pytestmark = pytest.mark.timeout(90)


def imported(name: str) -> ModuleType:
    """Import an example by its path, under a name of its own."""
    spec = spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def environment_of(server: RealtimeServer, **more: str) -> Iterator[dict[str, str]]:
    """The variables that an example reads, for this process and for its children."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"APPWRITE_ENDPOINT": server.endpoint, "APPWRITE_PROJECT": "demo", **more}.items():
            patch.setenv(name, value)
        yield dict(os.environ)


@contextmanager
def program(*words: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run an example as a process; kill it at the end if it still runs."""
    arguments = [sys.executable, str(EXAMPLES / words[0]), *words[1:]]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(arguments, **pipes, preexec_fn=obey_ctrl_c, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(*words: str) -> tuple[int, str]:
    """Run an example without any of its variables to its end; return its exit code and stderr."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("APPWRITE_", "NATS_"))}
    with program(*words, env=environment) as process:
        _, told = process.communicate(timeout=PATIENCE)
    return process.returncode, told


def publish(server: RealtimeServer, row: str, action: str, **columns: object) -> None:
    server.publish([f"{ORDERS}.{row}.{action}"], ["rows", ORDERS], {"$id": row, **columns})


@pytest.mark.loopback
async def test_the_listener_prints_events_and_ends_in_order() -> None:
    async with appwrite() as server:
        with environment_of(server), program("listener.py", "rows") as listener:
            await server.wait_for_subscriptions(1, timeout=PATIENCE)
            publish(server, "1", "create", total=20)
            first = json.loads(await asyncio.to_thread(line, listener))
            server.drop()
            await server.wait_for_subscriptions(1, timeout=PATIENCE)
            publish(server, "1", "delete")
            second = json.loads(await asyncio.to_thread(line, listener))
            listener.send_signal(signal.SIGTERM)
            _, told = await asyncio.to_thread(listener.communicate, timeout=PATIENCE)
    assert first == {"action": "create", "id": "1", "payload": {"$id": "1", "total": 20}}
    assert (second["action"], listener.returncode) == ("delete", 0)
    assert [part for part in ("-> subscribed", "WARNING events may be missing", "-> disposing") if part not in told] == []
    assert "Traceback" not in told


@pytest.mark.loopback
async def test_the_listener_names_a_refusal_and_fails() -> None:
    async with appwrite() as server:
        with environment_of(server, APPWRITE_PROJECT="other"), program("listener.py") as listener:
            _, told = await asyncio.to_thread(listener.communicate, timeout=PATIENCE)
    assert listener.returncode == 1
    assert "ERROR the server" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("words", "variable", "package"),
    [
        (["listener.py"], "APPWRITE_ENDPOINT", "realtime_fsm"),
        (["worker_sync.py", "orders.sqlite"], "APPWRITE_ENDPOINT", "realtime_fsm"),
        (["catch_up.py"], "APPWRITE_ENDPOINT", "appwrite"),
        (["fastapi_bridge.py"], "APPWRITE_ENDPOINT", "fastapi"),
        (["relay_worker.py", "orders.db"], "NATS_URL", "nats"),
        (["relay_worker_faststream.py"], "NATS_URL", "faststream"),
    ],
)
def test_a_variable_that_is_not_set_is_named(words: list[str], variable: str, package: str) -> None:
    pytest.importorskip(package)
    assert ended(*words) == (1, f"{variable} is not set; the top of {words[0]} shows how to set it\n")


@pytest.mark.parametrize("name", ["worker_sync.py", "relay_worker.py"])
def test_a_missing_argument_is_named(name: str) -> None:
    code, told = ended(name)
    assert (code, told.partition(" python ")[0], told.count("\n")) == (1, "give the file of the database:", 1)


@pytest.mark.loopback
@pytest.mark.parametrize("words", [["worker_sync.py", "orders.sqlite"], ["catch_up.py"]])
async def test_an_expired_session_ends_a_program_with_a_sentence(words: list[str], tmp_path: Path) -> None:
    async with appwrite() as server:
        with environment_of(server, APPWRITE_SESSION="expired"), program(*words, cwd=tmp_path) as process:
            _, told = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
    *log, sentence = told.splitlines()
    assert process.returncode == 1
    assert "the session or JWT is unknown or expired" in sentence
    assert [line for line in log if not line.startswith("dial 1 failed")] == []


@pytest.mark.loopback
async def test_catching_up_ends_in_order_with_ctrl_c() -> None:
    async with appwrite() as server:
        with environment_of(server, APPWRITE_SESSION=server.add_user("ada")), program("catch_up.py") as process:
            await server.wait_for_subscriptions(1, timeout=PATIENCE)
            process.send_signal(signal.SIGINT)
            _, told = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
    assert (process.returncode, told) == (0, "")


@pytest.mark.loopback
async def test_the_worker_copies_the_rows_and_ends_in_order(tmp_path: Path) -> None:
    def rows() -> list[tuple[str, str]]:
        with closing(sqlite3.connect(tmp_path / "orders.sqlite")) as database:
            return list(database.execute("SELECT id, title FROM orders ORDER BY id"))

    async with appwrite() as server:
        with environment_of(server), program("worker_sync.py", "orders.sqlite", cwd=tmp_path) as worker:
            await server.wait_for_subscriptions(1, timeout=PATIENCE)
            for row, action in (("1", "create"), ("2", "create"), ("1", "update"), ("2", "delete"), ("3", "create")):
                publish(server, row, action, title=f"{action} {row}")
            kept = [("1", "update 1"), ("3", "create 3")]
            await eventually(lambda: rows() == kept, within=PATIENCE)
            worker.send_signal(signal.SIGTERM)
            _, told = await asyncio.to_thread(worker.communicate, timeout=PATIENCE)
    assert rows() == kept
    assert (worker.returncode, told) == (0, "")


@pytest.mark.loopback
@pytest.mark.parametrize("heard_before", [True, False])
async def test_catching_up_lists_the_missed_rows_first(heard_before: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    module = imported("catch_up")
    asked: list[list[str]] = []

    def list_rows(service: object, database: str, table: str, queries: list[str]) -> dict[str, Any]:
        asked.append([database, table, *queries])
        return {"rows": [{"$id": "missed", "$updatedAt": "2026-11-27T10:00:00.000+00:00"}]}

    monkeypatch.setattr(module.TablesDB, "list_rows", list_rows)
    async with appwrite() as server:
        printed = StringIO()
        with environment_of(server, APPWRITE_SESSION=server.add_user("ada")), redirect_stdout(printed):
            async with running(module.main()):
                await server.wait_for_subscriptions(1)
                if heard_before:
                    publish(server, "1", "create")
                    await eventually(lambda: "create 1" in printed.getvalue())
                server.drop()
                await server.wait_for_subscriptions(1)
                publish(server, "2", "create")
                await eventually(lambda: "create 2" in printed.getvalue())
    lines = [text.partition(" {")[0] for text in printed.getvalue().splitlines()]
    assert lines[heard_before:] == [lines[heard_before], "missed missed", "create 2"]
    assert lines[heard_before].startswith("catching up after ")
    (words,) = asked
    assert words[:2] == ["main", "orders"]
    assert json.loads(words[2])["method"] == "greaterThan"


@pytest.mark.loopback
async def test_the_bridge_passes_events_on_to_a_browser(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    uvicorn = pytest.importorskip("uvicorn")
    async with appwrite() as server:
        with environment_of(server):
            module = imported("fastapi_bridge")
            bridge = uvicorn.Server(uvicorn.Config(module.app, port=0, log_level="warning", timeout_graceful_shutdown=1))
            bridge.install_signal_handlers = lambda: None
            serving = asyncio.ensure_future(bridge.serve())
            await eventually(lambda: bridge.started, within=PATIENCE)
            url = f"http://127.0.0.1:{bridge.servers[0].sockets[0].getsockname()[1]}"
            await server.wait_for_subscriptions(1)
            try:
                await (follow_in_chromium if CHROMIUM else follow_by_http)(server, url, tmp_path)
                async with aiohttp.ClientSession() as http, http.get(f"{url}/health") as health:
                    assert (health.status, await health.text()) == (200, "subscribed")
            finally:
                bridge.should_exit = True
                await serving


async def follow_in_chromium(server: RealtimeServer, url: str, profile: Path) -> None:
    async with showing(url, profile) as page:
        await page.shows("Connection: subscribed")
        publish(server, "1", "create", title="<b>an order</b>")
        await page.shows("1 <b>an order</b>")
        server.drop()
        await page.shows("some events may be missing")
        await page.shows("Connection: subscribed")


async def follow_by_http(server: RealtimeServer, url: str, _: Path) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/events") as stream:
        assert stream.content_type == "text/event-stream"
        assert await stream.content.readuntil(b"\n\n") == b'event: state\ndata: "subscribed"\n\n'
        publish(server, "1", "create", title="an order")
        message = await stream.content.readuntil(b"\n\n")
        assert message.startswith(b'event: row\ndata: {"action": "create", "id": "1"')
        server.drop()
        while not (await stream.content.readuntil(b"\n\n")).startswith(b"event: gap"):
            continue


def test_the_suite_passes() -> None:
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(EXAMPLES)]
    result = subprocess.run(
        [*command, "-p", "no:cacheprovider", str(EXAMPLES / "test_suite.py")],
        capture_output=True, text=True, timeout=PATIENCE * 2, check=False,
    )  # fmt: skip
    assert (result.returncode, "4 passed" in result.stdout) == (0, True), result.stdout + result.stderr


@pytest.mark.loopback
async def test_the_notebook_runs_and_displays_what_it_says() -> None:
    module = ModuleType("notebook")
    shown = [await run_cell(cell, module) for cell in some(cells_of(EXAMPLES / "notebook.ipynb"))]
    first, subscribed, event, healed, diagram, end = shown
    assert first.state == end == "disposing"
    assert subscribed is first
    assert event == ("create", {"$id": "1", "total": 20})
    assert healed == ("subscribed", 1)
    for picture in (first, diagram):
        assert picture._repr_svg_().count("<svg") == 1


async def run_cell(cell: str, module: ModuleType) -> Any:
    """Run a cell as a notebook does, with `await` at its top level, and return the value of its last line."""
    tree = ast.parse(cell)
    assert isinstance(tree.body[-1], ast.Expr)
    tree.body[-1] = ast.parse("_ = 0").body[0]
    tree.body[-1].value = ast.parse(cell).body[-1].value  # type: ignore[attr-defined]
    code = compile(ast.fix_missing_locations(tree), "notebook.ipynb", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, module.__dict__)  # noqa: S307  (our own text)
    if inspect.isawaitable(result):
        await result
    return module.__dict__["_"]


def test_each_example_is_listed_and_tested() -> None:
    names = {path.name for path in EXAMPLES.iterdir() if path.suffix in {".py", ".ipynb", ".html"}}
    index = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [name for name in some(names) if f"]({name})" not in index] == []
