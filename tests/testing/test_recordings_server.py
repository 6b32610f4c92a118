"""The embedded server against recordings of real servers: it answers the recorded clients as the real server did."""

from __future__ import annotations

import json

import pytest

from realtime_fsm.testing.eras import ERAS
from support.adaptations import AUDIENCES, EXCLUDED, GREETINGS, RAW_REQUESTS, UNPUBLISHED, UNSEEN
from support.recorded_client import ClientReplay, era_of
from support.recording import RECORDINGS, Excluded, load, rebuild

UNPLAYED = {"10b-half-open-sigstop"}  # a process that wakes handles its messages in an order of its own
PLAYED = sorted({path.stem for path in RECORDINGS.glob("*.jsonl")} - UNPLAYED)


@pytest.mark.parametrize("recording", PLAYED)
@pytest.mark.loopback
async def test_it_answers_as_recorded(recording: str) -> None:
    steps = load(recording)
    replay = ClientReplay(recording, steps)
    async with replay.server:
        await replay.play()
    excluded = sum(any(entry.covers(recording, step) for entry in EXCLUDED) for step in steps)
    assert replay.played == len(steps) - excluded


def test_every_era_is_played() -> None:
    assert {era_of(recording) for recording in PLAYED} == set(ERAS)
    assert len(PLAYED) == 38


@pytest.mark.parametrize("entry", EXCLUDED, ids=lambda entry: f"{entry.recording}-{entry.reason}")
def test_each_exclusion_covers_a_step(entry: Excluded) -> None:
    assert any(entry.covers(entry.recording, step) for step in load(entry.recording))


def test_the_notes_that_name_audiences_are_in_the_recordings() -> None:
    notes = {step.note for step in load("05-events-real-emitter") if step.dir == "emit"}
    assert {*AUDIENCES, UNSEEN} <= notes
    assert set(RAW_REQUESTS) <= {step.note for step in load("04-project-errors") if step.op == "http"}


def test_the_connections_with_an_early_message_are_in_the_recording() -> None:
    assert set(GREETINGS) < {step.conn for step in load("08-send-before-connected") if step.dir == "open"}


def test_events_without_a_recorded_publication_have_a_recorded_arrival() -> None:
    steps = [step for recording in PLAYED for step in load(recording)]
    published = {json.loads(rebuild(step.data, '"}}}'))["data"]["events"][0] for step in steps if step.dir == "redis-publish"}
    arrived = {name for step in steps if step.dir == "recv" for name in UNPUBLISHED if f'"events":["{name}"]' in step.data}
    assert arrived == set(UNPUBLISHED)
    assert not published & arrived
