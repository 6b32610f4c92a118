"""The prober sends a canary at each interval, and calls a link deaf if no echo comes while the client reads."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from realtime_fsm import Canary, State
from realtime_fsm.fsm.inputs import Deaf, Probe
from realtime_fsm.protocol.eras import Era
from realtime_fsm.runtime.canary import Prober
from support.delivering import event_for
from support.virtual import Stopwatch

EVERY, WITHIN = 300.0, 10.0
PROOF = "2026-11-24T10:00:00.000+00:00"


class Probed(Stopwatch):
    """A prober; each of its acts has its seconds since the beginning."""

    def __init__(self, write: Callable[[], Any] | None = None, *, user: Any = None) -> None:
        super().__init__()
        self.probes: list[float] = []
        self.asked: list[Probe] = []
        self.told: list[tuple[Any, ...]] = []
        self.context: Any = SimpleNamespace(
            link=None, generation=0, era=Era.E4, state=State.SUBSCRIBED, subscriptions=SimpleNamespace(all_acknowledged=True)
        )
        self.owner: Any = SimpleNamespace(
            context=self.context, state=State.SUBSCRIBED, loop=self.loop, feed=self._feed,
            identity=SimpleNamespace(user={"$id": "alice"} if user is None else user),
            report=lambda failure, _: self._tell("reported", str(failure)),
        )  # fmt: skip
        gaps = SimpleNamespace(note_deaf_link=lambda: self._tell("noted"), end_deafness=self._end_deafness)
        registry: Any = SimpleNamespace(gaps=gaps)
        audit: Any = SimpleNamespace(canary=self._record)
        canary = Canary(EVERY, WITHIN) if write is None else Canary(EVERY, WITHIN, write, "beats")
        self.prober = Prober(canary, self.owner, registry, audit)
        self.sends = True  # whether the machine sends a canary at once

    def _tell(self, *what: Any) -> None:
        self.told.append((self.now, *what))

    def _feed(self, input_: Any) -> None:
        if isinstance(input_, Deaf):
            self._tell("deaf", input_.generation)
            return
        self.probes.append(self.now)
        self.asked.append(input_)
        if self.sends:
            self.prober.out()

    def _record(self, change: str, code: Any = None, *, seconds: float | None = None) -> None:
        self._tell(change, *(each for each in (code, None if seconds is None else round(seconds, 6)) if each is not None))

    def _end_deafness(self, until: datetime, seconds: float, dials: int, proof: Any) -> None:
        assert abs(until - datetime.now(UTC)) < timedelta(minutes=1)
        self._tell("gap", round(seconds, 6), dials, proof)

    def serve(self, number: int) -> None:
        """Make link `number` serve everything."""
        self.context.link, self.context.generation = SimpleNamespace(generation=number, read_paused=False, at_fault=False), number
        self.prober.follow_step()

    def lose(self) -> None:
        self.context.link = None
        self.prober.follow_step()

    def hear(self, proof: str | None = PROOF) -> None:
        self.prober.heard(event_for("canary", timestamp=proof))


async def test_a_canary_goes_out_at_once_and_then_at_its_interval() -> None:
    one = Probed()
    one.serve(1)
    one.prober.follow_step()
    await one.until(3)
    one.hear()
    await one.until(305)
    one.hear()
    one.hear()
    await one.until(604)
    one.hear()
    assert one.probes == [0, 300, 600]
    assert one.told == [(3, "echoed", 3), (305, "echoed", 5), (604, "echoed", 4)]
    one.lose()
    await one.until(2_000)
    assert len(one.probes) == 3


async def test_a_canary_of_the_own_presence_listens_to_the_own_user() -> None:
    one = Probed()
    one.serve(1)
    await one.until(1)
    (probe,) = one.asked
    assert probe.presence is not None
    assert (probe.spec.id, probe.spec.channels, [*map(msgspec.json.decode, probe.spec.queries)]) == (
        "canary", ("presences",), [{"method": "equal", "attribute": "userId", "values": ["alice"]}],
    )  # fmt: skip
    assert msgspec.json.decode(probe.presence)["data"]["status"] == "canary"
    one.lose()


@pytest.mark.parametrize("why", ["not live", "not acknowledged"])
async def test_a_prober_waits_until_the_link_serves_everything(why: str) -> None:
    one = Probed()
    one.owner.state = State.RECONNECTING if why == "not live" else State.SUBSCRIBED
    one.context.subscriptions.all_acknowledged = why != "not acknowledged"
    one.serve(1)
    await one.until(1_000)
    assert one.probes == []


@pytest.mark.parametrize("missing", ["era", "user", "id"])
async def test_a_prober_that_can_set_no_presence_looks_again_after_its_interval(missing: str) -> None:
    one = Probed()
    if missing == "era":
        one.context.era = Era.E3
    else:
        one.owner.identity.user = None if missing == "user" else {"$id": 7}
    one.serve(1)
    await one.until(299)
    one.context.era, one.owner.identity.user = Era.E4, {"$id": "alice"}
    await one.until(301)
    assert (one.probes, one.told) == ([300], [])
    one.lose()


async def test_a_link_without_an_echo_is_deaf_and_the_first_echo_of_another_link_ends_the_gap() -> None:
    one = Probed()
    one.serve(2)
    await one.until(3)
    one.hear()
    await one.until(309)
    assert not one.prober.is_deaf
    await one.until(311)
    assert one.prober.is_deaf
    one.lose()
    await one.until(320)
    one.serve(4)
    await one.until(331)
    one.lose()
    await one.until(340)
    one.serve(5)
    await one.until(342)
    one.hear("later")
    assert one.told == [
        (3, "echoed", 3),
        (310, "missed", 10), (310, "noted"), (310, "deaf", 2),
        (330, "missed", 10), (330, "noted"), (330, "deaf", 4),
        (342, "echoed", 2), (342, "gap", 339, 3, PROOF),
    ]  # fmt: skip
    assert (one.prober.is_deaf, one.probes) == (False, [0, 300, 320, 340])
    one.lose()


async def test_without_a_proof_the_gap_begins_where_the_link_could_first_give_one() -> None:
    one = Probed()
    await one.until(7)
    one.serve(1)
    await one.until(18)
    one.lose()
    await one.until(20)
    one.serve(2)
    one.owner.identity.user = None
    await one.until(21)
    assert one.told[-1] == (20, "gap", 13, 1, None), "no echo can be expected"
    one.lose()


async def test_the_wait_for_an_echo_begins_anew_while_the_client_does_not_read() -> None:
    one = Probed()
    one.serve(1)
    one.context.link.read_paused = True
    await one.until(15)
    one.context.link.read_paused = False
    await one.until(21)
    assert one.told == [(20, "missed", 20), (20, "noted"), (20, "deaf", 1)]
    one.lose()


async def test_after_a_late_echo_the_next_canary_goes_out_at_once() -> None:
    one = Probed()
    one.serve(1)
    one.context.link.read_paused = True
    await one.until(355)
    one.hear()
    await one.until(356)
    assert one.probes == [0, 355]
    one.lose()


@pytest.mark.parametrize(("began", "ended"), [(-1, 5), (2, 5), (2, 20)])
async def test_a_server_fault_explains_a_missing_echo_and_the_next_canary_proves_the_link(began: int, ended: int) -> None:
    one = Probed()
    one.serve(1)
    for moment, at_fault in ((began, True), (ended, False)):
        await one.until(max(0, moment))
        one.context.link.at_fault = at_fault
        one.prober.follow_step()
    await one.until(301)
    assert (one.told, one.probes, one.prober.is_deaf) == ([(10, "missed", 10)], [0, 300], False)
    await one.until(311)
    assert one.told[1:] == [(310, "missed", 10), (310, "noted"), (310, "deaf", 1)]
    one.lose()


async def test_the_gap_of_an_earlier_deaf_link_goes_on_while_the_server_is_at_fault() -> None:
    one = Probed()
    one.serve(1)
    await one.until(11)
    one.lose()
    one.serve(2)
    one.context.link.at_fault = True
    one.prober.follow_step()
    await one.until(22)
    assert (one.told[-1], one.prober.is_deaf) == ((21, "missed", 10), True)
    one.context.link.at_fault = False
    await one.until(313)
    one.hear()
    assert one.told[-1] == (313, "gap", 313, 1, None)
    one.lose()


@pytest.mark.parametrize(("code", "probes"), [(1008, [0, 300]), (1003, [0, 5, 305])])
async def test_a_refusal_proves_nothing_and_one_that_ends_the_link_keeps_the_interval(code: int, probes: list[float]) -> None:
    one = Probed()
    one.serve(1)
    await one.until(2)
    one.prober.refused(code)
    assert one.told == [(2, "refused", code)]
    one.lose()
    await one.until(5)
    one.serve(2)
    await one.until(6)
    if len(one.probes) == 2:
        one.hear()
    await one.until(306)
    assert one.probes == probes
    one.lose()
    await one.until(400)
    one.serve(3)
    await one.until(401)
    assert one.probes == [*probes, 400]
    one.lose()


async def test_the_next_canary_after_a_refusal_waits_for_the_interval() -> None:
    one = Probed()
    one.serve(1)
    await one.until(2)
    one.prober.refused(1003)
    await one.until(301)
    assert one.probes == [0, 300]
    one.lose()


# --- the callable of the user -----------------------------------------------------------------------------------------


async def test_the_echo_of_a_callable_is_awaited_from_its_return() -> None:
    one = Probed(lambda: asyncio.sleep(4))
    one.sends = False
    one.serve(1)
    await one.until(1)
    assert one.asked[0].spec.channels == ("beats",)
    one.prober.out()
    await one.until(14)
    assert one.told == []
    await one.until(16)
    assert one.told == [(15, "missed", 15), (15, "noted"), (15, "deaf", 1)]
    one.lose()
    one.prober.out()
    await one.until(1_000)
    assert len(one.told) == 3, "a canary that is given up is not written"


async def test_a_task_that_starts_eagerly_waits_for_its_echo_like_any_other() -> None:
    async def write() -> None:
        pass

    @types.coroutine
    def rest(work: Any) -> Any:
        yield from work

    def begin_at_once(work: Any, name: str) -> Any:
        """Start a task as the factory of eager tasks does, which Python 3.11 lacks."""
        try:
            work.send(None)
        except StopIteration:
            return SimpleNamespace(done=lambda: True)
        return loop.create_task(rest(work))

    one, loop = Probed(write), asyncio.get_running_loop()
    one.owner.loop = SimpleNamespace(time=loop.time, call_at=loop.call_at, create_task=begin_at_once)
    one.serve(1)
    await one.until(20)
    assert one.told == [(10, "missed", 10), (10, "noted"), (10, "deaf", 1)]


async def test_a_callable_that_hangs_is_told_once_and_the_next_canary_waits_for_it() -> None:
    one = Probed(lambda: asyncio.sleep(404))
    one.serve(1)
    await one.until(411)
    assert one.told == [
        (300, "failed"),
        (300, "reported", "Canary.write has not returned for 300 s; until it does, no canary goes out"),
    ]
    assert one.probes == [0, 410], "it looks again every ten seconds"
    one.lose()
    await one.prober.wait_closed()


async def test_a_callable_that_outlives_its_link_is_told_when_it_has_taken_the_interval() -> None:
    async def write() -> None:
        for _ in range(3):  # the end of a link cancels it, and so do the next link and its end
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(1_000)

    one = Probed(write)
    one.serve(1)
    await one.until(5)
    one.lose()
    await one.until(8)
    one.serve(2)
    await one.until(307)
    assert one.told == []
    await one.until(309)
    assert [what for _, what, *_ in one.told] == ["failed", "reported"]
    assert one.probes == [0]
    one.lose()
    await one.prober.wait_closed()


@pytest.mark.parametrize("ended", [False, True])
async def test_a_callable_that_raises_is_told_unless_the_log_is_closed(ended: bool) -> None:
    async def write() -> None:
        await asyncio.sleep(2)
        raise LookupError("no")

    one = Probed(write)
    one.serve(1)
    if ended:
        one.context.state = State.DISPOSING
    await one.until(301)
    assert one.told == [*([] if ended else [(2, "failed")]), (2, "reported", "no")]
    assert one.probes == [0, 300]
    one.lose()
    await one.prober.wait_closed()


@pytest.mark.parametrize("spared", [False, True])
async def test_the_call_ends_with_its_link_unless_it_ends_the_connection_itself(spared: bool) -> None:
    written: list[float] = []

    async def write() -> None:
        tasks.append(asyncio.current_task())
        await asyncio.sleep(5)
        written.append(one.now)

    one, tasks = Probed(write), list[Any]()
    one.serve(1)
    await one.until(1)
    assert [one.prober.spare(None), one.prober.spare(asyncio.current_task())] == [False, False]
    if spared:
        assert one.prober.spare(tasks[0])
    one.lose()
    await one.prober.wait_closed()
    assert (one.now, tasks[0].done()) == (1, not spared)
    await one.until(10)
    assert written == ([5] if spared else [])


async def test_an_echo_before_a_link_serves_everything_begins_nothing() -> None:
    one = Probed()
    one.hear()
    await one.until(400)
    assert (one.told, one.probes) == ([], [])
    one.prober.out()
    await one.until(500)
    assert (one.told, one.probes) == ([], [])
