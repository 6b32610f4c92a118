"""The overlap of two links: each event reaches each subscription once, whichever link is ahead."""

from __future__ import annotations

import json
import random

import pytest

from realtime_fsm.events import Event
from realtime_fsm.protocol.frames import EventFrame, decode
from realtime_fsm.runtime import deduplication
from realtime_fsm.runtime.deduplication import HandoverDeduplicator
from support.some import some

OLDER, NEWER = 3, 4


def event(number: int, *ids: str) -> Event:
    data = {"events": ["e"], "channels": ["rows"], "timestamp": "t", "payload": {"n": number}, "subscriptions": ids}
    made = decode(json.dumps({"type": "event", "data": data}).encode())
    assert isinstance(made, EventFrame)
    return made.data


def dialed() -> HandoverDeduplicator:
    overlap = HandoverDeduplicator()
    overlap.dial(NEWER)
    return overlap


def test_what_one_link_has_brought_the_other_need_not_bring_again() -> None:
    overlap = dialed()
    assert overlap.filter_new(event(1, "old"), ["s1"], OLDER) == ["s1"]
    assert overlap.filter_new(event(1, "new"), ["s1", "s2"], NEWER) == ["s2"], "the ids of the server do not count"
    assert overlap.filter_new(event(2), ["s1"], NEWER) == ["s1"]
    assert overlap.filter_new(event(2), ["s1"], OLDER) == []


def test_events_that_look_the_same_are_counted() -> None:
    overlap = dialed()
    assert [overlap.filter_new(event(1), ["s1"], OLDER) for _ in range(2)] == [["s1"], ["s1"]]
    for expected, is_behind in some([([], True), ([], False), (["s1"], True)]):
        assert (overlap.filter_new(event(1), ["s1"], NEWER), overlap.is_behind) == (expected, is_behind)


def test_what_a_newer_link_has_brought_counts_after_it_for_the_older_one() -> None:
    overlap = dialed()
    assert overlap.filter_new(event(1), ["s1"], NEWER) == ["s1"]
    assert overlap.filter_new(event(2), ["s1"], OLDER) == ["s1"]
    overlap.dial(NEWER + 1)
    assert overlap.filter_new(event(2), ["s1"], NEWER + 1) == ["s1"], "it is another event that looks the same"
    assert overlap.filter_new(event(1), ["s1"], OLDER) == []
    overlap.newer_closed()
    assert overlap.is_behind
    assert [overlap.filter_new(event(2), ["s1"], OLDER) for _ in range(2)] == [[], ["s1"]]
    assert not overlap.is_behind


@pytest.mark.parametrize("ahead", [OLDER, NEWER])
def test_the_link_that_is_left_lacks_what_the_closed_one_has_brought_once_each(ahead: int) -> None:
    overlap = dialed()
    assert overlap.filter_new(event(1), ["s1"], ahead) == ["s1"]
    behind = NEWER if ahead == OLDER else OLDER
    (overlap.older_closed if ahead == OLDER else overlap.newer_closed)()
    assert [overlap.filter_new(event(1), ["s1"], behind) for _ in range(3)] == [[], ["s1"], ["s1"]]


def test_the_link_that_is_left_may_be_behind_when_it_becomes_the_older_one_of_another_pair() -> None:
    overlap = dialed()
    assert overlap.filter_new(event(1), ["s1"], OLDER) == ["s1"]
    overlap.older_closed()
    overlap.dial(NEWER + 1)
    assert overlap.filter_new(event(2), ["s1"], NEWER + 1) == ["s1"]
    assert [overlap.filter_new(event(number), ["s1"], NEWER) for number in (1, 2)] == [[], []]


def test_a_handover_that_does_not_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deduplication, "MOST_LEADS", 2)
    overlap = dialed()
    for number in range(4):
        assert overlap.filter_new(event(number), ["s1"], NEWER) == ["s1"]
    assert len(overlap._leads) == 2
    assert [overlap.filter_new(event(number), ["s1"], OLDER) for number in (2, 3)] == [[], []], "the newest are known"


def test_the_link_that_is_left_has_caught_up_after_a_hundred_new_events_in_a_row() -> None:
    overlap = dialed()
    for ahead in (1, 2):
        assert overlap.filter_new(event(ahead), ["s1"], NEWER) == ["s1"]
    overlap.newer_closed()
    news = iter(range(1_000, 2_000))
    for _ in range(99):
        assert overlap.filter_new(event(next(news)), ["s1"], OLDER) == ["s1"]
    assert overlap.filter_new(event(1), ["s1"], OLDER) == [], "a known event ends the row"
    for _ in range(99):
        assert overlap.filter_new(event(next(news)), ["s1"], OLDER) == ["s1"]
    assert overlap.is_behind
    assert overlap.filter_new(event(next(news)), ["s1"], OLDER) == ["s1"]
    assert not overlap.is_behind
    assert overlap.filter_new(event(2), ["s1"], OLDER) == ["s1"], "it is another event that looks the same"


def test_in_any_interleaving_each_event_is_given_as_often_as_it_happened() -> None:
    for seed in range(200):
        draw = random.Random(seed)
        input_ = [draw.randrange(4) for _ in range(12)]
        both = {True: list(input_), False: list(input_)}
        overlap, given = dialed(), []
        while both[True] or both[False]:
            newer = draw.choice([side for side in both if both[side]])
            number = both[newer].pop(0)
            given += [number for _ in overlap.filter_new(event(number), ["s1"], NEWER if newer else OLDER)]
        assert sorted(given) == sorted(input_), seed
