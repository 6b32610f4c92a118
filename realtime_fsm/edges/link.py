"""The link: one WebSocket and the tasks that serve it, from dial to end. What happens on it is fed to the machine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from realtime_fsm.vocabulary.errors import LinkFailure
from realtime_fsm.vocabulary.frames import PING, ErrorFrame, PongFrame
from realtime_fsm.vocabulary.inputs import Closed, DialFailure, Lost, Opened

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from realtime_fsm.core.link import Link as Facts
    from realtime_fsm.edges.farewell import Farewell
    from realtime_fsm.edges.transport import Receiver, Socket, Transport
    from realtime_fsm.vocabulary.eras import Plan, Routes
    from realtime_fsm.vocabulary.frames import Frame, Malformed
    from realtime_fsm.vocabulary.inputs import Input


class Owner(Protocol):
    """Who is told what happens on a link."""

    def feed(self, happened: Input) -> None:
        """Step the machine."""

    def receiver(self, link: Link) -> Receiver:
        """What takes the messages of a link."""

    def parted(self, farewell: Farewell, *, broken: bool) -> None:
        """A link that has made room is let go of, and nobody knows what it owed; `broken` if the one in its place goes, too."""

    def report(self, failure: BaseException) -> None:
        """Tell of an exception that nobody expected."""


class Link:
    """One link, numbered by its generation.

    Attributes:
        facts: what the machine knows of it; each message is counted there.
        paused_since: since when nothing is read from it, so that a consumer catches up; None while it is read.
        plan: what was asked for by its address; None where messages ask.
        routes: how events find their subscriptions; None where the server names them by our ids.
        unanswered: how many pings are, of those that were sent.
    """

    __slots__ = (
        "_loop", "_outbox", "_owner", "_reader", "_socket", "_writer", "facts", "generation", "paused_since", "plan", "routes",
        "unanswered",
    )  # fmt: skip

    def __init__(
        self, generation: int, facts: Facts, owner: Owner, loop: asyncio.AbstractEventLoop, plan: Plan | None = None
    ) -> None:
        self.generation = generation
        self.facts = facts
        self.paused_since: float | None = None
        self.plan = plan
        self.routes: Routes | None = None
        self.unanswered = 0
        self._owner = owner
        self._loop = loop
        self._socket: Socket | None = None
        self._reader: asyncio.Task[None] | None = None
        self._writer: asyncio.Task[None] | None = None
        self._outbox: list[bytes] = []  # a handful at most

    def open(self, transport: Transport, url: str, headers: Callable[[], Awaitable[Mapping[str, str]]]) -> None:
        """Ask for the headers, dial, and read to the end."""
        if self.plan is not None:
            url = f"{url}&{self.plan.query}"
        self._reader = self._task("reader", self._read(transport, url, headers))

    @property
    def paused(self) -> bool:
        """Whether nothing is read from it."""
        return self.paused_since is not None

    @property
    def ended(self) -> bool:
        """Whether its stream has come to an end that was not of our making."""
        return self._reader is not None and self._reader.done()

    def hear(self, frame: Frame | Malformed) -> None:
        """Note what may answer a ping: a pong, or what stands for one (PROTOCOL: "Four server eras", "Messages", rule 4)."""
        if isinstance(frame, PongFrame) or (isinstance(frame, ErrorFrame) and frame.code in (1003, 1013)):
            self.unanswered = max(0, self.unanswered - 1)

    def send(self, data: bytes) -> None:
        """Send a text frame, after those before it."""
        self.unanswered += data == PING
        self._outbox.append(data)
        if self._writer is None or self._writer.done():
            self._writer = self._task("writer", self._write())

    def close(self, seconds: float) -> asyncio.Task[None]:
        """Let go of the socket, with a handshake of at most so many seconds; 0 drops it. Nothing of it is told any more."""
        return self._task("close", self._close(seconds))

    async def _read(self, transport: Transport, url: str, headers: Callable[[], Awaitable[Mapping[str, str]]]) -> None:
        try:
            self._socket = await transport.dial(url, await headers())
        except LinkFailure as cause:
            self._owner.feed(DialFailure(self.generation, cause))
            return
        self._owner.feed(Opened(self.generation))
        end = await self._socket.pump(self._owner.receiver(self))
        self._owner.feed(Lost(self.generation, end) if isinstance(end, int) else Lost(self.generation, cause=end))

    async def _write(self) -> None:
        assert self._socket is not None
        while self._outbox:
            try:
                await self._socket.send(self._outbox.pop(0))
            except LinkFailure:
                self._outbox.clear()  # the reader meets the end of the same stream, and tells why

    async def _close(self, seconds: float) -> None:
        tasks = [task for task in (self._reader, self._writer) if task is not None and not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._socket is not None:
            await self._socket.close(seconds)
        self._owner.feed(Closed(self.generation))

    def _task(self, name: str, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work, name=f"realtime_fsm link {self.generation} {name}")
        task.add_done_callback(self._look_at)
        return task

    def _look_at(self, task: asyncio.Task[None]) -> None:
        """A task ended. A defect of ours must not make a connection silent: it counts as the loss of the link."""
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            self._owner.report(failure)
            self._owner.feed(Lost(self.generation))
