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
from typing import Any

import nats

SUBJECTS = "appwrite.demo.>"  # or "appwrite.demo.databases.main.tables.orders.rows.*" for one table


def is_new(database: sqlite3.Connection, row: Mapping[str, Any]) -> bool:
    """Note the version of a row, and tell whether it is newer than the noted one."""
    version = row["$id"], row.get("$updatedAt", "")
    with database:
        change = database.execute(
            "INSERT INTO versions VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET at = excluded.at WHERE excluded.at > at", version
        )
    return change.rowcount == 1


async def main(file: str) -> None:
    """Work without end."""
    database = sqlite3.connect(file)
    database.execute("CREATE TABLE IF NOT EXISTS versions (id TEXT PRIMARY KEY, at TEXT)")
    async with await nats.connect(os.environ["NATS_URL"]) as client:
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
    asyncio.run(main(sys.argv[1]))
