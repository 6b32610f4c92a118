"""Copy the rows of a table into SQLite, without an event loop, until Ctrl-C or SIGTERM.

Run it beside `realtime-fsm serve`:

    APPWRITE_ENDPOINT=http://127.0.0.1:8090/v1 APPWRITE_PROJECT=demo python worker_sync.py orders.sqlite
"""

import os
import signal
import sqlite3
import sys
from contextlib import closing
from threading import Event as Flag

import msgspec

from realtime_fsm import Event
from realtime_fsm.errors import RealtimeError
from realtime_fsm.sync import Realtime

CHANNEL = "databases.main.tables.orders.rows"


class Order(msgspec.Struct):
    """The columns of the table that this worker needs."""

    id: str = msgspec.field(name="$id")
    title: str = ""


def variable(name: str) -> str:
    """Return a variable of the environment, or end the program with a sentence."""
    return os.environ.get(name) or sys.exit(f"{name} is not set; the top of worker_sync.py shows how to set it")


def store(database: sqlite3.Connection, event: Event[Order]) -> None:
    """Write one event into the copy."""
    order = event.payload
    with database:
        if event.action == "delete":
            database.execute("DELETE FROM orders WHERE id = ?", (order.id,))
        else:
            database.execute("INSERT OR REPLACE INTO orders VALUES (?, ?)", (order.id, order.title))


def work(realtime: Realtime, database: sqlite3.Connection, stop: Flag) -> None:
    """Store the events until the flag is set. A full buffer pauses the link, so this loop may be slow."""
    with realtime.subscribe(CHANNEL, payload=Order, overflow="pause") as orders:
        while not stop.is_set():
            try:
                event = orders.get(timeout=0.5)
            except TimeoutError:  # look at the flag
                continue
            store(database, event)


def main() -> None:
    """Work until a signal."""
    if len(sys.argv) != 2:
        sys.exit("give the file of the database: python worker_sync.py orders.sqlite")
    endpoint, project = variable("APPWRITE_ENDPOINT"), variable("APPWRITE_PROJECT")
    stop = Flag()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with (
        closing(sqlite3.connect(sys.argv[1])) as database,
        Realtime(endpoint, project, session=os.environ.get("APPWRITE_SESSION")) as realtime,
    ):
        database.execute("CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, title TEXT)")
        work(realtime, database, stop)


if __name__ == "__main__":
    try:
        main()
    except RealtimeError as failure:  # a server that is away, a refused subscription, ...
        sys.exit(str(failure))
