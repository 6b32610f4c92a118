"""The page packs connections, draws stays and lists outages, a bounded number of each."""

from __future__ import annotations

import base64
import gzip
import re
from typing import Any

import msgspec
import pytest

from realtime_fsm.audit.formats import page_time
from realtime_fsm.audit.stays import MOST
from realtime_fsm.diagram.timeline import Axis
from support.elements import parsed
from support.fleetreport import fleet, outages


@pytest.mark.parametrize(("count", "drawn"), [(1, MOST), (2381, 20), (6251, 8)])
def test_packed_connections_draw_50000_stays_together_and_each_8_at_least(
    count: int, drawn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    def noted(*given: Any) -> str:
        asked.append(given)
        return ""

    monkeypatch.setattr(page_time, "item", noted)
    (one,) = fleet(1, hours=1.0).connections
    axis = Axis.over(0.0, 120.0)
    script = page_time._packed([one] * count, 7, axis)
    assert [given[1:] for given in asked] == [(rank, axis, drawn, 3) for rank in range(8, count + 8)]
    packed = base64.b64decode(re.sub(r"<[^>]+>", "", script))
    assert gzip.decompress(packed) == b"\n" * (count - 1)
    assert packed[4:8] == bytes(4), "no time, so the same log makes the same page"


def test_the_longest_twenty_outages_are_listed_and_the_others_counted() -> None:
    whole = fleet(1)
    (one,) = whole.connections
    life = msgspec.structs.replace(one.life, outages=outages(21), outages_left_out=3)
    one = msgspec.structs.replace(one, life=life)
    page = parsed("".join(page_time.time_section(msgspec.structs.replace(whole, connections=[one]))))
    details = page.one("details", **{"class": "row"})
    (table,) = [each for each in details.all("table") if each.one("caption").text == "Outages"]
    assert [row.all("td")[0].text for row in table.one("tbody").all("tr")] == [f"{number} s" for number in range(1, 21)]
    assert "... and 4 more outages." in details.text
