"""The overlap of two links: each event reaches each subscription once, whichever link is ahead."""

from __future__ import annotations

import json
import random

from realtime_fsm.edges.overlap import Overlap
from realtime_fsm.vocabulary.frames import EventFrame, decode


def frame(number: int, *ids: str) -> EventFrame:
    data = {"events": ["e"], "channels": ["rows"], "timestamp": "t", "payload": {"n": number}, "subscriptions": ids}
    made = decode(json.dumps({"type": "event", "data": data}).encode())
    assert isinstance(made, EventFrame)
    return made


def test_what_one_link_has_brought_the_other_need_not_bring_again() -> None:
    overlap = Overlap()
    assert overlap.fresh(frame(1, "old"), ["s1"], newer=False) == ["s1"]
    assert overlap.fresh(frame(1, "new"), ["s1", "s2"], newer=True) == ["s2"], "the ids of the server do not count"
    assert overlap.fresh(frame(2), ["s1"], newer=True) == ["s1"]
    assert overlap.fresh(frame(2), ["s1"], newer=False) == []


def test_events_that_look_the_same_are_counted() -> None:
    overlap = Overlap()
    assert [overlap.fresh(frame(1), ["s1"], newer=False) for _ in range(2)] == [["s1"], ["s1"]]
    assert [overlap.fresh(frame(1), ["s1"], newer=True) for _ in range(3)] == [[], [], ["s1"]]


def test_in_any_interleaving_each_event_is_given_as_often_as_it_happened() -> None:
    for seed in range(200):
        draw = random.Random(seed)
        happened = [draw.randrange(4) for _ in range(12)]
        both = {True: list(happened), False: list(happened)}
        overlap, given = Overlap(), []
        while both[True] or both[False]:
            newer = draw.choice([side for side in both if both[side]])
            number = both[newer].pop(0)
            given += [number for _ in overlap.fresh(frame(number), ["s1"], newer=newer)]
        assert sorted(given) == sorted(happened), seed
