"""Work on the rows that `realtime-fsm relay` publishes; start as many of these workers as the work needs.

    pip install nats-py
    realtime-fsm relay https://cloud.appwrite.io/v1 --project demo rows --to nats://127.0.0.1:4222
    NATS_URL=nats://127.0.0.1:4222 python relay_worker.py orders.db

The broker gives each message to one worker, and again when a worker dies before its acknowledgement. A row that was caught
up can come twice. So the worker asks its database whether the version of the row is new.
"""

import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import nats
from nats.errors import Error

SUBJECTS = "appwrite.demo.>"  # or "appwrite.demo.databases.main.tables.orders.rows.*" for one table


def variable(name: str) -> str:
    """Return a variable of the environment, or end the program with a sentence."""
    return os.environ.get(name) or sys.exit(f"{name} is not set; the top of relay_worker.py shows how to set it")


async def report_trouble(trouble: Exception) -> None:
    """Print why nats-py has no broker; nats-py tries again without your help."""
    print("the broker:", trouble, file=sys.stderr, flush=True)


def is_new(database: sqlite3.Connection, row: Mapping[str, Any]) -> bool:
    """Note the version of a row, and tell whether it is newer than the noted one."""
    version = row["$id"], row.get("$updatedAt", "")
    with database:
        change = database.execute(
            "INSERT INTO versions VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET at = excluded.at WHERE excluded.at > at", version
        )
    return change.rowcount == 1


async def main(broker: str, file: str) -> None:
    """Work without end."""
    database = sqlite3.connect(file)
    database.execute("CREATE TABLE IF NOT EXISTS versions (id TEXT PRIMARY KEY, at TEXT)")
    async with await nats.connect(broker, error_cb=report_trouble) as client:
        jobs = await client.jetstream().pull_subscribe(SUBJECTS, "workers", stream="APPWRITE")
        while True:
            try:
                messages = await jobs.fetch(10, timeout=60)
            except TimeoutError:  # nothing came
                continue
            for message in messages:
                action, row = message.subject.rpartition(".")[2], json.loads(message.data)
                if action == "gap":
                    print("events may be missing since", row["since"], flush=True)
                elif action == "delete" or is_new(database, row):
                    print(action, row["$id"], flush=True)  # the work
                await message.ack()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("give the file of the database: python relay_worker.py orders.db")
    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(main(variable("NATS_URL"), sys.argv[1]))
    except Error as failure:  # the broker stays away, or the relay has not made the stream yet
        sys.exit(f"the broker: {failure}")
