"""The assertions about an audit log: records, a file or the fixture; and the text of a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from realtime_fsm import BadOption
from realtime_fsm.testing import AuditRecords, assert_conformant, assert_rows
from realtime_fsm.testing.assertions import begun_here, recorded
from support.network import Network
from support.raising import hiding


def log_of(live: Callable[[Network], Coroutine[Any, Any, None]]) -> Callable[[], Coroutine[Any, Any, AuditRecords]]:
    async def run() -> AuditRecords:
        with recorded() as records:
            await live(Network())
        return records

    return run


@log_of
async def a_log(network: Network) -> None:
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        network.socket.cut()
        await asyncio.sleep(20)


async def test_a_log_has_each_record_whatever_becomes_of_the_logging() -> None:
    structlog.reset_defaults()  # nothing is configured
    records = await a_log()
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    assert {record["level"] for record in records} == {"debug", "info", "warning"}
    assert "retry" in next(iter(records))
    assert repr(records) == f"<AuditRecords {len(records)} records>"
    assert_conformant(records)


async def test_rows_are_found_in_their_order() -> None:
    records = await a_log()
    assert records.rows[:6] == ["dis2", "rec21", "rec22", "con40", "sub58", "rec32"]
    assert_rows(records, "sub58")
    assert_rows(records, "dis2", "con40", "sub58", "rec21", "con40")
    with pytest.raises(AssertionError) as failure:
        assert_rows(records, "sub58", "dis2")
    first, path = str(failure.value).split("\n")
    assert first == "no connection took sub58, then dis2"
    assert path == f"  connection {next(iter(records))['connection_id']}: {' '.join(records.rows)}"


async def test_rows_of_two_connections_are_no_path() -> None:
    one, other = list(await a_log()), list(await a_log())
    with pytest.raises(AssertionError, match="no connection took dis2, then dis2"):
        assert_rows([*one, *other], "dis2", "dis2")


def test_rows_that_cannot_be_taken() -> None:
    with pytest.raises(BadOption, match=r"rows: 'sub999' is not a rule of the table; diagrams/transitions.md lists their ids"):
        assert_rows([], "sub58", "sub999")
    with pytest.raises(BadOption, match="rows: none was given; name at least one, such as 'sub58'"):
        assert_rows([])
    with pytest.raises(AssertionError, match="no connection took sub58\n  the log has no transition"):
        assert_rows([], "sub58")


@pytest.mark.parametrize("check", [assert_conformant, assert_rows])
def test_a_traceback_in_pytest_ends_at_the_assertion(check: Callable[..., None]) -> None:
    with pytest.raises(AssertionError) as failure:
        check([], *["sub58"] * (check is assert_rows))
    assert hiding(failure.value) == [check.__name__]


async def test_a_file_is_a_log_too(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    lines = [msgspec.json.encode(record) for record in await a_log()]
    path.write_bytes(b"\n".join([b"not a record", b"[7]", *lines]) + b"\n")
    for log in (path, str(path)):
        assert_conformant(log)
        assert_rows(log, "sub58")
    missing = tmp_path / "missing.jsonl"
    for check in (assert_conformant, lambda log: assert_rows(log, "sub58")):
        with pytest.raises(BadOption, match=r"log: .*missing.jsonl: No such file or directory"):
            check(missing)


async def test_a_step_that_the_table_forbids_is_explained() -> None:
    records = list(await a_log())
    index = next(index for index, record in enumerate(records) if record.get("row") == "sub58")
    records[index] = {**records[index], "row": "con40"}
    with pytest.raises(AssertionError) as failure:
        assert_conformant(records)
    text = str(failure.value)
    assert text.startswith(f"the audit log is violated: {records[0]['connection_id']}\nfirst violation: record:{index + 1}\n")
    assert "what the table allows there:" in text
    assert "sub58" in text


async def test_a_log_that_cannot_tell_is_not_conformant() -> None:
    records = list(await a_log())
    with pytest.raises(AssertionError, match="the audit log is inconclusive: "):
        assert_conformant(records[2:])
    with pytest.raises(AssertionError, match="the audit log is unusable: it has no record of a connection"):
        assert_conformant([])


async def test_a_connection_of_an_earlier_test_does_not_count() -> None:
    network = Network()
    earlier = network.realtime()
    await earlier.connect()
    with recorded() as records:
        async with network.realtime() as realtime:
            await realtime.connect()
        await earlier.dispose()
    assert {record["connection_id"] for record in begun_here(records)} == {realtime.connection_id}
    assert {record["connection_id"] for record in records} == {realtime.connection_id, earlier.connection_id}
