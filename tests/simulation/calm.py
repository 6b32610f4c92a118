"""Calm weather: nothing goes wrong any more, so all must heal; then come what storms hardly ever show.

Those are servers that lose every event, a user who spends a link's budget for minutes on end, one who changes his mind again and
again while a dial waits for its turn, and an outage of hours. It checks the messages and dials
that the server sees, and their times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from realtime_fsm import GreetedAsGuest, Realtime, RealtimeError, RefusedByServer, State
from realtime_fsm.client.subscription import SubscriptionInfo
from realtime_fsm.fsm.table import LIVE
from simulation.history import passes
from simulation.network import CHANNELS, Network
from simulation.users import Crowd
from simulation.world import World

HEAL_BOUND = 300.0
"""Virtual seconds after the network heals in which everything desired must be acknowledged."""
_MINUTE, _BUSTLE, _HOUR = 60.0, 150.0, 3_600.0
_HESITATIONS = 24
_MARGIN = 5.0  # seconds for messages and their answers


class Calm:
    """The calm after the storm.

    Attributes:
        slowest: how long it took to heal at most, in seconds.
    """

    def __init__(self, world: World, network: Network) -> None:
        self.world = world
        self.network = network
        self.slowest = 0.0

    async def look_at(self, crowds: Sequence[Crowd]) -> None:
        """See that all is well, and stays well."""
        rng = self.world.rng
        for crowd in crowds:
            await self.heal(crowd)
            if rng.random() < 0.4:
                crowd.watch.silence()
                await self.heal(crowd)
            if rng.random() < 0.4:
                await self.bustle(crowd)
            if rng.random() < 0.5:
                await self.deafen(crowd)
            if rng.random() < 0.2:
                await self.hesitate(crowd)
                await self.heal(crowd)
        if rng.random() < 0.15:
            await self.outage(crowds)

    async def heal(self, crowd: Crowd) -> None:
        """Everything desired must be acknowledged within the bound, and delivering; what was lost meanwhile was told."""
        world, watch = self.world, crowd.watch
        begin = world.loop.time()
        crowd.realtime.set_ping_enabled(True)  # without pings nothing shows that a stream went silent
        healthy = 0
        while (healthy := healthy + 1 if watch.satisfied else 0) < 2:  # for so long that what is under way has come
            if world.loop.time() > begin + HEAL_BOUND:
                world.fail(f"not healed after {HEAL_BOUND:g} s: {watch.name} is {watch.state}")
                return
            link = watch.links.current
            # The events of a canary are signs of life. So only a request can show that what the client sends never arrives.
            in_vain = link is not None and link.socket is not None and link.socket.sends_in_vain
            late = in_vain and world.loop.time() > begin + HEAL_BOUND / 2
            if late or watch.state in (State.ERROR, State.DISCONNECTED):
                world.note("heal", watch.name)
                await crowd.give_up_refused()
                self._try_again(crowd.realtime)
            await asyncio.sleep(0.5)
        self.slowest = max(self.slowest, world.loop.time() - begin)
        orphans = crowd.orphans()
        world.must(not orphans, f"{orphans} are subscribed, and no user holds them")
        await crowd.drain(end=False)
        for one in (*crowd.all, *crowd.listeners):
            if one.id in watch.wants.desired:
                watch.ledger.complete(one.id, watch.excused)
                await self._deliver(crowd, one)

    async def _deliver(self, crowd: Crowd, one: SubscriptionInfo) -> None:
        """An event that happens now must reach it, unless the link is renewed at this very moment: then the next one."""
        for _ in range(3):
            link = crowd.watch.link
            while not passes(one.queries, number := self.network.publish(one.channels[0])):
                pass
            if await crowd.receive(one, number):
                return
            if crowd.watch.link == link:
                break
        self.world.fail(f"{one.id}: nothing is delivered, though all has healed")

    def _try_again(self, realtime: Realtime) -> None:
        """Leave a state that has no automatic exit. Events lost before may still come to light, so the call may fail."""
        stranger = isinstance(realtime.error, GreetedAsGuest)
        call = realtime.authenticate(self.network.sessions[0]) if stranger else realtime.reconnect()
        asyncio.ensure_future(call).add_done_callback(lambda ended: ended.cancelled() or ended.exception())

    async def bustle(self, crowd: Crowd) -> None:
        """Come and go for minutes on end, where messages ask. The server drops none of them as one too many."""
        link, world = crowd.watch.links.current, self.world
        if link is None or link.specs is not None:
            return
        world.note("bustle", crowd.watch.name)
        await asyncio.sleep(2 * _MINUTE)  # what the storm has spent counts no more
        await asyncio.sleep(max(0.0, crowd.watch.next_ping - world.loop.time() - world.rng.uniform(0.0, 0.3)))
        dropped, until = world.faults["throttled"], world.loop.time() + _BUSTLE
        while world.loop.time() < until:
            try:
                subscription = await crowd.realtime.subscribe("rows", buffer=world.buffer)
            except RefusedByServer:  # the link was idle, and the next server is older: the second call in a row asks in the URL
                world.must(len(self.network.eras) > 1, "a sound server refuses a dial")
                await self.heal(crowd)
                return
            await subscription.unsubscribe()
        world.must(world.faults["throttled"] == dropped, "the server drops messages, though its budget was known")

    async def deafen(self, crowd: Crowd) -> None:
        """Let every server lose all events: a link that has a canary is given up in time."""
        watch = crowd.watch
        if watch.canary is None or not watch.wants.desired:
            return
        await asyncio.sleep(watch.canary.every)  # one is out, if the link was not renewed
        if not watch.hears_canary:  # its request waits, because the server has throttled the link
            await asyncio.sleep(_MINUTE)
        await self.heal(crowd)
        for server in self.network.servers:
            server.mute = True
        link = watch.link
        await asyncio.sleep(watch.canary.every + watch.canary.within + _MARGIN)
        self.world.must(watch.link > link or watch.state not in LIVE, f"{watch.name}: the link is deaf, and no canary was missed")
        for server in self.network.servers:
            server.mute = False
        await self.heal(crowd)

    async def hesitate(self, crowd: Crowd) -> None:
        """Want a link and then none, again and again: a dial that was waited for and is not needed delays no other one."""
        limit, world = self.network.limit, self.world
        if limit is None:
            return
        world.note("hesitate", crowd.watch.name)
        await crowd.realtime.disconnect()
        await asyncio.sleep(2 * _MINUTE)
        calls = []
        for _ in range(_HESITATIONS):
            calls.append(asyncio.ensure_future(crowd.realtime.reconnect()))
            await asyncio.sleep(0)
            await crowd.realtime.disconnect()
        begin, dialed_at = world.loop.time(), crowd.watch.wire.dialed_at
        before = len(dialed_at)
        calls.append(asyncio.ensure_future(crowd.realtime.reconnect()))
        for result in await asyncio.gather(*calls, return_exceptions=True):
            world.must(result is None or isinstance(result, RealtimeError), f"reconnect() raised {result!r}")
        world.must(len(dialed_at) > before, f"{crowd.watch.name}: reconnect() does not dial")
        waited = dialed_at[before] - begin  # a server of an unknown era may take a second dial
        world.must(waited <= 4 * _MINUTE / limit, f"{crowd.watch.name}: a dial waits {waited:.1f} s for no other dial")

    async def outage(self, crowds: Sequence[Crowd]) -> None:
        """Let every server be away for hours. A client without a limit reconnects without help; the others fail first."""
        world, rng = self.world, self.world.rng
        await asyncio.sleep(_MINUTE)  # those that the storm has killed are back
        up = [crowd for crowd in crowds if crowd.watch.state in LIVE]
        hours = rng.choice((1, 2, 5)) if len(crowds) == 1 else 1
        world.count("outage of hours")
        for server in self.network.servers:
            server.die()
        for _ in range(3):
            await asyncio.sleep(hours * _HOUR / 3)
            self.network.publish(*CHANNELS)
        for crowd in up:
            limit, state = crowd.watch.policy.reconnect_attempts, crowd.watch.state
            right = State.RECONNECTING if limit is None else State.ERROR
            if not crowd.watch.replaces_links:
                right = State.DISCONNECTED
            world.must(state is right, f"{crowd.watch.name} is {state} after {hours} h, and should be {right}")
        for server in self.network.servers:
            server.up = True
        for crowd in crowds:
            await self.heal(crowd)
