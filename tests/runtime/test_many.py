"""Many subscriptions on one link, and many connections in one process: what each costs does not grow with their number."""

from __future__ import annotations

import asyncio
import gc
import random
import tracemalloc
from collections import Counter

from realtime_fsm import PingPolicy, Realtime, RetryPolicy, State
from realtime_fsm.fsm.context import ConnectionContext
from realtime_fsm.fsm.machine import ConnectionMachine
from realtime_fsm.fsm.pacer import Pacer
from realtime_fsm.protocol.frames import PING
from realtime_fsm.testing.memory import MemorySocket
from support.bench import Bench
from support.network import Network
from support.virtual import VirtualLoop

INTERVAL = 30.0


async def test_thousands_of_subscriptions_on_one_link_are_asked_for_in_few_frames_and_an_event_looks_at_its_own_alone() -> None:
    count = 2000

    class Counted(dict[str, object]):
        looks = 0

        def get(self, *given: object) -> object:
            Counted.looks += 1
            return super().get(*given)  # type: ignore[call-overload]

    network = Network(rate_limit=None)
    async with network.realtime() as realtime:
        subscriptions = await asyncio.gather(*(realtime.subscribe(f"buckets.b{n}.files") for n in range(count)))
        frames = [frame for frame in network.socket.sent if frame != PING]
        assert len(frames) <= 4
        assert all(len(frame) <= 65_536 for frame in frames)
        driver = realtime._driver
        driver.registry.deliveries = Counted(driver.registry.deliveries)  # type: ignore[assignment]
        receive = driver.message_handler(driver.links.current)  # type: ignore[arg-type]
        for number in (0, count // 2, count - 1):
            receive(b'{"type":"event","data":{"payload":{"n":1},"subscriptions":["%b"]}}' % subscriptions[number].id.encode())
            assert len(subscriptions[number]._delivery.buffer) == 1
        assert Counted.looks == 3
        assert sum(len(subscription._delivery.buffer) for subscription in subscriptions) == 3
        await asyncio.gather(*(subscription.unsubscribe() for subscription in subscriptions[: count // 2]))
        assert realtime.state is State.SUBSCRIBED


async def test_many_connections_have_one_timer_each_and_their_pings_are_spread_over_the_interval() -> None:
    count = 400
    network = Network(rate_limit=None)
    ping, retry = PingPolicy(interval=INTERVAL), RetryPolicy(dials_per_minute=None)
    draw = random.Random(1).random
    fleet = [network.realtime(draw, ping=ping, retry=retry) for _ in range(count)]
    await asyncio.gather(*(realtime.subscribe("rows") for realtime in fleet))
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    began = loop.time()
    await asyncio.sleep(1)
    timers = [timer._callback for timer in loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
    ours = [callback for callback in timers if callback.__module__ != MemorySocket.__module__]  # not frames on their way
    assert len(ours) <= count + 2, "and one that watches for sleep, and one of this test"
    pings: Counter[int] = Counter()
    before = dict.fromkeys(network.sockets, 0)
    while loop.time() < began + 4 * INTERVAL:
        await asyncio.sleep(1)
        for socket in network.sockets:
            sent = socket.sent.count(PING)
            pings[int(loop.time() - began)] += sent - before[socket]
            before[socket] = sent
    assert max(pings.values()) < count / INTERVAL * 3
    assert all(3 <= sent <= 4 for sent in before.values()), "each keeps its interval"
    await asyncio.gather(*(realtime.dispose() for realtime in fleet))


def _bytes_each(make: object, count: int = 200) -> float:
    assert callable(make)
    kept = [make() for _ in range(count)]
    gc.collect()
    tracemalloc.start()
    kept += [make() for _ in range(count)]
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(kept) == 2 * count
    return held / count


def test_the_machines_part_of_a_connection_is_small() -> None:
    pacer = Pacer(None)

    def live() -> object:
        return ConnectionMachine(Bench(pacer=pacer).to(State.SUBSCRIBED).context)

    assert _bytes_each(lambda: ConnectionContext(pacer=pacer)) < 1280
    assert _bytes_each(live) < 2600, "with a subscription, and the row that was taken last"


def test_a_connection_that_is_not_used_is_small() -> None:
    assert _bytes_each(lambda: Realtime("http://localhost/v1", "demo")) < 4800
