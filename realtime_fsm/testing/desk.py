"""Stands between the listener and the brain of the embedded server."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Literal, TypeAlias

from realtime_fsm.testing.peer import FAULT_DELAY, HISTORY, Backend, Peer, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_fsm.testing.listener import Link


Greeting: TypeAlias = Literal["late"] | bool
Shuffle: TypeAlias = "Callable[[list[str | bytes]], object]"


class Desk:
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
        self.links: dict[Peer, Link] = {}
        self.received: deque[deque[object]] = deque(maxlen=HISTORY)
        self._backend = backend
        self._clock = clock
        self._shuffle = shuffle
        self._at_once: dict[Link, list[str | bytes]] = {}
        self._ungreeted: dict[Link, Request] = {}
        self._peers: dict[Link, Peer] = {}
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    def opened(self, link: Link, target: str, headers: tuple[tuple[str, str], ...]) -> None:
        """A client was upgraded: greet it."""
        peer = Peer(self._backend)
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
        self._look()

    def message(self, link: Link, data: str | bytes) -> None:
        """A message came: answer it."""
        if self._shuffle is None:
            self._answer(link, data)
        elif link in self._at_once:
            self._at_once[link].append(data)
        else:
            self._at_once[link] = [data]
            asyncio.get_running_loop().call_soon(self._deal, link)

    def closed(self, link: Link) -> None:
        """A stream has ended; told more than once, it counts once."""
        peer = self._peers.pop(link, None)
        self._ungreeted.pop(link, None)
        if peer is not None:
            peer.leave(self._clock())
            del self.links[peer]
            self._spread()
            self._look()

    def forget(self) -> None:
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

    def _greet(self, link: Link, peer: Peer, request: Request) -> None:
        if link in self._peers:
            self._perform(link, peer.greet(request, self._clock()))
            self._look()

    def _deal(self, link: Link) -> None:
        messages = self._at_once.pop(link)
        assert self._shuffle is not None  # or nothing is put by
        self._shuffle(messages)
        for data in messages:
            self._answer(link, data)

    def _answer(self, link: Link, data: str | bytes) -> None:
        peer = self._peers.get(link)
        if peer is None:
            return
        if link in self._ungreeted:
            self._greet_late(link, peer, data)
        else:
            self._reply(link, peer.handle(data, self._clock()))
        self._look()

    def _greet_late(self, link: Link, peer: Peer, data: str | bytes) -> None:
        """The message was read before the greeting, and is answered behind it, to somebody whom the server does not know."""
        now = self._clock()
        stranger = Peer(self._backend)
        stranger.received = peer.received
        greeting = peer.greet(self._ungreeted.pop(link), now)
        answer = Reply() if greeting.end else stranger.handle(data, now)
        self._perform(link, Reply(greeting.frames + answer.frames, greeting.end or answer.end, answer.reset))

    def _reply(self, link: Link, reply: Reply) -> None:
        if reply.after:
            asyncio.get_running_loop().call_later(reply.after, self._perform, link, reply)
        else:
            self._perform(link, reply)

    def _perform(self, link: Link, reply: Reply) -> None:
        for frame in reply.frames:
            link.send(frame)
        if reply.reset:
            link.reset()
        elif reply.end:
            link.end()
        self._spread()
        if reply.reset or reply.end:
            self.closed(link)

    def _spread(self) -> None:
        for peer, frame in self._backend.caused():
            self.links[peer].send(frame)

    def _look(self) -> None:
        for holds, future in self._waiters:
            if not future.done() and holds():
                future.set_result(None)
