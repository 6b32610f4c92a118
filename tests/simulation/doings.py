"""The actions of users: they call every public method, at random, at the wrong moment and with little patience."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from realtime_fsm import AuthenticationRejected, Change, Event, IdentityUnavailable, Realtime, State, Subscription
from realtime_fsm.client.listener import Listener
from simulation.history import Bug
from simulation.invariants import Watch
from simulation.network import Network
from simulation.users import Asked, Crowd
from simulation.world import BOGUS, World

_GUEST: str | None = None
_MOST = 12  # subscriptions held at a time
_FORBIDDEN = ('read("team:nobody")', "everything")
"""Permissions of a presence that the server refuses."""


class BusyCrowd(Crowd):
    """Users who do what they can."""

    def __init__(self, world: World, network: Network, realtime: Realtime, watch: Watch) -> None:
        super().__init__(world, network, realtime, watch)
        self._asking = self._authentications = self._presences = 0
        actions: dict[Callable[[], Awaitable[None]], float] = {
            self.subscribe: 6,
            self.unsubscribe: 2,
            self.update: 1.5,
            self.visit: 0.8,
            self.listen: 0.6,
            self.consume: 1,
            self.reconnect: 0.5,
            self.connect: 0.5,
            self.disconnect: 0.3,
            self.switch_ping: 0.5,
            self.wait: 0.5,
            self.follow: 0.2,
            self.collide: 0.3,
            self.authenticate: 0.4,
            self.log_out: 0.1,
            self.change_everything: 0.4,
            self.appear: 0.6,
            self.disappear: 0.2,
            self.flutter: 0.6,
        }
        self._actions = list(actions)
        self._weights = [weight * world.rng.choice((0.1, 1.0, 1.0, 3.0)) for weight in actions.values()]
        self._pause = world.rng.choice((0.3, 1.0, 4.0))

    async def user(self) -> None:
        """One user: calls something, again and again, until the connection is disposed of."""
        rng = self.world.rng
        while self.realtime.state is not State.DISPOSING:
            await asyncio.sleep(rng.expovariate(1 / self._pause))
            action = rng.choices(self._actions, self._weights)[0]
            if self.realtime.state in (State.ERROR, State.DISCONNECTED) and rng.random() < 0.5:
                action = self.reconnect  # else hardly anything would happen any more
            await self.act(action)

    # --- subscriptions ------------------------------------------------------------------------------------------------

    async def subscribe(self) -> None:
        if len(self.held) + self._asking >= _MOST:
            await self.unsubscribe()
            return
        asked = self._ask()
        self._asking += 1
        try:
            async with self.patience(0.0, 0.05, 5.0, 30.0):
                subscription = await self._subscribe(asked)
        finally:
            self._asking -= 1
        self.held.append(subscription)
        self._take(asked, subscription)

    async def unsubscribe(self) -> None:
        if self.held:
            subscription = self.held.pop(self.world.rng.randrange(len(self.held)))
            async with self.patience(0.0, 1.0, 30.0):
                await subscription.unsubscribe()

    async def update(self) -> None:
        """Listen to something else: it is acknowledged, and what it replaces is given up; or nothing has changed."""
        if not self.held:
            return
        rng = self.world.rng
        subscription, asked = rng.choice(self.held), self._ask()
        before, desired = subscription.id, self.watch.wants.desired
        change: dict[str, Any] = {"channels": asked.channels, "queries": asked.queries}
        if rng.random() < 0.3:
            del change["channels"]
        async with self.patience(0.0, 0.05, 5.0, 30.0):
            await subscription.update(**change)
        self.may_be_granted(subscription)
        self.world.must(subscription.id != before and before not in desired, "what was replaced is still asked for")

    async def visit(self) -> None:
        """Enter a subscription, listen for a while, and leave; whatever happens, it is over then."""
        asked = self._ask()
        async with self.patience(0.5, 5.0, 30.0), self._subscribe(asked) as subscription:
            self._take(asked, subscription)
            await self.iterate(subscription)
        left = self.realtime.state is State.DISPOSING or subscription.id not in self.watch.wants.desired
        self.world.must(left, "a subscription that was left is still asked for")

    async def listen(self) -> None:
        """Register a handler for a while; its errors must not hurt the connection."""
        rng, asked, holder = self.world.rng, self._ask(), list[Listener]()
        slow, reckless = rng.random() < 0.3, rng.random() < 0.5

        async def handler(event: Event) -> None:
            self.watch.ledger.received(holder[0], event)
            if slow and self.world.stormy:
                await asyncio.sleep(rng.uniform(0.0, 2.0))
            if reckless and rng.random() < 0.5:
                raise Bug

        pending = self.realtime.on(
            asked.channels, handler, queries=asked.queries, on_gap=asked.on_gap, catch_up=asked.catch_up, buffer=self.world.buffer
        )
        if rng.random() < 0.3 and len(self.listeners) < _MOST:  # for good
            async with self.patience(0.0, 5.0, 30.0):
                self._hear(asked, await pending, holder)
            return
        async with self.patience(0.5, 5.0, 30.0), pending as listener:
            self._hear(asked, listener, holder)
            await listener.wait()

    async def flutter(self) -> None:
        """Come and go, more often than a minute's budget allows."""
        async with self.patience(10.0, 100.0):
            for _ in range(self.world.rng.randint(5, 40)):
                subscription = await self.realtime.subscribe("rows", buffer=self.world.buffer)
                await subscription.unsubscribe()

    def _ask(self) -> Asked:
        return Asked(self.world, self.network, self.poison)

    def _subscribe(self, asked: Asked) -> Any:
        return self.realtime.subscribe(
            *asked.channels, queries=asked.queries, on_gap=asked.on_gap, catch_up=asked.catch_up, buffer=self.world.buffer
        )

    def _take(self, asked: Asked, subscription: Subscription) -> None:
        self.all.append(subscription)
        self.got(asked, subscription)

    def _hear(self, asked: Asked, listener: Listener, holder: list[Listener]) -> None:
        self.listeners.append(listener)
        holder.append(listener)
        self.got(asked, listener)

    # --- the link -----------------------------------------------------------------------------------------------------

    async def reconnect(self) -> None:
        async with self.endless_patience():
            await self.realtime.reconnect()

    async def connect(self) -> None:
        async with self.endless_patience():
            await self.realtime.connect()

    async def disconnect(self) -> None:
        async with self.patience(0.0, 2.0, 60.0):
            await self.realtime.disconnect()

    async def switch_ping(self) -> None:
        self.realtime.set_ping_enabled(self.world.rng.random() < 0.7)

    async def wait(self) -> None:
        async with self.endless_patience():
            await self.realtime.wait_connected(self.world.rng.choice((None, 0.0, 5.0)))

    async def follow(self) -> None:
        """Follow the states: each change begins where the one before it ended."""
        before: Change | None = None
        async with self.patience(1.0, 10.0, 60.0):
            async for change in self.realtime.states():
                self.world.must(before is None or change.source is before.dest, "a change of state was not told")
                before = change

    async def collide(self) -> None:
        """Two consumers on one stream: the second is refused, the first goes on."""
        for result in await asyncio.gather(self.consume(), self.consume(), return_exceptions=True):
            if result is not None:
                raise result

    # --- who they are -------------------------------------------------------------------------------------------------

    async def authenticate(self) -> None:
        session = self.world.rng.choice((*self.network.sessions, *self.network.sessions, BOGUS))
        self._authentications += 1
        mine = self._authentications
        try:
            async with self.endless_patience():
                user = await self.realtime.authenticate(session)
        except (AuthenticationRejected, IdentityUnavailable) as expected:
            self.look_at(expected)
        else:
            overtaken = mine != self._authentications  # of two at a time, both are told of the later one
            self.world.must(session != BOGUS or overtaken, f"authenticated with nothing, as {user['$id']}")

    async def log_out(self) -> None:
        self._authentications += 1
        self.watch.wire.guest = True
        async with self.endless_patience():
            user = await self.realtime.authenticate(_GUEST)
        self.world.must(user is None, "a guest with an account")

    async def change_everything(self) -> None:
        """Change the user while a new request is on its way; in the URL eras, while a link drains."""
        await asyncio.gather(self.act(self.subscribe), self.act(self._become_soon))

    async def _become_soon(self) -> None:
        await asyncio.sleep(self.world.rng.uniform(0.0, 0.4))
        await self.authenticate()

    async def appear(self) -> None:
        """Be shown as present."""
        rng = self.world.rng
        self._presences += 1
        mine, status = self._presences, f"status {self._presences}"
        forbidden = [rng.choice(_FORBIDDEN)] if rng.random() < self.poison else None
        async with self.endless_patience():
            named = rng.choice((None, None, "one", "two"))
            stored = await self.realtime.set_presence(status, permissions=forbidden, presence_id=named)
        overtaken = mine != self._presences  # of two at a time, both are told of the later one
        confused = self.world.faults["stray error frame"]  # it lets a reply, which names nothing, stand for the next one
        self.world.must(overtaken or confused or (stored or {}).get("status") == status, "present, as something else")
        self.world.must(overtaken or forbidden is None, "a presence with permissions that cannot be given was stored")

    async def disappear(self) -> None:
        self._presences += 1
        await self.realtime.set_presence(None)
