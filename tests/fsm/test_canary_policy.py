"""A canary policy that makes no sense is refused with the name of its option."""

from __future__ import annotations

import math
from typing import Any

import pytest

from realtime_fsm import BadOption, Canary
from support.network import Network


async def _write() -> None:
    """Nothing."""


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"every": 0}, "Canary.every"),
        ({"within": math.inf}, "Canary.within"),
        ({"every": 5, "within": 6}, "Canary.within"),
        ({"write": 5, "channel": "rows"}, "Canary.write"),
        ({"write": _write}, "Canary.channel"),
        ({"channel": "rows"}, "Canary.write"),
        ({"write": _write, "channel": ""}, "Canary.channel"),
        ({"write": _write, "channel": 5}, "Canary.channel"),
    ],
)
def test_a_policy_that_makes_no_sense(options: dict[str, Any], named: str) -> None:
    with pytest.raises(BadOption) as caught:
        Canary(**options)
    assert caught.value.option == named


def test_a_canary_goes_out_every_five_minutes_and_its_event_has_ten_seconds() -> None:
    assert Canary() == Canary(every=300, within=10, write=None, channel=None)
    assert Canary(every=10).within == 10, "one echo is due when the next canary goes out"
    assert "_write" not in repr(Canary(write=_write, channel="rows"))


def test_something_else_than_a_policy() -> None:
    with pytest.raises(BadOption, match="canary"):
        Network().realtime(canary=300)
