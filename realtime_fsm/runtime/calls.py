"""The calls of users: what they start, what they wait for, and how a connection ends.

Invariant: a call changes the connection only by an input that it feeds. Its answer comes through a future, so no code of a user
runs inside a step.
"""

from __future__ import annotations

import asyncio
import itertools
import warnings
from abc import ABC, abstractmethod
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from realtime_fsm import hooks
from realtime_fsm.errors import Disposed, LinkPaused, SubscriptionEnded, UnsupportedByServer
from realtime_fsm.fsm.inputs import Authenticate, Dispose, LogOut, SetPresence, Subscribe, Unsubscribe
from realtime_fsm.fsm.table import State
from realtime_fsm.runtime.dispatch import decode_json_object
from realtime_fsm.runtime.stream_buffer import StreamBuffer
from realtime_fsm.runtime.waiters import Waiters

if TYPE_CHECKING:
    from realtime_fsm.auditlog.writer import AuditWriter
    from realtime_fsm.fsm.change import Change
    from realtime_fsm.fsm.context import ConnectionContext
    from realtime_fsm.fsm.inputs import Input
    from realtime_fsm.protocol.eras import Era
    from realtime_fsm.protocol.spec import SubscriptionSpec
    from realtime_fsm.runtime.canary import Prober
    from realtime_fsm.runtime.credentials import Credentials
    from realtime_fsm.runtime.delivery import DeliveryOptions, SubscriptionDelivery
    from realtime_fsm.runtime.links import LinkSet
    from realtime_fsm.runtime.registry import DeliveryRegistry
    from realtime_fsm.runtime.sockets import Transport

T = TypeVar("T")
_CHANGES_KEPT = 1024
IDLE_STATES = (State.DISCONNECTED, State.ERROR, State.DISPOSING)
"""The states in which no link is wanted, or none will come."""


class Calls(ABC):
    """The part of `Driver` that serves the calls of users.

    Attributes:
        credentials: who dials, as the server confirmed it last.
        user: the account that the server named; None for a guest, and before the first greeting.
    """

    _audit: AuditWriter
    _connection_id: str
    _context: ConnectionContext
    _links: LinkSet
    _prober: Prober | None
    _registry: DeliveryRegistry
    _transport: Transport

    def __init__(self, credentials: Credentials) -> None:
        self.credentials: Credentials = credentials
        self.user: dict[str, Any] | None = None
        self._trial: Credentials | None = None  # who dials instead, until the server confirms or refuses it
        self._waiting = Waiters(self.answer)
        self._numbers = itertools.count(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._state_watchers: WeakSet[StreamBuffer[Change]] | tuple[()] = ()
        self._releasing: asyncio.Task[None] | None = None

    @property
    @abstractmethod
    def state(self) -> State:
        """The state of the connection."""

    @property
    @abstractmethod
    def era(self) -> Era | None:
        """The era of the server, as far as it is known."""

    @property
    @abstractmethod
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the connection."""

    @abstractmethod
    def feed(self, input_: Input) -> None:
        """Step the machine."""

    def time_in_state(self, now: float | None = None) -> float:
        """Count the seconds from the entry into the state to a moment, or until now."""
        until, entered = self.loop.time() if now is None else now, self._context.state_entered_at
        return 0.0 if entered is None else until - entered

    def record_call(self, input_: Input, now: float) -> None:
        """Write the user's call as the machine takes it: a call from within a step comes after the records of the step."""
        dwell = self.time_in_state(now)
        match input_:
            case Subscribe(spec=spec) if self.state is not State.DISPOSING:
                self._audit.subscription(spec.id, "desired", dwell=dwell, size=len(spec.item))
            case Unsubscribe(id=identifier) if identifier in self._context.subscriptions.desired:
                self._audit.subscription(identifier, "withdrawn", dwell=dwell)
            case SetPresence(message=message) if self.state is not State.DISPOSING:
                self._audit.presence("withdrawn" if message is None else "desired", dwell=dwell)

    # --- subscriptions --------------------------------------------------------------------------------------------------

    def require_feature(self, feature: str) -> None:
        """Refuse what the server is known to lack.

        Raises:
            UnsupportedByServer: with the server's era.
        """
        if self.era is not None and not self.era.supports(feature):
            raise UnsupportedByServer(feature, self.era, self.era.releases)

    def subscribe(self, spec: SubscriptionSpec, options: DeliveryOptions) -> SubscriptionDelivery:
        """Prepare the delivery of a subscription's events, and ask for the subscription."""
        delivery = self._registry.register(spec, options, self.loop)
        self.feed(Subscribe(spec))
        return delivery

    def next_id(self) -> str:
        """Make an id for a subscription, new on this connection."""
        return f"s{next(self._numbers)}"

    def unsubscribe(self, delivery: SubscriptionDelivery) -> None:
        """Give a subscription up, with what is to take its place."""
        successor = self._registry.pending_update_of(delivery)
        for identifier in (delivery.spec.id, successor):
            if identifier is not None and self._registry.give_up(identifier):
                self.feed(Unsubscribe(identifier))

    async def update_subscription(self, delivery: SubscriptionDelivery, spec: SubscriptionSpec) -> None:
        """Give a delivery another subscription. Its present subscription delivers until the server acknowledges the new one.

        Raises:
            SubscriptionRejected, SubscriptionEnded: when the new subscription fails.
            RealtimeError: when there will be no link for now.
        """
        old = delivery.spec.id
        if not self._registry.is_active(old):
            raise SubscriptionEnded
        granted = self._registry.begin_update(delivery, spec, self.loop)
        self.feed(Subscribe(spec))
        try:
            await self.answer(granted)
        finally:
            superseded = old if delivery.spec is spec else spec.id
            if self._registry.give_up(superseded):
                self.feed(Unsubscribe(superseded))

    def watch_states(self) -> StreamBuffer[Change]:
        """Make a stream of the changes of state from now on; the driver forgets one that no code holds any more."""
        buffer: StreamBuffer[Change] = StreamBuffer("this stream of states", self.loop, _CHANGES_KEPT)
        if self.state is State.DISPOSING:
            buffer.close()
        if not isinstance(self._state_watchers, WeakSet):  # most connections are never followed
            self._state_watchers = WeakSet()
        self._state_watchers.add(buffer)
        return buffer

    async def wait_connected(self, *, survives_disconnect: bool) -> None:
        """Wait until a link is up; the old link of a handover is.

        Args:
            survives_disconnect: whether to go on waiting after `disconnect()`.

        Raises:
            Disposed: after the end.
            RealtimeError: when there will be no link for now.
        """

        def condition() -> bool:
            return self.state.is_live or self._links.draining_serves

        if condition():
            return
        self._raise_for_rest(survives_disconnect=survives_disconnect)
        await self._waiting.until(condition, survives_disconnect=survives_disconnect)

    async def wait_subscribed(self, *, survives_disconnect: bool) -> None:
        """Wait until everything that is desired now is acknowledged on the link that is up, or is no longer desired.

        Args:
            survives_disconnect: whether to go on waiting after `disconnect()`, and to count the old link of a handover. A caller
                that has asked for another link waits for that.

        Raises:
            RealtimeError: when there will be no link for now.
        """
        tracker = self._context.subscriptions
        wanted = tuple(tracker.desired)

        def condition() -> bool:
            if self.state.is_live and tracker.serves(wanted):
                return True
            old = self._context.draining
            return survives_disconnect and old is not None and all(one in old.served for one in wanted if one in tracker.desired)

        if condition():
            return
        self._raise_for_rest(survives_disconnect=survives_disconnect)
        await self._waiting.until(condition, survives_disconnect=survives_disconnect)

    def _raise_for_rest(self, *, survives_disconnect: bool) -> None:
        """Refuse to wait where no link will come. The link of a caller that waits twice may end between the two.

        Args:
            survives_disconnect: whether the caller goes on waiting in `disconnected`.

        Raises:
            RealtimeError: why no link will come.
        """
        if self.state in IDLE_STATES and not (survives_disconnect and self.state is State.DISCONNECTED):
            raise copy(self._waiting.failure)

    async def change_identity(self, input_: Authenticate | LogOut, credentials: Credentials) -> None:
        """Feed a change of identity and wait until the server has said who we are.

        The credentials are on trial until the server names a user; those of a guest count at once.

        Raises:
            AuthenticationRejected: when it refused a message.
            GreetedAsGuest, RefusedByServer, RetriesExhausted: when they get no link; the ones before dial again.
            Disposed: after the end, which may have come while the caller waited for its turn.
            RealtimeError: when there will be no link for now.
        """
        if isinstance(input_, Authenticate):
            await self._links.wait_drained()
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

    # --- who the user is ------------------------------------------------------------------------------------------------

    def _set_user(self, user: bytes) -> None:
        self.user = decode_json_object(user)
        if self._trial is not None and self.user is not None:
            self.credentials = self._trial
        self._trial = None
        self._waiting.resolve_identity()

    @property
    def dialing(self) -> Credentials:
        """The credentials of the next dial, or of the link that is not greeted yet."""
        return self.credentials if self._trial is None else self._trial

    # --- the end --------------------------------------------------------------------------------------------------------

    async def wait_closed(self) -> None:
        """Wait until every released socket is closed, which takes at most the close timeout."""
        await self._links.wait_closed()

    def spare(self, task: asyncio.Task[Any] | None) -> bool:
        """Let the callable go on that ends the connection, and tell whether the task is one's."""
        return self._registry.spare(task) or (self._prober is not None and self._prober.spare(task))

    async def aclose(self, spared: asyncio.Task[Any] | None = None) -> None:
        """After the end: wait for the sockets and for users' callables, but for the spared one; then release the transport."""
        await self.wait_closed()
        if self._prober is not None:
            await self._prober.wait_closed()
        await self._registry.wait_cancelled(spared)
        await self._transport.close()
        self._audit.closed()
        hooks.connections.pop(self._connection_id, None)

    def forsake(self) -> None:
        """End the connection, of which the user holds nothing any more, on its own loop; from any thread. Warns of it."""
        if self.state in IDLE_STATES or self._loop is None:
            return
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._dispose)
        warnings.warn("a Realtime was not disposed of: use 'async with', or await dispose()", ResourceWarning, stacklevel=3)

    def _dispose(self) -> None:
        if self._links.is_cut_off:
            return  # its sockets are dropped by those who are cancelled
        self.feed(Dispose())
        self._releasing = self.loop.create_task(self.aclose(), name="realtime_fsm release")
