"""Whole reports, replays and drawings: each word and each figure changes on purpose or not at all."""

from __future__ import annotations

from difflib import unified_diff

import pytest

from support.reports import FROZEN, REPORTS, written


def test_each_file_is_of_a_report() -> None:
    assert {file.name for file in FROZEN.iterdir()} == set(REPORTS)


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_is_what_was_frozen(name: str) -> None:
    frozen = (FROZEN / name).read_text(encoding="utf-8")
    difference = unified_diff(frozen.splitlines(), written(name).splitlines(), "frozen", "present", lineterm="", n=1)
    assert "\n".join(difference) == "", "where that is meant: cd tests && python -m support.reports"
