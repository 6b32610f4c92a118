"""``realtime-fsm serve``, as a command."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any, Self
from urllib.parse import urlsplit

import pytest

from realtime_fsm.cli import serve
from realtime_fsm.cli.main import _parser
from support.commands import line, result_of, running, serving
from support.raw_client import RawClient, upgrade


def test_a_taken_port_is_named_with_the_remedy() -> None:
    with serving("--every", "0") as endpoint:
        port = str(urlsplit(endpoint).port)
        result = result_of("serve", "--port", port)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"realtime-fsm: port {port}: Address already in use; choose another port, or 0 for one that is free\n"


def test_it_says_how_to_listen() -> None:
    with running("serve", "--port", "0", "--every", "0") as server:
        first, second = line(server).rstrip(), line(server).rstrip()
    endpoint = second.split()[2]
    assert first == f"Serving project 'demo' at {endpoint}; in another terminal:"
    assert second == f"  realtime-fsm listen {endpoint} --project demo rows"


def test_an_older_server_is_served() -> None:
    async def greeting(port: int) -> str:
        client = await RawClient.dial(port, upgrade("/v1/realtime?project=demo&channels[]=rows"))
        try:
            return await client.text()
        finally:
            await client.hang_up()

    with serving("--every", "0", "--era", "E2") as endpoint:
        port = urlsplit(endpoint).port
        assert port is not None
        assert asyncio.run(greeting(port)) == '{"type":"connected","data":{"channels":["rows"],"user":null}}'


def test_an_event_comes_under_each_name_of_its_table() -> None:
    with serving("--every", "0.05") as endpoint:
        for family in ("databases", "tablesdb"):
            channel = f"{family}.main.tables.orders.rows"
            with running("listen", endpoint, "--project", "demo", channel) as listener:
                event = json.loads(line(listener))
            assert any(name.startswith(f"{channel}.row") for name in event["events"])
            assert {channel, "rows"} <= set(event["channels"])


class Silent:
    """A server in name only."""

    endpoint = "http://127.0.0.1:8090/v1"

    def __init__(self, **options: Any) -> None:
        assert options == {"projects": ("shop",), "port": 8090, "era": "E3"}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


async def published(monkeypatch: pytest.MonkeyPatch, every: str) -> list[tuple[float, str, str, str]]:
    """The events that `serve` publishes within ten seconds, each with its time."""
    loop, events = asyncio.get_running_loop(), []
    begun = loop.time()

    def note(_: object, row: str, action: str, fields: dict[str, Any]) -> None:
        events.append((round(loop.time() - begun, 3), row, action, fields["title"]))

    monkeypatch.setattr(serve, "RealtimeServer", Silent)
    monkeypatch.setattr(serve, "publish_row", note)
    options = _parser().parse_args(["serve", "--every", every, "--project", "shop", "--era", "E3"])
    serving_task = asyncio.ensure_future(serve._serve(options))
    await asyncio.sleep(10)
    serving_task.cancel()
    await asyncio.wait([serving_task])
    return events


async def test_each_row_is_created_updated_twice_and_deleted_at_its_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await published(monkeypatch, "1.8") == [
        (1.8, "row1", "create", "sample 1"),
        (3.6, "row1", "update", "sample 2"),
        (5.4, "row1", "update", "sample 3"),
        (7.2, "row1", "delete", "sample 4"),
        (9.0, "row2", "create", "sample 5"),
    ]


async def test_a_pace_of_0_publishes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await published(monkeypatch, "0") == []


def test_an_event_of_a_row_has_the_names_and_channels_of_both_families() -> None:
    given: list[tuple[Any, ...]] = []
    server: Any = SimpleNamespace(publish=lambda *each: given.append(each))
    serve.publish_row(server, "row7", "update", {"title": "t"})
    assert given == [
        (
            [
                "databases.main.tables.orders.rows.row7.update",
                "tablesdb.main.tables.orders.rows.row7.update",
                "databases.*.tables.*.rows.*.update",
            ],
            [
                "rows",
                "rows.update",
                "databases.main.tables.orders.rows",
                "databases.main.tables.orders.rows.row7",
                "tablesdb.main.tables.orders.rows",
                "tablesdb.main.tables.orders.rows.row7",
            ],
            {"$id": "row7", "title": "t"},
        )
    ]
