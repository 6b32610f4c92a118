"""One run: a storm, then calm weather, then the end."""

from __future__ import annotations

import asyncio
import itertools
import random
import uuid
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from selectors import SelectorKey
from typing import Any
from unittest.mock import patch

from realtime_fsm import Canary, PingPolicy, PingPolicyWarning, Realtime, RealtimeError, RetryPolicy, State, Timeouts, events
from realtime_fsm.auditlog import writer as audit
from realtime_fsm.client.subscription import MissingChannelWarning
from realtime_fsm.runtime import canary, driver, handover
from realtime_fsm.runtime import gaps as gaps
from realtime_fsm.runtime import suspend as sleep
from realtime_fsm.runtime.sockets import Transport
from realtime_fsm.testing.upgrade import CONSOLE
from simulation.calm import Calm
from simulation.coverage import Coverage
from simulation.doings import BusyCrowd
from simulation.history import Bug, misbehave
from simulation.invariants import Watch
from simulation.network import CANARY, CHANNELS, Network
from simulation.records import LogRefused, Records, recorded
from simulation.users import Crowd
from simulation.world import SHORTEST_EVERY, Violation, World
from support.virtual import VirtualLoop

_NUMBERS = itertools.count()  # each world is a server of its own, so the pacing of one run is not that of another


class Loop(VirtualLoop):
    """A loop in virtual time that has no files to look at, so it does not ask the system about them."""

    def __init__(self) -> None:
        super().__init__()
        vars(self._clock).update(select=self._pass)

    def _pass(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("every task waits for something that will never come")
        self._clock.now += max(0.0, timeout)
        return []


@dataclass
class Result:
    """The result of one run."""

    seed: int
    trace: str = ""
    violation: str | None = None
    virtual: float = 0.0
    steps: int = 0
    events: int = 0
    records: int = 0
    links: int = 0
    handovers: int = 0
    healed: float = 0.0
    eras: tuple[str, ...] = ()
    faults: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    coverage: Coverage = field(default_factory=Coverage)


def simulate(seed: int, *, seconds: float = 400.0) -> Result:
    """Make one run.

    Args:
        seed: decides everything that is left to chance.
        seconds: of virtual time that the storm lasts.

    Returns:
        What came of it, a violation included.
    """
    result = Result(seed)
    with asyncio.Runner(loop_factory=Loop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, Loop)
        world = World(seed, loop)
        with _harness(world) as records:
            run = Run(world, result, records, seconds)
            try:
                runner.run(run.whole())
            except Violation:
                pass
            except Exception as failure:  # noqa: BLE001  (whatever broken code raises)
                world.fail(f"the run broke: {failure!r}")
            run.look_at_reports()
            run.abandon()
            result.trace = world.trace
            result.violation = world.violation
            result.virtual = loop.time() - 1000.0
            result.steps, result.records = world.steps, records.count
            result.faults, result.actions, result.known = world.faults, world.actions, world.known
    return result


@contextmanager
def _harness(world: World) -> Iterator[Records]:
    """Put this world's chance, clock and logging in place of the process's, for the time of the run."""
    records = Records(world)
    chance = random.getstate()
    with ExitStack() as stack:
        stack.callback(random.setstate, chance)
        random.seed(world.rng.random())  # the driver's random source
        names = random.Random(world.seed)  # of presences and connections
        stack.enter_context(patch.object(uuid, "uuid4", lambda: uuid.UUID(int=names.getrandbits(128), version=4)))
        stack.enter_context(recorded(records))
        for module in (driver, gaps, handover, canary, audit, events):
            stack.enter_context(patch.object(module, "datetime", world.datetime_class()))
        sleep._DETECTORS[world.loop] = watch = sleep.SuspendDetector(world.loop, world.wall)
        stack.enter_context(patch.object(watch, "_listeners", Ordered()))
        world.buffer = world.rng.choice((4, 64, 1024))
        stack.enter_context(warnings.catch_warnings())
        for kind in (MissingChannelWarning, PingPolicyWarning):
            warnings.simplefilter("ignore", kind)
        yield records


class Ordered(dict[Any, None]):
    """A set that is iterated in the order in which it was filled, in place of a WeakSet."""

    def add(self, item: Any) -> None:
        self[item] = None

    def discard(self, item: Any) -> None:
        self.pop(item, None)


class Run:
    """One run."""

    def __init__(self, world: World, result: Result, records: Records, seconds: float) -> None:
        self.world = world
        self.result = result
        self.records = records
        self.seconds = seconds
        self.network = Network(world)
        result.eras = self.network.eras
        self.endpoint = f"http://simulated-{next(_NUMBERS)}/v1"
        self.crowds = [self._crowd(f"c{n}") for n in range(world.rng.choice((1, 1, 2)))]

    def _crowd(self, name: str) -> BusyCrowd:
        rng, wire = self.world.rng, self.network.transport(name)

        class Simulated(Realtime):
            def _transport(self, *given: Any, **options: Any) -> Transport:
                return wire

        every, within = rng.choice(((0.0, 0.0), (0.0, 0.0), (SHORTEST_EVERY, 5.0), (60.0, 10.0)))
        interval, wait = rng.choice((2.0, 5.0, 15.0, 30.0)), rng.choice((3.0, 10.0))
        realtime = Simulated(
            self.endpoint,
            CONSOLE,
            session=rng.choice((self.network.sessions[0], self._session)),
            retry=RetryPolicy(
                attempts=rng.choice((None, None, 3, 5, 1)),
                reconnect_attempts=rng.choice((None, None, 3, 5, 1)),
                base=rng.choice((0.2, 2.0)),
                cap=rng.choice((5.0, 30.0)),
                stable_after=rng.choice((5.0, 30.0)),
                dials_per_minute=self.network.limit,
            ),
            ping=PingPolicy(interval=interval, timeout=min(interval, rng.choice((1.0, 5.0, 10.0))), enabled=rng.random() < 0.9),
            timeouts=Timeouts(dial=wait, greeting=wait, reply=wait, idle=rng.choice((None, None, 5.0, 20.0))),
            auto_reconnect=rng.random() < 0.85,
            max_link_age=rng.choice((None, None, None, 20.0, 300.0)),
            canary=Canary(every, within, write=self._sing, channel=CANARY) if every else None,
            era=rng.choice(self.network.protocols),
        )
        realtime._driver._draw = random.random  # as users have it; the tests' own default is not random
        watch = Watch(self.world, realtime, wire, self.result.coverage)
        self.records.watchers[realtime.connection_id] = watch.record
        return BusyCrowd(self.world, self.network, realtime, watch)

    async def _session(self) -> str:
        """A session as a callable gives it."""
        await misbehave(self.world)
        return self.network.sessions[0]

    async def _sing(self) -> None:
        """Cause the event that a canary waits for."""
        with self.world.writing():
            await misbehave(self.world)
        self.network.publish(CANARY)

    async def whole(self) -> None:
        """The run, unless an invariant breaks first."""
        live = asyncio.ensure_future(self._live())
        await asyncio.wait((live, self.world.broken), return_when=asyncio.FIRST_COMPLETED)
        if self.world.violation is not None:
            raise Violation
        await live
        left = asyncio.all_tasks() - {asyncio.current_task()}
        self.world.must(not left, f"tasks are left: {[task.get_name() for task in left]}")

    async def _live(self) -> None:
        world, rng = self.world, self.world.rng
        weather = [asyncio.ensure_future(work) for work in (self.network.weather(), self._publish())]
        users = [asyncio.ensure_future(crowd.user()) for crowd in self.crowds for _ in range(crowd.users)]
        users += [asyncio.ensure_future(crowd.consumer()) for crowd in self.crowds for _ in range(2)]
        for _ in range(int(self.seconds / 5)):  # a suspended process does not shorten the storm
            await asyncio.sleep(5)
        if rng.random() < 0.75:
            await self._stop(users)
            await self._stop(weather)
            self.network.heal()
            calm = Calm(world, self.network)
            await calm.look_at(self.crowds)
            self.result.healed = calm.slowest
        for crowd in self.crowds:
            await self._dispose(crowd)
        await self._stop(weather)
        for user in users:
            if not user.done():
                await asyncio.wait((user,), timeout=1_000.0)
            world.must(user.done(), "a call never ends, though the connection was disposed of")

    async def _stop(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            self.world.must(ended is None or isinstance(ended, asyncio.CancelledError), f"a task of the run broke: {ended!r}")

    async def _publish(self) -> None:
        """Let things happen on the server, singly and in bursts, without end."""
        rng = self.world.rng
        pause = rng.choice((0.3, 1.0, 4.0))
        while True:
            await asyncio.sleep(rng.expovariate(1 / pause))
            for _ in range(rng.choice((1, 1, 3, 10)) if self.network.sockets else 0):
                channels = rng.choices(CHANNELS, k=2)
                self.network.publish(*channels, *(("account.u1",) if "account" in channels else ()))

    async def _dispose(self, crowd: Crowd) -> None:
        world, wire = self.world, crowd.watch.wire
        begin = world.loop.time()
        await crowd.realtime.dispose()
        world.must(world.loop.time() <= begin + 5.5 or world.stormy, "dispose() takes longer than its timeout")
        world.must(crowd.realtime.state is State.DISPOSING, "dispose() does not end in `disposing`")
        world.must(all(socket.given_up for socket in wire.sockets), "a socket is left open")
        world.must(wire.released == 1, "the transport is not released, once")
        await crowd.drain(end=True)
        self.result.links += len(wire.sockets)
        self.result.events += crowd.watch.ledger.delivered
        self.result.handovers += len(crowd.watch.links.made_room)

    def abandon(self) -> None:
        """Mark the connections of a broken run as disposed, so that they warn no user."""
        for crowd in self.crowds:
            crowd.watch._context.state = State.DISPOSING.value

    def look_at_reports(self) -> None:
        """Check the reports of the loop's exception handler: bugs of users, errors of listeners, and one of each broken log."""
        told = [report.get("exception") for report in self.world.loop.reported]
        expected: tuple[type[Exception], ...] = (LogRefused, Bug, RealtimeError)
        if self.world.a_write_hung:
            expected += (TimeoutError,)
        odd = [report for report in self.world.loop.reported if not isinstance(report.get("exception"), expected)]
        self.world.must(all(map(self.world.hides, map(repr, told))), "a secret in a report")
        self.world.must(not odd, f"the loop reports {odd[:1]}")
        logs = sum(isinstance(failure, LogRefused) for failure in told)
        self.world.must(logs <= len(self.crowds), "a broken log is told more than once")
