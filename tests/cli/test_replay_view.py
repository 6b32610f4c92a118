"""The view of a replay: a step is a line, and each command, fact and outage has words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from realtime_fsm.cli.replay_view import Palette, StepFormatter, _describe_commands
from realtime_fsm.errors import Disconnected, PresenceRejected
from realtime_fsm.fsm.commands import (
    AuthenticationRefused,
    Command,
    FailWaiters,
    PresenceRefused,
    PresenceStored,
    RetireLink,
    SendFrame,
    SubscriptionAcknowledged,
    SubscriptionUnsupported,
)
from realtime_fsm.fsm.inputs import Disconnect, Dispose, LinkClosed, PingEnabledChanged, ResumedFromSuspend, Unsubscribe
from realtime_fsm.fsm.policies import RetryPolicy
from realtime_fsm.fsm.table import State
from realtime_fsm.protocol.eras import Era
from support.bench import Bench
from support.replay_cases import lived, replay
from support.replaying import run_replay, write_log
from support.wholelog import RECORDS


def test_a_step_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run_replay(capsys, write_log(tmp_path / "log", RECORDS))
    lines = [re.sub(r" +", " ", line).strip() for line in out.splitlines()]
    assert lines[0].startswith("connection 'c1', ")
    for line in (
        "2 0.000 disconnected -> reconnecting connect dis1 upgrade in 10 s open 1",
        "3 0.000 reconnecting opened rec21 greeting in 10 s",
        "10 30.100 ping -> subscribed pong pin42 stability now",
        "12 | 30.100 subscribed -> reconnecting lost sub58 dial in 1.5 s drop 1; stream_ended 1006; OUTAGE",
    ):
        assert line in lines, lines
    assert any(line.endswith("grant s1; outage over after 1.5 s") for line in lines)
    assert "\x1b" not in out


def test_a_part_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write_log(tmp_path / "log", RECORDS)
    _, out, _ = run_replay(capsys, log, "--from", "8", "--to", "11")
    assert re.findall(r"^ +(\d+) ", out, re.MULTILINE) == ["8", "9", "10"]


def test_every_command_and_note_has_words(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.CONNECTED)
        for number in range(7):
            bench.subscribe(f"s{number}")
        bench.acknowledge()
        bench.acknowledge()
        bench.subscribe("bad")
        bench.err(1003)
        bench.expire_until("sub64")
        bench.do(Unsubscribe("s1"))
        bench.do(Disconnect(), after=1.0)
        bench.subscribe("s9")
        bench.lose()
        bench.expire()
        bench.lose()
        bench.do(ResumedFromSuspend(), after=20.0)
        bench.do(PingEnabledChanged(enabled=False))
        bench.do(Dispose())

    made = StepFormatter(None)
    shown = "\n".join(map(made.line, replay(tmp_path, lived(live, retry=RetryPolicy(attempts=2, dials_per_minute=2)))))
    for words in (
        "send subscribe s1 s2 s3 s4 and 2 more", "grant s1 s2 s3 s4 and 2 more", "reject bad; error_frame 1003", "send ping",
        "remove s1", "noted for later", "hang up 1", "tell Disconnected", "outage, planned", "end streams", "name the user",
        "waits for its turn to dial",
    ):  # fmt: skip
        assert words in shown, shown
    slept = replay(tmp_path, lived(lambda bench: bench.to(State.SUBSCRIBED).do(ResumedFromSuspend(), after=100.0)))
    assert made.line(slept[-1]).endswith("send ping; late by 70 s")


def test_a_handover_is_not_an_outage_unless_the_draining_link_ends_early(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED).ask_anew("s2")
        bench.ask_anew("s3", up=False)
        bench.do(LinkClosed(bench.context.draining_generation or 0))
        bench.greet()

    made = StepFormatter(None)
    lines = list(map(made.line, replay(tmp_path, lived(live, era=Era.E2))))
    assert len([line for line in lines if "; it delivers until the next one is up" in line]) == 3
    assert [line.partition(" drop ")[2] for line in lines if "OUTAGE" in line] == ["3; the draining link is gone; OUTAGE"]
    assert "outage over after 0" in lines[-1]
    assert not any("outage, planned" in line for line in lines)


def test_the_words_of_rarer_commands() -> None:
    data = b'{"type":"authentication","data":{"session":"secret"}}'
    requests: list[Command] = [
        SendFrame(1, data),
        AuthenticationRefused(401, ""),
        FailWaiters(Disconnected(), ("s1", "s2"), streams=False),
    ]
    of_presence: list[Command] = [
        RetireLink(2),
        PresenceStored(b"{}"),
        PresenceRefused(PresenceRejected(401, "")),
        SubscriptionUnsupported("s1", Era.E1),
    ]
    assert _describe_commands(of_presence) == "retire 2; presence stored; reject the presence; reject s1"
    assert _describe_commands(requests) == "send authentication; reject the identity; tell Disconnected; withdraw s1 s2"


@pytest.mark.parametrize(("count", "told"), [(4, "s0 s1 s2 s3"), (5, "s0 s1 s2 s3 and 1 more"), (7, "s0 s1 s2 s3 and 3 more")])
def test_four_subscriptions_are_named(count: int, told: str) -> None:
    acknowledged: list[Command] = [SubscriptionAcknowledged(f"s{number}", ()) for number in range(count)]
    assert _describe_commands(acknowledged) == f"grant {told}"


def test_colours_are_those_of_the_diagrams() -> None:
    assert Palette(is_deep=True).state(State.CONNECTED) == "\x1b[48;2;201;235;221;38;2;0;56;43m connected \x1b[0m"
    assert Palette(is_deep=False).state(State.CONNECTED).startswith("\x1b[48;5;194;38;5;")
    assert Palette(is_deep=False).state(State.DISCONNECTED).startswith("\x1b[48;5;254;")
    assert Palette.text("", "31") == ""
