"""The workers of docs/examples behind the relay: three processes share the work."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from realtime_fsm import Gap, Realtime
from realtime_fsm.relay import JetStream, Relay
from realtime_fsm.testing import RealtimeServer
from support.broker import Broker, client_of, eventually_stored, needs_broker, running_broker
from support.commands import obey_ctrl_c
from support.pages import ROOT

pytestmark = [needs_broker, pytest.mark.timeout(90)]
TABLE = "databases.main.tables.orders.rows"
COUNT = 60
CREATED = "2026-11-27T12:00:00.000+00:00"


async def fill(broker: Broker) -> None:
    """Fill the stream: created rows, then at a second start a gap, and one of the rows again, caught up."""

    async def missed(_: Gap) -> list[dict[str, str]]:
        return [{"$id": "row0", "$updatedAt": CREATED}]

    async with RealtimeServer() as server, Realtime(server.endpoint, "demo") as realtime, client_of(broker) as js:
        for messages in (COUNT, COUNT + 2):
            relay = asyncio.create_task(Relay(realtime, TABLE, sink=JetStream(broker.url), catch_up=missed).run())
            await server.wait_for_subscriptions(1)
            if messages == COUNT:
                for number in range(COUNT):
                    row = {"$id": f"row{number}", "$updatedAt": CREATED}
                    server.publish(f"{TABLE}.row{number}.create", TABLE, row)
            await eventually_stored(js, messages)
            relay.cancel()
            await asyncio.wait([relay])


@asynccontextmanager
async def workers(broker: Broker, *words: str, count: int = 3) -> AsyncIterator[list[Process]]:
    """Run an example three times, or as often as given."""
    command = [sys.executable, str(ROOT / "docs" / "examples" / words[0]), *words[1:]]
    environment = {**os.environ, "NATS_URL": broker.url}
    options: dict[str, Any] = {"stdout": PIPE, "stderr": PIPE, "env": environment, "preexec_fn": obey_ctrl_c}
    processes = [await asyncio.create_subprocess_exec(*command, **options) for _ in range(count)]
    try:
        yield processes
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.communicate()


async def printed(processes: list[Process], count: int) -> list[str]:
    """Return the first lines that the processes print together."""
    lines: list[str] = []
    enough = asyncio.Event()

    async def read(process: Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            if line.startswith((b"create", b"caught_up", b"events")):  # FastStream logs there, too
                lines.append(line.decode().rstrip())
            if len(lines) == count:
                enough.set()

    readers = [asyncio.create_task(read(process)) for process in processes]
    async with asyncio.timeout(60):
        await enough.wait()
    for reader in readers:
        reader.cancel()
    await asyncio.wait(readers)
    return sorted(lines)


async def unacknowledged(broker: Broker) -> int:
    """Wait until each message was given to a worker, and count those without an acknowledgement."""
    async with client_of(broker) as js, asyncio.timeout(20):
        info = await js.consumer_info("APPWRITE", "workers")
        while info.num_pending or info.num_ack_pending:
            await asyncio.sleep(0.05)
            info = await js.consumer_info("APPWRITE", "workers")
    return (info.num_pending or 0) + (info.num_ack_pending or 0)


@pytest.mark.loopback
async def test_workers_with_nats_py_work_once_on_each_version(tmp_path: Path) -> None:
    with running_broker() as broker:
        await fill(broker)
        async with workers(broker, "relay_worker.py", str(tmp_path / "orders.db")) as processes:
            lines = await printed(processes, COUNT + 1)
            assert await unacknowledged(broker) == 0
    told = [line for line in lines if "may be missing" in line]
    works = [line for line in lines if line not in told]
    assert [line.split()[1] for line in works] == sorted(f"row{number}" for number in range(COUNT))
    assert told[0].startswith("events may be missing since 20")


@pytest.mark.loopback
async def test_workers_with_faststream_get_the_decoded_rows() -> None:
    with running_broker() as broker:
        await fill(broker)
        async with client_of(broker) as js:
            before = (await js.stream_info("APPWRITE")).config
        async with workers(broker, "relay_worker_faststream.py") as processes:
            lines = await printed(processes, COUNT + 2)
            assert await unacknowledged(broker) == 0
        async with client_of(broker) as js:
            assert (await js.stream_info("APPWRITE")).config == before
    assert [line.split()[1] for line in lines if line.startswith("create")] == sorted(f"row{number}" for number in range(COUNT))
    assert [line for line in lines if line.startswith("caught_up")] == [f"caught_up row0 {CREATED}"]


@pytest.mark.loopback
async def test_a_worker_with_nats_py_ends_in_order_with_ctrl_c(tmp_path: Path) -> None:
    with running_broker() as broker:
        await fill(broker)
        async with workers(broker, "relay_worker.py", str(tmp_path / "orders.db"), count=1) as processes:
            await printed(processes, COUNT + 1)
            async with client_of(broker) as js, asyncio.timeout(20):
                info = await js.consumer_info("APPWRITE", "workers")
                while info.num_waiting != 1:  # it does not wait for the next message yet
                    await asyncio.sleep(0.05)
                    info = await js.consumer_info("APPWRITE", "workers")
            processes[0].send_signal(signal.SIGINT)
            _, told = await asyncio.wait_for(processes[0].communicate(), 20)
    assert (processes[0].returncode, told) == (0, b"")


@pytest.mark.loopback
@pytest.mark.parametrize("name", ["relay_worker.py", "relay_worker_faststream.py"])
async def test_a_worker_before_the_relay_ends_with_a_sentence(name: str, tmp_path: Path) -> None:
    words = [str(tmp_path / "orders.db")] if name == "relay_worker.py" else []
    with running_broker() as broker:
        async with workers(broker, name, *words, count=1) as processes:
            _, told = await asyncio.wait_for(processes[0].communicate(), 20)
    assert processes[0].returncode == 1
    *log, sentence = told.decode().splitlines()
    assert sentence.startswith("the broker: ")
    assert "stream not found" in sentence
    assert [line for line in log if "INFO" not in line] == [], "FastStream logs its start"
