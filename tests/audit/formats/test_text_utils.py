"""The numbers and times of a report, as text."""

from __future__ import annotations

import pytest

from realtime_fsm.audit.formats.text_utils import format_duration, number, percent, pluralize, printable, printable_json

TIMES = {
    None: "none",
    0: "0 ms",
    2e-5: "20 us",
    0.00099: "990 us",
    0.001: "1 ms",
    0.25: "250 ms",
    0.999: "999 ms",
    1: "1 s",
    61.5: "61.5 s",
    119.9: "120 s",
    120: "2 min 0 s",
    3599: "59 min 59 s",
    3600: "1 h 0 s",
    3700: "1 h 1 min",
    86_399: "23 h 59 min",
    86_400: "1 d 0 s",
    90_000: "1 d 1 h",
}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.9994, "999 ms"),
        (0.9995, "1 s"),
        (0.9996, "1 s"),
        (0.0009994, "999 us"),
        (0.0009995, "0.999 ms"),
        (0.0009996, "1 ms"),
    ],
)
def test_a_time_that_rounds_to_a_greater_unit_is_told_in_it(seconds: float, said: str) -> None:
    assert format_duration(seconds) == said


@pytest.mark.parametrize(("seconds", "said"), TIMES.items())
def test_times_are_said_shortly(seconds: float | None, said: str) -> None:
    assert format_duration(seconds) == said


@pytest.mark.parametrize(("share", "said"), [(None, "none"), (0.0, "0.000 %"), (99.9999, "99.999 %"), (100.0, "100 %")])
def test_only_the_whole_is_100_per_cent(share: float | None, said: str) -> None:
    assert percent(share) == said


@pytest.mark.parametrize(("count", "said"), [(0, "0 links"), (1, "1 link"), (2, "2 links"), (1234, "1,234 links")])
def test_things_are_counted(count: int, said: str) -> None:
    assert pluralize(count, "link") == said
    assert number(count) == said.partition(" ")[0]


def test_words_without_a_plain_plural_are_given() -> None:
    assert [pluralize(count, "file is", "files are") for count in (1, 2)] == ["1 file is", "2 files are"]


@pytest.mark.parametrize(
    ("text", "line", "in_json"),
    [
        ("plain", "plain", "plain"),
        ("Zürich, 東京", "Zürich, 東京", "Zürich, 東京"),
        ("a\tb\ud800", r"a\tb\ud800", r"a\tb\ud800"),
        ('"a\u202eb"', '"a\\u202eb"', '"a\\u202eb"'),
        ("a\x1b\n", "a\\x1b\\n", "a\\u001b\n"),
        ("\u00e9\x7f", "\u00e9\\x7f", "\u00e9\\u007f"),
    ],
)
def test_characters_that_control_a_terminal_are_escaped(text: str, line: str, in_json: str) -> None:
    assert (printable(text), printable_json(text)) == (line, in_json)
