"""The link: one WebSocket from dial to end, with the tasks that read and write it. It feeds its inputs to the machine."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from realtime_fsm.containment import contain
from realtime_fsm.errors import LinkFailure
from realtime_fsm.fsm.inputs import Closed, DialFailure, LinkClosed, Opened
from realtime_fsm.protocol.faults import is_throttle
from realtime_fsm.protocol.frames import PING, ErrorFrame, PongFrame
from realtime_fsm.runtime.callbacks import is_asked_for
from realtime_fsm.runtime.connection import Connection
from realtime_fsm.runtime.readahead import ReadAhead
from realtime_fsm.sealing import seal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from realtime_fsm.fsm.link import LinkState
    from realtime_fsm.protocol.eras import EventRoutes, UrlPlan
    from realtime_fsm.protocol.frames import Frame, Malformed
    from realtime_fsm.runtime.sockets import MessageHandler, Socket, Transport


class LinkedConnection(Connection, Protocol):
    """The connection of a link."""

    def message_handler(self, link: LinkIO, *, held: bool = False) -> MessageHandler:
        """Make the handler of a link's messages: of those that arrive, or of those that a pause held."""


class LinkIO:
    """One link, numbered by its generation.

    Attributes:
        state: the facts that the machine has of the link. The dispatcher counts each message there.
        paused_since: the moment since which no message is delivered, so that a consumer catches up; None outside of a pause.
        read_ahead: the messages that a pause holds; None outside of a pause.
        plan: the subscriptions that the URL asks for; None where messages ask.
        routes: the way from an event to its subscriptions; None where the server names them by our ids.
        pings_in_flight: how many pings are unanswered.
        unsure_answers: how many 1013 came in place of a pong, or of another answer, while the link drained.
    """

    __slots__ = (
        "_is_closing", "_owner", "_pausing", "_reader", "_send_queue", "_socket", "_writer",
        "generation", "paused_since", "pings_in_flight", "plan", "read_ahead", "routes", "state", "unsure_answers",
    )  # fmt: skip

    def __init__(self, state: LinkState, owner: LinkedConnection, plan: UrlPlan | None = None) -> None:
        self.generation: int = state.generation
        self.state: LinkState = state
        self.paused_since: float | None = None
        self.read_ahead: ReadAhead | None = None
        self.plan: UrlPlan | None = plan
        self.routes: EventRoutes | None = None
        self.pings_in_flight: int = 0
        self.unsure_answers: int = 0
        self._owner = owner
        self._is_closing = False
        self._socket: Socket | None = None
        self._pausing: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._writer: asyncio.Task[None] | None = None
        self._send_queue: list[bytes] = []  # a handful at most

    def open(self, transport: Transport, url: str, headers: Callable[[], Awaitable[Mapping[str, str]]]) -> None:
        """Ask for the headers, dial, and read until the link ends."""
        if self.plan is not None:
            url = f"{url}&{self.plan.query}"
        self._reader = self._task("reader", self._read, transport, url, headers)

    @property
    def paused(self) -> bool:
        """Whether the client delivers no message of the link for now."""
        return self.paused_since is not None

    @property
    def ended(self) -> bool:
        """Whether the link has ended without a `close`."""
        return self._reader is not None and self._reader.done()

    @property
    def is_cut_off(self) -> bool:
        """Whether a cancellation other than that of `close` ends the reader: the event loop ends."""
        return self._reader is not None and self._reader.cancelling() > 0 and not self._is_closing

    def count_pong(self, frame: Frame | Malformed, *, drains: bool) -> None:
        """Count a pong, or an error frame that takes its place (PROTOCOL: "Four server eras", "Messages", rule 4).

        Where the client subscribes by messages, a 1003 is no pong, and a 1013 may answer another message than a ping. Nothing
        answers a ping that has not left.
        """
        by_message, is_pong = self.plan is None, isinstance(frame, PongFrame)
        if is_pong and not self.pings_in_flight:
            self.unsure_answers = max(0, self.unsure_answers - 1)  # so the 1013 before it had answered another message
        elif isinstance(frame, ErrorFrame) and is_throttle(frame.code):
            is_pong = True
            self.unsure_answers += drains and by_message and self.pings_in_flight > 0
        elif isinstance(frame, ErrorFrame):
            is_pong = frame.code == 1003 and not by_message
        self.pings_in_flight = max(self._send_queue.count(PING), self.pings_in_flight - is_pong)

    def send(self, data: bytes) -> None:
        """Send a text frame, after those before it."""
        self.pings_in_flight += data == PING
        self._send_queue.append(data)
        if self._writer is None or self._writer.done():
            self._writer = self._task("writer", self._write)

    def close(self, seconds: float) -> asyncio.Task[None]:
        """Close the socket with a handshake of at most `seconds`; 0 aborts it. From then on the link feeds only `Closed`."""
        return self._task("close", self._close, seconds)

    async def _read(self, transport: Transport, url: str, headers: Callable[[], Awaitable[Mapping[str, str]]]) -> None:
        try:
            socket = self._socket = await transport.dial(url, await headers())
        except LinkFailure as cause:
            self._owner.feed(DialFailure(self.generation, cause))
            return
        del transport, url, headers  # 0.3 KB that an open link does not need
        self._owner.feed(Opened(self.generation))
        try:
            end = await socket.pump(self._owner.message_handler(self))
            if self._pausing is not None and not self._pausing.done():
                await asyncio.wait([self._pausing])  # the reader reports the end after the messages that came before it
        except asyncio.CancelledError:
            if not self._is_closing:  # the event loop ends, and no other task will close the socket
                await socket.close(0)
            raise
        self._owner.feed(LinkClosed(self.generation, end) if isinstance(end, int) else LinkClosed(self.generation, cause=end))

    async def pause(self, pause: Callable[[], Awaitable[None]]) -> None:
        """Deliver no message before a pause is over. Meanwhile the link reads ahead, within bounds."""
        if self.read_ahead is not None:  # a held message has led to another pause
            await pause()
        elif not self._is_closing:
            self.read_ahead = ReadAhead(self._owner.message_handler(self, held=True))
            self._pausing = self._task("pause", self._deliver_held, pause, self.read_ahead)

    async def _deliver_held(self, pause: Callable[[], Awaitable[None]], read_ahead: ReadAhead) -> None:
        try:
            await pause()
            await read_ahead.deliver()
        finally:
            self._discard_held()

    def _discard_held(self) -> None:
        if self.read_ahead is not None:
            self.read_ahead.discard()
            self.read_ahead = None

    async def _write(self) -> None:
        assert self._socket is not None
        with suppress(LinkFailure):  # the reader tells of the end, and of its cause
            while self._send_queue:
                await self._socket.send(self._send_queue[0])
                del self._send_queue[0]  # not earlier: `count_pong` reads which pings have not left
        self._writer = None  # 0.4 KB that an idle link does not need

    async def _close(self, seconds: float) -> None:
        self._is_closing = True  # not earlier: a task that is cancelled before its begin closes nothing
        await self._stop(self._writer)
        await self._stop(self._pausing)
        self._discard_held()
        closed = self._socket if seconds else None
        if closed is not None:
            await closed.close(seconds)  # the reader reads the answer
        await self._stop(self._reader)
        if self._socket is not None and self._socket is not closed:
            await self._socket.close(0)
        self._owner.feed(Closed(self.generation))

    async def _stop(self, task: asyncio.Task[None] | None) -> None:
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])

    def _task(self, name: str, work: Callable[..., Coroutine[None, None, None]], *given: Any) -> asyncio.Task[None]:
        return self._owner.loop.create_task(self._contained(work, *given), name=f"realtime_fsm link {self.generation} {name}")

    async def _contained(self, work: Callable[..., Coroutine[None, None, None]], *given: Any) -> None:
        """Do the work of a task. An unexpected exception counts as a loss of the link, so that the connection goes on.

        Such an exception is a defect of this library, or comes from code that the user's aiohttp session runs. That code may also
        raise a cancellation that no caller has asked for.
        """
        task, running = asyncio.current_task(), work(*given)
        del work, given
        try:
            await running
        except BaseException as failure:
            if is_asked_for(failure, task):
                raise
            contain(failure)
            seal(failure)  # frames of ours hold what was being sent or read
            self._owner.report(failure)
            self._owner.feed(LinkClosed(self.generation))
