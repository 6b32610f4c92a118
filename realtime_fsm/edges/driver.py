"""The driver: it owns the socket, the tasks and the clock; it does what the machine asks and feeds back what happened.

The law: `feed` is the one funnel into the machine, and what the machine asks is done in the order in which it asks. Results
are handed over through futures and inboxes, so no consumer's code runs inside it and nothing that one does can stop a link.

Events do not pass through the machine: socket, decode, inbox, the user's `async for`. The machine is told only that a frame
was heard, by a counter; and that nothing is read, while somebody who must lose nothing is full.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import warnings
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import msgspec

from realtime_fsm.core.book import GREETING
from realtime_fsm.core.machine import Connection
from realtime_fsm.edges.audit import Audit
from realtime_fsm.edges.farewell import Farewell
from realtime_fsm.edges.inbox import Inbox
from realtime_fsm.edges.links import Links
from realtime_fsm.edges.outages import Outages
from realtime_fsm.edges.roster import Roster
from realtime_fsm.edges.sleep import watch_of
from realtime_fsm.edges.waiting import WaitingRoom
from realtime_fsm.vocabulary import frames
from realtime_fsm.vocabulary.change import Change
from realtime_fsm.vocabulary.errors import (
    AuthenticationRejected,
    Disconnected,
    Disposed,
    MalformedEvent,
    PresenceRejected,
    SubscriptionEnded,
    UnsupportedByServer,
    WrongLoop,
)
from realtime_fsm.vocabulary.frames import EventFrame, decode_known
from realtime_fsm.vocabulary.inputs import (
    Acknowledged,
    Deadline,
    Greeted,
    Pong,
    Recovered,
    ServerErred,
    SetPresence,
    Subscribe,
    Unsubscribe,
    Woken,
)
from realtime_fsm.vocabulary.requests import (
    Drop,
    End,
    EndFault,
    Fail,
    Grant,
    Identify,
    Lack,
    Open,
    Present,
    Reject,
    RejectIdentity,
    RejectPresence,
    Remove,
    Retire,
    Send,
)
from realtime_fsm.vocabulary.table import State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from realtime_fsm.core.seat import Seat
    from realtime_fsm.edges.identity import Credentials
    from realtime_fsm.edges.link import Link
    from realtime_fsm.edges.subscriber import Options, Subscriber
    from realtime_fsm.edges.transport import Receiver, Transport
    from realtime_fsm.vocabulary.eras import Era, Plan, Routes
    from realtime_fsm.vocabulary.errors import RealtimeError
    from realtime_fsm.vocabulary.events import Event
    from realtime_fsm.vocabulary.frames import Frame, Malformed
    from realtime_fsm.vocabulary.inputs import Input, Wish
    from realtime_fsm.vocabulary.requests import Request, Taken

_CHANGES_KEPT = 1024
_AT_REST = (State.DISCONNECTED, State.ERROR, State.DISPOSING)


class Driver:
    """Drives one connection on one event loop.

    Args:
        seat: what the connection remembers.
        transport: what opens WebSockets.
        connection_id: the name of the connection in the audit log.
        url: the address to dial.
        credentials: who dials.
        draw: gives random numbers from 0 to 1.

    Attributes:
        credentials: who dials next.
        user: the account that the server named; None for a guest, and before the first greeting.
        malformed: how many messages of the server could not be understood, by kind.
    """

    def __init__(
        self,
        seat: Seat,
        transport: Transport,
        *,
        connection_id: str,
        url: str,
        credentials: Credentials,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.credentials = credentials
        self.user: dict[str, Any] | None = None
        self.malformed: dict[str, int] = {}
        self._core = Connection(seat)
        self._seat = seat
        self._transport = transport
        self._url = url
        self._draw = draw
        self._audit = Audit(connection_id, self.report)
        self._outages = Outages(self._audit)
        self._roster = Roster(self.report, self._audit, self._outages, lambda: self._note_malformed("unknown_subscription"))
        self._links = Links(self, seat)
        self._numbers = itertools.count(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waiting = WaitingRoom()
        self._followers: WeakSet[Inbox[Change]] | tuple[()] = ()

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
    def era(self) -> Era | None:
        """What the server speaks, as far as it is known."""
        return self._core.era

    def need(self, feature: str) -> None:
        """Refuse what the server is known to lack.

        Raises:
            UnsupportedByServer: with the server's era.
        """
        if self.era is not None and not self.era.has(feature):
            raise UnsupportedByServer(feature, self.era, self.era.releases)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that this connection belongs to: the one on which it was first used.

        Raises:
            WrongLoop: when another one is running.
        """
        running = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = running
            self._audit.opened(self._seat)
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
            self._tell(outcome.taken)

    def enlist(self, wish: Wish, options: Options) -> Subscriber:
        """Make room for a subscription's events, before it is asked for."""
        return self._roster.enlist(wish, options, self.loop, self._dwell())

    def next_id(self) -> str:
        """A name for a subscription, new on this connection."""
        return f"s{next(self._numbers)}"

    def withdraw(self, subscriber: Subscriber) -> None:
        """Give a subscription up, with what is to take its place."""
        successor = self._roster.successor_of(subscriber)
        for identifier in (subscriber.wish.id, successor):
            if identifier is not None and self._roster.withdraw(identifier, self._dwell()):
                self.feed(Unsubscribe(identifier))

    async def replace(self, subscriber: Subscriber, wish: Wish) -> None:
        """Let a subscriber listen to something else. What it listens to now goes on until that is acknowledged.

        Raises:
            SubscriptionRejected, SubscriptionEnded: when there will be nothing else.
            RealtimeError: when there will be no link for now.
        """
        old = subscriber.wish.id
        if not self._roster.wants(old):
            raise SubscriptionEnded
        granted = self._roster.succeed(subscriber, wish, self.loop, self._dwell())
        self.feed(Subscribe(wish))
        try:
            await granted
        finally:
            superseded = old if subscriber.wish is wish else wish.id
            if self._roster.withdraw(superseded, self._dwell()):
                self.feed(Unsubscribe(superseded))

    def follow(self) -> Inbox[Change]:
        """A stream of the changes of state from now on; it is forgotten when nobody holds it any more."""
        inbox: Inbox[Change] = Inbox("this stream of states", self.loop, _CHANGES_KEPT)
        if self.state is State.DISPOSING:
            inbox.end()
        if not isinstance(self._followers, WeakSet):  # most connections are never followed
            self._followers = WeakSet()
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
        await self._waiting.for_link(patient=patient)

    async def identify(self, happened: Input) -> None:
        """Feed a change of identity and wait until the server has said who we are.

        Raises:
            AuthenticationRejected: when it refused a message.
            Disposed: after the end, which may have come while the caller waited for its turn.
            RealtimeError: when there will be no link for now.
        """
        if self.state is State.DISPOSING:
            raise Disposed
        await self._waiting.for_identity(lambda: self.feed(happened))

    async def present(self, message: bytes | None) -> dict[str, Any] | None:
        """Feed how the user wants to be shown, and wait until the server has stored it.

        Raises:
            PresenceRejected, UnsupportedByServer: when there will be none.
            RealtimeError: when there will be no link for now.
        """
        self._audit.presence("withdrawn" if message is None else "desired", dwell=self._dwell())
        if message is None:
            self.feed(SetPresence(None))
            self._waiting.presented(None)
            return None
        return await self._waiting.for_presence(lambda: self.feed(SetPresence(message)))

    async def settle(self) -> None:
        """Wait until every socket that was let go of is closed; each is, within the close timeout."""
        await self._links.settle()

    async def release(self) -> None:
        """After the end: wait for the sockets and for users' callables, then release the transport."""
        await self.settle()
        await self._roster.settle()
        await self._transport.close()
        self._audit.closed()

    def wake(self) -> None:
        """The process slept."""
        self.feed(Woken())

    def _dwell(self) -> float:
        """Seconds since the state was entered."""
        now, entered = self.loop.time(), self._seat.entered_at
        return 0.0 if entered is None else now - entered

    # --- what the machine asks ----------------------------------------------------------------------------------------

    def _perform(self, request: Request) -> None:
        match request:
            case Send(generation=generation, data=data):
                self._links.of(generation).send(data)
            case Open(generation=generation, plan=plan):
                self._open(generation, plan)
            case Retire(generation=generation):
                self._links.retire(generation)
                self._outages.cover(self.loop.time())
            case Drop(generation=generation, tidy=tidy):
                self._drop(generation, tidy=tidy)
            case Grant(id=identifier, channels=channels):
                self._roster.grant(identifier, channels, self.loop.time())
            case Reject(id=identifier, code=code, message=message):
                self._roster.reject(identifier, code, message)
            case Lack(id=identifier, era=era):
                self._roster.lack(identifier, era)
            case Identify(user=user):
                self._name_user(user)
            case Present(presence=presence):
                self._audit.presence("stored")
                self._waiting.presented(_account(presence))
            case RejectPresence(error=error):
                self._audit.presence("rejected", error.code if isinstance(error, PresenceRejected) else None)
                if not self._waiting.reject_presence(error):
                    self.report(error)  # it was restored, and nobody waits for it
            case RejectIdentity(code=code, message=message):
                self._waiting.reject_identity(AuthenticationRejected(code, message))
            case Remove(id=identifier):
                self._roster.remove(identifier)
            case EndFault(seconds=seconds, lost=True):
                self._outages.reach_back(self.loop.time() - seconds)
            case EndFault(seconds=seconds):
                self._roster.recover(seconds)
            case Fail(error=error, withdrawn=withdrawn, streams=streams):
                self._roster.fail(error, withdrawn, streams=streams)
                self._waiting.fail(error, patient=not isinstance(error, Disconnected))
            case End():
                self._roster.end()
                self._waiting.fail(Disposed(), patient=True)
                for follower in self._followers:
                    follower.end()

    def _name_user(self, user: bytes) -> None:
        self.user = _account(user)
        self._waiting.identified()

    def _open(self, generation: int, plan: Plan | None) -> None:
        link = self._links.begin(generation, self._seat.live_link, plan, self.loop)
        link.open(self._transport, self._url, self.credentials.headers)
        self._roster.mend()
        self._outages.dial()

    def _drop(self, generation: int, *, tidy: bool) -> None:
        retiring = self._links.retiring
        if retiring is None or retiring.generation != generation:
            self._links.drop(generation, tidy=tidy)
        elif self._links.current is not None and self._links.current.routes is not None:  # it has been greeted
            seconds = self._outages.covered(self.loop.time())
            doubtful = None if seconds is None else Farewell(retiring, self._roster.stamps, seconds)
            self._links.linger(self.loop, doubtful)
        else:
            if not tidy:
                self._audit.retired(generation, self._dwell())
            self._links.close_retiring()
            if not tidy or self.state is State.RECONNECTING:
                self._outages.uncover(self.loop.time(), planned=tidy)

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

    # --- what the socket tells ----------------------------------------------------------------------------------------

    def receiver(self, link: Link) -> Receiver:
        """What takes the messages of a link, one by one. Its answer, if there is one, is to be awaited before the next is read.

        This is the hot path: a closure, because there is nothing faster than its names.
        """
        links, facts, subscriber_of, route = self._links, link.facts, self._roster.subscribers.get, self._roster.route
        planned = link.plan is not None

        def receive(data: bytes) -> Awaitable[None] | None:
            if link is not links.current and link is not links.retiring:
                return asyncio.sleep(0)  # dropped, and its reader not yet stopped
            facts.heard += 1
            try:
                frame: Frame | Malformed = decode_known(data)
            except (ValueError, RecursionError):
                frame = frames.decode(data)
            if type(frame) is not EventFrame:
                link.hear(frame)
                if link is links.current:
                    self._take(link, frame)
                return None
            event = frame.data
            if facts.at_fault and link is links.current:
                self.feed(Recovered(link.generation))
            if planned:
                if link.routes is None:
                    return None  # before the greeting none is owed
                self._name_subscriptions(link, link.routes, event)
                if links.overlap:
                    return self._breathe(link) if self._roster.route_late(event) else None
            identifiers = event._subscriptions  # noqa: SLF001  (the property makes a tuple of it)
            if len(identifiers) == 1 and (subscriber := subscriber_of(identifiers[0])) is not None:
                subscriber.stamp = event._timestamp  # noqa: SLF001  (as it came: most are never asked for)
                crowded = subscriber.put(event)
            else:
                crowded = route(event)
            return self._breathe(link) if crowded else None

        return receive

    def _take(self, link: Link, frame: Frame | Malformed) -> None:
        match frame:
            case frames.PongFrame():
                self.feed(Pong(link.generation))
            case frames.ResponseFrame(data=reply):
                user, presence = bytes(reply.user), bytes(reply.presence)
                self.feed(Acknowledged(link.generation, reply.to, reply.subscriptions, user, presence))
            case frames.ErrorFrame():
                self.feed(ServerErred(link.generation, frame.code, frame.message))
            case frames.ConnectedFrame():
                self._greet(link, frame)
            case frames.Malformed(kind=kind):
                self._note_malformed(kind)

    async def _breathe(self, link: Link) -> None:
        """Let consumers run, and read no more while one of them, who must lose nothing, is full."""
        await asyncio.sleep(0)
        if not self._roster.gate.is_shut:
            return
        began = self._pause(link, paused=True)
        self._audit.pause("opened", link.generation, dwell=self._dwell())
        try:
            await self._roster.gate.passed()
        finally:
            seconds = self._pause(link, paused=False) - began
            self._audit.pause("closed", link.generation, dwell=self._dwell(), seconds=seconds)

    def _pause(self, link: Link, *, paused: bool) -> float:
        """Note since now whether it is read."""
        now = self.loop.time()
        link.paused = paused
        self._arm(self._core.read(link.generation, now, paused=paused))
        return now

    def _greet(self, link: Link, frame: frames.ConnectedFrame) -> None:
        if self.state is not State.RECONNECTING:
            return  # the link is up; what a second greeting says of it is not to be believed
        user, slots = bytes(frame.data.user), frame.slots
        if link.plan is not None and link.routes is None:
            link.routes = link.plan.routes(slots or {}, frame.channels)
        stranger = user == b"null" and self.credentials.expects_user
        self.feed(Greeted(link.generation, user, stranger, frame.channels, numbered=slots is not None))
        if link.plan is not None and link is self._links.current:
            self.feed(Acknowledged(link.generation, GREETING, ()))

    def _name_subscriptions(self, link: Link, routes: Routes, event: Event) -> None:
        """Where the server does not know our ids."""
        channels: tuple[str, ...] = ()
        with suppress(MalformedEvent):
            channels = event.channels
        ours = self._roster.known(routes.to(event._subscriptions, channels))  # noqa: SLF001
        event._subscriptions = self._links.fresh(link, event, ours)  # noqa: SLF001

    def parted(self, farewell: Farewell, *, broken: bool) -> None:
        """A link that has made room is let go of, and nobody knows what it owed."""
        self._roster.part(farewell, broken=broken)

    def _note_malformed(self, kind: str) -> None:
        """Counted, and told once a kind."""
        self.malformed[kind] = self.malformed.get(kind, 0) + 1
        if self.malformed[kind] == 1:
            self._audit.malformed(kind)

    # --- telling ------------------------------------------------------------------------------------------------------

    def _tell(self, taken: Taken) -> None:
        at = datetime.now(UTC)
        self._audit.transition(taken, at)
        row, dest = taken.row, taken.dest
        if taken.round_trip is not None:
            self._audit.ping(taken.round_trip)
        if taken.fault is not None:
            self._audit.fault(taken.fault, at)
        if row.dest is None:
            self._outages.stay()
            return
        change = Change(row.source, dest, row.trigger, row.id, taken.attempt, taken.cause, at)
        for follower in self._followers:
            follower.put(change)
        if dest.is_live:
            self._waiting.link_is_up()
        planned = taken.cause is None
        self._outages.note(row.source, dest, self.loop.time(), planned=planned, covered=self._links.covered)
        watch = watch_of(self.loop)
        (watch.leave if dest in _AT_REST else watch.join)(self)

    def __del__(self) -> None:
        core = getattr(self, "_core", None)  # building one may have failed
        if core is not None and core.state not in _AT_REST:
            warnings.warn("a Realtime was not disposed of: use 'async with', or await dispose()", ResourceWarning, stacklevel=2)

    def report(self, failure: BaseException) -> None:
        """Tell through the event loop's handler, which is where asyncio programs look for what nobody awaited."""
        self.loop.call_exception_handler({"message": "realtime_fsm: an unexpected exception", "exception": failure})


def _account(text: bytes) -> dict[str, Any] | None:
    """An object of the server, or None for whatever else it sent."""
    try:
        named = msgspec.json.decode(text)
    except ValueError:
        return None
    return named if isinstance(named, dict) else None
