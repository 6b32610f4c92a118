"""``realtime-fsm relay``, as a command."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from realtime_fsm import BadOption, Gap
from realtime_fsm.cli import relay
from realtime_fsm.cli.main import _parser
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
