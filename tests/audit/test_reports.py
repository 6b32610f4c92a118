"""Whole reports about known logs: each word and each figure changes on purpose or not at all."""

from __future__ import annotations

from difflib import unified_diff

import pytest

from support.reports import FROZEN, reports

PRESENT = reports()


def test_each_file_is_of_a_report() -> None:
    assert {file.name for file in FROZEN.iterdir()} == set(PRESENT)


@pytest.mark.parametrize("name", PRESENT)
def test_a_report_is_what_was_frozen(name: str) -> None:
    frozen = (FROZEN / name).read_text(encoding="utf-8")
    difference = unified_diff(frozen.splitlines(), PRESENT[name].splitlines(), "frozen", "present", lineterm="", n=1)
    assert "\n".join(difference) == "", "where that is meant: cd tests && python -m support.reports"
