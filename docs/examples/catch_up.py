"""Print the orders of a table, and after an outage first those that changed meanwhile.

The official SDK lists the missed rows, so install it too, and give the session of a user who may read the table:

    pip install 'realtime-fsm[appwrite]'
    APPWRITE_ENDPOINT=https://cloud.appwrite.io/v1 APPWRITE_PROJECT=my-project APPWRITE_SESSION=... python catch_up.py

No list holds deleted rows, so a deletion during an outage stays unknown.
"""

import asyncio
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from appwrite.client import Client
from appwrite.exception import AppwriteException
from appwrite.services.tables_db import TablesDB

from realtime_fsm import Event, Gap, Realtime
from realtime_fsm.catch_up import rows
from realtime_fsm.errors import RealtimeError

DATABASE, TABLE = "main", "orders"
CLOCKS_DIFFER = timedelta(minutes=1)  # by at most so much, between this machine and the server


def variable(name: str) -> str:
    """Return a variable of the environment, or end the program with a sentence."""
    return os.environ.get(name) or sys.exit(f"{name} is not set; the top of catch_up.py shows how to set it")


class Orders:
    """Lists the orders that an outage may have hidden."""

    def __init__(self, service: TablesDB) -> None:
        self._started = datetime.now(UTC)
        self._list_changed = rows(service, DATABASE, TABLE)

    async def missed(self, gap: Gap) -> Iterable[Event | Mapping[str, Any]]:
        """Return the rows that changed since the last event, or since the start where no event came before the outage."""
        print(f"catching up after {gap.outage_seconds:.1f} s", flush=True)
        if gap.since is None:
            gap = replace(gap, since=self._started - CLOCKS_DIFFER)
        return await self._list_changed(gap)


async def main() -> None:
    """Print the orders without end."""
    client = Client()
    client.set_endpoint(variable("APPWRITE_ENDPOINT"))
    client.set_project(variable("APPWRITE_PROJECT"))
    client.set_session(variable("APPWRITE_SESSION"))
    async with Realtime.from_client(client) as realtime:
        orders = Orders(TablesDB(client))
        channel = f"databases.{DATABASE}.tables.{TABLE}.rows"
        async for event in await realtime.subscribe(channel, catch_up=orders.missed):
            print(event.action or "missed", event.id, event.payload, flush=True)  # a list tells no action


if __name__ == "__main__":
    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(main())
    except (RealtimeError, AppwriteException) as failure:  # an expired session, a server that is away, ...
        sys.exit(str(failure))
