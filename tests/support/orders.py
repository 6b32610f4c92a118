"""An Appwrite server as a process of its own, which can be killed: it writes rows into a file, and publishes an event for each.

``python -m support.orders PORT FILE COUNT PAUSE``: after a start it goes on behind the rows that are in the file.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from realtime_fsm.testing import RealtimeServer

CHANNEL = "databases.main.tables.orders.rows"


def read_rows(file: Path) -> list[dict[str, str]]:
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [json.loads(line) for line in lines]


async def main(port: int, file: Path, count: int, pause: float) -> None:
    async with RealtimeServer(port=port, rate_limit=None) as server:
        print("listening", flush=True)
        await server.wait_for_subscriptions(1, timeout=60)
        print("serving", flush=True)
        with file.open("a", encoding="utf-8") as table:
            for number in range(len(read_rows(file)), count):
                await asyncio.sleep(pause)
                now = datetime.now(UTC).isoformat(timespec="milliseconds")
                row = {"$id": f"row{number}", "$databaseId": "main", "$tableId": "orders", "$updatedAt": now}
                table.write(json.dumps(row) + "\n")
                table.flush()
                names = [f"{CHANNEL}.row{number}.create", "databases.*.tables.*.rows.*.create"]
                server.publish(names, ["rows", CHANNEL, f"{CHANNEL}.row{number}"], row)
        print("done", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
