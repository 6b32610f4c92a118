"""Test the bounded collection of the worst things."""

from __future__ import annotations

from itertools import permutations

import pytest

from realtime_fsm.audit.collector import Worst


@pytest.mark.parametrize("order", list(permutations((1, 3, 5, 7))))
def test_the_worst_stay_in_whatever_order_they_come(order: tuple[int, ...]) -> None:
    worst = Worst[tuple[int], str](2)
    for number in order:
        worst.add((number,), f"thing {number}".__str__)
    assert worst.all() == ["thing 7", "thing 5"]
