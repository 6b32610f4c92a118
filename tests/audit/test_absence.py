"""The sentence about a log that lacks what was asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from realtime_fsm.audit.absence import KnownConnections, describe_absence, describe_asked, describe_span
from realtime_fsm.audit.times import tell_moment
from realtime_fsm.audit.window import Window
from support.brokenlogs import BEGIN
from support.wholelog import JWT

if TYPE_CHECKING:
    from datetime import datetime

HOUR = timedelta(hours=1)
END = BEGIN + HOUR


@pytest.mark.parametrize(
    ("lines", "hint", "text"),
    [
        (0, "", "it is empty"),
        (1, "", "no record of this library is in it: 1 line"),
        (2, "line 1 lacks seq", "no record of this library is in it: 2 lines; line 1 lacks seq"),
    ],
)
def test_a_log_is_empty_or_its_lines_are_counted(lines: int, hint: str, text: str) -> None:
    assert describe_absence(lines, hint) == text


def test_at_most_twenty_connections_are_listed_and_no_secret() -> None:
    known = KnownConnections()
    assert not known
    known.add(JWT)
    for number in range(19):
        known.add(f"c{number}")
    assert str(known).startswith("it holds (hidden: it looks like a secret), 'c0', 'c1', ")
    assert str(known).endswith(", 'c18'")
    known.add("c19")
    assert str(known).endswith(", 'c18' and more")


@pytest.mark.parametrize(
    ("since", "until", "begins"),
    [(END, None, None), (None, BEGIN, None), (BEGIN, END, None), (END + HOUR, None, "ends"), (None, BEGIN - HOUR, "begins")],
)
def test_records_outside_of_the_span_show_their_end_or_their_beginning(
    since: datetime | None, until: datetime | None, begins: str | None
) -> None:
    window = Window(since, until)
    said = describe_span((), window, BEGIN, END)
    assert said.startswith(f"the log {begins} at ") if begins else said == ""
    which = {"begins": "first", "ends": "last", None: ""}[begins]
    said = describe_span(("a", "b"), window, BEGIN, END)
    assert said.startswith(f"the {which} record of connection 'a' or 'b' is at ") if begins else said == ""
    assert describe_span((), window, None, None) == ""


@pytest.mark.parametrize(
    ("since", "until", "text"),
    [
        (None, None, ""),
        (BEGIN, None, " from {} on"),
        (None, END, " until {}"),
        (BEGIN, END, " from {} until {}"),
    ],
)
def test_a_span_without_an_end_goes_on(since: datetime | None, until: datetime | None, text: str) -> None:
    moments = [tell_moment(moment, moment.tzinfo) for moment in (since, until) if moment is not None]
    assert describe_asked((), Window(since, until)) == f"a connection{text.format(*moments)}"
