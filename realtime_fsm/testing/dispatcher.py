"""Stands between the listener and the brain of the embedded server."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Literal, TypeAlias

from realtime_fsm.testing.peer import FAULT_DELAY, HISTORY, Backend, Reply, Request, ServerConnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_fsm.testing.listener import ServerTransport


Greeting: TypeAlias = Literal["late"] | bool
Shuffle: TypeAlias = "Callable[[list[str | bytes]], object]"


class ConnectionDispatcher:
    """Which link is whose, and who waits for what.

    Attributes:
        greet: whether new connections are greeted; or "late", when their first message has come.
        links: the connections that are up, and their links.
        received: what each connection sent, in the order of the dials, ended ones included.
    """

    def __init__(self, backend: Backend, clock: Callable[[], float], shuffle: Shuffle | None = None) -> None:
        """Start with nobody connected.

        Args:
            backend: what the connections share.
            clock: tells the time, in seconds since the epoch.
            shuffle: puts messages that came at once into the order in which they are answered; None for that of their coming.
        """
        self.greet: Greeting = True
        self.links: dict[ServerConnection, ServerTransport] = {}
        self.received: deque[deque[object]] = deque(maxlen=HISTORY)
        self._backend = backend
        self._clock = clock
        self._shuffle = shuffle
        self._batched_messages: dict[ServerTransport, list[str | bytes]] = {}
        self._ungreeted: dict[ServerTransport, Request] = {}
        self._peers: dict[ServerTransport, ServerConnection] = {}
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    def opened(self, link: ServerTransport, target: str, headers: tuple[tuple[str, str], ...]) -> None:
        """A client was upgraded: greet it."""
        peer = ServerConnection(self._backend)
        self._peers[link] = peer
        self.links[peer] = link
        self.received.append(peer.received)
        request = Request(target, headers)
        if self.greet == "late":
            self._ungreeted[link] = request
        elif self.greet and self._backend.faulty:
            asyncio.get_running_loop().call_later(FAULT_DELAY, self._greet, link, peer, request)
        elif self.greet:
            self._greet(link, peer, request)
        self._check_waiters()

    def message(self, link: ServerTransport, data: str | bytes) -> None:
        """A message came: answer it."""
        if self._shuffle is None:
            self._answer(link, data)
        elif link in self._batched_messages:
            self._batched_messages[link].append(data)
        else:
            self._batched_messages[link] = [data]
            asyncio.get_running_loop().call_soon(self._deal, link)

    def closed(self, link: ServerTransport) -> None:
        """A stream has ended; told more than once, it counts once."""
        peer = self._peers.pop(link, None)
        self._ungreeted.pop(link, None)
        if peer is not None:
            peer.close(self._clock())
            del self.links[peer]
            self._send_caused()
            self._check_waiters()

    def drop_all(self) -> None:
        """Every stream is about to end: nobody is connected any more."""
        for link in list(self._peers):
            self.closed(link)

    async def wait(self, holds: Callable[[], bool], timeout: float) -> None:  # noqa: ASYNC109
        """Wait until a condition holds; it is looked at whenever something changes.

        Args:
            holds: the condition.
            timeout: for how long, in seconds.

        Raises:
            TimeoutError: when it takes longer.
        """
        if holds():
            return
        waiter = holds, asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout):
                await waiter[1]
        finally:
            self._waiters.remove(waiter)

    def _greet(self, link: ServerTransport, peer: ServerConnection, request: Request) -> None:
        if link in self._peers:
            self._perform(link, peer.greet(request, self._clock()))
            self._check_waiters()

    def _deal(self, link: ServerTransport) -> None:
        messages = self._batched_messages.pop(link)
        assert self._shuffle is not None  # or nothing is put by
        self._shuffle(messages)
        for data in messages:
            self._answer(link, data)

    def _answer(self, link: ServerTransport, data: str | bytes) -> None:
        peer = self._peers.get(link)
        if peer is None:
            return
        if link in self._ungreeted:
            self._greet_late(link, peer, data)
        else:
            self._reply(link, peer.receive_message(data, self._clock()))
        self._check_waiters()

    def _greet_late(self, link: ServerTransport, peer: ServerConnection, data: str | bytes) -> None:
        """The message was read before the greeting, and is answered behind it, to somebody whom the server does not know."""
        now = self._clock()
        stranger = ServerConnection(self._backend)
        stranger.received = peer.received
        greeting = peer.greet(self._ungreeted.pop(link), now)
        answer = Reply() if greeting.end else stranger.receive_message(data, now)
        self._perform(link, Reply(greeting.frames + answer.frames, greeting.end or answer.end, answer.reset))

    def _reply(self, link: ServerTransport, reply: Reply) -> None:
        if reply.after:
            asyncio.get_running_loop().call_later(reply.after, self._perform, link, reply)
        else:
            self._perform(link, reply)

    def _perform(self, link: ServerTransport, reply: Reply) -> None:
        for frame in reply.frames:
            link.send(frame)
        if reply.reset:
            link.reset()
        elif reply.end:
            link.end()
        self._send_caused()
        if reply.reset or reply.end:
            self.closed(link)

    def _send_caused(self) -> None:
        for peer, frame in self._backend.take_caused():
            self.links[peer].send(frame)

    def _check_waiters(self) -> None:
        for holds, future in self._waiters:
            if not future.done() and holds():
                future.set_result(None)
