"""The command `realtime-fsm replay`: what it reads, what it shows, the test that it writes, and with which code it ends."""

from __future__ import annotations

import ast
import gzip
import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from realtime_fsm.cli import replay as replaying
from realtime_fsm.cli import replay_view
from realtime_fsm.cli.main import main
from realtime_fsm.cli.replay_view import Palette, StepFormatter
from realtime_fsm.errors import Disconnected, PresenceRejected
from realtime_fsm.fsm.commands import (
    AuthenticationRefused,
    Command,
    FailWaiters,
    PresenceRefused,
    PresenceStored,
    RetireLink,
    SendFrame,
    SubscriptionUnsupported,
)
from realtime_fsm.fsm.inputs import Disconnect, Dispose, LinkClosed, PingEnabledChanged, ResumedFromSuspend, Unsubscribe
from realtime_fsm.fsm.policies import RetryPolicy
from realtime_fsm.fsm.table import TABLE, State
from realtime_fsm.protocol.eras import Era
from support.bench import Bench
from support.brokenlogs import Record, lines_of
from support.replay_cases import edited, lived, replay
from support.replaying import TEST
from support.simlogs import logs_of
from support.some import some
from support.wholelog import JWT, LOSS, PONG, RECORDS, kind

COMMAND = [sys.executable, "-m", "realtime_fsm", "replay"]
PATIENCE = 60.0


def write(path: Path, records: Any) -> str:
    path.write_bytes(b"".join(lines_of(records)))
    return str(path)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["replay", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def renamed(name: str) -> list[Record]:
    return [{**record, "connection_id": name} for record in RECORDS]


# --- what is read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["plain", "gz", "mixed", "parts", "shuffled", "twice", "timestamps"])
def test_logs_are_read_in_any_shape(shape: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines, cut = lines_of(RECORDS), len(RECORDS) // 2
    path, other = tmp_path / "a.log", tmp_path / "b.log"
    files = [str(path)]
    if shape == "gz":
        path.write_bytes(gzip.compress(b"".join(lines)))
    elif shape == "mixed":
        foreign = [b"text\n", b'{"event":"realtime.mine","x":1}\n', b'{"a":"realtime.\n', b'{"event":"realtime.ping"}\n']
        path.write_bytes(b"".join(part for line in lines for part in (line, *foreign)))
    elif shape == "parts":
        path.write_bytes(b"".join(lines[cut:]))
        other.write_bytes(b"".join(lines[:cut]))
        files.append(str(other))
    elif shape == "timestamps":
        write(path, [{**record, "timestamp": 1.5, "level": "info", "pid": 7} for record in RECORDS])
    else:
        path.write_bytes(b"".join(lines[::-1] if shape == "shuffled" else lines * 2))
    code, out, _ = run(capsys, *files)
    assert code == 0
    assert f"reproduced: 15 steps in 32.6 s, by table {TABLE.fingerprint}" in out


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Stdin:
        buffer = io.BufferedReader(io.BytesIO(b"".join(lines_of(RECORDS))))

        def isatty(self) -> bool:
            return False

    monkeypatch.setattr(sys, "stdin", Stdin())
    assert run(capsys, "-")[0] == 0


@pytest.mark.parametrize(
    ("records", "arguments", "said"),
    [
        ([], (), "no records of realtime_fsm in it"),
        ([{"event": "request"}], (), "no records of realtime_fsm in it"),
        (renamed("a"), ("--connection", "b"), "there is no connection 'b' in it; there is 'a'"),
        ([*renamed("a"), *renamed("b")], (), "choose one with --connection; there are 'a', 'b'"),
        (
            [{**RECORDS[0], "connection_id": f"c{n}"} for n in range(99)], ("--connection", "b"),
            f"there are {', '.join(repr(f'c{n}') for n in range(20))} and more",
        ),
        (renamed(JWT), ("--connection", "b"), "there is (hidden: it looks like a secret)"),
        (edited(0, retry={**RECORDS[0]["retry"], "base": -1}), (), "log:1: the policies cannot be used: RetryPolicy.base"),
        (edited(0, timeouts={"moon": 1}), (), "log:1: the policies cannot be used"),
    ],
)  # fmt: skip
def test_an_unusable_log_is_reported(
    records: list[Record], arguments: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, write(tmp_path / "log", records), *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert JWT not in err


def test_a_connection_is_found_among_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many = [{**record, "connection_id": f"c{n}"} for n in range(30) for record in RECORDS]
    assert run(capsys, write(tmp_path / "log", many), "--connection", "c29")[0] == 0


def test_an_unreadable_file_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, str(tmp_path / "none")) == (
        2,
        "",
        f"realtime-fsm replay: {tmp_path / 'none'}: No such file or directory\n",
    )


BEGINNING = {
    "the beginning is missing": (RECORDS[5:], "log:1: the connection's log begins with number 6"),
    "another table": ([{**record, "machine": "0" * 12} for record in RECORDS], "log:1: the record is of another table than"),
    "no settings": ([{**RECORDS[1], "seq": 1}], "log:1: the first record is not realtime.open"),
}


@pytest.mark.parametrize("name", BEGINNING)
def test_a_log_that_tells_nothing_is_inconclusive(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records, said = BEGINNING[name]
    code, out, err = run(capsys, write(tmp_path / "log", records))
    assert (code, out) == (3, "")
    assert said in err


HOLES = {
    "a hole": ([*RECORDS[:PONG], *RECORDS[PONG + 2 :]], f"log:{PONG + 1}: 2 records missing before number {PONG + 3}"),
    "two with one number": ([*RECORDS, {**RECORDS[PONG], "sends": 9}], f"log:{len(RECORDS) + 1}: another record has the number"),
    "another table later": (edited(PONG, machine="0" * 12), f"log:{PONG + 1}: the record is of another table than"),
    "a kind from the future": (edited(PONG, event="realtime.moon"), f"log:{PONG + 1}: this version does not know the kind"),
    "a secret": (edited(PONG, cause=JWT), f"log:{PONG + 1}: a value looks like a secret"),
    "a field that is missing": (
        [{k: v for k, v in record.items() if (record["seq"], k) != (PONG + 1, "row")} for record in RECORDS],
        f"log:{PONG + 1}: ",
    ),
    "a hole behind a broken record": ([*edited(PONG, machine="0" * 12)[PONG - 40 :]], f"log:{PONG + 1}: "),
}


@pytest.mark.parametrize("name", HOLES)
def test_a_log_with_a_hole_is_replayed_up_to_it(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records, said = HOLES[name]
    log = write(tmp_path / "log", records)
    code, out, _ = run(capsys, log, "--emit-test", str(tmp_path / "test_it.py"))
    assert code == 3
    assert f"inconclusive: {tmp_path}/{said}" in out
    assert "before it, in 30 s, are reproduced" in out
    assert JWT not in out
    assert "something is missing in it" in (tmp_path / "test_it.py").read_text()
    assert run(capsys, log, "--to", str(PONG))[0] == 0, "up to there nothing is missing"


@pytest.mark.parametrize("closed", [True, False])
def test_a_cut_file_is_inconclusive_unless_the_connection_was_closed(
    closed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = lines_of(RECORDS if closed else RECORDS[:-1])
    (tmp_path / "log").write_bytes(b"".join([*lines, b'{"event":"realtime.pi']))
    code, out, _ = run(capsys, str(tmp_path / "log"))
    assert code == (0 if closed else 3)
    assert closed or f"log:{len(lines) + 1}: the line is not whole" in out


def test_a_log_that_does_not_name_a_subscription_is_inconclusive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, write(tmp_path / "log", edited(kind("subscription"), change="acknowledged")))
    assert code == 3
    assert "the log does not tell what is subscribed to, shown or switched\nthe 3 steps before it" in out


def test_a_divergence_is_shown_with_the_five_steps_before_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = write(tmp_path / "log", edited(LOSS, row="sub57", dest="disconnected"))
    code, out, _ = run(capsys, bad, "--emit-test", str(tmp_path / "test_it.py"))
    assert code == 1
    assert f"diverged at record {LOSS + 1}, {bad}:{LOSS + 1}: the machine does something else" in out
    assert "  sub58: may_retry holds <- the machine" in out.replace("    ", "  ")
    assert len(out.split("the 5 steps before it:\n")[1].splitlines()) == 5
    assert not (tmp_path / "test_it.py").exists()


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_a_step_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, write(tmp_path / "log", RECORDS))
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
    log = write(tmp_path / "log", RECORDS)
    _, out, _ = run(capsys, log, "--from", "8", "--to", "11")
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
    assert [line.partition(" drop ")[2] for line in lines if "OUTAGE" in line] == ["3; OUTAGE: the draining link is gone"]
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
    assert replay_view._describe_commands(of_presence) == "retire 2; presence stored; reject the presence; reject s1"
    assert (
        replay_view._describe_commands(requests) == "send authentication; reject the identity; tell Disconnected; withdraw s1 s2"
    )


def test_colours_are_those_of_the_diagrams() -> None:
    assert Palette(is_deep=True).state(State.CONNECTED) == "\x1b[48;2;201;235;221;38;2;0;56;43m connected \x1b[0m"
    assert Palette(is_deep=False).state(State.CONNECTED).startswith("\x1b[48;5;194;38;5;")
    assert Palette(is_deep=False).state(State.DISCONNECTED).startswith("\x1b[48;5;254;")
    assert Palette.text("", "31") == ""


def on_terminal(*arguments: str, keys: bytes = b"", **environment: str) -> tuple[int, str]:
    ours, theirs = pty.openpty()
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLORTERM")}
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env={**plain, "TERM": "xterm", **environment}
    )
    os.close(theirs)
    os.write(ours, keys)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the end, as Linux tells it
            break
        if not part:
            break
        shown += part
    os.close(ours)
    return process.wait(PATIENCE), shown.decode()


def test_a_terminal_shows_colours_unless_the_user_wants_none(tmp_path: Path) -> None:
    log = write(tmp_path / "log", RECORDS)
    code, shown = on_terminal(log, COLORTERM="truecolor")
    assert code == 0
    assert "\x1b[48;2;201;235;221;38;2;0;56;43m connected \x1b[0m" in shown
    plain = {re.sub(r"\x1b\[[0-9;]*m", "", shown), on_terminal(log, NO_COLOR="1")[1], on_terminal(log, TERM="dumb")[1]}
    assert len(plain) == 1, "the same words at the same places"
    assert "\x1b" not in plain.pop()


def test_steps_wait_for_enter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write(tmp_path / "log", RECORDS)
    code, shown = on_terminal(log, "--step", "--to", "11", keys=b"\n\n\x04", NO_COLOR="1")
    assert code == 0
    assert shown.count("reconnecting") >= 3
    assert run(capsys, log, "--step") == (2, "", "realtime-fsm replay: --step needs a terminal\n")


def test_speed_scales_the_time_between_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    assert run(capsys, write(tmp_path / "log", RECORDS), "--speed", "10")[0] == 0
    assert sum(slept) == pytest.approx(3.26, abs=0.01)
    with pytest.raises(SystemExit):
        main(["replay", "log", "--speed", "0"])


def test_an_interrupt_and_a_reader_that_has_gone_end_the_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = write(tmp_path / "log", RECORDS)

    def raises(kind: type[BaseException]) -> Any:
        def read(*_: object) -> None:
            raise kind

        return read

    monkeypatch.setattr(replaying, "read_connection_log", raises(KeyboardInterrupt))
    assert main(["replay", log]) == 130
    many = write(tmp_path / "many", max(logs_of(20), key=len))
    with subprocess.Popen([*COMMAND, many], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("connection ")
        process.stdout.close()
        assert (process.wait(PATIENCE), process.stderr.read()) == (0, "")


# --- the test that is written -----------------------------------------------------------------------------------------

PLUGIN = """
from dataclasses import replace
from realtime_fsm.fsm import machine
from realtime_fsm.fsm.table import State
rows = tuple(replace(row, dest=State.DISCONNECTED) if row.id == "sub58" else row for row in machine.TABLE.rows)
machine.TABLE = replace(machine.TABLE, rows=rows)
"""


def pytest_on(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    arguments = (
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:asyncio",
        "-W",
        "error",
        "-o",
        "addopts=",
        f"--rootdir={folder}",
        *arguments,
        str(folder),
    )
    path = os.pathsep.join([str(folder), *sys.path])
    return subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


def test_emitted_tests_pass_and_fail_with_another_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "emitted"
    folder.mkdir()
    logs = {"known": RECORDS, **{f"s{seed}_{n}": records for seed in (21, 22) for n, records in enumerate(logs_of(seed))}}
    demo_log = tmp_path / "demo.jsonl"
    assert main(["demo", "--log", str(demo_log)]) == 0
    logs["demo"] = [json.loads(line) for line in demo_log.read_text().splitlines()]
    for name, records in some(logs.items()):
        log = write(tmp_path / f"{name}.jsonl", records)
        assert run(capsys, log, "--emit-test", str(folder / f"test_{name}.py"))[0] == 0
    passed = pytest_on(folder)
    assert passed.returncode == 0, passed.stdout
    assert f"{len(logs)} passed" in passed.stdout
    (folder / "another_table.py").write_text(PLUGIN)
    failed = pytest_on(folder, "-p", "another_table")
    assert failed.returncode == 1
    assert "test_known.py::" in failed.stdout
    assert "test_demo.py::" in failed.stdout


def test_the_test_goes_to_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, write(tmp_path / "log", RECORDS), "--emit-test")
    assert code == 0
    assert "reproduced: 15 steps" in err
    tree = ast.parse(out)
    imported = {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    assert imported == {"__future__", "realtime_fsm"}
    assert not any(isinstance(node, ast.Import) for node in ast.walk(tree))
    assert TEST in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert "placeholders stand for them" in (ast.get_docstring(tree) or "")
    assert "Step(30.100, LinkClosed(1, 1006)," in out


def test_a_hostile_log_writes_no_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = '"""); import os; os._exit(7) #'
    records = [{**record, "connection_id": evil} for record in RECORDS]
    records = [{**record, "subscription": evil} if record.get("subscription") else record for record in records]
    code, out, _ = run(capsys, write(tmp_path / "log", records), "--emit-test")
    assert code == 0
    assert "The path of a connection" in out
    assert "os" not in {node.id for node in ast.walk(ast.parse(out)) if isinstance(node, ast.Name)}


@pytest.mark.parametrize(
    ("path", "records", "code", "said"),
    [
        ("no/test_it.py", RECORDS, 2, "No such file or directory"),
        ("test_it.py", RECORDS[:1], 2, "there is no step to make a test of"),
    ],
)
def test_a_test_that_cannot_be_written_is_reported(
    path: str, records: list[Record], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write(tmp_path / "log", records)
    given, _, err = run(capsys, log, "--emit-test", str(tmp_path / path))
    assert given == code
    assert said in err


def test_a_log_is_never_taken_for_the_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write(tmp_path / "log", RECORDS)
    before = Path(log).read_bytes()
    with pytest.raises(SystemExit):
        main(["replay", "--emit-test", log, log])
    assert "does not end with .py" in capsys.readouterr().err
    assert Path(log).read_bytes() == before
