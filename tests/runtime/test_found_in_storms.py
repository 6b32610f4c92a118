"""The defects that the simulation found, each with the shortest way to it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from realtime_fsm import Disposed, Event, Gap, Realtime, RetryPolicy, State, SubscriptionEnded, UnsupportedByServer
from realtime_fsm.fsm.context import HANDOVER_DEBOUNCE
from realtime_fsm.fsm.inputs import GreetingReceived
from realtime_fsm.fsm.link import DRAIN_SECONDS
from realtime_fsm.protocol.frames import EventFrame, decode, message, subscribe_item
from realtime_fsm.runtime.deduplication import CAUGHT_UP_AFTER, HandoverDeduplicator
from realtime_fsm.testing.eras import era_named
from realtime_fsm.testing.wire import error
from support.bench import Bench
from support.network import HANG, Network
from support.some import some
from support.virtual import eventually

EVEN = '{"method":"equal","attribute":"even","values":[true]}'


def row(number: int) -> Mapping[str, object]:
    return {"$id": f"row{number}", "$updatedAt": "2026-11-24T12:00:00.000+00:00", "n": number, "even": number % 2 == 0}


def held(subscription: Any) -> list[int]:
    """Return the numbers of the events that wait for the consumer."""
    buffer = subscription._delivery.buffer
    numbers = [event.payload["n"] for event in buffer._items]
    buffer._items.clear()
    return numbers


async def lose(network: Network, realtime: Realtime) -> None:
    """Lose the link and get another one."""
    network.socket.cut()
    await eventually(lambda: realtime.state is State.RECONNECTING)
    await eventually(lambda: realtime.state is State.SUBSCRIBED)


# --- one link in the place of another -----------------------------------------------------------------------------------------


async def test_a_link_that_is_behind_brings_nothing_twice_when_the_one_before_it_is_gone() -> None:
    network = Network("E2")
    async with network.realtime(era="E2") as realtime:
        rows = await realtime.subscribe("rows")
        await realtime.subscribe("files")
        network.socket._latest += 3 * DRAIN_SECONDS
        network.publish("rows", payload=row(1))
        await asyncio.sleep(2 * DRAIN_SECONDS)
        assert (realtime._driver.links.draining, held(rows)) == (None, [1])
        await asyncio.sleep(2 * DRAIN_SECONDS)
        network.publish("rows", payload=row(2))
        await asyncio.sleep(1)
        assert held(rows) == [2]


async def test_a_link_that_is_behind_brings_nothing_twice_while_it_makes_room_itself() -> None:
    network = Network("E2")
    async with network.realtime(era="E2") as realtime:
        rows = await realtime.subscribe("rows")
        await realtime.subscribe("files")
        network.socket._latest += HANDOVER_DEBOUNCE + 1
        network.publish("rows", payload=row(1))
        await asyncio.sleep(HANDOVER_DEBOUNCE)
        assert held(rows) == [1]
        network.script.append(HANG)
        pending = asyncio.ensure_future(realtime.subscribe("teams"))
        await asyncio.sleep(3)
        assert (realtime.state, held(rows)) == (State.RECONNECTING, [])
        await pending


OLDER, NEWER = 1, 2


def event(number: int) -> Event:
    made = decode(b'{"type":"event","data":{"events":[],"channels":[],"timestamp":"t","payload":{"n":%d}}}' % number)
    assert isinstance(made, EventFrame)
    return made.data


def test_what_the_older_link_was_ahead_with_is_forgotten_when_the_newer_one_must_have_caught_up() -> None:
    overlap = HandoverDeduplicator()
    overlap.dial(NEWER)
    for _ in range(2):
        assert overlap.filter_new(event(0), ["s1"], OLDER) == ["s1"]
    assert overlap.filter_new(event(1), ["s1"], NEWER) == ["s1"]
    overlap.older_closed()
    assert overlap.filter_new(event(0), ["s1", "s2"], NEWER) == ["s2"], "once of twice"
    for number in some(range(1, CAUGHT_UP_AFTER + 1)):
        assert overlap.filter_new(event(number), ["s1"], NEWER) == ["s1"]
    assert overlap.filter_new(event(0), ["s1"], NEWER) == ["s1"]


async def test_what_makes_room_and_is_given_up_for_another_identity_leaves_a_gap() -> None:
    network = Network("E2")
    session = network.backend.add_user("alice")
    async with network.realtime(era="E2", retry=RetryPolicy(dials_per_minute=2)) as realtime:
        rows = await realtime.subscribe("rows")
        await realtime.subscribe("files")
        asyncio.ensure_future(realtime.subscribe("teams")).add_done_callback(lambda done: done.exception())
        await eventually(lambda: realtime.state is State.RECONNECTING)
        assert len(network.dials) == 2, "the third one waits for its turn"
        await realtime.authenticate(session)
        assert len(rows.gaps) == 1, "the old link delivers as a guest until the server greets alice"


@pytest.mark.parametrize("era", ["E2", "E3"])
async def test_a_second_greeting_does_not_make_a_link_deaf(era: Any) -> None:
    network = Network(era)
    async with network.realtime(era=era) as realtime:
        queries = [EVEN] if era == "E3" else []
        rows = await realtime.subscribe("rows", queries=queries)
        network.socket.push(b'{"type":"connected","data":{"channels":[],"subscriptions":[],"user":{}}}')
        await asyncio.sleep(1)
        network.publish("rows", payload=row(2))
        await asyncio.sleep(1)
        assert (held(rows), realtime.era, realtime.user) == ([2], era, None)


def test_a_second_greeting_is_no_news_for_the_machine() -> None:
    bench = Bench().to(State.SUBSCRIBED)
    before = bench.last.deadline
    bench.hear(GreetingReceived(bench.generation))
    assert (bench.state, bench.last.commands, bench.context.subscriptions.all_acknowledged) == (State.SUBSCRIBED, (), True)
    assert bench.last.deadline == before


def test_what_was_under_suspicion_is_innocent_when_an_older_server_takes_it_by_its_address() -> None:
    bench = Bench().to(State.CONNECTED)
    bench.subscribe("s1")
    bench.subscribe("s2")
    bench.acknowledge()  # of s1; s2 goes out
    bench.lose()
    bench.expire()
    bench.open()
    bench.greet()
    bench.err(1008)
    bench.lose()
    assert bench.context.subscriptions.queue.batches
    bench.expire()
    bench.open()
    bench.err(1008)
    assert bench.last.transition is not None
    assert bench.last.transition.row.id == "rec94"
    bench.open()
    bench.greet()
    assert bench.state is State.SUBSCRIBED
    assert bench.context.subscriptions.acknowledged == {"s1", "s2"}
    assert not bench.context.subscriptions.queue.batches


# --- what a subscription listens to -------------------------------------------------------------------------------------------


async def test_what_is_new_may_be_acknowledged_first_after_an_outage_and_the_gap_is_told() -> None:
    network = Network()
    gaps: list[Gap] = []
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", on_gap=gaps.append)
        await realtime.subscribe("teams")
        one, other = subscribe_item("s1", ("rows",), ()), subscribe_item("s2", ("teams",), ())
        network.answers[message("subscribe", [one, other])] = (error(1003),)
        network.answers[message("subscribe", [one])] = ()
        network.socket.cut()
        await eventually(lambda: len(network.sockets) == 2 and message("subscribe", [one]) in network.socket.sent)
        network.answers.clear()
        network.socket.cut()
        await rows.update(channels=["files"])
        await eventually(lambda: len(gaps) == 1)
        assert (rows.id, len(rows.gaps)) == ("s3", 1)
        await eventually(lambda: network.socket.peer.subscriptions == ("s3", "s2"))
        assert len(gaps) == 1, "one outage, one gap"


async def test_an_update_that_is_under_way_ends_with_its_subscription_though_an_earlier_one_was_cancelled() -> None:
    network = Network()
    async with network.realtime() as realtime:
        subscription = await realtime.subscribe("rows")
        cancelled = asyncio.ensure_future(subscription.update(channels=["files"]))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait((cancelled,))
        update = asyncio.ensure_future(subscription.update(channels=["teams"]))
        await asyncio.sleep(0)
        await subscription.unsubscribe()
        with pytest.raises(SubscriptionEnded):
            await update
        await eventually(lambda: network.socket.peer.subscriptions == ())


async def test_a_subscription_that_is_about_to_end_cannot_be_updated() -> None:
    network = Network()
    async with network.realtime() as realtime:
        subscription = await realtime.subscribe("rows")
        ending = asyncio.ensure_future(subscription.unsubscribe())
        await asyncio.sleep(0)
        with pytest.raises(SubscriptionEnded):
            await subscription.update(channels=["files"])
        await ending
        assert network.socket.peer.subscriptions == ()


async def test_a_second_catching_up_does_not_forget_what_the_first_has_delivered() -> None:
    network = Network()
    answers: list[list[Mapping[str, object]]] = [[row(1)], [row(2)]]

    async def catch_up(_: Gap) -> list[Mapping[str, object]]:
        await asyncio.sleep(1)
        return answers.pop(0)

    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", catch_up=catch_up)
        await lose(network, realtime)
        await asyncio.sleep(2)
        await lose(network, realtime)
        network.publish("rows", payload=row(1))  # its live duplicate was late, and comes while the second is at work
        await asyncio.sleep(2)
        network.publish("rows", payload=row(1))
        network.publish("rows", payload=row(3))
        await asyncio.sleep(1)
        assert held(rows) == [1, 2, 3]
        await asyncio.sleep(60)
        network.publish("rows", payload=row(1))
        await asyncio.sleep(1)
        assert held(rows) == [1], "each memory has its minute"


# --- who waits ----------------------------------------------------------------------------------------------------------------


async def test_who_waits_for_a_turn_to_become_somebody_else_is_told_of_the_end() -> None:
    network = Network()
    network.otherwise = HANG
    realtime = network.realtime()
    calls = [asyncio.ensure_future(realtime.authenticate("a session")) for _ in range(2)]
    await asyncio.sleep(1)
    await realtime.dispose()
    assert [type(result) for result in await asyncio.gather(*calls, return_exceptions=True)] == [Disposed, Disposed]


async def test_a_listener_ends_when_the_server_has_become_too_old_for_its_queries() -> None:
    network = Network()
    async with network.realtime() as realtime:
        listener = await realtime.on("rows", print, queries=[EVEN])
        await realtime.subscribe("files")
        network.backend.era = era_named("E2")
        network.socket.cut()
        with pytest.raises(UnsupportedByServer):
            await listener.wait()
        await asyncio.wait((listener.task,), timeout=1)
        assert listener.task.done()
