"""The command line, run as a command."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from realtime_fsm import Failure, StreamEnded
from realtime_fsm.cli.describe import failure_in_words
from support.commands import PATIENCE, line, result_of, running, serving
from support.raw_client import RawClient, upgrade


def test_two_terminals_show_the_whole_thing(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    terminal, theirs = pty.openpty()
    with (
        serving("--every", "0.05") as endpoint,
        running("listen", endpoint, "--project", "demo", "rows", "--log", str(log), stderr=theirs) as listener,
    ):
        os.close(theirs)
        events = [json.loads(line(listener)) for _ in range(5)]
        listener.send_signal(signal.SIGINT)
        assert listener.wait(PATIENCE) == 130
    words = os.read(terminal, 65536).decode()
    os.close(terminal)
    assert {event["events"][1].rsplit(".", 1)[1] for event in events} == {"create", "update", "delete"}
    assert set(events[0]) == {"timestamp", "events", "channels", "payload"}
    assert [text.split(":")[0] for text in words.splitlines()] == [
        "disconnected -> reconnecting",
        "reconnecting -> connected",
        "connected -> subscribed",
        "subscribed -> disposing",
    ]
    records = [json.loads(text) for text in log.read_text().splitlines()]
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    assert {record["event"] for record in records} == {
        "realtime.open", "realtime.subscription", "realtime.transition", "realtime.close",
    }  # fmt: skip


def test_a_fatal_refusal_ends_with_one_clear_sentence() -> None:
    with serving("--every", "0") as endpoint:
        result = result_of("listen", endpoint, "--project", "nobody", "rows")
    assert (result.returncode, result.stdout) == (1, "")
    server = endpoint.removeprefix("http://").removesuffix("/v1")
    refused = f"the server {server} refused the connection with 1008: Missing or unknown project ID"
    assert result.stderr == f"realtime-fsm: project 'nobody' at {endpoint}: {refused}\n"


def test_each_failed_dial_is_told_with_host_and_port_its_cause_and_the_next_delay() -> None:
    result = result_of("listen", "http://127.0.0.1:1/v1", "--project", "demo", "--attempts", "2", "rows")
    first, last = result.stderr.splitlines()
    dial = "127.0.0.1:1: the dial failed: Connection refused"
    assert re.fullmatch(rf"realtime-fsm: {dial}; the next dial is in [12]\.\d s", first)
    assert last.endswith(f"gave up after 2 attempts; RetryPolicy.attempts allows no more; the last one: {dial}")
    assert "project=" not in result.stderr


def test_the_last_failed_dial_has_no_next_one() -> None:
    failure = Failure(StreamEnded(), datetime(2026, 11, 27, tzinfo=UTC), None)
    assert failure_in_words(failure) == "the stream ended (close code 1006); no dial follows"


def test_a_port_that_is_taken_is_named_with_the_remedy() -> None:
    with serving("--every", "0") as endpoint:
        port = str(urlsplit(endpoint).port)
        result = result_of("serve", "--port", port)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"realtime-fsm: port {port}: Address already in use; choose another port, or 0 for one that is free\n"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("listen", "ftp://localhost", "--project", "demo", "rows"), 2, "endpoint: scheme 'ftp' cannot be dialed"),
        (
            ("listen", "http://127.0.0.1:1/v1", "--project", "demo", "--attempts", "1", "rows"),
            1,
            "at http://127.0.0.1:1/v1: gave up after 1 attempt",
        ),
        (("listen", "http://127.0.0.1:1/v1", "--project", "demo", "--log", "/nowhere/log", "rows"), 1, "No such file"),
        (("listen", "http://127.0.0.1:1/v1", "--project", "demo", "--attempts", "few", "rows"), 2, "'few' is not a whole number"),
        (("listen", "http://127.0.0.1:1/v1", "--project", "demo", "--attempts", "0", "rows"), 2, "from 1 on, or 'forever'"),
        (("serve", "--port", "99999"), 2, "'99999' is not a port from 0 to 65535"),
        (("serve", "--port", "few"), 2, "'few' is not a port from 0 to 65535"),
        (("serve", "--every", "nan"), 2, "'nan' is not a number of seconds from 0 to 3600"),
        (("serve", "--every", "soon"), 2, "'soon' is not a number of seconds"),
        (("serve", "--project", "a b"), 2, "project: 'a b' is not a project id"),
        (("replay", "--speed", "quick", "log"), 2, "'quick' is not a factor above 0"),
        (("replay", "--to", "-3", "log"), 2, "'-3' is not the number of a record"),
        (("serve", "--era", "E9"), 2, "invalid choice: 'E9'"),
        ((), 2, "usage"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: tuple[str, ...], code: int, sentence: str) -> None:
    result = result_of(*arguments)
    assert result.returncode == code
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


def test_an_older_server_is_served() -> None:
    async def greeting(port: int) -> str:
        client = await RawClient.dial(port, upgrade("/v1/realtime?project=demo&channels[]=rows"))
        try:
            return await client.text()
        finally:
            await client.hang_up()

    with serving("--every", "0", "--era", "E2") as endpoint:
        port = urlsplit(endpoint).port
        assert port is not None
        assert asyncio.run(greeting(port)) == '{"type":"connected","data":{"channels":["rows"],"user":null}}'


def test_identity_comes_from_the_environment_and_is_not_shown() -> None:
    with serving("--every", "0") as endpoint:
        environment = {**os.environ, "APPWRITE_JWT": "a.secret.token"}
        result = result_of("listen", endpoint, "--project", "demo", "rows", env=environment)
    assert result.returncode == 1
    assert "refused the connection with 401" in result.stderr
    assert "secret" not in result.stderr


def test_a_reader_that_has_had_enough_ends_it_quietly() -> None:
    with (
        serving("--every", "0.02") as endpoint,
        running("listen", endpoint, "--project", "demo", "rows", stderr=subprocess.PIPE) as listener,
    ):
        line(listener)
        assert listener.stdout is not None
        listener.stdout.close()
        assert listener.wait(PATIENCE) == 0
        assert listener.stderr is not None
        assert listener.stderr.read() == ""
        listener.stderr.close()


def test_a_term_signal_ends_it_in_order() -> None:
    with serving("--every", "0.02") as endpoint, running("listen", endpoint, "--project", "demo", "rows") as listener:
        line(listener)
        listener.terminate()
        assert listener.wait(PATIENCE) == 128 + signal.SIGTERM


def test_the_demonstration_shows_the_main_job(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    log.write_text("an earlier log\n")
    result = result_of("demo", "--log", str(log))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count("  event  ") == 4
    assert "without a close frame" in result.stdout
    path = re.search(r"The path: +(.*)", result.stdout)
    assert path is not None
    assert path[1].split(" -> ") == [
        "disconnected", "reconnecting", "connected", "subscribed", "reconnecting", "connected", "subscribed", "unsubscribed",
        "disposing",
    ]  # fmt: skip
    assert f"{log} ({len(log.read_text().splitlines())} records)" in result.stdout
    assert "earlier" not in log.read_text()


def test_the_version() -> None:
    assert re.fullmatch(r"realtime-fsm \d+\.\d+\.\d+\n", result_of("--version").stdout)


def test_the_table_is_drawn(tmp_path: Path) -> None:
    drawn = result_of("diagram", "--view", "state:ping")
    assert (drawn.returncode, drawn.stderr) == (0, "")
    assert "ping" in drawn.stdout
    target = tmp_path / "table.json"
    assert result_of("diagram", "--format", "json", "-o", str(target)).returncode == 0
    assert json.loads(target.read_text(encoding="utf-8"))["fingerprint"]
    wrong = result_of("diagram", "--format", "gif")
    assert (wrong.returncode, "gif" in wrong.stderr) == (2, True)


def test_the_log_of_the_demonstration_audits_as_conformant_and_an_altered_one_does_not(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    assert result_of("demo", "--log", str(log)).returncode == 0
    judged = result_of("audit", str(log))
    assert (judged.returncode, judged.stdout.splitlines()[0][:19]) == (0, "verdict: conformant")
    lines = log.read_text(encoding="utf-8").splitlines()
    greeted = next(number for number, text in enumerate(lines) if '"row":"rec22"' in text)
    lines[greeted] = lines[greeted].replace('"dest":"connected"', '"dest":"subscribed"')
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    judged = result_of("audit", str(log))
    assert (judged.returncode, f"{log}:{greeted + 1}" in judged.stdout) == (1, True)
