"""Kill -9 of a relay, the broker and Appwrite in the middle of a stream: nothing is lost, and nothing is stored twice."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import nats
import pytest

from support.broker import Broker, Process, client_of, eventually_stored, needs_broker, running_broker
from support.commands import line, running
from support.orders import CHANNEL, read_rows
from support.virtual import eventually

pytestmark = [needs_broker, pytest.mark.timeout(120)]
COUNT = 250


class Scene:
    """A broker, a server of rows, and relays, each a process."""

    def __init__(self, folder: Path, stack: ExitStack, broker: Broker) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.table = folder / "rows.jsonl"
        self.broker = broker
        self._stack = stack

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def appwrite(self) -> Process:
        """Start a server, and wait until it listens; it publishes from the first subscription on."""
        server = self._stack.enter_context(Process("support.orders", self.port, self.table, COUNT, 0.004))
        assert await asyncio.to_thread(server.line) == "listening\n"
        return server

    async def relay(self) -> Process:
        """Start a relay, and wait until it is ready."""
        relay = self._stack.enter_context(Process("support.relaying", self.endpoint, self.broker.url, self.table))
        assert await asyncio.to_thread(relay.line) == "ready\n"
        return relay

    async def rows(self, least: int) -> None:
        """Wait until the table has so many rows."""
        await eventually(lambda: len(read_rows(self.table)) >= least)

    async def all_stored(self) -> list[Any]:
        """Wait until each row is in the stream, and return its messages."""
        async with client_of(self.broker) as js:
            while True:
                messages = await eventually_stored(js, COUNT)
                if len({name(message) for message in messages if is_row(message)}) == COUNT:
                    return messages
                await asyncio.sleep(0.2)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(tmp_path, stack, stack.enter_context(running_broker()))


def name(message: Any) -> str:
    return str(json.loads(message.data)["$id"])


def is_row(message: Any) -> bool:
    return not message.subject.endswith(".gap")


def names(messages: list[Any], kind: str) -> list[str]:
    return [name(message) for message in messages if message.headers["ce-id"].startswith(kind)]


def assert_once(messages: list[Any]) -> None:
    """Each id is stored once, each event at most once, and each row is there: as an event, or caught up."""
    assert Counter(message.headers["Nats-Msg-Id"] for message in messages).most_common(1)[0][1] == 1
    assert Counter(names(messages, "e")).most_common(1)[0][1] == 1
    assert {*names(messages, "e"), *names(messages, "c")} == {f"row{number}" for number in range(COUNT)}


@pytest.mark.loopback
async def test_a_killed_relay_goes_on_behind_the_newest_message(scene: Scene) -> None:
    await scene.appwrite()
    relay = await scene.relay()
    await scene.rows(60)
    relay.kill()
    await scene.rows(120)
    await scene.relay()
    messages = await scene.all_stored()
    assert_once(messages)
    assert len(names(messages, "c")) > 40
    assert [message.subject for message in messages if not is_row(message)] == ["appwrite.demo.gap"]


@pytest.mark.loopback
async def test_a_killed_broker_gets_each_event_once_and_in_order(scene: Scene) -> None:
    await scene.appwrite()
    relay = await scene.relay()
    for rows in (60, 140):
        await scene.rows(rows)
        scene.broker.kill()
        await scene.rows(rows + 50)
        scene.broker.start()
    messages = await scene.all_stored()
    assert names(messages, "e") == [f"row{number}" for number in range(COUNT)]
    assert len(messages) == COUNT
    assert "does not answer" in relay.line()


@pytest.mark.loopback
async def test_a_killed_server_is_caught_up_with(scene: Scene) -> None:
    server = await scene.appwrite()
    await scene.relay()
    await scene.rows(100)
    server.kill()
    await scene.appwrite()
    messages = await scene.all_stored()
    assert_once(messages)
    assert [message.subject for message in messages if not is_row(message)] == ["appwrite.demo.gap"]


@pytest.mark.loopback
async def test_two_relays_need_no_leader_and_three_workers_share_the_work(scene: Scene) -> None:
    await scene.appwrite()
    done: list[tuple[int, str]] = []
    words = ("relay", scene.endpoint, "--project", "demo", CHANNEL, "--to", scene.broker.url, "--attempts", "forever")

    async def work(number: int) -> None:
        async with await nats.connect(scene.broker.url) as client:
            jobs = await client.jetstream().pull_subscribe("appwrite.demo.>", "workers", stream="APPWRITE")
            while len(done) < COUNT:
                with suppress(TimeoutError):
                    for message in await jobs.fetch(5, timeout=0.5):
                        if is_row(message):  # the second relay tells of a gap where the first one was quicker
                            done.append((number, name(message)))
                        await message.ack()

    with running(*words) as first, running(*words) as second:
        for process in (first, second):
            assert "knows ids for 600 s" in await asyncio.to_thread(line, process)
        workers = asyncio.gather(*map(work, range(3)))
        await scene.rows(120)
        first.kill()
        messages = await scene.all_stored()
        await workers
    expected = [f"row{number}" for number in range(COUNT)]
    assert names(messages, "e") == expected
    assert len([message for message in messages if is_row(message)]) == COUNT
    assert sorted(row for _, row in done) == sorted(expected)
    assert {number for number, _ in done} == {0, 1, 2}
