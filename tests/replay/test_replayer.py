"""Replay: the real machine takes the path that a log tells, and says where it does not."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from realtime_fsm.errors import (
    CertificateRefused,
    FrameTooLarge,
    IdentityUnavailable,
    NameNotResolved,
    ServerError,
    StreamEnded,
    UpgradeRefused,
)
from realtime_fsm.fsm.commands import SendFrame
from realtime_fsm.fsm.inputs import (
    Authenticate,
    Closed,
    Connect,
    DialFailure,
    Disconnect,
    Dispose,
    ErrorReceived,
    GreetingReceived,
    Input,
    LinkClosed,
    LogOut,
    PingEnabledChanged,
    Pong,
    ResumedFromSuspend,
    Subscribe,
    Unsubscribe,
)
from realtime_fsm.fsm.names import Effect
from realtime_fsm.fsm.policies import PingPolicy, RetryPolicy
from realtime_fsm.fsm.table import TABLE, State, Trigger
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.frames import subscribe_item
from realtime_fsm.protocol.options import Timeouts
from realtime_fsm.replay.divergence import Diverged
from realtime_fsm.replay.log_reader import IncompleteLog
from realtime_fsm.replay.replayer import ReplayedStep
from realtime_fsm.replay.test_writer import _code
from support import virtual
from support.alterations import alterations
from support.bench import Bench
from support.brokenlogs import Record, Scribe, collected
from support.network import Network
from support.replay_cases import edited, lived, replay
from support.replaying import changed, emitted, replayed, run_emitted, story_of
from support.simlogs import SEEDS, logs_of, number_of
from support.some import some
from support.virtual import eventually
from support.walk import Walk
from support.wholelog import DIAL, LOSS, PONG, RECORDS, at, kind

SLOW: dict[str, Any] = {"timeouts": Timeouts(reply=100.0)}
RAREST = {"18", "19", "20"}
CANARIES = {"160", "161", "162", "163", "164"}
"""No storm has a canary; tests/runtime/test_canary.py replays these rows."""


def rows(played: list[ReplayedStep]) -> list[str | None]:
    return [None if step.result.transition is None else step.result.transition.row.id for step in played]


def logged(records: list[Record]) -> list[str]:
    return [record["row"] for record in records if record["event"] == "realtime.transition"]


# --- what is reproduced -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_logs_of_the_simulation_are_reproduced_and_so_are_the_tests_made_of_them(seed: int, tmp_path: Path) -> None:
    for records in some(logs_of(seed)):
        history = story_of(tmp_path / "log", records)
        played = replayed(history)
        assert [row for row in rows(played) if row is not None] == logged(list(records))
        text = emitted(history, played)
        run_emitted(text)
        assert re.search(r"Step\( *0\.000, ", text), "milliseconds are enough"


def test_the_seeds_hold_every_row_and_every_era() -> None:
    """Else the test before proves less than it says."""
    records = [record for seed in SEEDS for log in logs_of(seed) for record in log if "row" in record]
    missing = {number_of(row.id) for row in TABLE.rows} - {number_of(record["row"]) for record in records}
    assert len(missing - RAREST - CANARIES) < 4, missing  # other versions of Python take turns in another order
    assert {record["era"] for record in records} >= {"E1", "E2", "E3", "E4"}


def test_a_frame_that_was_only_overheard_is_heard_again(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED).err(1013)
        bench.lose()

    records = lived(live)
    last = [record for record in records if "row" in record][-1]
    assert (last["row"], last["error_code"]) == ("sub58", 1013)
    played = replay(tmp_path, records)
    assert rows(played)[-2:] == [None, "sub58"]
    run_emitted(emitted(story_of(tmp_path / "log", records), played))


class ReplayedWalk(Walk):
    """A walk that is written down and replayed at its end; a step that is altered is not reproduced."""

    path: Path
    parted: set[tuple[str, type[Exception] | None]]

    def __init__(self) -> None:
        super().__init__()
        self.collecting = collected()
        self.records = self.collecting.__enter__()

    @property
    def bench(self) -> Bench:
        return self._bench

    @bench.setter
    def bench(self, bench: Bench) -> None:
        self._bench = bench
        Scribe(bench)

    def teardown(self) -> None:
        self.collecting.__exit__(None, None, None)
        if not self.records:
            return
        history = story_of(self.path, self.records)
        played = replayed(history)
        assert [row for row in rows(played) if row is not None] == logged(self.records)
        if played:
            run_emitted(emitted(history, played))
        chance = random.Random(len(self.records))
        steps = [index for index, record in enumerate(self.records) if record["event"] == "realtime.transition"]
        for index in chance.sample(steps, min(2, len(steps))):
            for name, value in alterations(self.records[index], chance):
                altered = [*self.records[:index], {**self.records[index], name: value}, *self.records[index + 1 :]]
                self.parted.add((name, _refusal(self.path, altered)))


def _refusal(path: Path, records: list[Record]) -> type[Exception] | None:
    """What keeps a log from being reproduced as a whole."""
    try:
        history = story_of(path, records)
        replayed(history)
    except (Diverged, IncompleteLog) as refusal:
        return type(refusal)
    return IncompleteLog if history.incomplete_reason is not None or len(history.records) < len(records) else None


def test_any_walk_is_reproduced_and_no_step_of_it_can_be_altered(tmp_path: Path) -> None:
    ReplayedWalk.path, ReplayedWalk.parted = tmp_path / "log", set()
    run_state_machine_as_test(ReplayedWalk, settings=settings(max_examples=15, stateful_step_count=30, deadline=None))
    fields = {"link", "row", "trigger", "source", "dest"}
    assert ReplayedWalk.parted == {("seq", IncompleteLog)} | {(field, Diverged) for field in fields}


# --- what no record tells ---------------------------------------------------------------------------------------------


def test_what_is_said_while_a_pong_is_awaited_is_known_from_its_subscription(tmp_path: Path) -> None:
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
    assert [step.input_.at - silent[0].input_.at for step in silent] == pytest.approx([0.0, 0.25, 0.5])
    run_emitted(emitted(story_of(tmp_path / "log", records), played))


def test_a_client_tells_when_something_was_said_while_a_pong_was_awaited_and_how_long_it_is(tmp_path: Path) -> None:
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


def test_a_frame_that_only_shows_life_is_known_from_the_row(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.PING)
        bench.hear_something()
        bench.expire()
        bench.err(1008)
        bench.hear_something()
        bench.lose(1001)

    records = lived(live)
    assert logged(records)[-3:] == ["pin67", "sub52", "sub58"]
    played = replay(tmp_path, records)
    assert [step.input_.heard for step in played if step.input_.heard] == [True, True]


def test_which_way_the_pings_were_switched_is_known_from_what_follows(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED)
        bench.do(PingEnabledChanged(enabled=False))
        bench.do(ResumedFromSuspend(), after=100.0)
        bench.do(PingEnabledChanged(enabled=True))
        bench.expire_until("sub64")
        bench.do(PingEnabledChanged(enabled=True))
        bench.do(PingEnabledChanged(enabled=False))
        bench.do(PingEnabledChanged(enabled=True))

    played = replay(tmp_path, lived(live))
    said = [step.input_.input_.enabled for step in played if isinstance(step.input_.input_, PingEnabledChanged)]
    assert said == [False, True, True, False, False], "no ping was sent after the last one, so nothing tells"


def test_a_delay_is_solved_from_the_moment_at_which_it_was_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def live(bench: Bench) -> None:
        for draw, code in ((0.125, 1006), (0.75, 1001), (0.25, 1013)):
            bench.open()
            bench.greet()
            monkeypatch.setattr("support.bench.DRAW", draw)
            bench.lose(code)
            bench.expire()

    records = lived(lambda bench: live(bench.to(State.RECONNECTING)), retry=RetryPolicy(attempts=None))
    transition = [(step.input_, step.result.transition) for step in replay(tmp_path, records)]
    draws = [replay_input.draw for replay_input, step in transition if step is not None and step.row.trigger is Trigger.LOST]
    assert draws == pytest.approx([0.125, 0.75, 0.25], abs=1e-5)


def test_a_delay_that_was_not_waited_for_is_long_enough(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.RECONNECTING)
        bench.lose()
        bench.subscribe("s1")
        bench.context.attempt_at = bench.now + 1.95  # as another random number would have it
        bench.do(ResumedFromSuspend(), after=1.9)

    records = lived(live, retry=RetryPolicy(base=2.0))
    assert logged(records)[-1] == "rec76"
    assert replay(tmp_path, records)[1].input_.draw == pytest.approx(0.9, abs=1e-5)
    assert replay(tmp_path, records[:-1])[1].input_.draw == 0.5, "any will do"


def test_the_age_of_a_link_is_solved_from_its_renewal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("support.bench.WELCOMING", 0.25)
    records = lived(lambda bench: bench.to(State.SUBSCRIBED).expire_until("sub73"), max_link_age=100.0)
    (welcome,) = (step for step in replay(tmp_path, records) if step.input_.draw != 0.5)
    assert isinstance(welcome.input_.input_, GreetingReceived)
    assert welcome.input_.draw == pytest.approx(0.25, abs=1e-4)
    unrenewed = lived(lambda bench: bench.to(State.SUBSCRIBED).lose(), max_link_age=100.0)
    assert [step.input_.draw for step in replay(tmp_path, unrenewed)].count(0.0) == 1, "it grew as old as it might"


def test_where_every_ping_was_held_up_the_renewal_tells_the_random_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.bench.WELCOMING", 0.25)

    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED).subscribe("s2")
        bench.now += 25.0  # the ping was due after 22.5
        bench.acknowledge()
        bench.expire_until("sub73")

    (welcome,) = (step for step in replay(tmp_path, lived(live, max_link_age=40.0, **SLOW)) if step.input_.draw != 0.5)
    assert welcome.input_.draw == pytest.approx(0.25, abs=1e-3)


def test_pings_that_were_planned_anew_because_the_first_was_long_overdue_are_known_from_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.bench.WELCOMING", 0.25)

    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED).subscribe("s2")
        bench.now += 55.0
        bench.acknowledge()
        bench.expire_until("sub64")
        bench.hear(Pong(bench.generation))
        bench.subscribe("s3")
        bench.now += 29.0  # one that was not planned anew would be due by now
        bench.acknowledge()
        bench.expire_until("sub65")

    assert rows(replay(tmp_path, lived(live, retry=RetryPolicy(stable_after=84.5), **SLOW)))[-1] == "sub65"


def test_a_turn_in_the_queue_of_those_who_dial_is_known_from_the_dial(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        for _ in range(3):
            bench.to(State.RECONNECTING)
            bench.do(Disconnect(), after=1.0)
        bench.do(Connect())
        bench.expire()
        bench.open()

    records = lived(live, retry=RetryPolicy(dials_per_minute=3))
    places = [step.input_.place for step in replay(tmp_path, records) if step.input_.place is not None]
    assert places == pytest.approx([60.0])
    unfinished = replay(tmp_path, records[:-2])
    assert unfinished[-1].input_.place is not None
    assert "dial_slot=" in emitted(story_of(tmp_path / "log", records))


def test_how_many_subscriptions_fit_into_a_frame_is_known_from_their_sizes(tmp_path: Path) -> None:
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
    text = emitted(story_of(tmp_path / "log", records))
    assert '"channel".ljust(42000, "-")' in text
    run_emitted(text)
    unsized = [{name: value for name, value in record.items() if name != "size"} for record in records]
    with pytest.raises(IncompleteLog, match="how many subscriptions fit into a frame"):
        replay(tmp_path, unsized)


def test_a_second_word_about_one_that_is_gone_has_no_record_of_it(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED).subscribe("s2")
        bench.do(Unsubscribe("s2"))
        bench.do(Unsubscribe("s2"))

    assert rows(replay(tmp_path, lived(live)))[-2:] == ["sub8", "sub8"]


@pytest.mark.parametrize(
    "cause",
    [NameNotResolved("x"), UpgradeRefused(429), UpgradeRefused(503), CertificateRefused("x"), IdentityUnavailable("ValueError")],
)
def test_every_kind_of_failed_dial_is_reproduced(cause: Any, tmp_path: Path) -> None:
    records = lived(lambda bench: bench.to(State.RECONNECTING).do(DialFailure(1, cause)))
    history = story_of(tmp_path / "log", records)
    run_emitted(emitted(history))
    assert type(cause).__name__ in emitted(history)


def test_an_emitted_test_imports_nothing_but_the_facade_and_public_names(tmp_path: Path) -> None:
    text = emitted(story_of(tmp_path / "log", lived(lambda bench: bench.to(State.SUBSCRIBED))))
    modules = re.findall(r"^from (realtime_fsm[\w.]*) import", text, re.MULTILINE)
    assert modules == ["realtime_fsm", "realtime_fsm.testing.replay"]


def test_an_emitted_test_fails_on_another_path_and_says_where(tmp_path: Path) -> None:
    text = emitted(story_of(tmp_path / "log", lived(lambda bench: bench.to(State.SUBSCRIBED))))
    assert text.count('"rec22"') == 1
    with pytest.raises(AssertionError, match=r"step \d+ at .*GreetingReceived.*'rec22'.* instead of .*'rec23'"):
        run_emitted(text.replace('"rec22"', '"rec23"'))


def test_the_end_of_a_link_that_no_state_waits_for_is_told_by_the_next_dial(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED)
        bench.do(LogOut())
        bench.do(Disconnect())
        bench.do(Closed(1))
        bench.subscribe("s2")

    history = story_of(tmp_path / "log", lived(live))
    played = replayed(history)
    assert [type(step.input_.input_).__name__ for step in played][-3:] == ["Disconnect", "Closed", "Subscribe"]
    run_emitted(emitted(history, played))


def test_every_kind_of_end_is_reproduced(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED)
        for input_ in (LinkClosed(1, cause=FrameTooLarge(5)), ErrorReceived(2, 500, "")):
            bench.hear(input_)
            bench.expire()
            bench.open()
            bench.greet()
            bench.acknowledge()
        bench.do(Authenticate("secret"))
        bench.err(401)
        bench.do(Authenticate(None))
        bench.open()
        bench.hear(GreetingReceived(bench.generation, unexpected_guest=True))
        bench.do(Connect())
        bench.err(1008)
        bench.do(Dispose())

    records = lived(live, retry=RetryPolicy(attempts=None))
    text = emitted(story_of(tmp_path / "log", records))
    run_emitted(text)
    for part in ("FrameTooLarge(0)", "unexpected_guest=True", 'Authenticate("not in the log")', "Authenticate(None)"):
        assert part in text
    assert "secret" not in text


def test_a_moment_that_decides_is_tried_on_both_sides_of_its_rounding(tmp_path: Path) -> None:
    """In the log, the pong comes a microsecond before the budget has room again; in truth it came after."""

    def live(bench: Bench) -> None:
        begin = bench.to(State.CONNECTED).now
        bench.expire_until("con64")
        bench.now += 0.2000006
        bench.hear(Pong(1))
        bench.now += 0.1000006
        for number in range(30):
            bench.subscribe(f"s{number}")
            if number < 29:
                bench.acknowledge()
        while bench.now < begin + 90:
            bench.expire_until("sub64")
        bench.now = begin + 90.3000013
        bench.hear(Pong(1))
        assert bench.requests(SendFrame)

    history = story_of(tmp_path / "log", lived(live))
    played = replayed(history)
    assert rows(played)[-1] == "pin42"
    run_emitted(emitted(history, played))


@pytest.mark.parametrize(("stable_after", "moment"), [(29.0, "29.000"), (29.9998, "29.999800"), (30 - 1e-10, "29.9999999999")])
def test_a_test_has_as_few_digits_as_lead_along_the_same_path(stable_after: float, moment: str, tmp_path: Path) -> None:
    """At the next of them the ping would be due, and sent first."""
    policy = RetryPolicy(stable_after=stable_after)
    records = lived(lambda bench: bench.to(State.CONNECTED).expire_until("con65"), retry=policy)
    text = emitted(story_of(tmp_path / "log", records))
    assert f"Step({moment}, Deadline()" in text
    run_emitted(text)


@pytest.mark.parametrize(
    ("input_", "code"),
    [
        (ErrorReceived(2, "it's", ""), """ErrorReceived(2, "it's", "")"""),
        (ErrorReceived(2, 401, "", renewable=True), 'ErrorReceived(2, 401, "", renewable=True)'),
        (DialFailure(1, ServerError(1008, "text")), 'DialFailure(1, ServerError(1008, "not in the log"))'),
        (DialFailure(1, StreamEnded(1002)), "DialFailure(1, StreamEnded(1002))"),
        (Unsubscribe('"'), "Unsubscribe('\"')"),
    ],
)
def test_inputs_are_said_as_python_says_them(input_: Input, code: str) -> None:
    assert _code(input_) == code


# --- where they part --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("records", "index", "said"),
    [
        (lambda: edited(PONG, row="pin44", dest="connected"), PONG, "row: pin44 in the log, pin42 of the machine"),
        (lambda: edited(PONG, row="nonsense"), PONG, "the table has no such row"),
        (lambda: edited(PONG, trigger="lost"), PONG, "pin42 is a row of pong"),
        (lambda: edited(PONG, source="connected"), PONG, "source: connected in the log, ping of the machine"),
        (lambda: edited(PONG, sends=7), PONG, "sends: 7 in the log, 2 of the machine"),
        (lambda: edited(LOSS, link=2), LOSS, "link: 2 in the log, 1 of the machine"),
        (lambda: edited(LOSS, attempt=3), LOSS, "attempt: 3 in the log, 1 of the machine"),
        (lambda: edited(LOSS, row="sub57", dest="disconnected"), LOSS, "sub57: reconnect_off fails <- the log"),
        (lambda: edited(LOSS, cause="moon"), LOSS, "cause: moon 1006 in the log, stream_ended 1006 of the machine"),
        (lambda: edited(DIAL, dwell=9.0), DIAL, "missed by 0.000000 s in the log, by 7.000000 s of the mach"),
        (lambda: edited(DIAL, dwell=0.1), DIAL, "it waits until"),
        (lambda: edited(kind("subscription", 1), change="removed"), at("con40"), "subscriptions: s1 removed in the log, s1 ack"),
        (lambda: edited(kind("subscription", 1), change="withdrawn"), at("con40"), "the user called unsubscribe, and no step"),
    ],
)  # fmt: skip
def test_the_machine_and_a_log_part_where_the_log_was_altered(
    records: Callable[[], list[Record]], index: int, said: str, tmp_path: Path
) -> None:
    with pytest.raises(Diverged) as parted:
        replay(tmp_path, records())
    lines = "\n".join([str(parted.value), *parted.value.lines])
    assert said in lines
    assert f"log:{index + 1}: " in lines


def test_a_log_that_does_not_tell_the_subscriptions_is_not_replayed(tmp_path: Path) -> None:
    with pytest.raises(IncompleteLog, match=rf"log:{at('con4') + 1}: .*does not tell what is subscribed to"):
        replay(tmp_path, edited(kind("subscription"), change="acknowledged"))


def misplaced(live: Callable[[Bench], object], model: str, **fields: Any) -> list[Record]:
    """A log with a step of another one at its end."""
    records = lived(live)
    step = {**RECORDS[at(model)], "connection_id": "c1", "seq": len(records) + 1, "dwell": 0.0, **fields}
    return [*records, step]


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (lambda: misplaced(lambda bench: bench.to(State.CONNECTED), "con40"), "no step: nothing was asked"),
        (lambda: misplaced(lambda bench: bench.to(State.ERROR), "sub58"), "no step: it has no link"),
        (lambda: misplaced(lambda bench: bench.to(State.ERROR), "sub64"), "no step: it waits for nothing"),
        (lambda: misplaced(lambda bench: bench.to(State.CONNECTED), "pin42", row="end80", trigger="closed"), "no socket"),
        (lambda: misplaced(lambda bench: bench.to(State.CONNECTED), "pin42"), "no step: A late answer"),
        (lambda: misplaced(lambda bench: bench.to(State.DISPOSING), "uns14"), "no step: Nothing follows the end."),
    ],
)  # fmt: skip
def test_why_the_machine_takes_no_step_is_said(records: Callable[[], list[Record]], said: str, tmp_path: Path) -> None:
    with pytest.raises(Diverged) as parted:
        replay(tmp_path, records())
    assert said in "\n".join(parted.value.lines)


def draining(*after: str) -> list[Record]:
    """A link makes room for another one, and ends before that one is up."""

    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED).ask_anew("s2", up=False)
        bench.do(LinkClosed(2), after=0.25)
        bench.greet()
        for name in after:
            bench.ask_anew(name)

    return lived(live, era=Era.E2)


def test_the_end_of_a_link_that_made_room_is_known_and_the_next_one_makes_room_the_sooner(tmp_path: Path) -> None:
    records = draining("s3")
    (told,) = (record for record in records if record["event"] == "realtime.retired")
    assert (told["retired"], told["dwell"], told["link"]) == (2, 0.25, 3)
    played = replay(tmp_path, records)
    assert [step.input_.input_ for step in played if step.result.transition is None] == [LinkClosed(2)]
    with pytest.raises(Diverged, match="the machine does something else"):
        replay(tmp_path, [{**r, "seq": n} for n, r in enumerate((r for r in records if r is not told), 1)])
    with pytest.raises(Diverged, match="link 2, which made room, and none makes room"):
        replay(tmp_path, [*records, {**told, "link": 4, "seq": len(records) + 1}])


def test_a_log_of_an_unmended_machine_parts_from_a_mended_one(tmp_path: Path) -> None:
    """What a replay is for: the path of an incident, run with another table."""
    history = story_of(tmp_path / "log", RECORDS)
    text = emitted(history)
    with changed("sub58", effects=(Effect.ABORT_LINK, Effect.NOTIFY_LINK_LOST), dest=State.DISCONNECTED):
        with pytest.raises(Diverged, match=f"log:{LOSS + 1}: "):
            replayed(history)
        with pytest.raises(AssertionError, match="LinkClosed"):
            run_emitted(text)
    run_emitted(text)
