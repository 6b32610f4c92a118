"""``realtime-fsm replay``: drive the real machine along the path of a log, step by step on the screen."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import deque
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_fsm.audit.absence import redacted_id
from realtime_fsm.audit.formats.text_utils import format_duration, pluralize, printable
from realtime_fsm.audit.report import Verdict
from realtime_fsm.audit.sources import STDIN
from realtime_fsm.cli.arguments import LineFormatter, add_connections, add_renamed_fields, number
from realtime_fsm.cli.output import discard_stdout, fail
from realtime_fsm.cli.replay_view import StepFormatter, palette_for
from realtime_fsm.fsm.table import TABLE
from realtime_fsm.replay.divergence import Diverged
from realtime_fsm.replay.log_reader import IncompleteLog, UnusableLog, read_connection_log
from realtime_fsm.replay.replayer import Replayer
from realtime_fsm.replay.scenario import scenario_of
from realtime_fsm.replay.test_writer import write_test
from realtime_fsm.testing.scenario import play_scenario

if TYPE_CHECKING:
    from realtime_fsm.replay.log_reader import ConnectionLog
    from realtime_fsm.replay.replayer import ReplayedStep

_fail = partial(fail, command="realtime-fsm replay")
_INTERRUPTED = 130
_CONTEXT = 5
"""How many steps to show before a divergence."""
_RECORD = number(int, 1, math.inf, "the number of a record, from 1 on")
_FACTOR = number(float, sys.float_info.min, 1e9, "a factor above 0, such as 10")
_EPILOG = """\
exit code: 0 reproduced, 1 diverged, 2 unusable input or misuse, 3 the log does not tell enough (records are missing or cut, of\
 an older version, or of a table or schema that this version does not know)
"""


def add_parser(commands: Any) -> None:
    """Add the subcommand to the command line."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "replay",
        help="repeat an audit log on the real state machine, or make a test of it",
        description="Repeat an audit log on the real state machine, on a virtual clock. Show each step, or write a test that"
        " reproduces them.\nReads JSON lines, also wrapped or compressed, as audit does.",
        epilog=_EPILOG,
        formatter_class=LineFormatter,
    )
    parser.add_argument("files", metavar="FILE", nargs="+", help="a log; - for standard input")
    add_connections(parser, "the connection whose id begins so; it may be left out where there is only one")
    add_renamed_fields(parser)
    parser.add_argument("--from", dest="since", metavar="SEQ", type=_RECORD, default=1, help="show the steps from this record on")
    parser.add_argument("--to", dest="until", metavar="SEQ", type=_RECORD, help="replay up to this record")
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument("--step", action="store_true", help="wait for Enter after each step")
    pace.add_argument("--speed", metavar="FACTOR", type=_FACTOR, help="keep the pace of the log, so many times faster")
    parser.add_argument(
        "--emit-test", metavar="PATH.py", nargs="?", const=STDIN, type=_module,
        help="write a pytest module: one test takes the same path, and the other runs your code, which you put in, with a server"
        " that fails as that of the log; without a path to standard output, instead of the steps",
    )  # fmt: skip
    parser.set_defaults(run=run)


def _module(word: str) -> str:
    if word != STDIN and not word.endswith(".py"):  # a log to read, which the test would overwrite
        raise argparse.ArgumentTypeError(f"{word!r} does not end with .py: put FILE before --emit-test")
    return word


def run(options: argparse.Namespace) -> int:
    """Replay a connection; return the exit code: that of the epilog, or 130 after Ctrl-C."""
    if options.step and not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _fail("--step needs a terminal", Verdict.UNUSABLE)
    if options.until is not None and options.since > options.until:
        return _fail(f"--from {options.since} is after --to {options.until}; name an earlier record", Verdict.UNUSABLE)
    try:
        code = _replay(read_connection_log(options.files, options.connection, dict(options.map)), options)
        sys.stdout.flush()  # raises here if the reader has gone, and not at the exit of the process
    except UnusableLog as unusable:
        return _fail(str(unusable), Verdict.UNUSABLE)
    except IncompleteLog as incomplete:
        return _fail(str(incomplete), Verdict.INCONCLUSIVE)
    except BrokenPipeError:  # `realtime-fsm replay ... | head`
        discard_stdout()
        return Verdict.CONFORMANT
    except OSError as failure:
        return _fail(f"{failure.filename or 'standard output'}: {failure.strerror}", Verdict.UNUSABLE)
    except KeyboardInterrupt:
        return _INTERRUPTED
    return code


def _replay(log: ConnectionLog, options: argparse.Namespace) -> int:
    newest = log.records[-1].record.seq
    if options.since > newest and log.incomplete_reason is None:
        raise UnusableLog(f"--from {options.since}: the log has records 1 to {newest}")
    quiet = options.emit_test == STDIN
    out = sys.stderr if quiet else sys.stdout
    formatter, show = StepFormatter(palette_for(out)), _Pace(options)
    if not quiet:
        first = log.records[0].record
        size = pluralize(len(log.records), "record")
        print(printable(f"connection {redacted_id(log.connection)}, {size} from {first.timestamp} on"), end="\n\n")
        print(formatter.head())
    played: list[ReplayedStep] = []
    lines: deque[str] = deque(maxlen=_CONTEXT)
    is_complete = options.until is not None and options.until <= newest
    reason = None if is_complete else log.incomplete_reason
    try:
        for step in Replayer(log).play(options.until):
            played.append(step)
            lines.append(formatter.line(step))
            if not quiet and step.seq >= options.since:
                show(lines[-1], step.seconds)
    except Diverged as diverged:
        print(
            "",
            printable(f"diverged at record {diverged.located.record.seq}, {diverged}"),
            *(printable(f"  {line}") for line in diverged.lines),
            f"the {pluralize(len(lines), 'step')} before it:",
            *lines,
            sep="\n",
            file=out,
        )
        return Verdict.VIOLATED
    except IncompleteLog as incomplete:
        reason = str(incomplete)
    seconds = format_duration(played[-1].seconds if played else 0.0)
    if reason is None:
        print(f"\nreproduced: {pluralize(len(played), 'step')} in {seconds}, by table {TABLE.fingerprint}", file=out)
    else:
        print("", printable(f"inconclusive: {reason}"), sep="\n", file=out)
        print(f"the {pluralize(len(played), 'step')} before it, in {seconds}, are reproduced", file=out)
    if options.emit_test is not None:
        _emit_test(options.emit_test, log, played, reason)
    return Verdict.CONFORMANT if reason is None else Verdict.INCONCLUSIVE


def _emit_test(path: str, log: ConnectionLog, played: list[ReplayedStep], reason: str | None) -> None:
    """Write the test module; the scenario runs once, so that its test holds the outcome of this machine."""
    if not played:
        raise UnusableLog("there is no step to make a test of")
    scenario = scenario_of(log.policies, played)
    outcome = play_scenario(log.policies, scenario)
    lines = write_test(log.policies, played, log.connection, reason, (scenario, outcome))
    text = "".join(f"{line}\n" for line in lines)
    if path == STDIN:
        sys.stdout.write(text)
    else:
        Path(path).write_text(text, encoding="utf-8")


class _Pace:
    """Shows lines: all at once, one for each Enter, or at the pace of the log."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._is_stepping, self._speed = options.step, options.speed
        self._last: float | None = None

    def __call__(self, line: str, at: float) -> None:
        if self._speed is not None and self._last is not None:
            time.sleep((at - self._last) / self._speed)
        self._last = at
        if not self._is_stepping:
            print(line, flush=self._speed is not None)
            return
        print(line, end="", flush=True)  # Enter ends the line
        if not sys.stdin.readline():
            print()
            self._is_stepping = False
