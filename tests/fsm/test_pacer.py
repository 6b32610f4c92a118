"""The pacer: how often a process may dial one server."""

from __future__ import annotations

import gc
import weakref
from threading import Lock, Thread

import pytest

from realtime_fsm.fsm.pacer import BURST, Pacer, pacer_for
from support.some import some

STEP = 60 / 128


def most_in_a_minute(dials: list[float]) -> int:
    """The most dials that any 60 seconds hold."""
    return max(sum(begin <= dial < begin + 60 - 1e-6 for dial in dials) for begin in dials)


def drive(pacer: Pacer, places: list[float], late: dict[float, float], began: float = 0.0) -> list[float]:
    """Let each dial come at its place, or so much later as `late` says of it, until all have left.

    Returns:
        When each left.
    """
    left, waiting = [place for place in places if place == began], sorted(place for place in places if place > began)
    while waiting:
        place = waiting.pop(0)
        now = max(place + late.pop(place, 0.0), left[-1] if left else 0.0)
        again = pacer.claim(place, now)
        if again == now:
            left.append(now)
        else:
            assert again > now
            waiting = sorted([*waiting, again])
    return left


def test_a_burst_of_eight_then_one_every_60_128th_of_a_minute() -> None:
    pacer = Pacer(128)
    places = [pacer.reserve(0.0) for _ in range(400)]
    assert places[:BURST] == [0.0] * 8
    assert places[8:128] == pytest.approx([STEP * number for number in range(1, 121)])
    assert places[128:] == pytest.approx([60 + STEP * number for number in range(272)])
    assert most_in_a_minute(drive(pacer, places, {})) == 128


def test_a_burst_is_there_again_after_a_while() -> None:
    pacer = Pacer(128)
    assert [pacer.reserve(0.0) for _ in range(8)] == [0.0] * 8
    assert [pacer.reserve(4.0) for _ in range(9)] == pytest.approx([4.0] * 8 + [4.0 + STEP])


def test_the_limit_holds_where_dials_come_late() -> None:
    pacer = Pacer(128)
    places = [pacer.reserve(0.0) for _ in range(384)]
    late = {place: 60.9 - place for place in places if 0 < place <= 60.9}
    left = drive(pacer, places, late)
    assert len(left) == 384
    assert most_in_a_minute(left) <= 128
    assert left.count(60.9) == BURST, "all come at once, and a burst of them leaves"
    assert max(left) < 260, "none waits much longer than the others"


@pytest.mark.parametrize("lateness", [0.004, 0.2, 3.0, 30.0])
def test_the_limit_holds_for_a_busy_loop(lateness: float) -> None:
    pacer = Pacer(128)
    places = [pacer.reserve(0.0) for _ in range(600)]
    late = {place: lateness * (number * 7919 % 13) / 13 for number, place in enumerate(places) if place > 0}
    left = drive(pacer, places, late)
    assert len(left) == 600
    assert most_in_a_minute(left) <= 128
    assert max(left) < max(places) + 3 * lateness + 10


def test_a_small_limit_has_a_smaller_burst() -> None:
    pacer = Pacer(2)
    places = [pacer.reserve(0.0) for _ in range(5)]
    assert places == [0.0, 0.0, 60.0, 90.0, 120.0]
    assert pacer.claim(60.0, 59.0) == 60.0, "not yet"
    assert pacer.claim(60.0, 60.5) == 60.5, "a busy loop"


def test_all_that_sleep_do_not_come_at_once() -> None:
    pacer = Pacer(2)
    places = [pacer.reserve(0.0) for _ in range(6)]
    assert [pacer.claim(place, 500.0) for place in places[2:]] == [500.0, 500.0, 560.0, 590.0]


def test_a_place_that_is_given_back_serves_the_next() -> None:
    pacer = Pacer(1)
    assert [pacer.reserve(0.0) for _ in range(3)] == [0.0, 60.0, 120.0]
    pacer.release(120.0)
    pacer.release(60.0)
    assert [pacer.reserve(1.0) for _ in range(3)] == [60.0, 120.0, 180.0]
    pacer.release(60.0)
    assert pacer.reserve(70.0) == 240.0, "that moment is over"


def test_without_a_limit_no_dial_waits() -> None:
    free = Pacer(None)
    assert [free.reserve(5.0) for _ in range(1000)] == [5.0] * 1000
    assert free.claim(5.0, 90.0) == 90.0


def test_without_a_limit_dials_count_for_those_with_one() -> None:
    free, paced = (pacer_for("wss://mixed/v1/realtime", limit, Lock()) for limit in (None, 128))
    assert [free.reserve(0.0) for _ in range(20)] == [0.0] * 20
    assert paced.reserve(0.0) == pytest.approx(STEP)


def at_once(pacers: list[Pacer], now: float) -> int:
    """How many dials leave at once."""
    return sum(pacer.reserve(now) == now for pacer in pacers for _ in range(20))


@pytest.mark.parametrize(
    "other",
    ["wss://A:443/v1/realtime", "wss://a./v1/realtime", "wss://a/realtime?project=p", "ws://a:443/v1/realtime", "wss://a.:0443"],
)
@pytest.mark.parametrize("limit", [128, 127])
def test_the_connections_to_one_server_share_one_burst(other: str, limit: int) -> None:
    """However the server is spelled, and whatever their limits are."""
    assert at_once([pacer_for("wss://a/v1/realtime", 128, Lock()), pacer_for(other, limit, Lock())], 1_000.0) == BURST


@pytest.mark.parametrize("other", ["wss://b/v1/realtime", "wss://a:444/v1/realtime", "ws://a/v1/realtime", "wss://[::1]/v1"])
def test_another_host_or_port_is_another_server(other: str) -> None:
    assert at_once([pacer_for("wss://a/v1/realtime", 128, Lock()), pacer_for(other, 128, Lock())], 1_000.0) == 2 * BURST


def test_each_limit_counts_the_dials_of_all() -> None:
    """Connections with 128, 120 and 5 a minute come to one server at once: with each dial the limit of its own holds."""
    waiting: list[tuple[float, int]] = []
    pacers = {limit: pacer_for("wss://three/v1/realtime", limit, Lock()) for limit in (128, 120, 5)}
    left: list[tuple[float, int]] = []
    for limit, pacer in pacers.items():
        places = [(pacer.reserve(0.0), limit) for _ in range(150 if limit > 5 else 6)]
        left += [each for each in places if each[0] == 0.0]
        waiting += [each for each in places if each[0] > 0.0]
    while waiting:
        now, limit = min(waiting)
        waiting.remove((now, limit))
        again = pacers[limit].claim(now, now)
        (left if again == now else waiting).append((again, limit))
    assert [limit for _, limit in left].count(5) == 6
    for number, (now, limit) in enumerate(some(left)):
        assert sum(dial > now - 60 + 1e-6 for dial, _ in left[: number + 1]) <= limit
    assert most_in_a_minute([dial for dial, _ in left]) == 128
    assert max(dial for dial, limit in left if limit > 5) < 200, "306 dials, and no moment is wasted"


def test_a_small_limit_that_meets_a_busy_server_waits_no_longer_than_its_own_step() -> None:
    quick, slow = (pacer_for("wss://busy/v1/realtime", limit, Lock()) for limit in (128, 1))
    assert [quick.reserve(0.0) for _ in range(8)] == [0.0] * 8
    assert slow.reserve(0.0) == 60.0
    assert quick.reserve(4.0) == 4.0, "the plan of the slow one delays no other"


def test_the_pace_outlives_the_connections_for_a_minute() -> None:
    def dial(now: float) -> float:
        """A connection that comes, dials and goes."""
        gc.collect()
        return pacer_for("wss://forgotten/v1/realtime", 128, Lock()).reserve(now)

    assert [dial(1_000.0) for _ in range(9)] == pytest.approx([1_000.0] * 8 + [1_000.0 + STEP])
    held = pacer_for("wss://forgotten/v1/realtime", 128, Lock())
    assert pacer_for("wss://other/v1/realtime", 128, Lock()).reserve(1_061.0) == 1_061.0
    gc.collect()
    assert pacer_for("wss://forgotten/v1/realtime", 128, Lock())._dials is held._dials, "a connection holds them"
    assert held.reserve(1_002.0) < 1_003.0, "and it keeps its pace"


def test_the_dials_of_a_server_are_forgotten_when_they_are_a_minute_old() -> None:
    pacer = pacer_for("wss://forgotten/v1/realtime", 128, Lock())
    pacer.reserve(1_000.0)
    dials = weakref.ref(pacer._dials)
    del pacer
    for now, known in ((1_060.0, True), (1_060.1, False)):
        pacer_for("wss://other/v1/realtime", 128, Lock()).reserve(now)
        gc.collect()
        assert (dials() is not None) is known, now


def test_a_clock_that_began_later_makes_no_dial_wait() -> None:
    pacer = Pacer(128)
    assert [pacer.reserve(50_000.0) for _ in range(8)] == [50_000.0] * 8
    assert pacer.reserve(50_000.0) > 50_000.0
    assert [pacer.reserve(1_000.0) for _ in range(8)] == [1_000.0] * 8, "neither dials nor plans of that clock count"


def test_threads_share_one_pace() -> None:
    pacer = pacer_for("wss://threads/v1/realtime", 12_800, Lock())
    places: list[float] = []
    threads = [Thread(target=lambda: places.extend(pacer.reserve(0.0) for _ in range(2_000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(places) == 8_000
    assert len(set(places)) == 8_000 - BURST + 1, "no two have one place, but for the burst"
