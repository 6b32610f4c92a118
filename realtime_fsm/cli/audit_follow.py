"""Follow growing logs: tell each outage, each giving up, and the first violation as they come."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from realtime_fsm.audit.auditor import Auditor
from realtime_fsm.audit.causes import describe_cause
from realtime_fsm.audit.decoding import MISSING, TRANSITION
from realtime_fsm.audit.formats.text_utils import format_duration, pluralize
from realtime_fsm.audit.secret_scan import masked
from realtime_fsm.audit.tail import find_problem, follow_files
from realtime_fsm.audit.times import tell_moment
from realtime_fsm.cli.loop import signals_interrupt
from realtime_fsm.cli.output import print_problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime_fsm.audit.decoding import FlatRecord

_say = partial(print_problem, command="realtime-fsm audit")
_PATIENCE = 8
"""Looks at each file without a new line, after which the audit waits no longer for late records."""


def follow(files: list[str], /, **asked: Any) -> Auditor:
    """Follow files until Ctrl-C or SIGTERM, and return the auditor of these arguments, which has read all lines so far."""
    auditor = Auditor(**asked, on_outage=_tell_outage)
    names, last, is_told, looks = list(dict.fromkeys(files)), "", False, 0
    silent = set(names)  # files that have given no line

    def feed(name: str, lines: Iterator[bytes]) -> None:
        nonlocal last, is_told, looks
        looks += 1
        for line in lines:
            looks = 0
            silent.discard(name)
            if name != last:
                auditor.begin(name)
                last = name
            auditor.feed((line,))
            if not is_told and (told := auditor.violation) is not None:
                is_told = True
                if told.rule != "outage":  # the watch prints outages itself
                    _say(f"{told.place}: {told.rule}: {told.text}")
        if looks == _PATIENCE * len(names):
            auditor.settle()

    for name in names:  # the report names also a file without a line
        auditor.begin(name)
        if problem := find_problem(name):
            _say(f"{name}: {problem}; waiting for it")
    with suppress(KeyboardInterrupt), signals_interrupt():
        follow_files(names, feed)
    for name in filter(silent.__contains__, names):
        if problem := find_problem(name):
            auditor.begin(name)
            auditor.unusable(name, problem)
    return auditor


def _tell_outage(record: FlatRecord) -> None:
    """Tell a record of an outage, or a step that gives up."""
    whose = f"{tell_moment(record.timestamp)}: connection {masked(record.connection_id)}"
    planned = ", planned" if record.planned else ""
    cause = describe_cause(record.cause or MISSING, record)
    if record.change == "opened":
        _say(f"{whose} is down{planned}: {cause}")
    elif record.change == "closed":
        attempts = pluralize(max(0, record.dials), "attempt")
        _say(f"{whose} is up again after {format_duration(max(0.0, record.seconds))}, {attempts}{planned}")
    elif record.event == TRANSITION:
        _say(f"{whose} gave up after {pluralize(max(0, record.attempt), 'attempt')}: {cause}")
