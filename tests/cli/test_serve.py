"""``realtime-fsm serve``, as a command."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlsplit

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
