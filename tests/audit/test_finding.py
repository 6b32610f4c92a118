"""The texts of a finding."""

from __future__ import annotations

import pytest

from realtime_fsm.audit.finding import describe_hole


@pytest.mark.parametrize(
    ("before", "seq", "said"),
    [(0, 4, "the connection's log begins with number 4"), (2, 5, "2 records are missing before number 5")],
)
def test_a_hole_is_at_the_beginning_or_later(before: int, seq: int, said: str) -> None:
    assert describe_hole(before, seq) == said
