"""Write whole reports about known logs, the answer of each situation, whole replays, drawings, and the words of the command line.

``python -m support.reports``, in the folder tests/, freezes them again in data/reports/.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
from argparse import SUPPRESS, Action
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from datetime import UTC
from importlib import import_module
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import msgspec

from realtime_fsm.audit.formats import page_time
from realtime_fsm.audit.formats.answer import answer_lines
from realtime_fsm.audit.formats.html import as_html
from realtime_fsm.audit.formats.junit import as_junit
from realtime_fsm.audit.formats.text import as_markdown, as_text
from realtime_fsm.audit.report import Report
from realtime_fsm.cli.main import _parser, main
from realtime_fsm.cli.replay_view import Palette, StepFormatter
from realtime_fsm.cli.words import by_kind
from realtime_fsm.diagram import style, timeline
from realtime_fsm.diagram.drawing import Diagram, Text
from realtime_fsm.fsm.commands import SendFrame, TransitionTaken
from realtime_fsm.fsm.table import TABLE, State
from realtime_fsm.ops.inspector.page import diagram, words
from realtime_fsm.replay.log_reader import ConnectionLog, IncompleteLog
from realtime_fsm.replay.replayer import Replayer
from realtime_fsm.replay.scenario import Outcome, scenario_of
from realtime_fsm.replay.test_writer import write_test
from support.brokenlogs import answered, audited, lines_of
from support.corpus import SITUATIONS
from support.corpus import lines_of as lines_of_situation
from support.fleetreport import fleet
from support.lives import ALL
from support.partial import altered, instants, lost, windows
from support.replaying import log_of
from support.scenes import play
from support.wholelog import PONG, edited

DRAWN = ("healed", "given_up", "at_fault", "handed_over", "rejected")
_KINDS: tuple[Text, ...] = ("mermaid", "dot", "plantuml", "markdown")
FROZEN = Path(__file__).resolve().parents[1] / "data" / "reports"


def _lives() -> Iterator[str]:
    for name, records in ALL.items():
        yield f"=== {name}"
        yield from as_text(audited(lines_of(records)))


def _violated() -> Iterator[str]:
    """Write a report with a violation in each format for people and for CI."""
    report = audited(edited(PONG, row="sub41"))
    for form in (as_text, as_markdown, as_junit):
        yield f"=== {form.__name__}"
        yield from form(report)


def _answers() -> Iterator[str]:
    for name, situation in SITUATIONS.items():
        yield f"=== {name}"
        yield from answer_lines(answered(lines_of_situation(name, "plain"), situation.at), UTC)


def _page() -> Iterator[str]:
    """Write the page of some lives, an element a line, without its style and its script, which are files of their own."""
    report = audited((line for name in DRAWN for line in lines_of(ALL[name])), detail=True)
    return _elements("\n".join(as_html(report, coverage=True)))


def _fleet() -> Iterator[str]:
    """Write the part of a page about time: the map of a fleet, its worst connections, and the others, which the page packs."""
    with patch.object(page_time, "LISTED", 2):
        page = "\n".join(page_time.time_section(fleet(4, hours=9.0)))
    packed = re.compile(r'(?<=data-count="2">)[^<]+')
    return _elements(packed.sub(lambda found: gzip.decompress(base64.b64decode(found[0])).decode(), page))


def _elements(page: str) -> Iterator[str]:
    return iter(re.sub(r"(?s)<(style|script)>.*?</\1>|sha256-[^']*", "", page).replace("><", ">\n<").splitlines())


def _drawings() -> Iterator[str]:
    """Draw what no generated file shows: the views of one state, and all that changes where a state is marked."""
    for name in (State.ERROR, State.DISPOSING):
        yield f"=== state:{name}"
        yield from _drawn(f"state:{name}", None)
    yield "=== styles"
    yield from "".join((style.css(), style.variables(), timeline.css())).replace("}", "}\n").splitlines()
    for view, current in (("overview", State.DISPOSING), ("full", State.PING), ("state:error", State.ERROR)):
        plain = set(_drawn(view, None))
        yield f"=== {view}, in {current}"
        yield from (line for line in _drawn(view, current) if line not in plain)


def _drawn(view: str, current: State | None) -> list[str]:
    """Draw a view in each format, without the style sheet."""
    drawn = Diagram(view, current=current)
    picture = re.sub(r"drawing \w+|<(style|defs)>.*?</\1>", "", drawn.picture("svg").decode())
    texts = [drawn.text(kind) for kind in _KINDS]
    return [line for text in (picture, *texts) for line in text.splitlines()]


def _explained() -> Iterator[str]:
    """Explain the first and the last word of each kind, each code, and some words that have more facts."""
    words = [meaning.word for meanings in by_kind().values() for meaning in (meanings[0], meanings[-1])]
    words += [meaning.word for meaning in by_kind()["codes"]]
    for asked in ([], [*dict.fromkeys(words), "sub58", "ping", "Overdue", "cause"], ["58"], ["verdicts"]):
        with redirect_stdout(StringIO()) as out, patch.dict(os.environ, COLUMNS=""):  # as for a file, whatever the terminal
            main(["explain", *asked])
        yield f"=== {' '.join(asked)}"
        yield from out.getvalue().splitlines()


def _arguments() -> Iterator[str]:
    """Write each argument of each command in a line."""
    parser = _parser()
    (commands,) = (action.choices for action in parser._actions if isinstance(action.choices, dict))
    for name, command in {"": parser, **commands}.items():
        for action in command._actions:
            yield " ".join(filter(None, (name, *_argument(action))))
        exclusive = [" or ".join(action.dest for action in group._group_actions) for group in command._mutually_exclusive_groups]
        yield from (f"{name}: {names}" for names in exclusive)


def _argument(action: Action) -> Iterator[str]:
    yield "/".join(action.option_strings) or action.dest.removeprefix(SUPPRESS)
    yield str(action.metavar or "")
    names = ("nargs", "default", "const", "required")[: None if action.option_strings else -1]
    facts = {name: getattr(action, name) for name in names}
    yield from (f"{name}={value!r}" for name, value in facts.items() if value not in (None, False, SUPPRESS))
    if action.choices is not None:
        yield f"of {'|'.join(action.choices)}"


def _inspector() -> Iterator[str]:
    """Write the diagram of the inspector, and its words."""
    yield from diagram().replace("><", ">\n<").splitlines()
    shown = json.loads(words())
    assert shown.pop("why") == {row.id: row.why for row in TABLE.rows}
    for name, part in shown.items():
        yield f"=== {name}"
        yield from (f"{key}: {json.dumps(value)}" for key, value in part.items())


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
    "violated.txt": _violated,
    "answers.txt": _answers,
    "together.txt": lambda: as_text(_together(), coverage=True),
    "together.md": lambda: as_markdown(_together(), coverage=True),
    "together.xml": lambda: as_junit(_together()),
    "together.figures": lambda: _figures(_together()),
    "page.html": _page,
    "fleet.html": _fleet,
    "drawings.txt": _drawings,
    "inspector.txt": _inspector,
    "explained.txt": _explained,
    "arguments.txt": _arguments,
    "broken.txt": _broken,
    "lost.txt": lost,
    "altered.txt": altered,
    "windows.txt": windows,
    "instants.txt": instants,
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
