"""The driver: it owns the socket, the tasks and the clock; it does what the machine asks and feeds back what happened.

The law: `feed` is the one funnel into the machine, and what the machine asks is done in the order in which it asks. Results
are handed over through futures and inboxes, so no consumer's code runs inside it and nothing that one does can stop a link.
Log processors do run inside it, and tasks that start eagerly: the inputs that they feed wait until the step is done.

The connection's tasks, timers and records share the context in which the connection was built, whichever call starts them.

Events do not pass through the machine: socket, decode, inbox, the user's `async for`. The machine is told only that a frame
was heard, by a counter; and that nothing is read, while somebody who must lose nothing is full.
"""

from __future__ import annotations

import asyncio
import itertools
import warnings
from contextlib import suppress
from contextvars import copy_context
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

import msgspec

from realtime_fsm.auditlog.writer import AuditWriter
from realtime_fsm.containment import contain
from realtime_fsm.errors import (
    AuthenticationRejected,
    Disconnected,
    Disposed,
    LinkPaused,
    MalformedEvent,
    PresenceRejected,
    SubscriptionEnded,
    UnsupportedByServer,
    WrongLoop,
)
from realtime_fsm.fsm.canary import CANARY
from realtime_fsm.fsm.change import Change
from realtime_fsm.fsm.commands import (
    AuthenticationRefused,
    CanaryOut,
    CanaryRefused,
    CloseLink,
    EndFault,
    EndStreams,
    FailWaiters,
    OpenLink,
    PresenceRefused,
    PresenceStored,
    Restore,
    RetireLink,
    SendFrame,
    SubscriptionAcknowledged,
    SubscriptionRefused,
    SubscriptionRemoved,
    SubscriptionUnsupported,
    UserIdentified,
)
from realtime_fsm.fsm.inputs import (
    Acknowledged,
    Deadline,
    Dispose,
    ErrorReceived,
    GreetingReceived,
    LogOut,
    Pong,
    Recovered,
    ResumedFromSuspend,
    SetPresence,
    Subscribe,
    Unsubscribe,
)
from realtime_fsm.fsm.machine import ConnectionMachine
from realtime_fsm.fsm.subscriptions import GREETING_ACK
from realtime_fsm.fsm.table import State
from realtime_fsm.protocol import frames
from realtime_fsm.protocol.frames import EventFrame, decode_known
from realtime_fsm.runtime.canary import Prober
from realtime_fsm.runtime.drain_check import DrainCheck
from realtime_fsm.runtime.failures import Failures
from realtime_fsm.runtime.jitter import random_source
from realtime_fsm.runtime.links import LinkSet
from realtime_fsm.runtime.outages import OutageTracker
from realtime_fsm.runtime.registry import SubscriptionRegistry
from realtime_fsm.runtime.stream_buffer import StreamBuffer
from realtime_fsm.runtime.suspend import detector_for
from realtime_fsm.runtime.waiters import Waiters

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from realtime_fsm.errors import RealtimeError
    from realtime_fsm.events import Event
    from realtime_fsm.fsm.canary_policy import Canary
    from realtime_fsm.fsm.change import Failure
    from realtime_fsm.fsm.commands import Command, TransitionTaken
    from realtime_fsm.fsm.context import ConnectionContext
    from realtime_fsm.fsm.inputs import Authenticate, Input
    from realtime_fsm.protocol.eras import Era, EventRoutes
    from realtime_fsm.protocol.frames import Frame, Malformed
    from realtime_fsm.protocol.spec import SubscriptionSpec
    from realtime_fsm.runtime.credentials import Credentials
    from realtime_fsm.runtime.delivery import DeliveryOptions, SubscriptionDelivery
    from realtime_fsm.runtime.link import LinkIO
    from realtime_fsm.runtime.sockets import MessageHandler, Transport

T = TypeVar("T")
_CHANGES_KEPT = 1024
_TURN, _CONTROL_TURN = 256, 32
"""Messages after which the event loop has a turn, whatever they are; and those of them that are no events, which take longer."""
_IDLE_STATES = (State.DISCONNECTED, State.ERROR, State.DISPOSING)


class Driver:
    """Drives one connection on one event loop.

    Args:
        context: what the connection remembers.
        transport: what opens WebSockets.
        connection_id: the name of the connection in the audit log.
        url: the address to dial.
        credentials: who dials.
        project: the id of the project.

    Attributes:
        credentials: who dials, as the server confirmed it last.
        project: the id of the project.
        user: the account that the server named; None for a guest, and before the first greeting.
        failures: the newest failed attempt, or loss of a link, and what the next ones are reported to.
        malformed: how many messages of the server could not be understood, by kind.
    """

    def __init__(
        self,
        context: ConnectionContext,
        transport: Transport,
        *,
        connection_id: str,
        url: str,
        credentials: Credentials,
        project: str = "",
    ) -> None:
        self.credentials = credentials
        self._trial: Credentials | None = None  # who dials instead, until the server confirms or refuses it
        self.user: dict[str, Any] | None = None
        self.malformed: dict[str, int] = {}
        self.failures = Failures(context)
        self._core = ConnectionMachine(context)
        self._context = context
        self._transport = transport
        self._url = url
        self.project = project
        self._draw = random_source()
        self._run_context = copy_context()
        self._inputs: list[Input] = []
        self._stepping = False
        self._audit = AuditWriter(connection_id, self._report_audit, self._run_context)
        self._outages = OutageTracker(self._audit)
        self._registry = SubscriptionRegistry(self.report, self._audit, self._outages, self._note_stray)
        self._links = LinkSet(self, context)
        self._prober = None if context.canary is None else Prober(context.canary, self, context, self._registry, self._audit)
        if self._prober is not None:
            self._registry.on_canary = self._prober.heard
        self._numbers = itertools.count(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.Handle | None = None
        self._armed_for: float | None = None  # the moment of that timer: on uvloop, the handle of one that is due has no `when`
        self._waiting = Waiters(self.answer)
        self._state_watchers: WeakSet[StreamBuffer[Change]] | tuple[()] = ()
        self._releasing: asyncio.Task[None] | None = None

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

    @property
    def canary(self) -> Canary | None:
        """How deaf links are found."""
        return self._context.canary

    @property
    def last_failure(self) -> Failure | None:
        """The newest failed attempt, or loss of a link."""
        return self.failures.last

    def require_feature(self, feature: str) -> None:
        """Refuse what the server is known to lack.

        Raises:
            UnsupportedByServer: with the server's era.
        """
        if self.era is not None and not self.era.supports(feature):
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
            self._audit.opened(self._context)
        elif self._loop is not running:
            raise WrongLoop("this Realtime")
        return self._loop

    def check_loop(self) -> None:
        """Refuse an event loop on which nothing can be dialed.

        Raises:
            WrongLoop: when the caller's aiohttp session belongs to another one.
        """
        self._transport.check(asyncio.get_running_loop())

    def feed(self, input_: Input) -> None:
        """Step the machine and do what it asks. From within a step, or from a log processor, the input waits for the loop.

        Invariant: inputs are taken in the order in which they come, each one whole.
        """
        loop = self.loop
        self._inputs.append(input_)
        if self._audit.is_writing and not self._stepping:
            loop.call_soon(self._step_all, loop)
        elif not self._stepping:
            self._run_context.copy().run(self._step_all, loop)

    async def act(self, input_: Input) -> None:
        """Feed an input, and wait until it is taken: at once, but for calls from within a step."""
        self.feed(input_)
        while self._inputs:  # noqa: ASYNC110  (the loop takes them next: an event would cost more, and say no more)
            await asyncio.sleep(0)

    def _step_all(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take the inputs that are there. Those that come meanwhile wait for the loop, which a call in a circle cannot block."""
        self._stepping = True
        try:
            for _ in range(len(self._inputs)):
                self._step(self._inputs.pop(0))
        finally:
            self._stepping = False
            if self._inputs:
                loop.call_soon(self._step_all, loop)

    def _step(self, input_: Input) -> None:
        result = self._core.step(input_, self.loop.time(), draw=self._draw())
        for request in result.commands:
            self._execute(request)
        self._waiting.look()
        if self._prober is not None:
            self._prober.look()
        self._arm_timer(result.deadline)
        if result.transition is not None:
            self._publish_transition(result.transition)

    def register(self, spec: SubscriptionSpec, options: DeliveryOptions) -> SubscriptionDelivery:
        """Make room for a subscription's events, before it is asked for."""
        return self._registry.register(spec, options, self.loop, self._time_in_state())

    def next_id(self) -> str:
        """A name for a subscription, new on this connection."""
        return f"s{next(self._numbers)}"

    def unsubscribe(self, subscriber: SubscriptionDelivery) -> None:
        """Give a subscription up, with what is to take its place."""
        successor = self._registry.pending_update_of(subscriber)
        for identifier in (subscriber.spec.id, successor):
            if identifier is not None and self._registry.withdraw(identifier, self._time_in_state()):
                self.feed(Unsubscribe(identifier))

    async def update_subscription(self, subscriber: SubscriptionDelivery, spec: SubscriptionSpec) -> None:
        """Let a subscriber listen to something else. What it listens to now goes on until that is acknowledged.

        Raises:
            SubscriptionRejected, SubscriptionEnded: when there will be nothing else.
            RealtimeError: when there will be no link for now.
        """
        old = subscriber.spec.id
        if not self._registry.is_active(old):
            raise SubscriptionEnded
        granted = self._registry.begin_update(subscriber, spec, self.loop, self._time_in_state())
        self.feed(Subscribe(spec))
        try:
            await self.answer(granted)
        finally:
            superseded = old if subscriber.spec is spec else spec.id
            if self._registry.withdraw(superseded, self._time_in_state()):
                self.feed(Unsubscribe(superseded))

    def watch_states(self) -> StreamBuffer[Change]:
        """A stream of the changes of state from now on; it is forgotten when nobody holds it any more."""
        buffer: StreamBuffer[Change] = StreamBuffer("this stream of states", self.loop, _CHANGES_KEPT)
        if self.state is State.DISPOSING:
            buffer.close()
        if not isinstance(self._state_watchers, WeakSet):  # most connections are never followed
            self._state_watchers = WeakSet()
        self._state_watchers.add(buffer)
        return buffer

    async def wait_connected(self, *, survives_disconnect: bool) -> None:
        """Wait until the link is up.

        Args:
            survives_disconnect: whether to go on waiting after `disconnect()`.

        Raises:
            Disposed: after the end.
            RealtimeError: when there will be no link for now.
        """
        if self.state.is_live:
            return
        self._raise_for_rest(survives_disconnect=survives_disconnect)
        await self._waiting.until(lambda: self.state.is_live, patient=survives_disconnect)

    async def wait_subscribed(self, *, survives_disconnect: bool) -> None:
        """Wait until everything that is desired now is acknowledged on the link that is up, or is no longer desired.

        Args:
            survives_disconnect: whether to go on waiting after `disconnect()`.

        Raises:
            RealtimeError: when there will be no link for now.
        """
        tracker = self._context.subscriptions
        wanted = tuple(tracker.desired)

        def holds() -> bool:
            return self.state.is_live and tracker.serves(wanted)

        if holds():
            return
        self._raise_for_rest(survives_disconnect=survives_disconnect)
        await self._waiting.until(holds, patient=survives_disconnect)

    def _raise_for_rest(self, *, survives_disconnect: bool) -> None:
        """Refuse to wait where no link will come. The link of a caller that waits twice may end between the two.

        Args:
            survives_disconnect: whether the caller goes on waiting in `disconnected`.

        Raises:
            RealtimeError: why no link will come.
        """
        if self.state in _IDLE_STATES and not (survives_disconnect and self.state is State.DISCONNECTED):
            raise self._waiting.failure.copy_for_raise()

    async def change_identity(self, input_: Authenticate | LogOut, credentials: Credentials) -> None:
        """Feed a change of identity and wait until the server has said who we are.

        The credentials are on trial until the server names a user; those of a guest count at once.

        Raises:
            AuthenticationRejected: when it refused a message.
            GreetedAsGuest, RefusedByServer, RetriesExhausted: when they get no link; the ones before dial again.
            Disposed: after the end, which may have come while the caller waited for its turn.
            RealtimeError: when there will be no link for now.
        """
        if self.state is State.DISPOSING:
            raise Disposed
        if isinstance(input_, LogOut):
            self.credentials, self._trial = credentials, None
        else:
            self._trial = credentials
        await self._waiting.wait_identity(lambda: self.feed(input_))

    async def set_presence(self, message: bytes | None, identifier: str) -> dict[str, Any] | None:
        """Feed how the user wants to be shown, and wait until the server has stored it.

        Raises:
            PresenceRejected, UnsupportedByServer: when there will be none.
            RealtimeError: when there will be no link for now.
        """
        self._audit.presence("withdrawn" if message is None else "desired", dwell=self._time_in_state())
        if message is None:
            self.feed(SetPresence(None))
            self._waiting.resolve_presence(None)
            return None
        return await self._waiting.wait_presence(lambda: self.feed(SetPresence(message, identifier)))

    async def answer(self, future: asyncio.Future[T], *, shared: bool = False) -> T:
        """Wait for an answer of the server, and while nothing is read from the link only for the reply timeout.

        Args:
            future: the answer.
            shared: whether others wait for it, too; otherwise the end of this wait cancels it.

        Raises:
            LinkPaused: when nothing has been read for as long.
        """
        begun, reply = self.loop.time(), self._context.timeouts.reply
        try:
            while not future.done():
                link, now = self._links.current, self.loop.time()
                paused_since = None if link is None else link.paused_since
                until = reply + (now if paused_since is None else max(begun, paused_since))
                if until <= now:
                    raise LinkPaused(reply)
                await asyncio.wait((future,), timeout=until - now)
            return future.result()
        finally:
            if not shared:
                future.cancel()

    async def wait_closed(self) -> None:
        """Wait until every socket that was let go of is closed; each is, within the close timeout."""
        await self._links.wait_closed()

    def spare(self, task: asyncio.Task[Any] | None) -> bool:
        """Let the callable go on that ends the connection, and tell whether the task is one's."""
        return self._registry.spare(task) or (self._prober is not None and self._prober.spare(task))

    async def aclose(self, spared: asyncio.Task[Any] | None = None) -> None:
        """After the end: wait for the sockets and for users' callables, then release the transport.

        Args:
            spared: the task of the callable that ends the connection, which is not waited for.
        """
        await self.wait_closed()
        if self._prober is not None:
            await self._prober.settle()
        await self._registry.wait_cancelled(spared)
        await self._transport.close()
        self._audit.closed()

    def forsake(self) -> None:
        """End the connection, of which the user holds nothing any more, on its own loop; from any thread. Warns of it."""
        if self.state in _IDLE_STATES or self._loop is None:
            return
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._dispose)
        warnings.warn("a Realtime was not disposed of: use 'async with', or await dispose()", ResourceWarning, stacklevel=3)

    def _dispose(self) -> None:
        if self._links.is_cut_off:
            return  # its sockets are dropped by those who are cancelled
        self.feed(Dispose())
        self._releasing = self.loop.create_task(self.aclose(), name="realtime_fsm release")

    def on_resume(self) -> None:
        """The process slept."""
        self.feed(ResumedFromSuspend())

    def _time_in_state(self) -> float:
        """Seconds since the state was entered."""
        now, entered = self.loop.time(), self._context.state_entered_at
        return 0.0 if entered is None else now - entered

    # --- what the machine asks ----------------------------------------------------------------------------------------

    def _execute(self, request: Command) -> None:
        match request:
            case SendFrame(generation=generation, data=data):
                self._links.current_of(generation).send(data)
            case OpenLink():
                self._open(request)
            case RetireLink(generation=generation):
                self._links.retire(generation)
                self._outages.begin_handover(self.loop.time())
            case CloseLink(generation=generation, graceful=tidy):
                self._drop(generation, tidy=tidy)
            case SubscriptionAcknowledged(id=identifier, channels=channels):
                self._registry.acknowledge(identifier, channels, self.loop.time())
            case SubscriptionRefused(id=identifier, code=code, message=message):
                self._registry.reject(identifier, code, message, guest=self.user is None)
            case SubscriptionUnsupported(id=identifier, era=era):
                self._registry.reject_unsupported(identifier, era)
            case UserIdentified(user=user):
                self._set_user(user)
            case PresenceStored(presence=presence):
                self._audit.presence("stored")
                self._waiting.resolve_presence(_decode_json_object(presence))
            case PresenceRefused(error=error):
                self._audit.presence("rejected", error.code if isinstance(error, PresenceRejected) else None)
                if not self._waiting.reject_presence(error):
                    self.report(error, "the presence could not be restored")  # no call waits for it
            case Restore(error=error):
                self._trial = None
                self._waiting.reject_identity(error)
            case AuthenticationRefused(code=code, message=message):
                self._trial = None
                self._waiting.reject_identity(AuthenticationRejected(code, message))
            case CanaryOut() if self._prober is not None:
                self._prober.out()
            case CanaryRefused(code=code) if self._prober is not None:
                self._prober.refused(code)
            case SubscriptionRemoved(id=identifier):
                self._registry.remove(identifier)
            case EndFault(seconds=seconds, lost=True):
                self._outages.reach_back(self.loop.time() - seconds)
            case EndFault(seconds=seconds):
                self._registry.recover(seconds)
            case FailWaiters(error=error, withdrawn=withdrawn, streams=streams):
                self._trial = None
                self._registry.fail(error, withdrawn, streams=streams)
                self._waiting.fail(error, patient=not isinstance(error, Disconnected))
            case EndStreams():
                self._registry.end()
                self._waiting.fail(Disposed(), patient=True)
                for follower in self._state_watchers:
                    follower.close()

    def _set_user(self, user: bytes) -> None:
        self.user = _decode_json_object(user)
        if self._trial is not None and self.user is not None:
            self.credentials = self._trial
        self._trial = None
        self._waiting.resolve_identity()

    @property
    def _dialing(self) -> Credentials:
        """Who dials next, or has dialed the link that is not greeted yet."""
        return self.credentials if self._trial is None else self._trial

    def _open(self, request: OpenLink) -> None:
        link = self._links.create(request.generation, self._context.require_link, request.plan, self.loop)
        link.open(self._transport, self._url, partial(self._dialing.headers, request.renewal))
        self._registry.clear_errors()
        self._outages.dial()

    def _drop(self, generation: int, *, tidy: bool) -> None:
        draining = self._links.draining
        if draining is None or draining.generation != generation:
            self._links.drop(generation, tidy=tidy)
        elif self._links.current is not None and self._links.current.routes is not None:  # it has been greeted
            seconds = self._outages.end_handover(self.loop.time())
            doubtful = None if seconds is None else DrainCheck(draining, self._registry.last_event_times, seconds)
            self._links.drain_draining(self.loop, doubtful)
        else:
            if not tidy:
                self._audit.retired(generation, self._time_in_state())
            self._links.close_draining()
            if not tidy or self.state is State.RECONNECTING:
                self._outages.fail_handover(self.loop.time(), planned=tidy)

    def _arm_timer(self, deadline: float | None) -> None:
        if self._timer is not None:
            if self._armed_for == deadline and not self._timer.cancelled():
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer, self._armed_for = self.loop.call_at(deadline, self._on_deadline), deadline

    def _on_deadline(self) -> None:
        self._timer = None
        self.feed(Deadline())

    # --- what the socket tells ----------------------------------------------------------------------------------------

    def message_handler(self, link: LinkIO) -> MessageHandler:
        """What takes the messages of a link, one by one. Its answer, if there is one, is to be awaited before the next is read.

        This is the hot path: a closure, because there is nothing faster than its names.
        """
        links, facts, subscriber_of, route = self._links, link.state, self._registry.subscribers.get, self._registry.route
        planned = link.plan is not None

        def on_message(data: bytes) -> Awaitable[None] | None:
            if link is not links.current and link is not links.draining:
                return asyncio.sleep(0)  # dropped, and its reader not yet stopped
            facts.frames_received = heard = facts.frames_received + 1
            try:
                frame: Frame | Malformed = decode_known(data)
            except (ValueError, RecursionError):
                frame = frames.decode(data)
            if type(frame) is not EventFrame:
                link.count_pong(frame)
                if link is links.current:
                    self._handle_control_frame(link, frame)
                return None if heard % _CONTROL_TURN else self._apply_backpressure(link)
            event = frame.data
            event._size = len(data)  # noqa: SLF001
            if facts.at_fault and link is links.current:
                self.feed(Recovered(link.generation))
            if planned:
                if link.routes is None:
                    return None if heard % _TURN else self._apply_backpressure(link)  # before the greeting none is owed
                self._resolve_subscription_ids(link, link.routes, event)
                if links.may_deliver_out_of_order:
                    should_yield = self._registry.route_out_of_order(event, links.farewell_of(link))
                    return self._apply_backpressure(link) if should_yield or not heard % _TURN else None
                if not event._subscriptions:  # noqa: SLF001
                    return (
                        None if heard % _TURN else self._apply_backpressure(link)
                    )  # the routes have said that it is for none of ours
            identifiers = event._subscriptions  # noqa: SLF001  (the property makes a tuple of it)
            if len(identifiers) == 1 and (subscriber := subscriber_of(identifiers[0])) is not None:
                if (stamp := event._timestamp) is not None:  # noqa: SLF001  (as it came: most are never asked for)
                    subscriber.last_timestamp = stamp
                should_yield = subscriber.put(event)
            else:
                should_yield = route(event)
            return self._apply_backpressure(link) if should_yield or not heard % _TURN else None

        return on_message

    def _handle_control_frame(self, link: LinkIO, frame: Frame | Malformed) -> None:
        match frame:
            case frames.PongFrame():
                self.feed(Pong(link.generation))
            case frames.ResponseFrame(data=reply):
                user, presence = bytes(reply.user), bytes(reply.presence)
                self.feed(Acknowledged(link.generation, reply.to, reply.subscriptions, user, presence))
            case frames.ErrorFrame():
                self.feed(ErrorReceived(link.generation, frame.code, frame.message, self._dialing.renewable))
            case frames.ConnectedFrame():
                self._handle_greeting(link, frame)
            case frames.Malformed(kind=kind):
                self._count_malformed(kind)

    async def _apply_backpressure(self, link: LinkIO) -> None:
        """Let consumers run, and deliver no more while one of them, who must lose nothing, is full."""
        await asyncio.sleep(0)
        if self._registry.gate.is_blocked:
            await link.pause(partial(self._wait_for_consumers, link))

    async def _wait_for_consumers(self, link: LinkIO) -> None:
        began = self._set_read_paused(link, paused=True)
        self._audit.pause("opened", link.generation, dwell=self._time_in_state())
        try:
            await self._registry.gate.wait_open()
        finally:
            seconds = self._set_read_paused(link, paused=False) - began
            self._audit.pause("closed", link.generation, dwell=self._time_in_state(), seconds=seconds)

    def _set_read_paused(self, link: LinkIO, *, paused: bool) -> float:
        """Note since now whether it is read."""
        now = self.loop.time()
        link.paused_since = now if paused else None
        self._arm_timer(self._core.set_read_paused(link.generation, now, paused=paused))
        return now

    def _handle_greeting(self, link: LinkIO, frame: frames.ConnectedFrame) -> None:
        if self.state is not State.RECONNECTING:
            return  # the link is up; what a second greeting says of it is not to be believed
        user, slots = bytes(frame.data.user), frame.slots
        if link.plan is not None and link.routes is None:
            link.routes = link.plan.routes(slots or {}, frame.channels)
        stranger = self._dialing.expects_user and _decode_json_object(user) is None
        self.feed(GreetingReceived(link.generation, user, stranger, frame.channels, has_subscription_ids=slots is not None))
        if link.plan is not None and link is self._links.current:
            self.feed(Acknowledged(link.generation, GREETING_ACK, ()))

    def _resolve_subscription_ids(self, link: LinkIO, routes: EventRoutes, event: Event) -> None:
        """Where the server does not know our ids."""
        channels: tuple[str, ...] = ()
        with suppress(MalformedEvent):
            channels = event.channels
        meant = routes.match(event._subscriptions, channels)  # noqa: SLF001
        if CANARY in meant and link is self._links.current:
            self._registry.on_canary(event)
        ours = self._registry.filter_known(meant)
        event._subscriptions = self._links.filter_new(link, event, ours)  # noqa: SLF001

    def on_draining_closed(self, drain_check: DrainCheck, *, broken: bool) -> None:
        """A link that has made room is let go of, and nobody knows what it owed."""
        self._registry.report_possible_loss(drain_check, broken=broken)

    def _report_audit(self, failure: BaseException) -> None:
        self.report(failure, "the audit log failed")

    def _note_stray(self, count: int) -> None:
        self._count_malformed("unknown_subscription", count)

    def _count_malformed(self, kind: str, count: int = 1) -> None:
        """Counted, and told once a kind."""
        known = kind in self.malformed
        self.malformed[kind] = self.malformed.get(kind, 0) + count
        if not known:
            self._audit.malformed(kind)

    # --- telling ------------------------------------------------------------------------------------------------------

    def _publish_transition(self, transition: TransitionTaken) -> None:
        at = datetime.now(UTC)
        self._audit.transition(transition, at)
        row, dest = transition.row, transition.dest
        self.failures.note(transition, at, self.loop.time())
        if transition.round_trip is not None:
            self._audit.ping(transition.round_trip)
        if transition.fault is not None:
            self._audit.fault(transition.fault, at)
        cause = row.trigger.value if transition.cause is None else transition.cause.kind
        if row.dest is None:
            self._outages.on_internal_step(self.loop.time(), cause)
            return
        change = Change(row.source, dest, row.trigger, row.id, transition.attempt, transition.cause, at)
        for follower in self._state_watchers:
            follower.put(change)
        planned, covered = transition.cause is None, self._links.draining_serves
        self._outages.on_transition(row.source, dest, self.loop.time(), cause=cause, planned=planned, covered=covered)
        watch = detector_for(self.loop)
        (watch.leave if dest in _IDLE_STATES else watch.join)(self)

    def report(self, failure: BaseException, heading: str = "an unexpected exception") -> None:
        """Report through the event loop's exception handler, where asyncio programs look for what no task awaits.

        The handler is the user's code, too: what it raises goes to the loop's default handler.
        """
        try:
            self.loop.call_exception_handler({"message": f"realtime_fsm: {heading}", "exception": failure})
        except BaseException as raised:  # noqa: BLE001  (asyncio lets SystemExit and KeyboardInterrupt pass)
            contain(raised)
            self.loop.default_exception_handler(
                {"message": f"realtime_fsm: the exception handler failed on: {heading}", "exception": raised}
            )


def _decode_json_object(text: bytes) -> dict[str, Any] | None:
    """An object of the server, or None for whatever else it sent."""
    try:
        named = msgspec.json.decode(text)
    except ValueError:
        return None
    return named if isinstance(named, dict) else None
