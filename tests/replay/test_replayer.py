"""The replayer: the machine takes the path of a log, with the facts of each record."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from realtime_fsm.auditlog.writer import AuditWriter
from realtime_fsm.fsm.inputs import (
    Closed,
    Connect,
    Disconnect,
    ErrorReceived,
    LinkClosed,
    LogOut,
    PingEnabledChanged,
    Pong,
    Reconnect,
    Subscribe,
    Unsubscribe,
)
from realtime_fsm.fsm.policies import PingPolicy, RetryPolicy
from realtime_fsm.fsm.table import TABLE, State, Trigger
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.frames import subscribe_item
from realtime_fsm.protocol.options import Timeouts
from realtime_fsm.replay.divergence import Diverged
from realtime_fsm.replay.log_reader import IncompleteLog
from support import virtual
from support.bench import Bench
from support.brokenlogs import Record, Scribe, collected
from support.network import Network
from support.replay_cases import lived, replay, rows, steps_of, without_fields
from support.replaying import emitted, log_of, replayed, run_emitted
from support.simlogs import SEEDS, logs_of, number_of
from support.some import some
from support.virtual import eventually

SLOW: dict[str, Any] = {"timeouts": Timeouts(reply=100.0)}


RAREST = {"18", "19", "20", "188", "190", "197", "199"}


CANARIES = {"160", "161", "162", "163", "164"}
"""No storm has a canary; tests/runtime/test_canary.py replays these rows."""


@pytest.mark.parametrize("seed", SEEDS)
def test_logs_of_the_simulation_are_reproduced_and_so_are_the_tests_made_of_them(seed: int, tmp_path: Path) -> None:
    for records in some(logs_of(seed)):
        log = log_of(tmp_path / "log", records)
        played = replayed(log)
        assert [row for row in rows(played) if row is not None] == steps_of(list(records))
        text = emitted(log, played)
        run_emitted(text)
        assert re.search(r"Step\( *0\.000, ", text), "milliseconds are enough"


def test_the_seeds_take_every_rule_and_every_era() -> None:
    """The test before this one covers only the rules that the seeds take."""
    records = [record for seed in SEEDS for log in logs_of(seed) for record in log if "row" in record]
    missing = {number_of(row.id) for row in TABLE.rows} - {number_of(record["row"]) for record in records}
    assert len(missing - RAREST - CANARIES) < 4, missing  # other versions of Python run tasks in another order
    assert {record["era"] for record in records} >= {"E1", "E2", "E3", "E4"}


def test_an_error_frame_without_a_record_is_fed_before_the_end_that_it_explains(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED).err(1013)
        bench.lose()

    records = lived(live)
    last = [record for record in records if "row" in record][-1]
    assert (last["row"], last["error_code"]) == ("sub58", 1013)
    played = replay(tmp_path, records)
    assert rows(played)[-2:] == [None, "sub58"]
    run_emitted(emitted(log_of(tmp_path / "log", records), played))


def test_an_error_frame_without_a_record_is_irrelevant_after_another_frame(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED)
        bench.err(1013)
        bench.subscribe("s2")
        bench.acknowledge()
        bench.lose()

    assert rows(replay(tmp_path, lived(live)))[-1] == "sub58"


def throttled_before_a_request(bench: Bench) -> None:
    bench.err(1013)
    bench.subscribe("s2")


def throttled_before_a_ping(bench: Bench) -> None:
    bench.err(1013)
    bench.expire_until("sub64")


def refused_twice_before_a_request(bench: Bench) -> None:
    bench.err(1008)
    bench.hear_something()
    bench.err(1008)
    bench.subscribe("s2")


def refused_again_while_a_pong_is_awaited(bench: Bench) -> None:
    bench.err(1008)
    bench.expire_until("sub64")
    bench.subscribe("s2")
    bench.err(1008)
    bench.expire()


def throttled_after_a_resumption(bench: Bench) -> None:
    bench.do(Reconnect())
    bench.fail_dial()
    bench.err(1013)


@pytest.mark.parametrize(
    "before",
    [
        throttled_after_a_resumption,
        throttled_before_a_request,
        throttled_before_a_ping,
        refused_twice_before_a_request,
        refused_again_while_a_pong_is_awaited,
    ],
)
def test_an_error_frame_without_a_record_is_fed_before_the_request_in_flight(
    before: Callable[[Bench], object], tmp_path: Path
) -> None:
    def live(bench: Bench) -> None:
        before(bench.to(State.SUBSCRIBED))
        bench.lose()

    records = lived(live, retry=RetryPolicy(attempts=1))
    (end,) = (record for record in records if record.get("trigger") == "lost")
    assert end["cause"] == "error_frame"
    played = replay(tmp_path, records)
    assert steps_of(records)[-1] == end["row"]
    assert [step.input_.input_.code for step in played if isinstance(step.input_.input_, ErrorReceived)][-1] == end["error_code"]
    run_emitted(emitted(log_of(tmp_path / "log", records), played))


def test_a_pause_excuses_an_overdue_pong_and_reply(tmp_path: Path) -> None:
    """The client reads nothing from a paused link, so a missing pong proves nothing, and a reply gets its whole time again."""

    def live(bench: Bench, audit: AuditWriter) -> None:
        def pause(change: Literal["opened", "closed"]) -> None:
            audit.pause(change, 1, dwell=bench.now - (bench.context.state_entered_at or 0.0))
            bench.machine.set_read_paused(1, bench.now, paused=change == "opened")

        bench.to(State.PING)
        pause("opened")
        bench.expire()
        bench.subscribe("s2")
        bench.now += 5.0
        pause("closed")
        bench.now += 9.0
        bench.acknowledge()

    with collected() as records:
        bench = Bench(timeouts=Timeouts(reply=10.0))
        live(bench, Scribe(bench, "c1").audit)
    assert steps_of(records)[-3:] == ["pin67", "sub4", "sub41"]
    played = replay(tmp_path, records)
    assert [paused for step in played for _, paused in step.input_.pauses] == [True, False]
    run_emitted(emitted(log_of(tmp_path / "log", records), played))


def test_a_call_while_a_pong_is_awaited_follows_from_its_subscription_record(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.PING)
        bench.now += 0.25
        bench.subscribe("s2")
        bench.do(Unsubscribe("s2"), after=0.25)
        bench.do(Unsubscribe("s1"), after=0.25)
        bench.hear(Pong(bench.generation))
        bench.acknowledge()
        bench.expire_until("uns65")
        bench.expire_until("uns63")

    records = lived(live, timeouts=Timeouts(idle=50.0), retry=RetryPolicy(stable_after=40.0))
    played = replay(tmp_path, records)
    silent = [step for step in played if step.result.transition is None]
    assert [type(step.input_.input_) for step in silent] == [Subscribe, Unsubscribe, Unsubscribe]
    entered = next(record["at"] for record in records if record.get("dest") == "ping")
    moments = [entered + 0.25 * count - 1e-6 for count in (1, 2, 3)]
    assert [step.input_.at for step in silent] == pytest.approx(moments, abs=1e-9), "a microsecond before the rounded moment"
    run_emitted(emitted(log_of(tmp_path / "log", records), played))


def test_a_subscription_record_holds_the_moment_of_the_call_and_the_size(tmp_path: Path) -> None:
    async def scenario() -> list[Record]:
        with collected() as records:
            async with Network().realtime(ping=PingPolicy(interval=7.0, timeout=3.0), timeouts=Timeouts(idle=2.0)) as realtime:
                subscription = await realtime.subscribe("rows", "files")
                await eventually(lambda: realtime.state is State.PING)
                await asyncio.sleep(0.005)
                await subscription.unsubscribe()
                await eventually(lambda: realtime.state is State.DISCONNECTED)
        return records

    records = virtual.run(scenario)
    desired, withdrawn = (next(record for record in records if record.get("change") == said) for said in ("desired", "withdrawn"))
    assert (desired["dwell"], desired["size"]) == (0.0, len(subscribe_item("s1", ("rows", "files"), ())))
    assert withdrawn["dwell"] >= 0.005
    assert "uns63" in rows(replay(tmp_path, records))


def test_the_record_tells_of_a_frame_before_the_step(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.PING)
        bench.hear_something()
        bench.expire()
        bench.err(1008)
        bench.hear_something()
        bench.lose(1001)

    records = lived(live)
    assert steps_of(records)[-3:] == ["pin67", "sub52", "sub58"]
    played = replay(tmp_path, records)
    assert [step.input_.heard for step in played if step.input_.heard] == [True, True]


def test_the_record_tells_the_ping_setting(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED)
        for enabled in (False, True, True, False):
            bench.do(PingEnabledChanged(enabled=enabled), after=1.0)
        bench.do(Disconnect())
        bench.do(PingEnabledChanged(enabled=True))

    played = replay(tmp_path, lived(live))
    switched = [step.input_.input_.enabled for step in played if isinstance(step.input_.input_, PingEnabledChanged)]
    assert switched == [False, True, True, False, True]


def test_random_numbers_are_in_the_records_of_the_steps_that_use_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.RECONNECTING)
        for draw, code in ((0.1, 1006), (0.7000000001, 1001), (1 / 3, 1013)):
            bench.open()
            monkeypatch.setattr("support.bench.WELCOMING", draw / 2)
            bench.greet()
            monkeypatch.setattr("support.bench.DRAW", draw)
            bench.lose(code)
            bench.expire()
        bench.do(Disconnect())

    records = lived(live, retry=RetryPolicy(attempts=None), max_link_age=100.0)
    expected = [0.05, 0.1, 0.35000000005, 0.7000000001, 1 / 6, 1 / 3]
    assert [record["draw"] for record in records if "draw" in record] == expected
    used = (Trigger.GREETED, Trigger.LOST)
    assert [step.input_.draw for step in replay(tmp_path, records) if step.input_.input_.trigger in used] == expected


def test_the_clock_of_the_machine_is_in_the_records(tmp_path: Path) -> None:
    """With sums of rounded dwells, the last deadline would seem to come too early."""

    def live(bench: Bench) -> None:
        bench.now = 1234.5678901234567
        bench.to(State.SUBSCRIBED)
        for _ in range(9):
            bench.expire_until("sub64")
            bench.now += 0.0000004
            bench.hear(Pong(bench.generation))

    records = lived(live)
    played = replay(tmp_path, records)
    moments = [record["at"] for record in records if "at" in record]
    assert moments[0] == 1234.5678901234567
    assert [step.input_.at for step in played] == moments


def test_a_dial_slot_is_in_the_record_of_the_dial_that_waits_for_it(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        for _ in range(3):
            bench.to(State.RECONNECTING)
            bench.do(Disconnect(), after=1.0)
        bench.do(Connect())
        bench.expire()
        bench.open()

    records = lived(live, retry=RetryPolicy(dials_per_minute=3))
    assert [record["dial_slot"] for record in records if "dial_slot" in record] == [1060.0]
    log = log_of(tmp_path / "log", records)
    assert [step.input_.dial_slot for step in replayed(log) if step.input_.dial_slot is not None] == [1060.0]
    assert "dial_slot=60.000" in emitted(log)
    assert replay(tmp_path, records[:-2])[-1].awaited == "dial"


def test_sizes_decide_how_many_subscriptions_fit_into_a_frame(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.CONNECTED)
        bench.subscribe("s1", "x" * 100)
        for number in range(2, 8):
            bench.subscribe(f"s{number}", "y" * (number * 6_000))
        for _ in range(5):
            if bench.context.subscriptions.in_flight is not None:
                bench.acknowledge()

    records = lived(live)
    sends = [record["sends"] for record in records if record["event"] == "realtime.transition"]
    assert sends[-1] == 5, "s1, and four frames for six others"
    text = emitted(log_of(tmp_path / "log", records))
    assert '"channel".ljust(42000, "-")' in text
    run_emitted(text)
    with pytest.raises(IncompleteLog, match="an older version wrote the record"):
        replay(tmp_path, without_fields(records, "size", "at"))


def test_a_second_unsubscribe_needs_no_record(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED).subscribe("s2")
        bench.do(Unsubscribe("s2"))
        bench.do(Unsubscribe("s2"))

    assert rows(replay(tmp_path, lived(live)))[-2:] == ["sub8", "sub8"]


def test_the_end_of_a_closed_link_follows_from_the_next_dial(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED)
        bench.do(LogOut())
        bench.do(Disconnect())
        bench.do(Closed(1))
        bench.subscribe("s2")

    log = log_of(tmp_path / "log", lived(live))
    played = replayed(log)
    assert [type(step.input_.input_).__name__ for step in played][-3:] == ["Disconnect", "Closed", "Subscribe"]
    run_emitted(emitted(log, played))


def draining(*after: str) -> list[Record]:
    """A draining link ends before the next link is up."""

    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED).ask_anew("s2", up=False)
        bench.do(LinkClosed(2), after=0.25)
        bench.greet()
        for name in after:
            bench.ask_anew(name)

    return lived(live, era=Era.E2)


def test_the_end_of_a_draining_link_is_reproduced(tmp_path: Path) -> None:
    records = draining("s3")
    (told,) = (record for record in records if record["event"] == "realtime.retired")
    assert (told["retired"], told["dwell"], told["link"]) == (2, 0.25, 3)
    played = replay(tmp_path, records)
    assert [step.input_.input_ for step in played if step.result.transition is None] == [LinkClosed(2)]
    with pytest.raises(Diverged, match="the machine does something else"):
        replay(tmp_path, [{**r, "seq": n} for n, r in enumerate((r for r in records if r is not told), 1)])
    with pytest.raises(Diverged, match="the draining link 2 ends, and in the machine no link is draining"):
        replay(tmp_path, [*records, {**told, "link": 4, "seq": len(records) + 1}])


def test_a_step_without_a_record_has_missed_no_deadline(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.PING)
        bench.subscribe("s2")
        bench.hear(Pong(bench.generation))

    played = replay(tmp_path, lived(live))
    assert [step.lag for step in played if step.result.transition is None] == [0.0]
