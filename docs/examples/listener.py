"""Print each event of some channels as a line of JSON, until Ctrl-C or SIGTERM.

Run it beside `realtime-fsm serve`:

    APPWRITE_ENDPOINT=http://127.0.0.1:8090/v1 APPWRITE_PROJECT=demo python listener.py rows

Events go to stdout. Gaps and the client's own log, such as changes of state, go to stderr.
"""

import asyncio
import json
import logging
import os
import signal
import sys

from realtime_fsm import Gap, Realtime
from realtime_fsm.errors import RealtimeError

log = logging.getLogger("listener")


def variable(name: str) -> str:
    """Return a variable of the environment, or end the program with a sentence."""
    return os.environ.get(name) or sys.exit(f"{name} is not set; the top of listener.py shows how to set it")


def report_gap(gap: Gap) -> None:
    """Log that events may be missing; gap.since is None where no event came before the outage."""
    log.warning("events may be missing from %s to %s", gap.since or "the start", gap.until)


async def listen(endpoint: str, project: str, channels: list[str]) -> None:
    """Print the events of the channels without end."""
    realtime = Realtime(endpoint, project, session=os.environ.get("APPWRITE_SESSION"))  # None: listen as a guest
    async with realtime, realtime.subscribe(*channels, on_gap=report_gap) as subscription:
        async for event in subscription:
            print(json.dumps({"action": event.action, "id": event.id, "payload": event.payload}), flush=True)


async def main() -> int:
    """Listen until a signal, and return the exit code."""
    endpoint, project = variable("APPWRITE_ENDPOINT"), variable("APPWRITE_PROJECT")
    listening = asyncio.create_task(listen(endpoint, project, sys.argv[1:] or ["rows"]))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, listening.cancel)  # not on Windows
    try:
        await listening
    except asyncio.CancelledError:
        return 0
    except RealtimeError as failure:  # a wrong endpoint, a refused subscription, ...
        log.error("%s", failure)  # noqa: TRY400  (the sentence tells all)
    return 1


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    sys.exit(asyncio.run(main()))
