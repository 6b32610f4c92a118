"""The blocks of the heat map: as wide as a column, and as high as the share of trouble in it."""

from __future__ import annotations

import re

import msgspec
import pytest

from realtime_fsm.audit.formats import page_heat
from realtime_fsm.audit.stays import Stay
from realtime_fsm.diagram.timeline import Axis
from support.elements import parsed
from support.fleetreport import fleet

Block = tuple[int, int, int, int]
"""The left edge, the top, the width and the height."""


def drawn(timeline: list[Stay], axis: Axis) -> list[tuple[str, Block]]:
    (one,) = fleet(1, hours=1.0).connections
    drawing = parsed("".join(page_heat.heat_map([msgspec.structs.replace(one, timeline=timeline)], axis)))
    return sorted(
        (path.attributes["data-s"], (int(x), int(y), int(wide), int(high)))
        for path in drawing.all("path")
        for x, y, wide, high in re.findall(r"M(\d+) (\d+)h(\d+)v(\d+)", path.attributes["d"])
    )


@pytest.mark.parametrize(
    ("share", "height", "stripes"),
    [
        (0.001, 2, [21]),
        (0.002, 6, [21, 17]),
        (0.01, 10, [21, 17, 13]),
        (0.05, 15, [21, 17, 13, 9]),
        (0.25, 21, [21, 17, 13, 9, 5, 1]),
    ],
)
def test_the_share_of_trouble_sets_the_height_of_a_block_and_the_number_of_stripes(
    share: float, height: int, stripes: list[int]
) -> None:
    axis = Axis(0.0, 1.0, 120_000)  # a column is 1,000 seconds
    for state, blocks in (("reconnecting", [(23 - height, height)]), ("error", [(top, 2) for top in stripes])):
        timeline = [Stay(0.0, 1000 * share, state), Stay(1000 * share, 1000 - 1000 * share, "subscribed")]
        assert drawn(timeline, axis) == sorted((state, (0, top, 1000, high)) for top, high in blocks)


def test_a_column_in_which_no_connection_lives_is_empty() -> None:
    timeline = [Stay(0.0, 2.0, "subscribed"), Stay(118.0, 2.0, "subscribed")]
    blocks = [("subscribed", (x, 22, 1, 1)) for x in (0, 1, 118, 119)]
    assert drawn(timeline, Axis(0.0, 1.0, 120)) == blocks


def test_a_block_is_never_narrower_than_a_tick() -> None:
    blocks = drawn([Stay(0.0, 60.0, "subscribed")], Axis(0.0, 1.0, 60))
    assert blocks == sorted(("subscribed", (column // 2, 22, 1, 1)) for column in range(120))
