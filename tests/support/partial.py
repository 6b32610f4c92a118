"""Short outcomes of audits whose records are lost or altered, or whose user asks about a part of the time.

Each line has an outcome, and the records whose loss or alteration leads to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from realtime_fsm.audit.answer import Answer, Downtime
from realtime_fsm.audit.report import Report
from support.brokenlogs import Record, answered, audited, lines_of
from support.corpus import WALKS, moment
from support.lives import ALL

_WALKS = ("healed", "gave_up", "disposed_of", "logged_out", "never_up", "unwanted", "faulty")
_LIVES = (
    "given_up_and_disposed_of", "lost_and_not_dialed", "planned", "handed_over_too_late", "handed_over_at_the_second_try",
    "never_handed_over", "gap_within", "at_fault", "at_fault_to_the_end",
)  # fmt: skip
_ALTERED = ("given_up_and_disposed_of", "handed_over_at_the_second_try", "planned", "at_fault")
_LOGS: dict[str, list[Record]] = {**{f"walk {name}": WALKS[name] for name in _WALKS}, **{name: ALL[name] for name in _LIVES}}
_OTHERS: dict[str, tuple[Any, ...]] = {
    "cause": ("stream_ended", "error_frame", None),
    "error_code": (0, 401, 1008, 1013),
    "close_code": (1008, 1013),
    "status": (429,),
    "retry_after": (7.0,),
    "era": ("E2", "E4", None),
    "change": ("opened", "closed", "desired", "acknowledged", "withdrawn", "removed", "rejected"),
    "subscription": ("unknown",),
    "planned": (True, False),
    "machine": ("another",),
    "source": ("reconnecting",),
    "dest": ("reconnecting",),
    "trigger": ("deadline",),
}
_STEPS = {float: (0.001, 0.003, -0.003, 3.0), int: (1, -1)}


def _numbers(numbers: Iterable[int]) -> str:
    """Write rising numbers; neighbours make a range, such as ``3-5``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][-1] + 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    return ", ".join(f"{span[0]}-{span[-1]}" if len(span) > 1 else str(span[0]) for span in spans)


def _grouped(outcomes: Iterable[tuple[int, str]]) -> Iterator[str]:
    groups: dict[str, list[int]] = defaultdict(list)
    for number, outcome in outcomes:
        groups[outcome].append(number)
    yield from (f"{_numbers(numbers)}: {outcome}" for outcome, numbers in groups.items())


def _without(records: list[Record], index: int) -> list[bytes]:
    return lines_of([*records[:index], *records[index + 1 :]])


def _seconds(at: datetime | None, records: list[Record]) -> str:
    return "?" if at is None else f"{(at - moment(records[0])).total_seconds():g}"


# --- figures ----------------------------------------------------------------------------------------------------------


def _figures(report: Report) -> str:
    """Write the findings, the times in states and the outages of a report about one connection."""
    told = [f"{report.verdict} {report.records}/{report.other}", " ".join(f"{rule} {n}" for rule, n in report.counts.items())]
    for connection in report.connections:
        life = connection.life
        told += [f"{connection.state}{' ended' * connection.ended}{' healthy' * connection.healthy}"]
        told += [" ".join(f"{state} {seconds:g}" for state, seconds in life.states.items() if seconds)]
        told += [f"available {life.availability and round(life.availability, 6)}, at fault {life.at_fault:g}"]
        told += [
            f"{outage.cause}{' planned' * outage.planned} from {outage.at:g} for {outage.seconds:g} ({outage.within:g}),"
            f" {outage.dials} dials, gap {outage.gap:g} {outage.end}"
            for outage in life.outages
        ]
    return "; ".join(filter(None, told))


def lost() -> Iterator[str]:
    """Lose each record of a log in turn."""
    for name, records in _LOGS.items():
        yield f"=== {name}: {_figures(audited(lines_of(records)))}"
        yield from _grouped((index, _figures(audited(_without(records, index)))) for index in range(len(records)))


def windows() -> Iterator[str]:
    """Judge a log since each of its moments, and until each of them."""
    for name in _LIVES:
        records = ALL[name]
        moments = list(dict.fromkeys(moment(record) + timedelta(milliseconds=part) for record in records for part in (0, 5)))
        for word in ("since", "until"):
            yield f"=== {name}, {word}"
            options: list[dict[str, Any]] = [{word: at} for at in moments]
            reports = zip(moments, (audited(lines_of(records), **each) for each in options), strict=True)
            yield from (f"{_seconds(at, records)}: {_figures(report)}" for at, report in reports)


# --- answers ----------------------------------------------------------------------------------------------------------


def _down(down: Downtime, records: list[Record]) -> str:
    missed = [
        f"{each.subscription} {_seconds(each.since, records)} to {_seconds(each.until, records)} ({each.seconds:g})"
        for each in down.missed
    ]
    return (
        f"{down.kind}{' planned' * down.planned} since {_seconds(down.since, records)}{'' if down.is_exact else ' or before'}"
        f" until {_seconds(down.until, records)} {down.end}, {down.attempts} attempts, look at {down.seq}:"
        f" {down.why}; missed {', '.join(missed) or 'nothing'}"
    )


def _answer(answer: Answer, records: list[Record]) -> str:
    counts = {name: getattr(answer, name) for name in ("healthy", "unwanted", "unknown", "silent")}
    told = [f"{name} {count}" for name, count in counts.items() if count]
    return "; ".join([f"{answer.connections} there", *told, *(_down(down, records) for down in answer.down)])


def instants() -> Iterator[str]:
    """Ask about an instant during the first dial, and about the edges of outages and faults, and lose each record in turn."""
    for name, records in _LOGS.items():
        edges = [moment(r) for r in records if r["event"] in ("realtime.outage", "realtime.fault") or r.get("dest") == "error"]
        instants = sorted({edge + timedelta(milliseconds=part) for edge in edges for part in (-5, 0)})
        instants = [moment(records[0]) + timedelta(milliseconds=20), *instants, *[moment(records[-1])] * (not edges)]
        for at in instants:
            yield f"=== {name} at {_seconds(at, records)}: {_answer(answered(lines_of(records), at), records)}"
            answers = (answered(_without(records, index), at) for index in range(len(records)))
            yield from _grouped((index, _answer(answer, records)) for index, answer in enumerate(answers))


# --- alterations ------------------------------------------------------------------------------------------------------


def _others(name: str, value: Any) -> Iterator[Any]:
    if name not in ("schema", "seq"):
        yield from (other for other in _OTHERS.get(name, ()) if other != value)
        if name not in _OTHERS:
            yield from (round(value + step, 6) for step in _STEPS.get(type(value), ()))


def altered() -> Iterator[str]:
    """Alter each field of each record of a log in turn: the first finding, and how many records later it is."""
    for name in _ALTERED:
        records = ALL[name]
        lines = lines_of(records)
        yield f"=== {name}"
        outcomes: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for index, record in enumerate(records):
            for field, value in record.items():
                for number, other in enumerate(_others(field, value)):
                    change = f"{field} {other}" if field in _OTHERS else f"{field} {_STEPS[type(value)][number]:+g}"
                    first = audited([*lines[:index], *lines_of([{**record, field: other}]), *lines[index + 1 :]]).first
                    outcome = "-" if first is None else f"{first.rule} after {first.place.line - 1 - index}"
                    outcomes[change][outcome].append(index)
        for change, found in outcomes.items():
            yield f"{change}: {'; '.join(f'{outcome} {_numbers(indexes)}' for outcome, indexes in found.items())}"
