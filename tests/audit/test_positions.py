"""The place of a line: its file, and its number there."""

from __future__ import annotations

from realtime_fsm.audit.finding import LineNumbers
from realtime_fsm.audit.report import Location


def test_each_line_has_a_place_in_its_file() -> None:
    places = LineNumbers()
    assert (places.is_begun, places.of(7)) == (False, Location("-", 7))
    for name, lines in (("a", 2), ("empty", 0), ("b", 3)):
        places.begin(name)
        assert not places.is_begun
        places.number += lines
        assert places.is_begun is bool(lines)
    assert [str(places.of(number)) for number in range(1, 6)] == ["a:1", "a:2", "b:1", "b:2", "b:3"]
    assert (str(places.here), places.files) == ("b:3", ["a", "empty", "b"])


def test_a_place_without_a_line_is_the_file() -> None:
    assert str(Location("a", 0)) == "a"


def test_lines_are_counted_by_file_also_where_growing_files_take_turns() -> None:
    places = LineNumbers()
    for name, lines in (("a", 0), ("b", 0), ("a", 2), ("b", 1), ("a", 1), ("b", 3)):
        places.begin(name)
        places.number += lines
    assert [str(places.of(number)) for number in range(1, 8)] == ["a:1", "a:2", "b:1", "a:3", "b:2", "b:3", "b:4"]
