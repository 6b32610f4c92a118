"""A relay as a process of its own, which can be killed: ``python -m support.relaying ENDPOINT BROKER FILE``.

After a gap it lists the rows of the file of `support.orders`, as an application lists those of a table.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from realtime_fsm import Gap, Realtime, RetryPolicy
from realtime_fsm.relay import JetStream, Relay
from support.orders import CHANNEL, read_rows


async def main(endpoint: str, broker: str, file: Path) -> None:
    async def missed(gap: Gap) -> list[dict[str, Any]]:
        since = gap.start.isoformat(timespec="milliseconds")
        return [dict(row) for row in read_rows(file) if row["$updatedAt"] > since]

    retry = RetryPolicy(attempts=None, base=0.1, cap=0.5)
    async with Realtime(endpoint, "demo", retry=retry) as realtime:
        sink = JetStream(broker, on_trouble=lambda trouble: print(trouble, flush=True))
        await Relay(realtime, CHANNEL, sink=sink, catch_up=missed, on_ready=lambda: print("ready", flush=True)).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
