"""The dispatcher of the embedded server: it connects the sockets of the listener with the protocol core.

Design: the listener reports links that open, messages, and links that close. The dispatcher feeds the `ServerConnection` of the
link, and sends its replies and the events that it causes. After each change, the dispatcher checks the waiters.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from realtime_fsm.testing.connection import HISTORY, ServerConnection
from realtime_fsm.testing.rest import answer
from realtime_fsm.testing.wire import Reply

if TYPE_CHECKING:
    from collections.abc import Collection

    from realtime_fsm.testing.backend import Backend, Deliveries, EventReceiver
    from realtime_fsm.testing.request import HttpRequest

Greeting: TypeAlias = Literal["late"] | bool
Shuffle: TypeAlias = Callable[[list[str | bytes]], object]


class ServerLink(Protocol):
    """The server's side of one link."""

    def send(self, text: bytes) -> None:
        """Send a text frame, in UTF-8; nothing happens when the stream has ended."""

    def close(self) -> None:
        """End the stream without a close frame, behind all frames."""

    def reset(self) -> None:
        """Reset the stream; frames that the client has not read are lost."""

    def freeze(self) -> None:
        """Keep all later frames until `thaw`."""

    def thaw(self) -> None:
        """Send the frames that were kept, and keep no more."""


class ConnectionDispatcher:
    """The connections of the server, each with its link."""

    def __init__(self, backend: Backend, clock: Callable[[], float], shuffle: Shuffle | None = None) -> None:
        """Start without connections. `shuffle` changes the order of messages that came at once; None keeps their order."""
        # whether new connections are greeted; "late" greets them when their first message has come
        self.greeting: Greeting = True
        # the latest messages of each connection, in the order of the dials, ended connections included
        self.received: deque[deque[object]] = deque(maxlen=HISTORY)
        self._backend = backend
        self._clock = clock
        self._shuffle = shuffle
        self._connections: dict[ServerLink, ServerConnection] = {}
        self._links: dict[EventReceiver, ServerLink] = {}
        self._ungreeted: dict[ServerLink, HttpRequest] = {}
        self._batched_messages: dict[ServerLink, list[str | bytes]] = {}
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    @property
    def connections(self) -> Collection[ServerConnection]:
        """The connections that are up, in the order of their dials."""
        return self._connections.values()

    def opened(self, link: ServerLink, request: HttpRequest) -> None:
        """Make the connection of a new link, and greet the client."""
        connection = ServerConnection(self._backend)
        self._connections[link] = connection
        self._links[connection] = link
        self.received.append(connection.received)
        if self.greeting == "late":
            self._ungreeted[link] = request
        elif self.greeting and self._backend.faulty:
            asyncio.get_running_loop().call_later(self._backend.fault_delay, self._greet, link, connection, request)
        elif self.greeting:
            self._greet(link, connection, request)
        self._check_waiters()

    def message(self, link: ServerLink, data: str | bytes) -> None:
        """Answer a message, or put it into the batch of messages that came at once."""
        if self._shuffle is None:
            self._answer(link, data)
        elif link in self._batched_messages:
            self._batched_messages[link].append(data)
        else:
            self._batched_messages[link] = [data]
            asyncio.get_running_loop().call_soon(self._answer_batch, link, self._shuffle)

    def closed(self, link: ServerLink) -> None:
        """Drop the connection of a link that has ended; a second call changes nothing."""
        connection = self._connections.pop(link, None)
        self._ungreeted.pop(link, None)
        if connection is not None:
            connection.close(self._clock())
            del self._links[connection]
            self.deliver(self._backend.take_caused())
            self._check_waiters()

    def answer(self, request: HttpRequest) -> tuple[int, bytes]:
        """Answer a POST request with a status and a JSON document."""
        return answer(self._backend, request, self._clock())

    def drop_all(self) -> None:
        """Drop all connections, because every stream is about to end."""
        for link in list(self._connections):
            self.closed(link)

    def deliver(self, deliveries: Deliveries) -> None:
        """Send each frame on the link of its connection."""
        for connection, frame in deliveries:
            self._links[connection].send(frame)

    async def wait(self, condition: Callable[[], bool], timeout: float) -> None:  # noqa: ASYNC109
        """Wait until a condition on the connections is true; after `timeout` seconds, raise `TimeoutError`."""
        if condition():
            return
        waiter = condition, asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout):
                await waiter[1]
        finally:
            self._waiters.remove(waiter)

    def _greet(self, link: ServerLink, connection: ServerConnection, request: HttpRequest) -> None:
        if link in self._connections:
            self._execute(link, connection.receive_upgrade(request, self._clock()))
            self._check_waiters()

    def _answer_batch(self, link: ServerLink, shuffle: Shuffle) -> None:
        messages = self._batched_messages.pop(link)
        shuffle(messages)
        for data in messages:
            self._answer(link, data)

    def _answer(self, link: ServerLink, data: str | bytes) -> None:
        connection = self._connections.get(link)
        if connection is None:
            return
        if link in self._ungreeted:
            self._greet_late(link, connection, data)
        else:
            reply = connection.receive_message(data, self._clock())
            if reply.after:
                asyncio.get_running_loop().call_later(reply.after, self._execute, link, reply)
            else:
                self._execute(link, reply)
        self._check_waiters()

    def _greet_late(self, link: ServerLink, connection: ServerConnection, data: str | bytes) -> None:
        """Greet, then answer a message that the server read before the greeting, when it knew no project yet."""
        now = self._clock()
        without_project = ServerConnection(self._backend)
        without_project.received = connection.received
        greeting = connection.receive_upgrade(self._ungreeted.pop(link), now)
        answer = Reply() if greeting.end else without_project.receive_message(data, now)
        self._execute(link, Reply(greeting.frames + answer.frames, greeting.end or answer.end, answer.reset))

    def _execute(self, link: ServerLink, reply: Reply) -> None:
        for frame in reply.frames:
            link.send(frame)
        if reply.reset:
            link.reset()
        elif reply.end:
            link.close()
        self.deliver(self._backend.take_caused())
        if reply.reset or reply.end:
            self.closed(link)

    def _check_waiters(self) -> None:
        for condition, future in self._waiters:
            if not future.done() and condition():
                future.set_result(None)
