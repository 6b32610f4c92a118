"""A fleet that loses its server comes back spread out."""

from __future__ import annotations

import pytest

from support.fleet import come_back

CLIENTS = 100


@pytest.mark.parametrize(("away", "within"), [(0.0, 3.0), (3.0, 15.0), (10.0, 45.0)])
def test_a_fleet_comes_back_spread_out_and_soon(away: float, within: float) -> None:
    result = come_back(CLIENTS, away)
    assert result.back_after < within
    assert len(result.dials) > away / 3, "no second is crowded while others are empty"
    assert max(result.dials.values()) < CLIENTS * 0.75, "without chance, all would dial in the same seconds"
    first = {second: count for second, count in result.dials.items() if second < 2}
    assert min(first[0], first[1]) > CLIENTS * 0.3, "the first dials fill the time of a delay"
    assert max(result.dials) >= away
    assert sum(result.dials.values()) <= CLIENTS * (1 + (away > 0) * 4)
