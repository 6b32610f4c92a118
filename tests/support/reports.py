"""Write whole reports about known logs, the answer of each situation, the findings of each broken log, and whole replays.

``python -m support.reports``, in the folder tests/, freezes them again in data/reports/.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from realtime_fsm.audit.auditor import Auditor
from realtime_fsm.audit.formats.answer import answer_lines
from realtime_fsm.audit.formats.html import as_html
from realtime_fsm.audit.formats.junit import as_junit
from realtime_fsm.audit.formats.text import as_markdown, as_text
from realtime_fsm.audit.report import Report
from realtime_fsm.cli.replay_view import Palette, StepFormatter
from realtime_fsm.fsm.commands import SendFrame, TransitionTaken
from realtime_fsm.fsm.table import TABLE
from realtime_fsm.replay.log_reader import ConnectionLog, IncompleteLog
from realtime_fsm.replay.replayer import Replayer
from realtime_fsm.replay.scenario import Outcome, scenario_of
from realtime_fsm.replay.test_writer import write_test
from support.brokenlogs import audited, lines_of
from support.corpus import SITUATIONS
from support.corpus import lines_of as lines_of_situation
from support.lives import ALL
from support.replaying import log_of
from support.scenes import play

DRAWN = ("healed", "given_up", "at_fault", "handed_over", "rejected")
FROZEN = Path(__file__).resolve().parents[1] / "data" / "reports"


def _lives() -> Iterator[str]:
    for name, records in ALL.items():
        yield f"=== {name}"
        yield from as_text(audited(lines_of(records)))


def _answers() -> Iterator[str]:
    for name, situation in SITUATIONS.items():
        auditor = Auditor(at=situation.at)
        auditor.begin("log")
        auditor.feed(lines_of_situation(name, "plain"))
        auditor.finish()
        yield f"=== {name}"
        assert auditor.answer is not None
        yield from answer_lines(auditor.answer, UTC)


def _page() -> Iterator[str]:
    """Write the page of some lives, an element a line, without its style and its script, which are files of their own."""
    report = audited((line for name in DRAWN for line in lines_of(ALL[name])), detail=True)
    page = re.sub(r"(?s)<(style|script)>.*?</\1>|sha256-[^']*", "", "\n".join(as_html(report, coverage=True)))
    return iter(page.replace("><", ">\n<").splitlines())


def _short(value: Any) -> Any:
    """Round to 12 digits: the last digits of a logarithm are the platform's."""
    if isinstance(value, dict):
        return {name: _short(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_short(each) for each in value]
    return float(f"{value:.12g}") if isinstance(value, float) else value


def _figures(report: Report) -> Iterator[str]:
    """Write all figures of a report, a part or a connection a line."""
    parts: dict[str, Any] = _short(msgspec.to_builtins(report))
    for connection in parts.pop("connections"):
        yield json.dumps(connection)
    for name, part in parts.items():
        yield f"{name}: {json.dumps(part)}"


def _broken() -> Iterator[str]:
    for name, (log, *_) in import_module("audit.test_broken_logs").BROKEN.items():
        report = audited(log())
        yield f"=== {name}: {report.verdict}"
        for finding in (*report.findings, *(each for connection in report.connections for each in connection.findings)):
            yield f"{finding.weight}: {finding.place}: {finding.rule}: {finding.text}"


def _log_of(name: str) -> ConnectionLog:
    with TemporaryDirectory() as folder:
        return log_of(Path(folder) / "log", ALL[name])


def _replays() -> Iterator[str]:
    """Write each life that can be replayed, with the script of its scenario."""
    for name in ALL:
        try:
            log = _log_of(name)
            played = list(Replayer(log).play())
        except IncompleteLog as incomplete:
            yield f"=== {name}: {incomplete}"
            continue
        yield f"=== {name}: {scenario_of(log.policies, played)}"
        yield from map(StepFormatter(None).line, played)


def _in_colours() -> Iterator[str]:
    for palette in (Palette(is_deep=False), Palette(is_deep=True)):
        formatter = StepFormatter(palette)
        yield formatter.head()
        yield from map(formatter.line, Replayer(_log_of("healed")).play())


def _tests() -> Iterator[str]:
    for name in ("healed", "at_fault", "handed_over_in_an_outage"):
        log = _log_of(name)
        played = list(Replayer(log).play())
        scenario = scenario_of(log.policies, played), Outcome(("stream_ended",), True, None)
        yield f"=== {name}"
        yield from write_test(log.policies, played, log.connection, log.incomplete_reason, scenario)


def _scenes() -> Iterator[str]:
    """Write what the last step of each scene commands, tells and leaves behind; plain values of its record are left out."""
    for row in TABLE.rows:
        bench = play(row)
        context, (transition, asked, deadline) = bench.context, msgspec.structs.astuple(bench.last)
        assert transition is not None
        told = {name: getattr(transition, name) for name in TransitionTaken.__struct_fields__[1:]}
        facts = {name: getattr(context, name) for name in ("been_up", "ever_up", "refusals", "doubtful", "throttled", "trial")}
        facts |= {
            "draining": context.draining_generation,
            "waits for": context.awaited,
            "desired": [*context.subscriptions.desired],
        }
        yield f"=== {row.id}: {', '.join(f'{name} {value}' for name, value in told.items() if value or value == 0)}"
        yield f"until {deadline}: {', '.join(f'{name} {value}' for name, value in facts.items() if value)}"
        yield from (f"- {command}{command.data!r}" if isinstance(command, SendFrame) else f"- {command}" for command in asked)


def _together() -> Report:
    return audited(line for records in ALL.values() for line in lines_of(records))


REPORTS: dict[str, Callable[[], Iterable[str]]] = {
    "lives.txt": _lives,
    "answers.txt": _answers,
    "together.txt": lambda: as_text(_together(), coverage=True),
    "together.md": lambda: as_markdown(_together(), coverage=True),
    "together.xml": lambda: as_junit(_together()),
    "together.figures": lambda: _figures(_together()),
    "page.html": _page,
    "broken.txt": _broken,
    "scenes.txt": _scenes,
    "replays.txt": _replays,
    "replay-in-colours.txt": _in_colours,
    "emitted-tests.txt": _tests,
}
"""The lines of each file, by its name."""


def written(name: str) -> str:
    """Write a file, with a name in place of the fingerprint of the table."""
    return "".join(f"{line}\n" for line in REPORTS[name]()).replace(TABLE.fingerprint, "TABLE")


if __name__ == "__main__":
    FROZEN.mkdir(exist_ok=True)
    for name in REPORTS:
        (FROZEN / name).write_text(written(name), encoding="utf-8")
