"""The users of one connection: several tasks that call whatever is public, at random, and consumers of every temper."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from realtime_fsm import (
    CertificateRefused,
    ConcurrentIteration,
    Disconnected,
    Disposed,
    GreetedAsGuest,
    LinkLost,
    PresenceRejected,
    Realtime,
    RefusedByServer,
    RetriesExhausted,
    State,
    Subscription,
    SubscriptionEnded,
    SubscriptionRejected,
    UnsupportedByServer,
)
from realtime_fsm.client.listener import Listener
from realtime_fsm.client.subscription import SubscriptionInfo
from simulation.history import EVEN, Bug, Follower
from simulation.invariants import Watch
from simulation.network import CHANNELS, Network
from simulation.world import World

_NO_LINK = (RefusedByServer, RetriesExhausted, CertificateRefused, GreetedAsGuest, LinkLost, Disconnected, Disposed)
_REFUSED = (SubscriptionRejected, SubscriptionEnded, UnsupportedByServer, PresenceRejected)
_DEEP = '{"method":"and","values":[' * 70 + EVEN + "]}" * 70  # the server reads less; other bad ones are refused at the call
_TAIL = "console.tail.logs"  # of an unknown project: refused where messages ask; in an address a channel like any other
_POISON = ((_TAIL, ()), ("rows", (_DEEP,)), ("files", (_DEEP,)))


class Asked:
    """A subscription to ask for: channels and queries, some of them bad, and a callable for gaps."""

    def __init__(self, world: World, network: Network, poison: float) -> None:
        rng = world.rng
        self.channels: list[str] = rng.sample(CHANNELS, rng.randint(1, 3))
        self.queries: tuple[str, ...] = rng.choice(((), (), (EVEN,)))
        if rng.random() < poison:
            channel, self.queries = rng.choice(_POISON)
            self.channels.append(channel)
        self.follower = Follower(world, network.history, tuple(self.channels), self.queries)
        on_gap, catch_up = rng.choice(((False, False), (True, False), (False, True)))
        self.on_gap = self.follower.on_gap if on_gap else None
        self.catch_up = self.follower.catch_up if catch_up else None


class Crowd:
    """The users of one connection.

    Attributes:
        held: the subscriptions that are in use.
        all: every subscription that was ever handed out.
        listeners: every listener that was.
    """

    def __init__(self, world: World, network: Network, realtime: Realtime, watch: Watch) -> None:
        self.world = world
        self.network = network
        self.realtime = realtime
        self.watch = watch
        self.held: list[Subscription] = []
        self.all: list[Subscription] = []
        self.listeners: list[Listener] = []
        self.users = world.rng.randint(2, 4)
        self.poison = world.rng.choice((0.0, 0.05, 0.2))
        self._idle = 0

    async def act(self, action: Callable[[], Awaitable[None]]) -> None:
        """Do something; only what is documented may come of it."""
        name = getattr(action, "__name__", "?")
        self.world.actions[name] += 1
        try:
            await action()
        except (TimeoutError, Bug, *_REFUSED, *_NO_LINK) as expected:
            self.look_at(expected)
        except Exception as failure:
            self.world.fail(f"{name}() raised {failure!r}")
            raise

    def look_at(self, error: Exception) -> None:
        """No error and no repr shows a secret."""
        text = f"{error!r} {error} {self.realtime!r}"
        self.world.must(self.world.hides(text), "a secret in an error or a repr")

    def patience(self, *choices: float) -> asyncio.Timeout:
        """How long a user waits; cancelled calls are a fault of their own."""
        return asyncio.timeout(self.world.rng.choice(choices))

    @asynccontextmanager
    async def endless_patience(self) -> AsyncIterator[None]:
        """Wait to the end, if another user is still active; every wait must end some day."""
        patient = self._idle < self.users - 1 and self.world.rng.random() < 0.3
        self._idle += patient
        try:
            async with asyncio.timeout(None) if patient else self.patience(0.0, 5.0, 60.0):
                yield
        finally:
            self._idle -= patient

    def got(self, asked: Asked, subscription: SubscriptionInfo) -> None:
        """Something was granted."""
        self.watch.ledger.of[subscription.id].follower = asked.follower
        asked.follower.subscription = subscription
        self.may_be_granted(subscription)

    def may_be_granted(self, one: SubscriptionInfo) -> None:
        """Check that no server granted a bad subscription."""
        tail = _TAIL in one.channels and one.id not in self.watch.wants.granted_by_address
        self.world.must(_DEEP not in one.queries and not tail, "something bad was granted")

    # --- consuming ----------------------------------------------------------------------------------------------------

    async def consumer(self) -> None:
        """One who only listens."""
        while self.realtime.state is not State.DISPOSING:
            await asyncio.sleep(self.world.rng.expovariate(1 / 4))
            await self.act(self.consume)

    async def consume(self) -> None:
        """Iterate for a while, over any of the subscriptions."""
        rng = self.world.rng
        if self.all:
            subscription = rng.choice(self.held if self.held and rng.random() < 0.9 else self.all)
            async with self.patience(0.0, 1.0, 10.0, 60.0):
                await self.iterate(subscription)

    async def iterate(self, subscription: Subscription) -> None:
        """Briskly or slowly, to a break, a bug, or the end."""
        rng = self.world.rng
        slow, reckless, fickle = (rng.random() < 0.3 for _ in range(3))
        try:
            async for event in subscription:
                self.watch.ledger.received(subscription, event)
                if slow:
                    await asyncio.sleep(rng.uniform(0.0, 4.0))
                if reckless and rng.random() < 0.2:
                    raise Bug
                if fickle and rng.random() < 0.2:
                    break
        except ConcurrentIteration:
            return
        except (SubscriptionRejected, UnsupportedByServer):
            if subscription in self.held:
                self.held.remove(subscription)

    # --- afterwards ---------------------------------------------------------------------------------------------------

    def orphans(self) -> list[str]:
        """Return the desired subscriptions that no user holds."""
        mine = {one.id for one in (*self.all, *self.listeners)}
        return [identifier for identifier in self.watch.wants.desired if identifier not in mine]

    async def give_up_refused(self) -> None:
        """Give up what an upgraded server refuses, if nothing else is desired: no client can tell it from a refusal of all."""
        desired = self.watch.wants.desired
        if desired and all(_TAIL in spec.channels for spec in desired.values()):
            ends = [(one.id, one.unsubscribe) for one in self.all] + [(one.id, one.stop) for one in self.listeners]
            for identifier, end in ends:
                if identifier in desired:
                    await end()

    async def drain(self, *, end: bool) -> None:
        """Read every stream empty; at the end nothing may be left, not even for those who are still catching up."""
        for listener in self.listeners:
            raised = listener.task.done() and not listener.task.cancelled() and listener.task.exception()
            self.world.must(not raised, f"a handler that raises ends its listener: {raised!r}")
        for subscription in self.all:
            try:
                async with asyncio.timeout(0.01):
                    async for event in subscription:
                        self.watch.ledger.received(subscription, event)
            except (TimeoutError, SubscriptionRejected, UnsupportedByServer, *_NO_LINK) as expected:
                self.look_at(expected)
            if end:
                self.watch.ledger.close(subscription)
            self.world.must(self.world.hides(repr(subscription)), "a secret in a repr")

    async def receive(self, one: SubscriptionInfo, number: int) -> bool:
        """Wait for an event; whether it came in good time, slow callables included."""
        try:
            async with asyncio.timeout(20.0):
                if not isinstance(one, Subscription):  # its handler gets it
                    await self.watch.ledger.of[one.id].wait_for(number)
                    return True
                async for event in one:
                    self.watch.ledger.received(one, event)
                    if event.payload["n"] == number:
                        return True
        except TimeoutError:
            return False
        return False
