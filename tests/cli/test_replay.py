"""The command `realtime-fsm replay`: the logs that it reads, how it paces the steps, and with which code it ends."""

from __future__ import annotations

import gzip
import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from realtime_fsm.cli import replay as replaying
from realtime_fsm.cli.main import _parser, main
from realtime_fsm.fsm.table import TABLE
from support.brokenlogs import Record, lines_of
from support.commands import Terminal
from support.replay_cases import edited
from support.replaying import run_replay, write_log
from support.simlogs import logs_of
from support.wholelog import JWT, LOSS, PONG, RECORDS, kind

COMMAND = [sys.executable, "-m", "realtime_fsm", "replay"]
PATIENCE = 60.0


def renamed(name: str) -> list[Record]:
    return [{**record, "connection_id": name} for record in RECORDS]


# --- the logs ---------------------------------------------------------------------------------------------------------


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
        write_log(path, [{**record, "timestamp": 1.5, "level": "info", "pid": 7} for record in RECORDS])
    else:
        path.write_bytes(b"".join(lines[::-1] if shape == "shuffled" else lines * 2))
    code, out, _ = run_replay(capsys, *files)
    assert code == 0
    assert f"reproduced: 15 steps in 32.6 s, by table {TABLE.fingerprint}" in out


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Stdin:
        buffer = io.BufferedReader(io.BytesIO(b"".join(lines_of(RECORDS))))

        def isatty(self) -> bool:
            return False

    monkeypatch.setattr(sys, "stdin", Stdin())
    assert run_replay(capsys, "-")[0] == 0


@pytest.mark.parametrize(
    ("records", "arguments", "said"),
    [
        ([], (), "log: it is empty"),
        ([{"event": "request"}], (), "log: no record of this library is in it: 1 line"),
        (
            [{"x": 1}, {"event": "realtime.ping", "x": 7}],
            (),
            "log: no record of this library is in it: 2 lines; LOG:2 lacks machine, connection_id, seq, timestamp, link"
            ' (see --map): {"event": "realtime.ping", "x": 7}',
        ),
        (renamed("a"), ("--connection", "b"), "the log holds no connection 'b'; it holds 'a'"),
        (renamed("a"), ("--connection", "b", "--connection", "c"), "the log holds no connection 'b' or 'c'; it holds 'a'"),
        ([*renamed("a"), *renamed("b")], (), "choose one with --connection; it holds 'a', 'b'"),
        (
            [{**RECORDS[0], "connection_id": f"c{n}"} for n in range(99)], ("--connection", "b"),
            f"it holds {', '.join(repr(f'c{n}') for n in range(20))} and more",
        ),
        (renamed(JWT), ("--connection", "b"), "it holds (hidden: it looks like a secret)"),
        (edited(0, retry={**RECORDS[0]["retry"], "base": -1}), (), "log:1: the policies cannot be used: RetryPolicy.base"),
        (edited(0, timeouts={"moon": 1}), (), "log:1: the policies cannot be used"),
    ],
)  # fmt: skip
def test_an_unusable_log_is_reported(
    records: list[Record], arguments: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write_log(tmp_path / "log", records)
    code, out, err = run_replay(capsys, log, *arguments)
    assert (code, out) == (2, "")
    assert said.replace("LOG", log) in err
    assert JWT not in err


def test_a_connection_is_found_among_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write_log(tmp_path / "log", [{**record, "connection_id": f"c{n}"} for n in range(30) for record in RECORDS])
    code, out, _ = run_replay(capsys, log, "--connection", "c29")
    assert (code, out.partition(",")[0]) == (0, "connection 'c29'")


def test_the_beginning_of_an_id_chooses_a_connection(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write_log(tmp_path / "log", [*renamed("one"), *renamed("two"), *renamed("three")])
    code, out, _ = run_replay(capsys, log, "--connection", "tw")
    assert (code, out.partition(",")[0]) == (0, "connection 'two'")
    assert run_replay(capsys, log, "--connection", "t") == (
        2,
        "",
        "realtime-fsm replay: the log holds several connections: choose one with --connection; it holds 'one', 'two', 'three'\n",
    )


def test_a_log_with_renamed_fields_is_read_by_their_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = {"timestamp": "when", "connection_id": "conn"}
    records = [{keys.get(name, name): value for name, value in record.items()} for record in RECORDS]
    log = write_log(tmp_path / "log", records)
    assert "log:1 lacks connection_id, timestamp (see --map)" in run_replay(capsys, log)[2]
    code, out, _ = run_replay(capsys, log, "--map", "timestamp=when", "--map", "connection_id=conn")
    assert code == 0
    assert "reproduced: 15 steps" in out
    late = [write_log(tmp_path / "b", records[5:]), write_log(tmp_path / "a", records[:5])]
    assert run_replay(capsys, *late, "--map", "timestamp=when", "--map", "connection_id=conn")[0] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--from", "9", "--to", "3"), "--from 9 is after --to 3; name an earlier record"),
        (("--from", "99"), f"--from 99: the log has records 1 to {len(RECORDS)}"),
    ],
)
def test_a_span_without_a_record_is_a_misuse(
    words: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write_log(tmp_path / "log", RECORDS)
    assert run_replay(capsys, log, *words) == (2, "", f"realtime-fsm replay: {said}\n")
    assert run_replay(capsys, log, "--from", str(len(RECORDS)))[0] == 0
    assert run_replay(capsys, write_log(tmp_path / "cut", RECORDS[:PONG] + RECORDS[PONG + 1 :]), *words[:1], "99")[0] == 3


def test_an_unreadable_file_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_replay(capsys, str(tmp_path / "none")) == (
        2,
        "",
        f"realtime-fsm replay: {tmp_path / 'none'}: No such file or directory\n",
    )


BEGINNING = {
    "the beginning is missing": (RECORDS[5:], "log:1: the connection's log begins with number 6"),
    "another table": (
        [{**record, "machine": "0" * 12} for record in RECORDS],
        f"of another table than {TABLE.fingerprint}; replay it with the version",
    ),
    "no settings": ([{**RECORDS[1], "seq": 1}], "log:1: the first record is not realtime.open"),
}


@pytest.mark.parametrize("name", BEGINNING)
def test_a_log_that_tells_nothing_is_inconclusive(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records, said = BEGINNING[name]
    code, out, err = run_replay(capsys, write_log(tmp_path / "log", records))
    assert (code, out) == (3, "")
    assert said in err


HOLES = {
    "a hole": ([*RECORDS[:PONG], *RECORDS[PONG + 2 :]], f"log:{PONG + 1}: 2 records missing before number {PONG + 3}"),
    "two with one number": (
        [*RECORDS, {**RECORDS[PONG], "sends": 9}],
        f"log:{len(RECORDS) + 1}: another record {PONG + 1} is at ",
    ),
    "another table later": (edited(PONG, machine="0" * 12), f"log:{PONG + 1}: the record is of another table than"),
    "a kind from the future": (edited(PONG, event="realtime.moon"), f"log:{PONG + 1}: this version does not know the kind"),
    "a secret": (edited(PONG, cause=JWT), f"log:{PONG + 1}: a value looks like a secret"),
    "a control character": (edited(PONG, cause="\u202e"), f"log:{PONG + 1}: a value looks like a secret, or is not printable"),
    "a hole before a broken record": (
        [*RECORDS[:PONG], {**RECORDS[PONG + 1], "event": "realtime.moon"}],
        f"log:{PONG + 1}: 1 record missing before number {PONG + 2}",
    ),
    "a field that is missing": (
        [{k: v for k, v in record.items() if (record["seq"], k) != (PONG + 1, "row")} for record in RECORDS],
        f"log:{PONG + 1}: ",
    ),
    "a hole behind a broken record": ([*edited(PONG, machine="0" * 12)[PONG - 40 :]], f"log:{PONG + 1}: "),
}


@pytest.mark.parametrize("name", HOLES)
def test_a_log_with_a_hole_is_replayed_up_to_it(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records, said = HOLES[name]
    log = write_log(tmp_path / "log", records)
    code, out, _ = run_replay(capsys, log, "--emit-test", str(tmp_path / "test_it.py"))
    assert code == 3
    assert f"inconclusive: {tmp_path}/{said}" in out
    assert "before it, in 30 s, are reproduced" in out
    assert JWT not in out
    assert "something is missing in it" in (tmp_path / "test_it.py").read_text()
    assert run_replay(capsys, log, "--to", str(PONG))[0] == 0, "up to there nothing is missing"


@pytest.mark.parametrize("closed", [True, False])
def test_a_cut_file_is_inconclusive_unless_the_connection_was_closed(
    closed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = lines_of(RECORDS if closed else RECORDS[:-1])
    (tmp_path / "log").write_bytes(b"".join([*lines, b'{"event":"realtime.pi']))
    code, out, _ = run_replay(capsys, str(tmp_path / "log"))
    assert code == (0 if closed else 3)
    assert closed or f"log:{len(lines) + 1}: the line is not whole" in out


def test_a_broken_record_of_another_connection_or_without_a_number_is_no_hole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numberless = {name: value for name, value in RECORDS[PONG].items() if name != "seq"}
    broken = [{**RECORDS[PONG], "connection_id": "c2", "event": "realtime.moon"}, {**numberless, "event": "realtime.moon"}]
    log = write_log(tmp_path / "log", [*RECORDS, *broken])
    code, out, _ = run_replay(capsys, log, "--connection", "c1")
    assert (code, "reproduced: 15 steps" in out) == (0, True)


@pytest.mark.parametrize(("closed", "given", "said"), [(False, 3, "inconclusive: "), (True, 0, "reproduced: 15 steps")])
def test_a_compressed_file_that_is_cut_is_replayed_up_to_there(
    closed: bool, given: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(b"".join(lines_of(RECORDS if closed else RECORDS[:-1])))[:-8])
    code, out, _ = run_replay(capsys, str(path))
    assert code == given
    assert said + (f"{path}: " if not closed else "") in out
    path.write_bytes(path.read_bytes()[:12])
    code, out, err = run_replay(capsys, str(path))
    assert (code, out, err.startswith(f"realtime-fsm replay: {path}: ")) == (2, "", True)


def test_a_log_that_does_not_name_a_subscription_is_inconclusive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run_replay(capsys, write_log(tmp_path / "log", edited(kind("subscription"), change="acknowledged")))
    assert code == 3
    assert "the log does not tell the user's subscription, presence or ping setting\nthe 3 steps before it" in out


def test_a_divergence_is_shown_with_the_five_steps_before_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = write_log(tmp_path / "log", edited(LOSS, row="sub57", dest="disconnected"))
    code, out, _ = run_replay(capsys, bad, "--emit-test", str(tmp_path / "test_it.py"))
    assert code == 1
    assert f"diverged at record {LOSS + 1}, {bad}:{LOSS + 1}: the machine does something else" in out
    assert "  sub58: may_retry holds <- the machine" in out.replace("    ", "  ")
    assert len(out.split("the 5 steps before it:\n")[1].splitlines()) == 5
    assert not (tmp_path / "test_it.py").exists()


# --- the terminal -----------------------------------------------------------------------------------------------------


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
    log = write_log(tmp_path / "log", RECORDS)
    code, shown = on_terminal(log, COLORTERM="truecolor")
    assert code == 0
    assert "\x1b[48;2;201;235;221;38;2;0;56;43m connected \x1b[0m" in shown
    plain = {re.sub(r"\x1b\[[0-9;]*m", "", shown), on_terminal(log, NO_COLOR="1")[1], on_terminal(log, TERM="dumb")[1]}
    assert len(plain) == 1, "the same words at the same places"
    assert "\x1b" not in plain.pop()


def test_steps_wait_for_enter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write_log(tmp_path / "log", RECORDS)
    code, shown = on_terminal(log, "--step", "--to", "11", keys=b"\n\n\x04", NO_COLOR="1")
    assert code == 0
    assert shown.count("reconnecting") >= 3
    assert run_replay(capsys, log, "--step") == (2, "", "realtime-fsm replay: --step needs a terminal\n")


class Keys(io.StringIO):
    """A keyboard that notes what is shown when it is read."""

    def __init__(self, text: str, screen: io.StringIO) -> None:
        super().__init__(text)
        self.screen, self.shown = screen, list[str]()

    def readline(self, *_: Any) -> str:  # type: ignore[override]  # typeshed lists the bytes of another base first
        self.shown.append(self.screen.getvalue())
        return super().readline()


def test_after_the_end_of_the_input_no_step_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    keys = Keys("\n", screen)
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stdin", keys)
    show = replaying._Pace(_parser().parse_args(["replay", "log", "--step"]))
    for number, step in enumerate(("one", "two", "three", "four")):
        show(step, float(number))
    assert keys.shown == ["one", "onetwo"]
    assert screen.getvalue() == "onetwo\nthree\nfour\n"


@pytest.mark.parametrize(("words", "flushed"), [((), 0), (("--speed", "4"), 1), (("--step",), 1)])
def test_a_step_is_shown_at_once_where_the_next_one_waits(
    words: tuple[str, ...], flushed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    replaying._Pace(_parser().parse_args(["replay", "log", *words]))("step", 1.0)
    assert [text.rstrip() for text in terminal.shown] == ["step"] * flushed


def test_the_pace_is_that_of_the_log_divided_by_the_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    show = replaying._Pace(_parser().parse_args(["replay", "log", "--speed", "4"]))
    for at in (10.0, 12.0, 18.0):
        show("step", at)
    assert slept == [0.5, 1.5]


def test_speed_scales_the_time_between_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    assert run_replay(capsys, write_log(tmp_path / "log", RECORDS), "--speed", "10")[0] == 0
    assert sum(slept) == pytest.approx(3.26, abs=0.01)
    with pytest.raises(SystemExit):
        main(["replay", "log", "--speed", "0"])


def test_an_interrupt_and_a_reader_that_has_gone_end_the_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = write_log(tmp_path / "log", RECORDS)

    def raises(kind: type[BaseException]) -> Any:
        def read(*_: object) -> None:
            raise kind

        return read

    monkeypatch.setattr(replaying, "read_connection_log", raises(KeyboardInterrupt))
    assert main(["replay", log]) == 130
    discarded: list[bool] = []
    monkeypatch.setattr(replaying, "discard_stdout", lambda: discarded.append(True))
    monkeypatch.setattr(replaying, "read_connection_log", raises(BrokenPipeError))
    assert (main(["replay", log]), discarded) == (0, [True])
    longest: tuple[Record, ...] = max(logs_of(20), key=len)
    many = write_log(tmp_path / "many", longest)
    with subprocess.Popen([*COMMAND, many], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("connection ")
        process.stdout.close()
        assert (process.wait(PATIENCE), process.stderr.read()) == (0, "")


def test_nothing_of_a_log_commands_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log\x1b[1m"
    write_log(path, [{**RECORDS[0], "timestamp": "\x1b[2J"}, *RECORDS[1:]])
    code, out, err = run_replay(capsys, str(path))
    assert (code, err) == (0, "")
    assert r"from \x1b[2J on" in out
    assert "\x1b" not in out
    write_log(path, [*RECORDS[:PONG], {**RECORDS[PONG], "row": "sub41"}, *RECORDS[PONG + 1 :]])
    code, out, err = run_replay(capsys, str(path))
    assert code == 1
    assert "\x1b" not in out + err
    assert "\x1b" not in "".join(run_replay(capsys, f"{path}none")[1:])
