"""Soak the relay: two relays, three workers, a broker and a server of rows, of which one after the other is killed or frozen.

``cd tests && ../.venv/bin/python -m support.relaysoak --minutes 10 --rate 300``. It ends with 1 where a row is missing, or where
the stream holds an event twice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import nats
from nats.errors import Error

from support.broker import Broker, Process, client_of
from support.orders import read_rows


class Soak:
    """The processes, and what the workers did."""

    def __init__(self, folder: Path, count: int, rate: int) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.count, self.rate = count, rate
        self.table = folder / "rows.jsonl"
        self.broker = Broker(folder)
        self.server = self.start_server()
        self.relays = [self.start_relay(), self.start_relay()]
        self.done: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.finished = asyncio.Event()

    def start_server(self) -> Process:
        return Process("support.orders", self.port, self.table, self.count, 1 / self.rate)

    def end_rows(self) -> None:
        """Kill the server, and start one that publishes nothing more: the relays catch up with the last rows."""
        self.server.kill()
        self.count = len(read_rows(self.table))
        self.server = self.start_server()

    def start_relay(self) -> Process:
        return Process("support.relaying", f"http://127.0.0.1:{self.port}/v1", self.broker.url, self.table)

    async def work(self) -> None:
        """Take messages as a worker of an application, and outlive the broker."""
        async with await nats.connect(
            self.broker.url, max_reconnect_attempts=-1, reconnect_time_wait=0.2, error_cb=_ignore
        ) as client:
            while not self.finished.is_set():
                with suppress(Error, OSError):
                    jobs = await client.jetstream().pull_subscribe("appwrite.>", "workers", stream="APPWRITE")
                    while not self.finished.is_set():
                        with suppress(TimeoutError):
                            for message in await jobs.fetch(100, timeout=1):
                                self.done[(message.headers or {})["ce-id"]] += 1
                                await message.ack()
                    return
                await asyncio.sleep(0.2)

    def supervise(self) -> None:
        """Start each relay again that has ended with an error, as a supervisor does: at its start it waits for no broker."""
        for number, relay in enumerate(self.relays):
            if relay.process.poll() is not None:
                self.faults["relay ended"] += 1
                print(relay.process.communicate()[1].splitlines()[-1], flush=True)
                self.relays[number] = self.start_relay()

    async def disturb(self) -> None:
        """Kill or freeze one part, and let it come back."""
        fault = random.choice(["relay killed", "broker killed", "server killed", "relay frozen", "broker frozen"])
        pause, chosen = random.uniform(0.5, 4), random.randrange(2)
        self.faults[fault] += 1
        print(f"{time.strftime('%H:%M:%S')} {fault} for {pause:.1f} s", flush=True)
        match fault:
            case "relay killed":
                self.relays[chosen].kill()
                await asyncio.sleep(pause)
                self.relays[chosen] = self.start_relay()
            case "server killed":
                self.server.kill()
                await asyncio.sleep(pause)
                self.server = self.start_server()
            case "broker killed":
                self.broker.kill()
                await asyncio.sleep(pause)
                await asyncio.to_thread(self.broker.start)
            case _:
                process: Any = (self.relays[chosen] if fault == "relay frozen" else self.broker).process
                process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(pause)
                process.send_signal(signal.SIGCONT)

    async def stream(self) -> list[Any]:
        """Return each message of the stream."""
        found: list[Any] = []
        async with client_of(self.broker) as js:
            reader = await js.pull_subscribe("appwrite.>", stream="APPWRITE")
            with suppress(TimeoutError):
                while True:
                    for message in await reader.fetch(1000, timeout=2):
                        found.append(((message.headers or {})["ce-id"], json.loads(message.data).get("$id")))
                        await message.ack()
        return found

    def stop(self) -> None:
        for process in (self.server, *self.relays):
            process.kill()
        self.broker.kill()


async def _ignore(_: Exception) -> None:
    """Take the errors of a broker that is killed, which nats-py would print."""


async def main(seconds: float, rate: int, every: float) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), int(seconds * rate), rate)
        try:
            workers = [asyncio.create_task(soak.work()) for _ in range(3)]
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                await asyncio.sleep(random.uniform(0.5, 1.5) * every)
                await soak.disturb()
                soak.supervise()
            soak.end_rows()
            messages: list[Any] = []
            for _ in range(30):  # the relays may still catch up
                await asyncio.sleep(2)
                soak.supervise()
                messages = await soak.stream()
                if len({row for _, row in messages if row}) == soak.count and soak.done.keys() >= {each for each, _ in messages}:
                    break
            soak.finished.set()
            await asyncio.wait(workers)
        finally:
            soak.stop()
    return verdict(soak, messages)


def verdict(soak: Soak, messages: list[tuple[str, str | None]]) -> list[str]:
    """Print the figures, and return the problems."""
    kinds = Counter(identifier[0] for identifier, _ in messages)
    rows = {row for _, row in messages if row}
    events = Counter(row for identifier, row in messages if identifier[0] == "e")
    print(f"faults: {dict(soak.faults)}")
    print(f"rows: {soak.count}; messages: {kinds['e']} events, {kinds['c']} caught-up rows, {kinds['g']} gaps")
    print(f"rows that came as an event and caught up: {kinds['e'] + kinds['c'] - len(rows)}")
    print(f"processed: {len(soak.done)} messages, {sum(soak.done.values()) - len(soak.done)} of them again after a lost ack")
    problems = {
        "rows missing in the stream": soak.count - len(rows),
        "ids stored twice": len(messages) - len({identifier for identifier, _ in messages}),
        "events stored twice": sum(count > 1 for count in events.values()),
        "messages that no worker processed": len({identifier for identifier, _ in messages} - soak.done.keys()),
    }
    return [f"{problem}: {count}" for problem, count in problems.items() if count]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=int, default=300)
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two faults")
    given = parser.parse_args()
    sys.exit("\n".join(asyncio.run(main(given.minutes * 60, given.rate, given.every))) or None)
