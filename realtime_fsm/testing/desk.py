"""Stands between the listener and the brain of the embedded server."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from realtime_fsm.testing.peer import HISTORY, Backend, Peer, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_fsm.testing.listener import Link


class Desk:
    """Which link is whose, and who waits for what.

    Attributes:
        greet: whether new connections are greeted.
        links: the connections that are up, and their links.
        received: what each connection sent, in the order of the dials, ended ones included.
    """

    def __init__(self, backend: Backend, clock: Callable[[], float]) -> None:
        """Start with nobody connected.

        Args:
            backend: what the connections share.
            clock: tells the time, in seconds since the epoch.
        """
        self.greet = True
        self.links: dict[Peer, Link] = {}
        self.received: deque[deque[object]] = deque(maxlen=HISTORY)
        self._backend = backend
        self._clock = clock
        self._peers: dict[Link, Peer] = {}
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    def opened(self, link: Link, target: str, headers: tuple[tuple[str, str], ...]) -> None:
        """A client was upgraded: greet it."""
        peer = Peer(self._backend)
        self._peers[link] = peer
        self.links[peer] = link
        self.received.append(peer.received)
        if self.greet:
            self._perform(link, peer.greet(Request(target, headers), self._clock()))
        self._look()

    def message(self, link: Link, data: str | bytes) -> None:
        """A message came: answer it."""
        peer = self._peers.get(link)
        if peer is not None:
            self._perform(link, peer.handle(data, self._clock()))
            self._look()

    def closed(self, link: Link) -> None:
        """A stream has ended; told more than once, it counts once."""
        peer = self._peers.pop(link, None)
        if peer is not None:
            peer.leave()
            del self.links[peer]
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

    def _perform(self, link: Link, reply: Reply) -> None:
        for frame in reply.frames:
            link.send(frame)
        if reply.reset:
            link.reset()
        elif reply.end:
            link.end()
        if reply.reset or reply.end:
            self.closed(link)

    def _look(self) -> None:
        for holds, future in self._waiters:
            if not future.done() and holds():
                future.set_result(None)
