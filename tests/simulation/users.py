"""The users of one connection: several tasks that call whatever is public, at random, and consumers of every temper."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from realtime_fsm import (
    AuthenticationRejected,
    CertificateRefused,
    Change,
    ConcurrentIteration,
    Disconnected,
    Disposed,
    GreetedAsGuest,
    IdentityUnavailable,
    LinkLost,
    Realtime,
    RefusedByServer,
    RetriesExhausted,
    State,
    Subscription,
    SubscriptionRejected,
)
from simulation.history import EVEN, Bug, Follower
from simulation.invariants import Watch
from simulation.network import CHANNELS, Network
from simulation.world import BOGUS, World

_MOST = 12  # subscriptions held at a time
_NO_LINK = (RefusedByServer, RetriesExhausted, CertificateRefused, GreetedAsGuest, LinkLost, Disconnected, Disposed)
_DEEP = '{"method":"and","values":[' * 70 + EVEN + "]}" * 70  # the server reads less; other bad ones are refused at the call
_POISON = (("console.tail.logs", ()), ("rows", (_DEEP,)), ("files", (_DEEP,)))


class Crowd:
    """The users of one connection.

    Attributes:
        held: the subscriptions that are in use.
        all: every subscription that was ever handed out.
    """

    def __init__(self, world: World, network: Network, realtime: Realtime, watch: Watch) -> None:
        self.world = world
        self.network = network
        self.realtime = realtime
        self.watch = watch
        self.held: list[Subscription] = []
        self.all: list[Subscription] = []
        self.users = world.rng.randint(2, 4)
        self._asking = self._authentications = self._idle = 0
        actions: dict[Callable[[], Awaitable[None]], float] = {
            self.subscribe: 6,
            self.unsubscribe: 2,
            self.consume: 1,
            self.reconnect: 0.5,
            self.connect: 0.5,
            self.disconnect: 0.3,
            self.switch_ping: 0.5,
            self.wait: 0.5,
            self.follow: 0.2,
            self.collide: 0.3,
            self.authenticate: 0.4,
            self.flutter: 0.8,
        }
        self._actions = list(actions)
        self._weights = [weight * world.rng.choice((0.1, 1.0, 1.0, 3.0)) for weight in actions.values()]
        self._pause = world.rng.choice((0.3, 1.0, 4.0))
        self._poison = world.rng.choice((0.0, 0.05, 0.2))

    async def user(self) -> None:
        """One user: calls something, again and again, until the connection is disposed of."""
        rng = self.world.rng
        while self.realtime.state is not State.DISPOSING:
            await asyncio.sleep(rng.expovariate(1 / self._pause))
            action = rng.choices(self._actions, self._weights)[0]
            if self.realtime.state in (State.ERROR, State.DISCONNECTED) and rng.random() < 0.5:
                action = self.reconnect  # else hardly anything would happen any more
            await self._act(action)

    async def consumer(self) -> None:
        """One who only listens."""
        while self.realtime.state is not State.DISPOSING:
            await asyncio.sleep(self.world.rng.expovariate(1 / 4))
            await self._act(self.consume)

    async def _act(self, action: Callable[[], Awaitable[None]]) -> None:
        """Do something; only what is documented may come of it."""
        name = getattr(action, "__name__", "?")
        self.world.actions[name] += 1
        try:
            await action()
        except (TimeoutError, Bug, SubscriptionRejected, *_NO_LINK) as expected:
            self._look_at(expected)
        except Exception as failure:
            self.world.fail(f"{name}() raised {failure!r}")
            raise

    def _look_at(self, error: Exception) -> None:
        text = f"{error!r} {error} {self.realtime!r}"
        self.world.must(self.world.hides(text), "a secret in an error or a repr")

    def _patience(self, *choices: float) -> asyncio.Timeout:
        """How long a user waits; cancelled calls are a fault of their own."""
        return asyncio.timeout(self.world.rng.choice(choices))

    @asynccontextmanager
    async def _endless_patience(self) -> AsyncIterator[None]:
        """Wait to the end, if somebody else is left who does something; whatever is waited for must end some day."""
        patient = self._idle < self.users - 1 and self.world.rng.random() < 0.3
        self._idle += patient
        try:
            async with asyncio.timeout(None) if patient else self._patience(0.0, 5.0, 60.0):
                yield
        finally:
            self._idle -= patient

    # --- what they do -------------------------------------------------------------------------------------------------

    async def subscribe(self) -> None:
        rng = self.world.rng
        if len(self.held) + self._asking >= _MOST:
            await self.unsubscribe()
            return
        channels: list[str] = rng.sample(CHANNELS, rng.randint(1, 3))
        queries: tuple[str, ...] = rng.choice(((), (), (EVEN,)))
        poisoned = rng.random() < self._poison
        if poisoned:
            channel, queries = rng.choice(_POISON)
            channels.append(channel)
        follower = Follower(self.world, self.network.history, tuple(channels), queries)
        on_gap, catch_up = rng.choice(((None, None), (follower.on_gap, None), (None, follower.catch_up)))
        self._asking += 1
        try:
            async with self._patience(0.0, 0.05, 5.0, 30.0):
                subscription = await self.realtime.subscribe(
                    *channels, queries=queries, on_gap=on_gap, catch_up=catch_up, buffer=self.world.buffer
                )
        finally:
            self._asking -= 1
        self.held.append(subscription)
        self.all.append(subscription)
        self.watch.ledger.followers[subscription.id] = follower
        self.world.must(not poisoned, "a bad subscription was granted")

    async def unsubscribe(self) -> None:
        if self.held:
            subscription = self.held.pop(self.world.rng.randrange(len(self.held)))
            async with self._patience(0.0, 1.0, 30.0):
                await subscription.unsubscribe()

    async def flutter(self) -> None:
        """Come and go, more often than a minute's budget allows."""
        async with self._patience(10.0, 100.0):
            for _ in range(self.world.rng.randint(5, 40)):
                subscription = await self.realtime.subscribe("rows", buffer=self.world.buffer)
                await subscription.unsubscribe()

    async def consume(self) -> None:
        """Iterate for a while: briskly or slowly, to a break, a bug, a timeout or the end."""
        rng = self.world.rng
        if not self.all:
            return
        subscription = rng.choice(self.held if self.held and rng.random() < 0.9 else self.all)
        slow, reckless, fickle = (rng.random() < 0.3 for _ in range(3))
        try:
            async with self._patience(0.0, 1.0, 10.0, 60.0):
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
        except SubscriptionRejected:
            if subscription in self.held:
                self.held.remove(subscription)

    async def reconnect(self) -> None:
        async with self._endless_patience():
            await self.realtime.reconnect()

    async def connect(self) -> None:
        async with self._endless_patience():
            await self.realtime.connect()

    async def disconnect(self) -> None:
        async with self._patience(0.0, 2.0, 60.0):
            await self.realtime.disconnect()

    async def switch_ping(self) -> None:
        self.realtime.set_ping_enabled(self.world.rng.random() < 0.7)

    async def authenticate(self) -> None:
        session = self.world.rng.choice((*self.network.sessions, *self.network.sessions, BOGUS))
        self._authentications += 1
        mine = self._authentications
        try:
            async with self._endless_patience():
                user = await self.realtime.authenticate(session)
        except (AuthenticationRejected, IdentityUnavailable) as expected:
            self._look_at(expected)
        else:
            overtaken = mine != self._authentications  # of two at a time, both are told of the later one
            self.world.must(session != BOGUS or overtaken, f"authenticated with nothing, as {user['$id']}")

    async def wait(self) -> None:
        async with self._endless_patience():
            await self.realtime.wait_connected(self.world.rng.choice((None, 0.0, 5.0)))

    async def follow(self) -> None:
        """Follow the states: each change begins where the one before it ended."""
        before: Change | None = None
        async with self._patience(1.0, 10.0, 60.0):
            async for change in self.realtime.states():
                self.world.must(before is None or change.source is before.dest, "a change of state was not told")
                before = change

    async def collide(self) -> None:
        """Two consumers on one stream: the second is refused, the first is none the worse."""
        for outcome in await asyncio.gather(self.consume(), self.consume(), return_exceptions=True):
            if outcome is not None:
                raise outcome

    # --- afterwards ---------------------------------------------------------------------------------------------------

    async def drain(self, *, end: bool) -> None:
        """Read every stream empty; at the end nothing may be left, not even for those who are still catching up."""
        for subscription in self.all:
            try:
                async with asyncio.timeout(0.01):
                    async for event in subscription:
                        self.watch.ledger.received(subscription, event)
            except (TimeoutError, SubscriptionRejected, *_NO_LINK) as expected:
                self._look_at(expected)
            if end:
                self.watch.ledger.close(subscription)
            self.world.must(self.world.hides(repr(subscription)), "a secret in a repr")

    async def receive(self, subscription: Subscription, number: int) -> bool:
        """Read a stream until an event; whether it came in good time, slow callables included."""
        try:
            async with asyncio.timeout(20.0):
                async for event in subscription:
                    self.watch.ledger.received(subscription, event)
                    if event.payload["n"] == number:
                        return True
        except TimeoutError:
            return False
        return False


def passes(subscription: Subscription, number: int) -> bool:
    """Whether its queries let an event through."""
    return EVEN not in subscription.queries or number % 2 == 0
