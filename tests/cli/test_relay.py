"""``realtime-fsm relay``, as a command."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from realtime_fsm import BadOption, Gap, Realtime
from realtime_fsm.cli import relay
from realtime_fsm.cli.main import _parser, main
from realtime_fsm.relay import BrokerUnavailable, RelayError
from support.broker import client_of, eventually_stored, needs_broker, running_broker
from support.commands import PATIENCE, line, result_of, running, serving

TABLE = "databases.main.tables.orders.rows"


@needs_broker
def test_it_relays_until_it_is_interrupted(tmp_path: Path) -> None:
    async def subjects() -> list[str]:
        async with client_of(broker) as js:
            return [message.subject for message in await eventually_stored(js, 4)]

    log = tmp_path / "audit.jsonl"
    with running_broker("--user", "me", "--pass", "s3cr3t") as broker, serving("--every", "0.05") as endpoint:
        login = {**os.environ, "NATS_USER": "me", "NATS_PASSWORD": "s3cr3t"}
        words = ("relay", endpoint, "--project", "demo", TABLE, "--to", broker.url, "--log", str(log))
        broker_name = broker.url.removeprefix("nats://")
        with running(*words, env=login) as process:
            assert line(process) == (f"Relaying {TABLE} to stream APPWRITE at {broker_name}, which knows ids for 600 s\n")
            broker.url = broker.url.replace("//", "//me:s3cr3t@")
            found = asyncio.run(subjects())
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 130
    assert set(found) <= {f"appwrite.demo.{TABLE}.{action}" for action in ("create", "update", "delete")}
    records = [json.loads(text) for text in log.read_text().splitlines()]
    relayed = [record for record in records if record["event"] == "realtime.relayed"]
    assert sum(record["stored"] for record in relayed) >= 4


@needs_broker
def test_a_short_window_is_a_warning() -> None:
    async def make_stream() -> None:
        async with client_of(broker) as js:
            await js.add_stream(name="SHORT", subjects=["appwrite.>"], duplicate_window=60)

    with running_broker() as broker, serving("--every", "0") as endpoint:
        asyncio.run(make_stream())
        words = ("relay", endpoint, "--project", "demo", "rows", "--to", broker.url, "--stream", "SHORT")
        with running(*words, stderr=-1) as process:
            assert line(process).endswith("knows ids for 60 s\n")
            process.send_signal(signal.SIGINT)
            _, warning = process.communicate(timeout=PATIENCE)
    assert "warning: the stream SHORT knows ids for 60 s, less than the outage of 600 s to be covered" in warning


def test_a_missing_broker_is_one_sentence() -> None:
    words = ("relay", "http://127.0.0.1:1/v1", "--project", "demo", "rows", "--to", "nats://me:s3cr3t@127.0.0.1:1")
    result = result_of(*words)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert "the broker 127.0.0.1:1 does not answer: " in result.stderr
    assert "s3cr3t" not in result.stderr


@pytest.mark.parametrize(
    ("to", "environment", "sentence"),
    [
        ("localhost", {}, "--to: 'localhost' is not the URL of a NATS server; give one such as nats://127.0.0.1:4222"),
        ("eyJ0.eyJq.c2ln", {}, "--to: it is not the URL of a NATS server; give one such as nats://127.0.0.1:4222"),
        ("nats://h", {"NATS_CREDS": "/nowhere/c"}, "NATS_CREDS: /nowhere/c cannot be read: No such file or directory"),
    ],
)
def test_a_wrong_option_is_named_as_the_command_has_it(
    to: str, environment: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("realtime_fsm.relay.credentials.find_spec", lambda _: object())
    for name in ("NATS_USER", "NATS_PASSWORD", "NATS_TOKEN", "NATS_CREDS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(["relay", "http://127.0.0.1/v1", "--project", "demo", "rows", "--to", to]) == 2
    assert capsys.readouterr().err == f"realtime-fsm: {sentence}\n"


class Broker:
    """Stands for a broker."""

    stream, server, duplicate_window = "APPWRITE", "h:4222", 600.0

    def __init__(self, servers: list[str], *, on_trouble: Callable[[RelayError], None], **given: object) -> None:
        assert servers == ["nats://h"]
        self.given, self.on_trouble = given, on_trouble


class Relay:
    """Stands for a relay, which reports its start and a trouble of the broker."""

    def __init__(
        self, realtime: Realtime, channels: list[str], *, sink: Broker, catch_up: object, on_ready: Callable[[], None]
    ) -> None:
        self.given = (repr(realtime), channels, catch_up)
        self.sink, self.on_ready = sink, on_ready

    async def run(self) -> None:
        assert self.given == ("<Realtime demo at http://127.0.0.1/v1: disconnected>", ["rows", "account"], None)
        assert self.sink.given == {"stream": "APPWRITE", "outage": 600.0, "token": "geheim"}
        self.on_ready()
        self.sink.on_trouble(BrokerUnavailable("h:4222", "timeout"))


def test_the_start_and_a_trouble_are_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("realtime_fsm.relay.JetStream", Broker)
    monkeypatch.setattr("realtime_fsm.relay.Relay", Relay)
    for name in ("NATS_USER", "NATS_PASSWORD", "NATS_CREDS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NATS_TOKEN", "geheim")
    assert main(["relay", "http://127.0.0.1/v1", "--project", "demo", "rows", "account", "--to", "nats://h"]) == 0
    told = capsys.readouterr()
    assert told.out == "Relaying rows, account to stream APPWRITE at h:4222, which knows ids for 600 s\n"
    assert told.err == (
        "realtime-fsm: warning: account: a guest receives no event there; set APPWRITE_SESSION or APPWRITE_JWT\n"
        "realtime-fsm: the broker h:4222 does not answer: timeout; check that nats-server -js runs there; events wait\n"
    )


def options(*more: str) -> Any:
    words = ["relay", "http://127.0.0.1/v1", "--project", "demo", "--to", "nats://h", "--catch-up", *more]
    return _parser().parse_args(words)


def test_catching_up_needs_a_key_and_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APPWRITE_API_KEY", raising=False)
    with pytest.raises(BadOption, match="--catch-up: an API key must list the rows; put it into APPWRITE_API_KEY"):
        relay._catch_up(options(TABLE))
    monkeypatch.setenv("APPWRITE_API_KEY", "key")
    with pytest.raises(BadOption, match="--catch-up: give channels of tables"):
        relay._catch_up(options(TABLE, "account"))


def test_catching_up_lists_the_rows_of_all_tables_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"orders": ["1", "3"], "customers": ["2"]}

    class TablesDB(SimpleNamespace):
        def __init__(self, _: object) -> None:
            super().__init__()

        def list_rows(self, database_id: str, table_id: str, queries: list[str] | None = None) -> dict[str, Any]:
            assert database_id == "main"
            return {"rows": [{"$id": time, "$updatedAt": time} for time in times[table_id]]}

    monkeypatch.setenv("APPWRITE_API_KEY", "key")
    monkeypatch.setattr("appwrite.services.tables_db.TablesDB", TablesDB)
    catch_up = relay._catch_up(options(TABLE, "tablesdb.main.tables.customers.rows.update"))
    found = asyncio.run(_listed(catch_up(Gap(None, datetime.now(UTC), 1, 1))))
    assert [row["$id"] for row in found] == ["1", "2", "3"]


async def _listed(rows: Any) -> list[dict[str, Any]]:
    return list(await rows)
