"""Deaf links: pings are answered and events are lost. A canary finds them, where one is wanted."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from realtime_fsm import BadOption, Gap, LinkLost, RetriesExhausted, RetryPolicy, State
from realtime_fsm.errors import Overdue
from realtime_fsm.testing.wire import error
from support.brokenlogs import collected
from support.canary import OWN, deafen, heal, own, statuses, written
from support.network import Network, take_numbers
from support.replaying import emitted, log_of, replayed, run_emitted
from support.virtual import VirtualLoop, eventually, run


async def test_it_is_off_by_default() -> None:
    network = Network()
    async with network.realtime(session=network.backend.add_user("alice")) as realtime:
        await realtime.subscribe("rows")
        deafen(network)
        await asyncio.sleep(2_000)
        assert (len(network.dials), statuses(network)) == (1, [])


async def test_a_link_proves_itself_at_once_and_again_in_its_time() -> None:
    network = Network()
    async with own(network) as realtime:
        await realtime.connect()
        await asyncio.sleep(400)
        assert statuses(network) == [], "nothing is subscribed, so nothing can be missed"
        rows = await realtime.subscribe("rows")
        await asyncio.sleep(1)
        assert statuses(network) == ["canary"]
        await asyncio.sleep(899)
        assert statuses(network) == ["canary"] * 4
        assert (realtime.state, len(network.dials), rows.gaps) == (State.SUBSCRIBED, 1, ())
        kinds = [json.loads(data)["type"] for data in network.socket.sent]
        assert kinds.count("subscribe") == 2, "one for the user, and a hidden one"
        network.publish("rows", payload={"n": 1})
        await asyncio.sleep(1)
        assert take_numbers(rows) == [1], "what proves the link is not delivered"
        await rows.unsubscribe()
        assert realtime.state is State.UNSUBSCRIBED, "the hidden subscription does not count"
        await asyncio.sleep(600)
        assert statuses(network) == ["canary"] * 4


async def test_a_deaf_link_is_replaced_and_the_gap_reaches_from_the_last_proof_to_the_first_echo() -> None:
    network = Network()
    async with own(network) as realtime:
        told: list[Gap] = []
        rows = await realtime.subscribe("rows", on_gap=told.append)
        states = realtime.states()
        await asyncio.sleep(1)
        proven = network.wall() - 1
        await asyncio.sleep(99)
        deafen(network)
        assert network.publish("rows", payload={"n": 1}) == 0
        await eventually(lambda: not realtime.is_live)
        assert network.wall() - proven == pytest.approx(310, abs=1)
        change = await anext(states)
        while change.dest.is_live:
            change = await anext(states)
        assert (change.row[3:], change.trigger, change.dest) == ("163", "deaf", State.RECONNECTING)
        assert isinstance(change.cause, Overdue)
        assert change.cause.kind == "echo_overdue"
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        assert told == [], "the next link may be deaf, too"
        heal(network)
        await eventually(lambda: told)
        (gap,) = told
        assert gap.outage_seconds == pytest.approx(network.wall() - proven, abs=1)
        assert gap.since is not None
        assert gap.since.timestamp() == pytest.approx(proven, abs=1), "the server's time of the last proof"
        assert rows.gaps == (gap,)
        assert gap.attempts == len(network.dials) - 1


async def test_a_subscription_that_only_deaf_links_served_gets_its_gap_with_the_first_echo() -> None:
    network = Network()
    async with own(network) as realtime:
        rows = await realtime.subscribe("rows")
        await asyncio.sleep(1)
        deafen(network)
        await eventually(lambda: len(network.dials) == 2)
        files = await realtime.subscribe("files")
        await eventually(lambda: len(network.dials) == 3)
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        assert (rows.gaps, files.gaps) == ((), ()), "the third link may be deaf, too"
        heal(network)
        await eventually(lambda: rows.gaps and files.gaps)
        await asyncio.sleep(1)
        assert (len(rows.gaps), len(files.gaps)) == (1, 1)


async def test_an_event_after_the_last_proof_is_a_later_one() -> None:
    network = Network()
    async with own(network) as realtime:
        rows = await realtime.subscribe("rows")
        await asyncio.sleep(200)
        network.publish("rows", payload={"n": 1})
        heard = network.wall()
        await asyncio.sleep(1)
        deafen(network)
        await eventually(lambda: len(network.dials) == 2)
        heal(network)
        await eventually(lambda: rows.gaps)
        assert rows.gaps[0].since is not None
        assert rows.gaps[0].since.timestamp() == pytest.approx(heard, abs=0.1)


async def test_repeated_deafness_backs_off_like_failing_dials() -> None:
    network = Network()
    async with own(network, retry=RetryPolicy(attempts=None, base=2, factor=4, cap=60)) as realtime:
        rows = await realtime.subscribe("rows")
        await asyncio.sleep(1)
        deafen(network)
        await asyncio.sleep(900)
        pauses = [later - before for before, later in zip(network.dials[1:], network.dials[2:], strict=False)]
        assert pauses[:4] == pytest.approx([11.5, 16, 34, 55], abs=1), "ten seconds of a canary and a growing delay"
        assert rows.gaps == (), "one gap, told by the first echo"
        heal(network)
        await eventually(lambda: rows.gaps)
        await asyncio.sleep(1_000)
        assert len(rows.gaps) == 1
        assert realtime._driver.context.attempt == 0, "forgiven, when the next one came back"


async def test_where_attempts_are_used_up_it_gives_up() -> None:
    network = Network()
    async with own(network, retry=RetryPolicy(attempts=2, reconnect_attempts=2)) as realtime:
        rows = await realtime.subscribe("rows")
        deafen(network)
        with pytest.raises(RetriesExhausted) as caught:
            await anext(rows)
        assert isinstance(caught.value.cause, Overdue)
        assert str(caught.value).endswith(f"{realtime._driver.context.server}: no echo within 10 seconds")


async def test_without_auto_reconnect_those_who_wait_are_told() -> None:
    network = Network()
    async with own(network, auto_reconnect=False) as realtime:
        rows = await realtime.subscribe("rows")
        deafen(network)
        with pytest.raises(LinkLost):
            await anext(rows)
        assert realtime.state is State.DISCONNECTED
        heal(network)
        await realtime.connect()
        await eventually(lambda: rows.gaps)


async def test_it_sends_the_presence_that_is_wanted() -> None:
    network = Network()
    async with own(network) as realtime:
        await realtime.set_presence("online")
        await realtime.subscribe("rows")
        await asyncio.sleep(301)
        assert statuses(network) == ["online"] * 3
        deafen(network)
        await eventually(lambda: len(network.dials) == 2)
        heal(network)
        await eventually(lambda: statuses(network) and realtime.state is State.SUBSCRIBED)
        await asyncio.sleep(1)
        assert set(statuses(network)) == {"online"}
        assert len(network.dials) == 2


async def test_a_presence_after_a_canary_of_its_own_takes_a_new_link_under_its_id() -> None:
    network = Network()
    async with own(network) as realtime:
        await realtime.subscribe("rows")
        await asyncio.sleep(1)
        stored = await realtime.set_presence("online", presence_id="alice-phone")
        assert stored is not None
        assert (stored["$id"], len(network.dials)) == ("alice-phone", 2)
        await realtime.set_presence(None)
        await asyncio.sleep(600)
        assert (statuses(network)[-1], len(network.dials)) == ("canary", 2), "heard under the id that the link has"


async def test_another_connection_of_the_user_does_not_make_it_deaf() -> None:
    """The server keeps one presence a user, under the id of the first."""
    network = Network()
    session = network.backend.add_user("alice")
    async with network.realtime(session=session) as phone, network.realtime(session=session, canary=OWN) as tablet:
        await phone.set_presence("online", presence_id="phone")
        await tablet.subscribe("rows")
        await asyncio.sleep(700)
        assert (len(network.dials), tablet.state) == (2, State.SUBSCRIBED)


async def test_a_canary_that_could_not_be_heard_is_refused_at_the_call() -> None:
    network = Network()
    async with own(network) as realtime:
        with pytest.raises(BadOption, match=r"no read\(\.\.\.\)"):
            await realtime.set_presence("online", permissions=['update("user:alice")'])
        assert await realtime.set_presence("online", permissions=['read("user:alice")', 'update("user:alice")'])


@pytest.mark.parametrize("how", ["guest", "old"])
async def test_where_no_presence_can_be_set_none_is(how: str) -> None:
    network = Network(era="E4" if how == "guest" else "E3")
    session = None if how == "guest" else network.backend.add_user("alice")
    async with network.realtime(session=session, canary=OWN) as realtime:
        await realtime.subscribe("rows")
        deafen(network)
        await asyncio.sleep(1_000)
        assert (len(network.dials), realtime.state) == (1, State.SUBSCRIBED)
        assert all(b"presence" not in data for data in network.socket.sent)


async def test_a_gap_that_nothing_can_end_is_told_at_the_next_link() -> None:
    network = Network()
    async with own(network) as realtime:
        rows = await realtime.subscribe("rows")
        deafen(network)
        await eventually(lambda: not realtime.is_live)
        await realtime.authenticate(None)
        await eventually(lambda: rows.gaps)


@pytest.mark.parametrize("word", [b'"presence"', b'"canary"'])
async def test_a_refused_canary_proves_nothing(word: bytes) -> None:
    network = Network()
    async with own(network) as realtime:
        rows = await realtime.subscribe("rows")
        deafen(network)
        await eventually(lambda: not realtime.is_live)
        network.refused.add(word)
        await eventually(lambda: rows.gaps)
        await asyncio.sleep(400)
        assert (realtime.state, len(network.dials)) == (State.SUBSCRIBED, 2)
        network.refused.clear()
        heal(network)
        await asyncio.sleep(400)
        assert statuses(network)[-1] == "canary"
        assert len(network.dials) == 2


@pytest.mark.virtual(reports=1)
async def test_a_refused_presence_of_the_user_is_told_and_the_next_canary_is_its_own() -> None:
    network = Network()
    async with own(network) as realtime:
        await realtime.subscribe("rows")
        await realtime.set_presence("online")
        await asyncio.sleep(200)
        network.refused.add(b'"online"')
        await asyncio.sleep(200)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        assert len(loop.reported) == 1
        await asyncio.sleep(300)
        assert (statuses(network)[-2:], len(network.dials)) == (["online", "canary"], 1)


def throttle(network: Network, word: str) -> list[bytes]:
    """Let the server drop the next message of a kind as one too many; the answer is empty as soon as it has."""
    spent = [error(1013)]
    real = network.socket.peer.receive_message

    def handle(data: bytes, now: float) -> Any:
        if spent and f'"type":"{word}"'.encode() in data:
            network.socket.push(spent.pop())
            return type(real(b'{"type":"ping"}', now))()
        return real(data, now)

    network.socket.peer.receive_message = handle  # type: ignore[method-assign,assignment]
    return spent


@pytest.mark.parametrize("word", ["subscribe", "presence"])
async def test_where_the_minute_is_spent_it_goes_out_in_the_next_one(word: str) -> None:
    network = Network()
    async with own(network) as realtime:
        rows = await realtime.subscribe("rows")
        spent = throttle(network, word)
        await asyncio.sleep(200)
        assert spent == []
        assert (len(network.dials), rows.gaps, statuses(network)[-1]) == (1, (), "canary")


async def test_a_throttled_link_that_is_deaf_is_found_by_the_canary_of_the_next_minute() -> None:
    network = Network()
    async with own(network) as realtime:
        await realtime.subscribe("rows")
        spent, since = throttle(network, "subscribe"), deafen(network)
        await eventually(lambda: not realtime.is_live)
        assert spent == []
        assert network.wall() - since == pytest.approx(60 + OWN.within, abs=1)


async def test_while_nothing_is_read_silence_means_nothing() -> None:
    network = Network()
    async with own(network) as realtime:
        rows = await realtime.subscribe("rows", buffer=1, overflow="pause")
        await asyncio.sleep(290)
        for number in range(4):
            network.publish("rows", payload={"n": number})
        await asyncio.sleep(60)
        assert realtime._driver.context.require_link.read_paused
        assert (len(network.dials), realtime.is_live) == (1, True)
        assert [(await anext(rows)).payload["n"] for _ in range(4)] == [0, 1, 2, 3]
        await asyncio.sleep(600)
        assert len(network.dials) == 1


async def test_catching_up_waits_for_the_end_of_the_gap_and_repeats_nothing() -> None:
    network = Network()
    asked: list[Gap] = []

    def row(number: int) -> dict[str, Any]:
        return {"$id": f"r{number}", "$updatedAt": "2026-01-01T00:00:00.000+00:00", "n": number}

    async def catch_up(gap: Gap) -> list[dict[str, Any]]:
        asked.append(gap)
        return [row(1), row(2)]

    async with own(network) as realtime:
        rows = await realtime.subscribe("rows", catch_up=catch_up)
        await asyncio.sleep(1)
        deafen(network)
        network.publish("rows", payload=row(1))
        await eventually(lambda: len(network.dials) == 2)
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        heal(network)
        network.socket.latency = 0.2  # what is published now comes before the echo
        network.publish("rows", payload=row(2))
        await eventually(lambda: asked)
        await asyncio.sleep(1)
        assert sorted(take_numbers(rows)) == [1, 2]
        network.publish("rows", payload=row(3))
        await asyncio.sleep(1)
        assert take_numbers(rows) == [3]
        assert len(asked) == 1


async def test_a_gap_repeats_nothing_soon_after_another_one() -> None:
    """Remember caught-up events for a minute, and also the events that come before the next gap."""
    network = Network()
    missed: list[list[int]] = [[1], [2, 3]]

    def row(number: int) -> dict[str, Any]:
        return {"$id": f"r{number}", "$updatedAt": "2026-01-01T00:00:00.000+00:00", "n": number}

    async def catch_up(gap: Gap) -> list[dict[str, Any]]:
        return [row(number) for number in missed.pop(0)]

    async with own(network) as realtime:
        rows = await realtime.subscribe("rows", catch_up=catch_up)
        await asyncio.sleep(1)
        network.socket.cut()
        await eventually(lambda: len(missed) == 1)
        deafen(network)
        await eventually(lambda: len(network.dials) == 3)
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        heal(network)
        network.socket.latency = 0.2
        network.publish("rows", payload=row(3))
        await eventually(lambda: not missed)
        await asyncio.sleep(1)
        assert sorted(take_numbers(rows)) == [1, 2, 3]


# --- the log --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["own", "written"])
def test_its_log_is_replayed(kind: str, tmp_path: Any) -> None:
    async def main() -> None:
        network = Network()
        realtime = own(network) if kind == "own" else written(network)[0]
        async with realtime:
            rows = await realtime.subscribe("rows")
            await asyncio.sleep(400)
            deafen(network)
            await asyncio.sleep(600)
            heal(network)
            await eventually(lambda: rows.gaps)
            await asyncio.sleep(700)

    with collected() as records:
        run(main)
    changes = {record["change"] for record in records if record["event"] == "realtime.canary"}
    assert changes == {"echoed", "missed"}
    log = log_of(tmp_path / "log", records)
    run_emitted(emitted(log, replayed(log)))
