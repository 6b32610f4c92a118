"""The embedded server against recordings of a real one: the client's side is played, the server's side must be the same."""

from __future__ import annotations

import asyncio
import json

import pytest

from realtime_fsm.testing.eras import ERAS
from support.adaptations import AUDIENCES, EXCLUDED, GREETINGS, RAW_REQUESTS, UNPUBLISHED, UNSEEN, Excluded
from support.recorded_client import Player, era_of
from support.recording import RECORDINGS, load, rebuild

UNPLAYED = {"10b-half-open-sigstop"}  # a process that wakes deals with what has come in an order of its own
PLAYED = sorted({path.stem for path in RECORDINGS.glob("*.jsonl")} - UNPLAYED)


@pytest.mark.parametrize("recording", PLAYED)
def test_it_answers_as_recorded(recording: str) -> None:
    steps = load(recording)

    async def run() -> int:
        player = Player(recording, steps)
        async with player.server:
            await player.play()
            return player.played

    excluded = sum(any(entry.covers(recording, step) for entry in EXCLUDED) for step in steps)
    assert asyncio.run(run()) == len(steps) - excluded


def test_every_era_is_played() -> None:
    assert {era_of(recording) for recording in PLAYED} == set(ERAS)
    assert len(PLAYED) == 38


@pytest.mark.parametrize("entry", EXCLUDED, ids=lambda entry: f"{entry.recording}-{entry.value}")
def test_what_is_excluded_is_in_the_recordings(entry: Excluded) -> None:
    assert any(entry.covers(entry.recording, step) for step in load(entry.recording))


def test_who_may_see_what_is_in_the_recordings() -> None:
    notes = {step.note for step in load("05-events-real-emitter") if step.dir == "emit"}
    assert {*AUDIENCES, UNSEEN} <= notes
    assert set(RAW_REQUESTS) <= {step.note for step in load("04-project-errors") if step.op == "http"}


def test_how_the_race_went_is_told_of_connections_that_are_in_the_recording() -> None:
    assert set(GREETINGS) < {step.conn for step in load("08-send-before-connected") if step.dir == "open"}


def test_what_was_not_published_arrived_all_the_same() -> None:
    steps = [step for recording in PLAYED for step in load(recording)]
    published = {json.loads(rebuild(step.data, '"}}}'))["data"]["events"][0] for step in steps if step.dir == "redis-publish"}
    arrived = {name for step in steps if step.dir == "recv" for name in UNPUBLISHED if f'"events":["{name}"]' in step.data}
    assert arrived == set(UNPUBLISHED)
    assert not published & arrived
