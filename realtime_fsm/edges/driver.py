"""The driver: it owns the socket, the tasks and the clock; it does what the machine asks and feeds back what happened.

The law: `feed` is the one funnel into the machine, and what the machine asks is done in the order in which it asks. Results
are handed over through futures and inboxes, so no consumer's code runs inside it and nothing that one does can stop a link.

Events do not pass through the machine: socket, decode, inbox, the user's `async for`. The machine is told only that a frame
was heard, by a counter.
"""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from weakref import WeakSet

from realtime_fsm.core.machine import Connection
from realtime_fsm.edges.audit import Audit
from realtime_fsm.edges.inbox import Inbox, Subscriber
from realtime_fsm.edges.link import Link
from realtime_fsm.vocabulary import frames
from realtime_fsm.vocabulary.change import Change
from realtime_fsm.vocabulary.errors import Disconnected, Disposed, SubscriptionRejected, WrongLoop
from realtime_fsm.vocabulary.inputs import (
    Acknowledged,
    Deadline,
    Greeted,
    Input,
    Pong,
    ServerErred,
    Wish,
)
from realtime_fsm.vocabulary.requests import Drop, End, Fail, Grant, Open, Reject, Remove, Request, Send, Taken
from realtime_fsm.vocabulary.table import State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from realtime_fsm.core.seat import Seat
    from realtime_fsm.edges.transport import Transport
    from realtime_fsm.vocabulary.errors import RealtimeError
    from realtime_fsm.vocabulary.events import Event

_CHANGES_KEPT = 1024


class Driver:
    """Drives one connection on one event loop.

    Args:
        seat: what the connection remembers.
        transport: what opens WebSockets.
        connection_id: the name of the connection in the audit log.
        url: the address to dial.
        headers: the headers to dial with.
        draw: gives random numbers from 0 to 1.
    """

    def __init__(
        self,
        seat: Seat,
        transport: Transport,
        *,
        connection_id: str,
        url: str,
        headers: Mapping[str, str],
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._core = Connection(seat)
        self._transport = transport
        self._url, self._headers = url, headers
        self._close_timeout = seat.timeouts.close
        self._draw = draw
        self._audit = Audit(connection_id, self.report)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._link: Link | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._subscribers: dict[str, Subscriber] = {}
        self._waiting: dict[asyncio.Future[None], bool] = {}
        self._followers: WeakSet[Inbox[Change]] = WeakSet()
        self.malformed: dict[str, int] = {}

    # --- what the face asks -------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return self._core.state

    @property
    def error(self) -> RealtimeError | None:
        """Why there is no link and no attempt, in `error`."""
        return self._core.error

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that this connection belongs to: the one on which it was first used.

        Raises:
            WrongLoop: when another one is running.
        """
        running = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = running
        elif self._loop is not running:
            raise WrongLoop("this Realtime")
        return self._loop

    def feed(self, happened: Input) -> None:
        """Step the machine and do what it asks."""
        outcome = self._core.step(happened, self.loop.time(), draw=self._draw())
        for request in outcome.requests:
            self._perform(request)
        self._arm(outcome.deadline)
        if outcome.taken is not None:  # last: the application's log processors run here, and one may call us again
            self._tell_change(outcome.taken)

    def enlist(self, wish: Wish, buffer: int) -> Subscriber:
        """Make room for a subscription's events, before it is asked for."""
        subscriber = self._subscribers[wish.id] = Subscriber(wish, self.loop, buffer)
        return subscriber

    def follow(self) -> Inbox[Change]:
        """A stream of the changes of state from now on; it is forgotten when nobody holds it any more."""
        inbox: Inbox[Change] = Inbox("this stream of states", self.loop, _CHANGES_KEPT)
        if self.state is State.DISPOSING:
            inbox.end()
        self._followers.add(inbox)
        return inbox

    async def wait_live(self, *, patient: bool) -> None:
        """Wait until the link is up.

        Args:
            patient: whether to go on waiting after `disconnect()`.

        Raises:
            RealtimeError: when there will be no link for now.
        """
        if self.state.is_live:
            return
        if self.error is not None:
            raise self.error.again()
        future: asyncio.Future[None] = self.loop.create_future()
        self._waiting[future] = patient
        try:
            await future
        finally:
            del self._waiting[future]

    async def settle(self) -> None:
        """Wait until every socket that was let go of is closed; each is, within the close timeout."""
        while self._closing:
            await asyncio.wait(tuple(self._closing))

    async def release(self) -> None:
        """After the end: wait for the sockets, then release the transport."""
        await self.settle()
        await self._transport.close()

    # --- what the machine asks ----------------------------------------------------------------------------------------

    def _perform(self, request: Request) -> None:
        match request:
            case Send(generation=generation, data=data):
                self._current(generation).send(data)
            case Open(generation=generation):
                self._open(generation)
            case Drop(generation=generation, tidy=tidy):
                self._drop(generation, tidy=tidy)
            case Grant(id=identifier, channels=channels):
                subscriber = self._subscribers[identifier]
                subscriber.acknowledged = channels
                _resolve(subscriber.granted)
            case Reject(id=identifier, code=code, message=message):
                self._reject(identifier, code, message)
            case Remove(id=identifier):
                subscriber = self._subscribers.pop(identifier)
                subscriber.inbox.end()
                _resolve(subscriber.removed)
            case Fail(error=error, withdrawn=withdrawn, streams=streams):
                self._fail(error, withdrawn, streams=streams)
            case End():
                self._end()

    def _open(self, generation: int) -> None:
        self._link = Link(generation, self, self.loop)
        self._link.open(self._transport, self._url, self._headers)
        for subscriber in self._subscribers.values():
            subscriber.inbox.mend()

    def _drop(self, generation: int, *, tidy: bool) -> None:
        link, self._link = self._current(generation), None
        task = link.close(self._close_timeout if tidy else 0)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _current(self, generation: int) -> Link:
        link = self._link
        assert link is not None
        assert link.generation == generation, "the machine speaks of the current link only"
        return link

    def _reject(self, identifier: str, code: frames.Code, message: str) -> None:
        subscriber = self._subscribers.pop(identifier)
        error = SubscriptionRejected(subscriber.wish.channels, subscriber.wish.queries, code, message)
        if not subscriber.granted.done():
            subscriber.granted.set_exception(error)
        subscriber.inbox.fail(error)
        _resolve(subscriber.removed)

    def _fail(self, error: RealtimeError, withdrawn: tuple[str, ...], *, streams: bool) -> None:
        for identifier in withdrawn:
            subscriber = self._subscribers.pop(identifier)
            if not subscriber.granted.done():
                subscriber.granted.set_exception(error.again())
        if streams:
            for subscriber in self._subscribers.values():
                subscriber.inbox.fail(error)
        for future, patient in self._waiting.items():
            if not future.done() and not (patient and isinstance(error, Disconnected)):
                future.set_exception(error.again())

    def _end(self) -> None:
        for subscriber in self._subscribers.values():
            if not subscriber.granted.done():
                subscriber.granted.set_exception(Disposed())
            subscriber.inbox.end()
        for future in self._waiting:
            if not future.done():
                future.set_exception(Disposed())
        for follower in self._followers:
            follower.end()

    def _arm(self, deadline: float | None) -> None:
        if self._timer is not None:
            if self._timer.when() == deadline and not self._timer.cancelled():
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = self.loop.call_at(deadline, self._on_deadline)

    def _on_deadline(self) -> None:
        self._timer = None
        self.feed(Deadline())

    # --- what the socket tells ------------------------------------------------------------------------------------------

    def deliver(self, link: Link, data: bytes) -> bool:
        """Take one message. The answer tells the transport to let a consumer run."""
        if link is not self._link:
            return True  # dropped, and its reader not yet stopped
        self._core.hear(link.generation)
        frame = frames.decode(data)
        if type(frame) is frames.EventFrame:
            return self._route(frame.event())
        match frame:
            case frames.PongFrame():
                self.feed(Pong(link.generation))
            case frames.ResponseFrame(data=reply):
                self.feed(Acknowledged(link.generation, reply.to, reply.subscriptions))
            case frames.ErrorFrame():
                self.feed(ServerErred(link.generation, frame.code, frame.message))
            case frames.ConnectedFrame():
                self.feed(Greeted(link.generation))
            case frames.Malformed(kind=kind):
                self.malformed[kind] = self.malformed.get(kind, 0) + 1
        return False

    def _route(self, event: Event) -> bool:
        crowded = False
        for identifier in dict.fromkeys(event.subscriptions):
            subscriber = self._subscribers.get(identifier)
            if subscriber is not None and subscriber.inbox.put(event):
                crowded = True
        return crowded

    # --- telling ------------------------------------------------------------------------------------------------------

    def _tell_change(self, taken: Taken) -> None:
        at = datetime.now(UTC)
        self._audit.transition(taken, at)
        row = taken.row
        if row.dest is None:
            return
        change = Change(row.source, taken.dest, row.trigger, row.id, taken.attempt, taken.cause, at)
        for follower in self._followers:
            follower.put(change)
        if taken.dest.is_live:
            for future in self._waiting:
                _resolve(future)

    def report(self, failure: BaseException) -> None:
        """Tell through the event loop's handler, which is where asyncio programs look for what nobody awaited."""
        self.loop.call_exception_handler({"message": "realtime_fsm: an unexpected exception", "exception": failure})


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
