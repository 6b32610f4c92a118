"""The times that a user names: what each form means, in which zone, and which words are refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest

from realtime_fsm.audit.times import FORMS, parse_time, tell_moment
from realtime_fsm.errors import BadOption
from support.some import some

END = datetime(2026, 11, 27, 10, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("word", "moment"),
    [
        ("2026-11-27T03:12:00Z", "2026-11-27T03:12:00+00:00"),
        ("2026-11-27 03:12:30.5+05:30", "2026-11-26T21:42:30.500000+00:00"),
        ("2026-11-27 03:12", "2026-11-27T02:12:00+00:00"),
        ("2026-07-27 03:12", "2026-07-27T01:12:00+00:00"),
        ("2026-11-27", "2026-11-26T23:00:00+00:00"),
        ("03:12", "2026-11-27T02:12:00+00:00"),
        ("3:12", "2026-11-27T02:12:00+00:00"),
        ("11:00", "2026-11-27T10:00:00+00:00"),
        ("11:00:01", "2026-11-26T10:00:01+00:00"),
        ("1h", "2026-11-27T09:00:00+00:00"),
        ("90s", "2026-11-27T09:58:30+00:00"),
        ("15m", "2026-11-27T09:45:00+00:00"),
        ("2d", "2026-11-25T10:00:00+00:00"),
        ("03:12Z", "2026-11-27T03:12:00+00:00"),
        ("3:12 UTC", "2026-11-27T03:12:00+00:00"),
        ("10:01Z", "2026-11-26T10:01:00+00:00"),
        ("01:12+05:30", "2026-11-26T19:42:00+00:00"),
        ("11:00:00.5", "2026-11-26T10:00:00.500000+00:00"),
        (" 2026-11-27 03:12 ", "2026-11-27T02:12:00+00:00"),
        ("1795749120", "2026-11-27T03:12:00+00:00"),
        ("1795749120.5", "2026-11-27T03:12:00.500000+00:00"),
        ("1795749120123", "2026-11-27T03:12:00.123000+00:00"),
    ],
)
def test_each_form_names_a_moment(word: str, moment: str) -> None:
    assert parse_time(word).resolve(END) == datetime.fromisoformat(moment)


def test_only_a_span_and_a_time_of_the_day_need_the_end() -> None:
    assert [parse_time(word).needs_end for word in ("1h", "03:12", "2026-11-27", "2026-11-27T03:12Z")] == [
        True, True, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "word",
    [
        "",
        "tomorrow",
        "25:00",
        "03:60",
        "1w",
        "-1h",
        "1h30",
        "2026-13-01",
        "03:12 CET",
        "2026-11-27 03:12 EST",
        "1" * 12 + "s",
        "0",
    ],
)
def test_another_word_is_refused_with_the_forms(word: str) -> None:
    with pytest.raises(BadOption) as caught:
        parse_time(word)
    assert repr(word) in str(caught.value)
    assert FORMS in str(caught.value)


def test_a_span_beyond_the_calendar_is_refused() -> None:
    with pytest.raises(BadOption, match="'999999999d' is no time"):
        parse_time("999999999d").resolve(END)


def test_every_example_of_a_form_is_one() -> None:
    for word in some(FORMS.replace(" or ", " ").split(", ")):
        assert parse_time(word.strip()).word


def test_a_moment_is_told_in_the_zone_of_the_question() -> None:
    moment = datetime(2026, 11, 27, 2, 12, 0, 500_000, tzinfo=UTC)
    offset = timezone(timedelta(hours=5, minutes=30))
    assert tell_moment(moment) == "2026-11-27 03:12:00.500 CET"
    assert tell_moment(moment, UTC) == "2026-11-27 02:12:00.500 UTC"
    assert tell_moment(moment.replace(microsecond=0), offset) == "2026-11-27 07:42:00 UTC+05:30"
    assert [parse_time(word).zone for word in ("2026-11-27 03:12+05:30", "03:12+05:30")] == [offset] * 2
    assert [parse_time(word).zone for word in ("2026-11-27 03:12", "03:12", "1h", "1795749120")] == [None] * 4


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Sao_Paulo", "UTC", "Asia/Kolkata"])
def test_a_time_of_an_answer_can_be_asked_about(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    twice = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # 02:30 comes twice in Berlin on that night
    for moment in (END, END.replace(microsecond=500_000), twice, twice + timedelta(hours=1)):
        for spoken in (None, UTC, timezone(timedelta(hours=-3, minutes=-30))):
            assert parse_time(tell_moment(moment, spoken)).resolve(None) == moment
