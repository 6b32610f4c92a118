"""``realtime-fsm listen``, as a command."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from realtime_fsm.cli.listen import _as_record, _print_changes, _print_failure, _print_unwritten_records, print_silent_channels
from realtime_fsm.errors import StreamEnded
from realtime_fsm.fsm.change import Change, Failure
from realtime_fsm.fsm.table import State, Trigger
from realtime_fsm.testing import RealtimeServer
from support.commands import COMMAND, PATIENCE, Terminal, line, result_of, running, serving
from support.virtual import eventually


@pytest.mark.parametrize(
    ("moment", "told"), [(datetime(2026, 11, 27, 12, 0, 0, 1500, UTC), "2026-11-27T12:00:00.001+00:00"), (None, None)]
)
def test_an_event_is_a_record_with_its_moment_if_it_has_one(moment: datetime | None, told: str | None) -> None:
    event: Any = SimpleNamespace(timestamp=moment, events=("rows.1.create",), channels=("rows",), payload={"$id": "1"})
    assert _as_record(event) == {
        "timestamp": told, "events": ("rows.1.create",), "channels": ("rows",), "payload": {"$id": "1"},
    }  # fmt: skip


@pytest.mark.parametrize(("seconds", "told"), [(1.5, 1), (0.0, 0), (None, 0)])
def test_a_failed_dial_is_printed_unless_it_ends_the_command(
    seconds: float | None, told: int, capsys: pytest.CaptureFixture[str]
) -> None:
    moment = datetime.now(UTC)
    _print_failure(Failure(StreamEnded(), moment, None if seconds is None else moment + timedelta(seconds=seconds)))
    sentence = "realtime-fsm: the stream ended (close code 1006); the next dial is in 1.5 s\n"
    assert capsys.readouterr().err == sentence * told


async def test_each_change_is_printed_at_once() -> None:
    """A terminal shows a line when it is flushed; the next change may be hours away."""
    terminal = Terminal()

    async def changes() -> AsyncIterator[Change]:
        yield Change(State.DISCONNECTED, State.RECONNECTING, Trigger.CONNECT, "dis1", 0, None, datetime.now(UTC))
        assert terminal.shown == ["disconnected -> reconnecting: getting a link\n"]

    await _print_changes(changes(), terminal)
    assert len(terminal.shown) == 1


def test_listen_prints_events_and_changes(tmp_path: Path) -> None:
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
    changes = [text.split(":")[0] for text in words.splitlines()]
    assert [change for change in changes if "ping" not in change] == [  # the first heartbeat comes at a random moment
        "disconnected -> reconnecting",
        "reconnecting -> connected",
        "connected -> subscribed",
        "subscribed -> disposing",
    ]
    records = [json.loads(text) for text in log.read_text().splitlines()]
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    assert {record["event"] for record in records} - {"realtime.ping"} == {
        "realtime.open", "realtime.subscription", "realtime.transition", "realtime.close",
    }  # fmt: skip


def test_a_fatal_refusal_is_one_sentence() -> None:
    with serving("--every", "0") as endpoint:
        result = result_of("listen", endpoint, "--project", "unknown", "rows")
    assert (result.returncode, result.stdout) == (1, "")
    server = endpoint.removeprefix("http://").removesuffix("/v1")
    refused = f"the server {server} refused the connection with 1008: Missing or unknown project ID"
    assert result.stderr == (
        f"realtime-fsm: project 'unknown' at {endpoint}: {refused}\n"
        "realtime-fsm: Check the project's id, and that the project is on this server."
        f" To check each step, run: realtime-fsm doctor {endpoint} --project unknown\n"
    )


def test_a_log_that_cannot_be_written_is_reported_at_once_and_counted_at_the_end() -> None:
    with (
        serving("--every", "0.05") as endpoint,
        running("listen", endpoint, "--project", "demo", "rows", "--log", "/dev/full", stderr=subprocess.PIPE) as listener,
    ):
        assert line(listener)
        listener.send_signal(signal.SIGINT)
        _, words = listener.communicate(timeout=PATIENCE)
    first, last = words.splitlines()
    assert first == "realtime-fsm: --log /dev/full: No space left on device; the log lacks records, and the command goes on"
    assert re.fullmatch(r"realtime-fsm: --log /dev/full: \d+ records could not be written", last)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (OSError(28, "No space left on device"), "No space left on device; the log lacks records, and the command goes on"),
        (ValueError("of a hook"), None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_a_failure_that_is_not_of_the_log_keeps_its_report(
    failure: Exception, words: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    reported: list[BaseException] = []
    audit: Any = SimpleNamespace(on_failure=reported.append, failures=2)
    async with AsyncExitStack() as stack:
        _print_unwritten_records(audit, "a.jsonl", stack)
        audit.on_failure(failure)
    first = f"realtime-fsm: --log a.jsonl: {words}\n" if words else ""
    assert reported == ([] if words else [failure])
    assert capsys.readouterr().err == f"{first}realtime-fsm: --log a.jsonl: 2 records could not be written\n"


@pytest.mark.parametrize(
    ("user", "text"),
    [
        (None, "realtime-fsm: warning: account: a guest receives no event there; set APPWRITE_SESSION or APPWRITE_JWT\n"),
        ({"$id": "u"}, ""),
    ],
)
def test_a_guest_is_warned_of_channels_of_users(
    user: dict[str, str] | None, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    realtime: Any = SimpleNamespace(user=user)
    print_silent_channels(realtime, ["rows", "account"])
    assert capsys.readouterr().err == text


def test_a_guest_is_warned_when_the_server_has_acknowledged() -> None:
    environment = {**with_key(None), "APPWRITE_SESSION": ""}
    with (
        serving("--every", "0") as endpoint,
        running("listen", endpoint, "--project", "demo", "account", stderr=subprocess.PIPE, env=environment) as listener,
    ):
        assert listener.stderr is not None
        assert listener.stderr.readline().startswith("realtime-fsm: warning: account: a guest receives no event there; ")
        listener.stderr.close()


def test_a_warning_is_one_sentence() -> None:
    with (
        serving("--every", "0.05") as endpoint,
        running("listen", endpoint, "--project", "demo", "row", "rows", stderr=subprocess.PIPE) as listener,
    ):
        assert line(listener)
        listener.send_signal(signal.SIGINT)
        _, words = listener.communicate(timeout=PATIENCE)
    problem = "no known server publishes on channel 'row'; the nearest known channel is 'rows'"
    assert words == f"realtime-fsm: warning: {problem}\n"


def test_each_failed_dial_is_printed() -> None:
    result = result_of("listen", "http://127.0.0.1:1/v1", "--project", "demo", "--attempts", "2", "rows")
    first, last, _ = result.stderr.splitlines()
    dial = "127.0.0.1:1: the dial failed: Connection refused"
    assert re.fullmatch(rf"realtime-fsm: {dial}; the next dial is in [12]\.\d s", first)
    assert last.endswith(f"gave up after 2 attempts; --attempts allows no more; the last one: {dial}")
    assert "project=" not in result.stderr


def test_identity_comes_from_the_environment() -> None:
    with serving("--every", "0") as endpoint:
        environment = {**os.environ, "APPWRITE_JWT": "a.secret.token"}
        result = result_of("listen", endpoint, "--project", "demo", "rows", env=environment)
    assert result.returncode == 1
    assert "refused the connection with 401" in result.stderr
    assert "secret" not in result.stderr


def test_the_proxy_comes_from_the_environment() -> None:
    with serving("--every", "0") as endpoint:
        environment = {**os.environ, "HTTP_PROXY": "http://user:secret@127.0.0.1:1", "NO_PROXY": ""}
        result = result_of("listen", endpoint, "--project", "demo", "rows", "--attempts", "1", env=environment)
    assert result.returncode == 1
    assert "the proxy cannot be reached" in result.stderr
    assert "secret" not in result.stderr


def test_a_closed_pipe_ends_listen_quietly() -> None:
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


def test_sigterm_ends_listen_in_order() -> None:
    with serving("--every", "0.02") as endpoint, running("listen", endpoint, "--project", "demo", "rows") as listener:
        line(listener)
        listener.terminate()
        assert listener.wait(PATIENCE) == 128 + signal.SIGTERM


def with_key(key: str | None) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("APPWRITE_")}
    return environment if key is None else {**environment, "APPWRITE_API_KEY": key}


@pytest.mark.loopback
@pytest.mark.parametrize("prefix", ["http", "WS"])
async def test_a_key_in_the_environment_listens_as_a_user(prefix: str) -> None:
    async with RealtimeServer(projects=["demo"]) as server:
        server.add_user("worker")
        endpoint = server.endpoint.replace("http", prefix, 1) + "/"
        with running(
            "listen", endpoint, "--project", "demo", "--as-user", "worker", "account", env=with_key(server.add_key())
        ) as listener:
            await server.wait_for_subscriptions(1, timeout=PATIENCE)
            server.publish("users.worker.update", "account.worker", {"$id": "worker"}, roles=["user:worker"])
            event = json.loads(await asyncio.to_thread(line, listener))
            assert event["payload"] == {"$id": "worker"}
            listener.terminate()
            assert await asyncio.to_thread(listener.wait, PATIENCE) == 128 + signal.SIGTERM


def test_a_key_that_is_missing_or_refused_is_one_sentence() -> None:
    with serving("--every", "0") as endpoint:
        arguments = ("listen", endpoint, "--project", "demo", "--attempts", "1", "--as-user", "worker", "rows")
        missing = result_of(*arguments, env=with_key(None))
        wrong = result_of(*arguments, env=with_key("geheim"))
    assert (missing.returncode, wrong.returncode) == (2, 1)
    assert missing.stderr == (
        "realtime-fsm: --as-user: an API key must issue the tokens of the user; put it into APPWRITE_API_KEY\n"
    )
    assert "no JWT for user 'worker': the server does not accept the API key; give a key of this project" in wrong.stderr
    assert "geheim" not in wrong.stderr


@pytest.mark.loopback
async def test_an_event_cannot_command_the_terminal() -> None:
    payload = {"$id": "1", "title": "\x1b[2J \x7f \x9b31m \u202e \u2028 Zürich \U000e0001"}
    terminal, theirs = pty.openpty()
    async with RealtimeServer(projects=["demo"]) as server:
        listener = await asyncio.create_subprocess_exec(
            *COMMAND, "listen", server.endpoint, "--project", "demo", "rows", stdout=theirs
        )
        os.close(theirs)
        await server.wait_for_subscriptions(1, timeout=PATIENCE)
        server.publish(["databases.main.tables.orders.rows.1.create"], ["rows"], payload)
        shown = (await asyncio.to_thread(os.read, terminal, 65536)).decode()
        listener.terminate()
        assert await asyncio.wait_for(listener.wait(), PATIENCE) == 128 + signal.SIGTERM
    os.close(terminal)
    assert shown.removesuffix("\r\n").isprintable()
    assert "Zürich" in shown
    assert json.loads(shown)["payload"] == payload


def probed(url: str) -> tuple[int, dict[str, object]]:
    try:
        with urlopen(url, timeout=PATIENCE) as reply:  # noqa: S310  (a URL that the command printed)
            return reply.status, json.load(reply)
    except HTTPError as refusal:
        return refusal.code, json.load(refusal)


def test_health_answers_probes_until_the_command_ends() -> None:
    with (
        serving("--every", "0.05") as endpoint,
        running("listen", endpoint, "--project", "demo", "rows", "--health", "127.0.0.1:0", stderr=subprocess.PIPE) as listener,
    ):
        assert listener.stderr is not None
        told = listener.stderr.readline()
        found = re.fullmatch(r"realtime-fsm: (http://127\.0\.0\.1:\d+)/livez and /readyz tell the health\n", told)
        assert found is not None, told
        assert line(listener)
        assert probed(f"{found[1]}/livez")[0] == 200
        status, body = probed(f"{found[1]}/readyz")
        assert (status, body["ready"]) == (200, True)
        listener.send_signal(signal.SIGINT)
        assert listener.wait(PATIENCE) == 130
        listener.stderr.close()
        with pytest.raises(OSError, match="refused"):
            probed(f"{found[1]}/livez")


def test_health_is_not_ready_without_a_server() -> None:
    words = ("listen", "http://127.0.0.1:1/v1", "--project", "demo", "rows", "--attempts", "forever", "--health", "[::1]:0")
    with running(*words, stderr=subprocess.PIPE) as listener:
        assert listener.stderr is not None
        url = listener.stderr.readline().split()[1].removesuffix("/livez")
        assert "Connection refused" in listener.stderr.readline()
        status, body = probed(f"{url}/readyz")
        assert (status, body["live"], body["ready"]) == (503, True, False)
        assert "Connection refused" in json.dumps(body)
        assert probed(f"{url}/livez")[0] == 200
        listener.terminate()
        assert listener.wait(PATIENCE) == 128 + signal.SIGTERM
        listener.stderr.close()


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        ("127.0.0.1", "Address already in use; choose another port, or 0 for one that is free"),
        ("192.0.2.1", "Cannot assign requested address; give an address of this machine"),
    ],
)
def test_an_address_of_health_that_cannot_be_taken_is_told_with_the_remedy(host: str, problem: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"{host}:{taken.getsockname()[1]}"
        result = result_of("listen", "http://127.0.0.1:1/v1", "--project", "demo", "rows", "--health", where)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"realtime-fsm: --health {where}: {problem}\n"


@pytest.mark.loopback
async def test_a_slow_reader_pauses_the_link_and_loses_nothing(tmp_path: Path) -> None:
    log, numbers = tmp_path / "audit.jsonl", [str(number) for number in range(2000)]

    def pauses() -> list[str]:
        records = map(json.loads, log.read_text(encoding="utf-8").splitlines())
        return [record["change"] for record in records if record["event"] == "realtime.pause"]

    def printed() -> list[str]:
        return [json.loads(line(listener))["payload"]["$id"] for _ in numbers]

    async with RealtimeServer(projects=["demo"]) as server:
        with running("listen", server.endpoint, "--project", "demo", "rows", "--log", str(log)) as listener:
            await server.wait_for_subscriptions(1, timeout=PATIENCE)
            for number in numbers:
                server.publish("rows.create", "rows", {"$id": number, "filler": "x" * 1000})
            await eventually(pauses)
            assert await asyncio.to_thread(printed) == numbers
            listener.terminate()
            assert await asyncio.to_thread(listener.wait, PATIENCE) == 128 + signal.SIGTERM
    assert pauses()[:2] == ["opened", "closed"]


@pytest.mark.parametrize("word", ["8080", ":8080", "::1:8080", "localhost:http", "localhost:99999"])
def test_health_needs_a_host_and_a_port(word: str) -> None:
    result = result_of("listen", "http://127.0.0.1:1/v1", "--project", "demo", "rows", "--health", word)
    assert result.returncode == 2
    assert repr(word.rpartition(":")[2] if "localhost" in word else word) in result.stderr
