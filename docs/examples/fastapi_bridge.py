"""Pass events on to browsers, over one connection to Appwrite, as server-sent events.

Run it beside `realtime-fsm serve`, and open http://127.0.0.1:8000/:

    pip install realtime-fsm fastapi uvicorn
    APPWRITE_ENDPOINT=http://127.0.0.1:8090/v1 APPWRITE_PROJECT=demo \
        uvicorn fastapi_bridge:app --timeout-graceful-shutdown 2

Every browser sees the same events: those that the identity of this connection may read.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Response
from fastapi.responses import FileResponse, StreamingResponse

from realtime_fsm import Event, Gap, Realtime, RetryPolicy, State

PAGE = Path(__file__).with_suffix(".html")
WAITING = 100  # messages that wait for one browser; a slower browser loses its oldest messages


def variable(name: str) -> str:
    """Return a variable of the environment, or end the program with a sentence."""
    return os.environ.get(name) or sys.exit(f"{name} is not set; the top of fastapi_bridge.py shows how to set it")


class Feed:
    """Hands each message to every browser."""

    def __init__(self) -> None:
        self.state = State.DISCONNECTED
        self._browsers: set[asyncio.Queue[str]] = set()

    def on_event(self, event: Event) -> None:
        """Pass an event on."""
        self._send("row", {"action": event.action, "id": event.id, "row": event.payload})

    def on_gap(self, gap: Gap) -> None:
        """Tell the browsers that events may be missing, so that they load their data again."""
        self._send("gap", {"seconds": gap.outage_seconds})

    async def follow(self, realtime: Realtime) -> None:
        """Pass each change of state on, until the connection ends."""
        async for change in realtime.states():
            self.state = change.dest
            self._send("state", self.state)

    async def messages(self) -> AsyncIterator[str]:
        """Give the messages for one browser, the state first."""
        queue: asyncio.Queue[str] = asyncio.Queue(WAITING)
        self._browsers.add(queue)
        try:
            yield self._message("state", self.state)
            while True:
                yield await queue.get()
        finally:
            self._browsers.discard(queue)

    def _send(self, kind: str, data: object) -> None:
        for queue in self._browsers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(self._message(kind, data))

    @staticmethod
    def _message(kind: str, data: object) -> str:
        return f"event: {kind}\ndata: {json.dumps(data)}\n\n"


ENDPOINT, PROJECT = variable("APPWRITE_ENDPOINT"), variable("APPWRITE_PROJECT")
feed = Feed()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Keep one connection to Appwrite for as long as the application runs."""
    async with Realtime(
        ENDPOINT,
        PROJECT,
        session=os.environ.get("APPWRITE_SESSION"),
        retry=RetryPolicy(attempts=None),  # the application starts without Appwrite, too
    ) as realtime:
        following = asyncio.create_task(feed.follow(realtime))
        listening = asyncio.ensure_future(realtime.on("rows", feed.on_event, on_gap=feed.on_gap))
        yield
        listening.cancel()
    await following


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def page() -> FileResponse:
    """Show the page."""
    return FileResponse(PAGE)


@app.get("/events")
async def events() -> StreamingResponse:
    """Stream the messages to one browser."""
    return StreamingResponse(feed.messages(), media_type="text/event-stream")


@app.get("/health")
async def health() -> Response:
    """Tell a load balancer whether the link is up."""
    live = feed.state in {State.CONNECTED, State.SUBSCRIBED, State.UNSUBSCRIBED, State.PING}
    return Response(feed.state, status_code=200 if live else 503)
