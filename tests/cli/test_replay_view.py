"""The view of a replay: a step is a line, and each command, fact and outage has words."""

from __future__ import annotations

import dataclasses
import io
import re
from pathlib import Path

import msgspec
import pytest

from realtime_fsm.cli.replay_view import Palette, StepFormatter, _describe_commands, palette_for
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


def test_the_columns_stand_under_their_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run_replay(capsys, write_log(tmp_path / "log", RECORDS))
    lines = out.splitlines()
    assert lines[2] == (
        "record       seconds  state                         trigger        row     next                      asked; noted"
    )
    for line in (
        "     3         0.000  reconnecting                  opened         rec21   greeting in 10 s",
        "     8         0.000  connected    -> subscribed    acknowledged   con40   ping in 30 s              grant s1",
        "    12 |      30.100  subscribed   -> reconnecting  lost           sub58   dial in 1.5 s             "
        "drop 1; stream_ended 1006; OUTAGE",
        "    14 |      31.600  reconnecting                  deadline       rec32   upgrade in 10 s           open 2",
    ):
        assert line in lines, lines


@pytest.mark.parametrize(("lag", "told"), [(0.5, ""), (1.0, "; late by 1 s"), (1.5, "; late by 1.5 s")])
def test_a_step_that_is_late_by_a_second_says_so(lag: float, told: str, tmp_path: Path) -> None:
    (first, *_) = replay(tmp_path, RECORDS)
    assert StepFormatter(None).line(dataclasses.replace(first, lag=lag)).endswith(f" open 1{told}")


def test_a_step_shows_paused_links_and_a_deadline_that_is_due(tmp_path: Path) -> None:
    (first, *_) = replay(tmp_path, RECORDS)
    at = first.input_.at
    paused = dataclasses.replace(first, input_=dataclasses.replace(first.input_, pauses=((1, True), (2, False))))
    assert StepFormatter(None).line(paused).endswith(" open 1; read no more; read again")
    for deadline, told in ((at + 0.5, "upgrade in 500 ms"), (at, "upgrade now"), (at - 1.0, "upgrade now")):
        step = dataclasses.replace(first, result=msgspec.structs.replace(first.result, deadline=deadline))
        assert f"dis1    {told} " in StepFormatter(None).line(step)


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


@pytest.mark.parametrize(
    ("colour", "code"),
    [
        ("#ff0000", 196), ("#00ff00", 46), ("#0000ff", 21), ("#5f8700", 64), ("#9b0000", 124),
        ("#4a0000", 16), ("#4b0000", 52),  # the edge of the first step of the cube
        ("#080808", 232), ("#0e0e0e", 233), ("#eeeeee", 255),
        ("#0b0000", 232), ("#0c0000", 16),  # the edge of what counts as grey
    ],
)  # fmt: skip
def test_a_terminal_of_256_colours_gets_a_near_one(colour: str, code: int) -> None:
    """Cube and greys are those of xterm: 16 to 231 are a cube of six steps, and 232 to 255 the greys from #080808 on."""
    assert Palette(is_deep=False)._code(colour) == f"5;{code}"
    assert Palette(is_deep=True)._code(colour) == "2;" + ";".join(str(each) for each in bytes.fromhex(colour[1:]))


@pytest.mark.parametrize(
    ("is_terminal", "environment", "palette"),
    [
        (True, {}, Palette(is_deep=False)),
        (True, {"COLORTERM": "truecolor"}, Palette(is_deep=True)),
        (True, {"COLORTERM": "24bit", "NO_COLOR": ""}, Palette(is_deep=True)),
        (True, {"NO_COLOR": "1"}, None),
        (True, {"TERM": "dumb"}, None),
        (False, {"COLORTERM": "truecolor"}, None),
    ],
)
def test_a_terminal_has_the_palette_that_it_can_show(
    is_terminal: bool, environment: dict[str, str], palette: Palette | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "TERM", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    out = io.StringIO()
    monkeypatch.setattr(out, "isatty", lambda: is_terminal)
    assert palette_for(out) == palette


def test_the_parts_of_a_line_have_their_colours(tmp_path: Path) -> None:
    made = StepFormatter(Palette(is_deep=True))
    assert made.head().startswith("\x1b[2mrecord ")
    lines = list(map(made.line, replay(tmp_path, RECORDS)))
    lost = next(line for line in lines if "sub58" in line)
    assert lost.startswith("    12 \x1b[31m|\x1b[0m      30.100 \x1b[48;2;")
    assert lost.endswith("drop 1; \x1b[33mstream_ended 1006\x1b[0m; \x1b[31mOUTAGE\x1b[0m")
    assert next(line for line in lines if "over after" in line).endswith("\x1b[32moutage over after 1.5 s\x1b[0m")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", lost)
    assert plain == StepFormatter(None).line(next(each for each in replay(tmp_path, RECORDS) if each.seq == 12))


def test_colours_are_those_of_the_diagrams() -> None:
    assert Palette(is_deep=True).state(State.CONNECTED) == "\x1b[48;2;201;235;221;38;2;0;56;43m connected \x1b[0m"
    assert Palette(is_deep=False).state(State.CONNECTED).startswith("\x1b[48;5;194;38;5;")
    assert Palette(is_deep=False).state(State.DISCONNECTED).startswith("\x1b[48;5;254;")
    assert Palette.text("", "31") == ""
