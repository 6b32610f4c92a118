"""The calls of users: the inputs that they feed to the machine, and the answers for which they wait.

Invariant: a call changes the connection only by an input that it feeds. Its answer comes through a future, so no code of a user
runs inside a step.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from realtime_fsm.errors import Disposed, LinkPaused, SubscriptionEnded, UnsupportedByServer
from realtime_fsm.fsm.inputs import Authenticate, LogOut, SetPresence, Subscribe, Unsubscribe
from realtime_fsm.fsm.table import State
from realtime_fsm.runtime.connection import Connection
from realtime_fsm.runtime.waiters import reject, resolve

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from realtime_fsm.auditlog.writer import AuditWriter
    from realtime_fsm.fsm.context import ConnectionContext
    from realtime_fsm.fsm.inputs import Input
    from realtime_fsm.protocol.spec import SubscriptionSpec
    from realtime_fsm.runtime.credentials import Credentials
    from realtime_fsm.runtime.delivery import DeliveryOptions, SubscriptionDelivery
    from realtime_fsm.runtime.links import LinkSet
    from realtime_fsm.runtime.registry import DeliveryRegistry
    from realtime_fsm.runtime.waiters import Waiters

T = TypeVar("T")
IDLE_STATES = (State.DISCONNECTED, State.ERROR, State.DISPOSING)
"""The states in which no link is wanted, or none will come."""


class CalledConnection(Connection, Protocol):
    """A connection with the parts that its users call."""

    links: LinkSet
    registry: DeliveryRegistry


class Calls:
    """The calls of one connection's users."""

    __slots__ = ("_owner", "_subscriptions_made", "_waiters")

    def __init__(self, owner: CalledConnection, waiters: Waiters) -> None:
        self._owner = owner
        self._waiters = waiters
        self._subscriptions_made = 0

    def require_feature(self, feature: str) -> None:
        """Refuse a feature that the server is known to lack.

        Raises:
            UnsupportedByServer: with the server's era.
        """
        era = self._owner.context.era
        if era is not None and not era.supports(feature):
            raise UnsupportedByServer(feature, era, era.releases)

    # --- subscriptions --------------------------------------------------------------------------------------------------

    def next_id(self) -> str:
        """Make an id for a subscription, new on this connection."""
        self._subscriptions_made += 1
        return f"s{self._subscriptions_made}"

    def subscribe(self, spec: SubscriptionSpec, options: DeliveryOptions) -> SubscriptionDelivery:
        """Prepare the delivery of a subscription's events, and ask for the subscription."""
        delivery = self._owner.registry.register(spec, options, self._owner.loop)
        self._owner.feed(Subscribe(spec))
        return delivery

    def unsubscribe(self, delivery: SubscriptionDelivery) -> None:
        """Give up a subscription, and an update of it that is under way."""
        successor = self._owner.registry.pending_update_of(delivery)
        self._give_up(delivery.spec.id)
        self._give_up(successor)

    async def update_subscription(self, delivery: SubscriptionDelivery, spec: SubscriptionSpec) -> None:
        """Give a delivery another subscription. Its present subscription delivers until the server acknowledges the new one.

        Raises:
            SubscriptionRejected, SubscriptionEnded: when the new subscription fails.
            RealtimeError: when there will be no link for now.
        """
        old = delivery.spec.id
        if not self._owner.registry.is_active(old):
            raise SubscriptionEnded
        granted = self._owner.registry.begin_update(delivery, spec, self._owner.loop)
        self._owner.feed(Subscribe(spec))
        try:
            await self.answer(granted)
        finally:
            self._give_up(old if delivery.spec is spec else spec.id)

    def _give_up(self, identifier: str | None) -> None:
        if identifier is not None and self._owner.registry.give_up(identifier):
            self._owner.feed(Unsubscribe(identifier))

    # --- the link -------------------------------------------------------------------------------------------------------

    async def wait_connected(self, *, survives_disconnect: bool) -> None:
        """Wait until a link is up. The old link of a handover counts as up.

        Args:
            survives_disconnect: whether to go on waiting after `disconnect()`.

        Raises:
            Disposed: after the end.
            RealtimeError: when there will be no link for now.
        """
        await self._wait_until(
            lambda: self._owner.state.is_live or self._owner.links.draining_serves, survives_disconnect=survives_disconnect
        )

    async def wait_subscribed(self, *, survives_disconnect: bool) -> None:
        """Wait until everything that is desired now is acknowledged on the link that is up, or is no longer desired.

        Args:
            survives_disconnect: whether to go on waiting after `disconnect()`, and to count the old link of a handover. A caller
                that has asked for another link waits for that.

        Raises:
            RealtimeError: when there will be no link for now.
        """
        tracker = self._owner.context.subscriptions
        wanted = tuple(tracker.desired)

        def is_served() -> bool:
            if self._owner.state.is_live and tracker.serves(wanted):
                return True
            old = self._owner.context.draining
            return survives_disconnect and old is not None and all(one in old.served for one in wanted if one in tracker.desired)

        await self._wait_until(is_served, survives_disconnect=survives_disconnect)

    async def _wait_until(self, condition: Callable[[], bool], *, survives_disconnect: bool) -> None:
        if condition():
            return
        state = self._owner.state
        # Between two waits of one caller its link may have ended, so no link may come any more.
        if state in IDLE_STATES and not (survives_disconnect and state is State.DISCONNECTED):
            raise copy(self._waiters.failure)
        await self._waiters.until(condition, survives_disconnect=survives_disconnect)

    async def answer(self, future: asyncio.Future[T]) -> T:
        """Wait for an answer of the server. While the client does not read the link, the wait is limited by the reply timeout.

        Args:
            future: the answer. The end of the wait cancels it.

        Raises:
            LinkPaused: when the client has not read the link for the reply timeout.
        """
        loop, reply = self._owner.loop, self._owner.context.timeouts.reply
        begun = loop.time()
        timer: asyncio.TimerHandle

        def check_pause() -> None:
            nonlocal timer
            link, now = self._owner.links.current, loop.time()
            paused_since = None if link is None else link.paused_since
            until = reply + (now if paused_since is None else max(begun, paused_since))
            if until <= now:
                reject(future, LinkPaused(reply))
            else:
                timer = loop.call_at(until, check_pause)

        timer = loop.call_at(begun + reply, check_pause)
        try:
            return await future
        finally:
            timer.cancel()

    async def wait_removed(self, delivery: SubscriptionDelivery) -> None:
        """Wait until a subscription is gone. Several callers may wait for the same one.

        Raises:
            LinkPaused: as `answer`.
        """
        future: asyncio.Future[None] = self._owner.loop.create_future()
        delivery.removed.add_done_callback(lambda _: resolve(future, None))
        await self.answer(future)

    # --- the user -------------------------------------------------------------------------------------------------------

    async def change_identity(self, input_: Authenticate | LogOut, credentials: Credentials) -> None:
        """Feed a change of identity, and wait until the server has named the user.

        The credentials are on trial until the server names a user; those of a guest count at once.

        Raises:
            AuthenticationRejected: when the server refused a message.
            GreetedAsGuest, RefusedByServer, RetriesExhausted: when the credentials get no link; the old ones dial again.
            Disposed: after the end, which may have come while the caller waited for its turn.
            RealtimeError: when there will be no link for now.
        """
        if isinstance(input_, Authenticate):
            await self._owner.links.wait_drained()
        if self._owner.state is State.DISPOSING:
            raise Disposed
        if isinstance(input_, LogOut):
            self._owner.identity.adopt(credentials)
        else:
            self._owner.identity.begin_trial(credentials)
        with self._waiters.identity() as named:
            self._owner.feed(input_)
            await self.answer(named)

    async def set_presence(self, message: bytes | None, identifier: str) -> dict[str, Any] | None:
        """Feed the wanted presence, and wait until the server has stored it.

        Raises:
            PresenceRejected, UnsupportedByServer: when there will be none.
            RealtimeError: when there will be no link for now.
        """
        if message is None:
            self._owner.feed(SetPresence(None))
            self._waiters.resolve_presence(None)
            return None
        with self._waiters.presence() as stored:
            self._owner.feed(SetPresence(message, identifier))
            return await self.answer(stored)


def record_call(input_: Input, audit: AuditWriter, context: ConnectionContext, dwell: float) -> None:
    """Write a user's call, `dwell` seconds after the entry into the state.

    The driver calls this as the machine takes the input, so a call from within a step comes after the records of the step.
    """
    ended = context.state == State.DISPOSING
    match input_:
        case Subscribe(spec=spec) if not ended:
            audit.subscription(spec.id, "desired", dwell=dwell, size=len(spec.item))
        case Unsubscribe(id=identifier) if identifier in context.subscriptions.desired:
            audit.subscription(identifier, "withdrawn", dwell=dwell)
        case SetPresence(message=message) if not ended:
            audit.presence("withdrawn" if message is None else "desired", dwell=dwell)
