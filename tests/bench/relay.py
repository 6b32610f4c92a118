"""Measure the relay beside a bare ``js.publish``: ``python -m bench.relay``, in the folder tests/. It needs nats-server.

Each figure is CPU time of this process for one event of real size, and the events in a second of wall time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from realtime_fsm import Event
from realtime_fsm.relay import JetStream, Message
from realtime_fsm.relay.message import MessageMaker
from support.broker import client_of, running_broker

RECORDING = Path(__file__).resolve().parents[1] / "recordings" / "05-events-real-emitter.jsonl"
WINDOW = 1024


def frames(count: int) -> list[bytes]:
    """The recorded event of a row, with ``count`` payloads."""
    for line in RECORDING.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record.get("dir") == "recv" and '"type":"event"' in record["data"]:
            data = json.loads(record["data"])["data"]
            return [json.dumps({**data, "payload": {**data["payload"], "n": number}}).encode() for number in range(count)]
    raise AssertionError("the recording has no event")


async def measure(name: str, count: int, work: Callable[[], Awaitable[Any]]) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    await work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name:46} {cpu / count * 1e6:7.1f} us CPU  {count / wall:9,.0f} events/s")


async def main(count: int) -> None:
    decoder = msgspec.json.Decoder(Event)
    maker = MessageMaker("appwrite.test:443", "demo", ("databases.db1.tables.t1.rows",))
    received = [decoder.decode(frame) for frame in frames(count)]
    messages: list[Message] = []

    async def make() -> None:
        messages.extend(map(maker.of_event, received))

    await measure("make the messages", count, make)
    with running_broker() as broker:
        sink = JetStream(broker.url)
        async with sink.open("demo"), client_of(broker) as js:

            async def one_by_one() -> None:
                for message in messages:
                    headers = {"Nats-Msg-Id": f"bare-{message.id}"}
                    await js.publish(message.subject, message.data, headers=headers)

            async def all_at_once() -> None:
                for start in range(0, count, WINDOW):
                    batch = messages[start : start + WINDOW]
                    futures = [
                        await js.publish_async(each.subject, each.data, headers={"Nats-Msg-Id": f"async-{each.id}"})
                        for each in batch
                    ]
                    await asyncio.gather(*futures)

            async def relayed() -> None:
                for start in range(0, count, WINDOW):
                    await sink.publish(messages[start : start + WINDOW])

            await measure("js.publish, one after the other", count, one_by_one)
            await measure("js.publish_async, 1,024 in flight", count, all_at_once)
            await measure("JetStream.publish of the relay, 1,024 in flight", count, relayed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=20_000)
    asyncio.run(main(parser.parse_args().count))
