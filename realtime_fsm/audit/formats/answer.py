"""The answer as text: the connections that were down at an instant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.formats.text_utils import format_duration, number, pluralize
from realtime_fsm.audit.times import tell_moment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

    from realtime_fsm.audit.answer import Answer, Downtime, Missed

_SHOWN = 20
"""The most connections, and the most subscriptions of each, that the answer lists."""


def answer_lines(answer: Answer, zone: tzinfo | None) -> Iterator[str]:
    """Write the answer for people, with times in a zone; without one, in local time."""
    begins, ends = answer.begins, answer.ends
    yield f"at {tell_moment(answer.at, zone)}: {_sum(answer)}"
    is_within = begins is not None and ends is not None and begins <= answer.at <= ends
    for down in answer.down[:_SHOWN]:
        yield ""
        yield from _down(down, zone)
    yield ""
    if rest := answer.down_total - len(answer.down[:_SHOWN]):
        yield f"... and {pluralize(rest, 'more connection')} down"
    if is_within:
        yield f"and {number(answer.healthy)} healthy"
    if answer.unwanted:
        yield f"and {number(answer.unwanted)} for which the program wanted no link"
    if answer.unknown:
        yield f"and {number(answer.unknown)} of which the log does not tell: records are missing"
    if answer.silent:
        yield f"and {number(answer.silent)} whose records end before, without a reason"
    for finding in answer.findings:
        yield f"{finding.weight}: {finding.place}: {finding.text}"
    first = answer.first
    if first is not None:
        yield f"first {first.weight}: {first.place}: {first.rule}: {first.text}"
    if begins is not None and ends is not None:
        verdict = f"{answer.verdict}, " if is_within else ""  # outside of the log, the verdict is on the question
        yield f"the log: {verdict}from {tell_moment(begins, zone)} until {tell_moment(ends, zone)}"
    else:
        yield f"the log: {answer.verdict}"


def _sum(answer: Answer) -> str:
    if answer.begins is None or answer.ends is None:
        return "the log has no connection"
    if not answer.begins <= answer.at <= answer.ends:
        return "the log tells nothing of that time; name one within the log"
    if not answer.connections:
        return "no connection lived"
    were = pluralize(answer.connections, "connection was", "connections were")
    return f"{number(answer.down_total) if answer.down_total else 'none'} of {were} not available"


def _down(down: Downtime, zone: tzinfo | None) -> Iterator[str]:
    since = f"since {tell_moment(down.since, zone)}{'' if down.is_exact else ' or before'}"
    end = "still down" if down.until is None else f"{down.end} {tell_moment(down.until, zone)},"
    planned = ", planned" if down.planned else ""
    yield f"connection {down.connection}: down {since}, {end} after {format_duration(down.seconds)}{planned}"
    if down.until is None and down.last is not None:
        yield f"  last record: {tell_moment(down.last, zone)}"
    yield f"  why: {down.why}"
    yield f"  attempts: {number(down.attempts)}"
    for missed in down.missed[:_SHOWN]:
        yield f"  missed: {_missed(missed, zone)}"
    if rest := len(down.missed) - len(down.missed[:_SHOWN]):
        yield f"  missed: ... and {pluralize(rest, 'more subscription')}"
    if down.seq is None:
        yield "  look at: the record of its beginning is missing"
    else:
        yield f"  look at: record {down.seq}, {down.place}"


def _missed(missed: Missed, zone: tzinfo | None) -> str:
    since = tell_moment(missed.since, zone)
    if missed.until is None:
        return f"subscription {missed.subscription}, since {since}"
    length = format_duration(missed.seconds)
    return f"subscription {missed.subscription}, {since} until {tell_moment(missed.until, zone)} ({length})"
