"""The writer: one record for each transition, in the application's own logging, with facts and without texts of the server."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import structlog

from realtime_fsm.auditlog import writer
from realtime_fsm.auditlog.records import RECORDS, SCHEMA, AnyRecord, json_schema
from realtime_fsm.auditlog.writer import AuditWriter
from realtime_fsm.errors import DialFailed, LinkFailure, Overdue, ServerError, StreamEnded, UpgradeRefused
from realtime_fsm.fsm.canary_policy import Canary
from realtime_fsm.fsm.change import Gap
from realtime_fsm.fsm.commands import TransitionTaken
from realtime_fsm.fsm.context import ConnectionContext
from realtime_fsm.fsm.table import TABLE, State
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.faults import FaultNews
from support.network import Network
from support.some import some

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, MutableMapping

AT = datetime(2026, 11, 24, 5, 6, 7, 89, tzinfo=UTC)
ROWS = {row.id: row for row in TABLE.rows}
HIDDEN = "hunter2"


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


class Sink:
    """An application's logging, which keeps records and, on demand, breaks."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.broken: BaseException | None = None
        structlog.configure(processors=[structlog.processors.add_log_level, self.take])

    def take(self, logger: object, method: str, record: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if self.broken is not None:
            raise self.broken
        self.records.append(dict(record))
        raise structlog.DropEvent


def transition(row: str = "rec22", cause: LinkFailure | None = None, **facts: Any) -> TransitionTaken:
    the_row = ROWS[row]
    dest = the_row.source if the_row.dest is None else the_row.dest
    return TransitionTaken(the_row, dest, **({"dwell": 0.25, "link": 3, "sends": 7, "attempt": 2} | facts), cause=cause)


def audit(name: str = "c1", told: list[BaseException] | None = None) -> AuditWriter:
    return AuditWriter(name, ([] if told is None else told).append)


# --- the record -------------------------------------------------------------------------------------------------------


def test_a_record_has_these_fields_and_no_other() -> None:
    sink = Sink()
    audit().transition(transition(dwell=0.123456789, at=1000.25), AT)
    assert sink.records == [
        {
            "event": "realtime.transition",
            "schema": SCHEMA,
            "level": "info",
            "connection_id": "c1",
            "seq": 1,
            "link": 3,
            "sends": 7,
            "row": "rec22",
            "trigger": "greeted",
            "source": "reconnecting",
            "dest": "connected",
            "dwell": 0.123457,
            "attempt": 2,
            "cause": None,
            "error_code": None,
            "close_code": None,
            "status": None,
            "retry_after": None,
            "era": None,
            "lag": 0.0,
            "at": 1000.25,
            "sentence": "reconnecting -> connected: link 3 is up: the connection asks for everything desired",
            "timestamp": "2026-11-24T05:06:07.000089Z",
            "machine": TABLE.fingerprint,
        }
    ]


def test_a_record_holds_the_status_of_a_refused_upgrade_and_the_lag() -> None:
    sink = Sink()
    audit().transition(transition(cause=UpgradeRefused(503), lag=1.23456789), AT)
    assert (sink.records[0]["status"], sink.records[0]["lag"]) == (503, 1.234568)


def test_a_record_holds_the_facts_of_the_step_to_the_last_bit() -> None:
    sink = Sink()
    facts: dict[str, Any] = {"at": 1 / 3, "draw": 2 / 3, "enabled": False, "heard": False, "dial_slot": 4 / 3}
    audit().transition(transition(**facts), AT)
    assert {name: sink.records[0][name] for name in facts} == facts


@pytest.mark.parametrize(
    ("cause", "kind", "error_code", "close_code"),
    [
        (None, None, None, None),
        (ServerError(1003, HIDDEN), "error_frame", 1003, None),
        (StreamEnded(1012), "stream_ended", None, 1012),
        (DialFailed(HIDDEN), "dial_failed", None, None),
        (Overdue("pong", 10), "pong_overdue", None, None),
    ],
)
def test_the_cause_is_a_kind_and_a_number(
    cause: LinkFailure | None, kind: str | None, error_code: int | None, close_code: int | None
) -> None:
    sink = Sink()
    audit().transition(transition("rec24", cause), AT)
    (record,) = sink.records
    assert (record["cause"], record["error_code"], record["close_code"]) == (kind, error_code, close_code)
    assert HIDDEN not in repr(record)


def test_a_code_that_is_a_text_is_hidden() -> None:
    sink = Sink()
    audit().transition(transition("rec27", ServerError(f"SQLSTATE[42S02]: no such table '{HIDDEN}'", "")), AT)
    assert HIDDEN not in repr(sink.records)


@pytest.mark.parametrize(
    ("row", "cause", "level"),
    [
        ("rec22", None, "info"),
        ("sub13", None, "info"),
        ("pin12", None, "info"),
        ("rec21", None, "debug"),  # the state stays
        ("err9", None, "debug"),
        ("sub64", None, "debug"),  # a heartbeat
        ("pin42", None, "debug"),
        ("pin49", ServerError(1003, ""), "debug"),  # the pong of an oldest server
        ("rec94", ServerError(1008, ""), "debug"),  # the server is older than the dial
        ("sub52", ServerError(1008, ""), "debug"),  # its end is the loss
        ("sub58", StreamEnded(), "warning"),
        ("pin57", StreamEnded(), "warning"),  # with auto_reconnect off
        ("pin71", Overdue("pong", 10), "warning"),
        ("rec24", DialFailed("refused"), "warning"),
        ("rec178", DialFailed("refused"), "warning"),  # back to the old link
        ("con46", ServerError(1003, ""), "info"),
        ("sub59", StreamEnded(), "error"),
        ("rec23", DialFailed("refused"), "error"),
    ],
)
def test_the_level_follows_what_happened(row: str, cause: LinkFailure | None, level: str) -> None:
    sink = Sink()
    audit().transition(transition(row, cause), AT)
    assert [record["level"] for record in sink.records] == [level]


@pytest.mark.parametrize("row", ["err13", "err14"])
def test_a_users_call_in_the_error_state_is_no_error(row: str) -> None:
    sink = Sink()
    audit().transition(transition(row), AT)
    assert [record["level"] for record in sink.records] == ["info"]


@pytest.mark.parametrize("row", TABLE.rows, ids=lambda row: row.id)
def test_every_row_can_be_written(row: Any) -> None:
    sink = Sink()
    audit().transition(transition(row.id), AT)
    (record,) = sink.records
    assert (record["row"], record["trigger"], record["source"]) == (row.id, row.trigger.value, row.source.value)
    assert {type(record[name]) for name in ("row", "trigger", "source", "dest")} == {str}
    assert State(record["dest"]) is (row.source if row.dest is None else row.dest)


# --- counting ---------------------------------------------------------------------------------------------------------


def test_records_are_counted_without_holes_for_each_connection() -> None:
    sink = Sink()
    one, other = audit("one"), audit("other")
    for each in (one, one, other, one, other):
        each.transition(transition(), AT)
    numbers = [(record["connection_id"], record["seq"]) for record in sink.records]
    assert numbers == [("one", 1), ("one", 2), ("other", 1), ("one", 3), ("other", 2)]


def test_without_a_configuration_records_are_counted() -> None:
    silent = audit()
    silent.transition(transition(), AT)
    silent.transition(transition("sub59", StreamEnded()), AT)
    sink = Sink()  # configured later than the connection was built
    silent.transition(transition(), AT)
    assert [record["seq"] for record in sink.records] == [3]
    assert silent.failures == 0


# --- logging that breaks ----------------------------------------------------------------------------------------------


def test_failing_logging_is_isolated_counted_and_reported_once() -> None:
    sink = Sink()
    told: list[BaseException] = []
    log = audit(told=told)
    log.transition(transition(), AT)
    first = sink.broken = RuntimeError("the first")
    log.transition(transition(), AT)
    sink.broken = OSError("another")
    log.transition(transition(), AT)
    sink.broken = None
    log.transition(transition(), AT)
    assert log.failures == 2
    assert told == [first]
    assert [record["seq"] for record in sink.records] == [1, 4]  # the hole shows what is missing


def test_a_logger_of_coroutines_loses_no_record() -> None:
    sink = Sink()
    told: list[BaseException] = []
    structlog.configure(wrapper_class=structlog.stdlib.AsyncBoundLogger)

    async def main() -> None:
        log = audit(told=told)
        log.ping(0.5)
        log.transition(transition("rec24", DialFailed("refused")), AT)
        assert log.failures == 0

    asyncio.run(main())
    assert [(record["event"], record["level"]) for record in sink.records] == [
        ("realtime.ping", "debug"),
        ("realtime.transition", "warning"),
    ]
    assert told == []


@pytest.mark.parametrize("answer", ["coroutine", "future"])
def test_another_asynchronous_logger_is_reported_once(answer: str) -> None:
    class Asynchronous(structlog.BoundLogger):
        def debug(self, *_: object, **__: object) -> Awaitable[None]:
            return self.write() if answer == "coroutine" else asyncio.get_running_loop().create_future()

        async def write(self) -> None:
            raise AssertionError("it is never awaited")

    told: list[BaseException] = []
    structlog.configure(wrapper_class=Asynchronous)

    async def main() -> int:
        log = audit(told=told)
        log.ping(0.5)
        log.ping(0.5)
        return log.failures

    assert asyncio.run(main()) == 2
    assert [str(failure) for failure in told] == [
        "structlog's wrapper_class Asynchronous answers with coroutines; give a synchronous one"
    ]


class Own(BaseException):
    """A `BaseException` and not an `Exception`."""


@pytest.mark.parametrize("kind", [asyncio.CancelledError, SystemExit, GeneratorExit, Own])
def test_a_processor_may_raise_any_exception(kind: type[BaseException]) -> None:
    sink = Sink()
    told: list[BaseException] = []
    log = audit(told=told)
    broken = sink.broken = kind("of a processor")
    log.transition(transition(), AT)
    sink.broken = None
    log.transition(transition(), AT)
    assert (log.failures, told) == (1, [broken])
    assert [record["seq"] for record in sink.records] == [2]


def test_an_interrupt_in_a_processor_is_raised_where_no_loop_runs() -> None:
    sink = Sink()
    log = audit()
    sink.broken = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        log.transition(transition(), AT)
    sink.broken = None
    log.transition(transition(), AT)
    assert [record["seq"] for record in sink.records] == [2]


def test_records_that_a_processor_causes_are_written_after_the_present_one() -> None:
    written: list[int] = []
    log = audit()

    def process(_: object, __: str, record: Any) -> Any:
        if record["seq"] < 3:
            log.transition(transition(), AT)
        written.append(record["seq"])
        raise structlog.DropEvent

    structlog.configure(processors=[process])
    log.transition(transition(), AT)
    assert written == [1, 2, 3]


# --- the other records ------------------------------------------------------------------------------------------------


def write_each(log: AuditWriter) -> None:
    """Every kind of record once."""
    log.opened(ConnectionContext(max_link_age=3600.0))
    log.transition(transition("sub58", StreamEnded(), draw=0.5, enabled=True, heard=True, dial_slot=7.5, delay=1.8), AT)
    log.subscription("s1", "rejected", 1003)
    log.presence("rejected", 401, dwell=0.5)
    log.ping(0.0123456789)
    log.outage("opened", "stream_ended", planned=False, seconds=0.0, dials=0)
    log.fault(FaultNews(opened=True, seconds=2.5), AT)
    log.dropped("s1", 7)
    log.pause("closed", 2, dwell=3.0, seconds=2.5)
    log.retired(2, 0.25)
    log.gap("s1", Gap(None, AT, 1.5, 2))
    log.canary("missed", seconds=10.25)
    log.malformed("not_json")
    log.relayed(5, 2, lag=0.25)
    log.closed()


def test_every_kind_of_record_is_of_the_schema_and_counted_with_the_others() -> None:
    sink = Sink()
    write_each(audit())
    assert [record["seq"] for record in sink.records] == list(range(1, 16))
    assert {record["event"] for record in sink.records} == {kind.__struct_config__.tag for kind in RECORDS}
    for record in some(sink.records):
        del record["level"]
        assert type(msgspec.convert(record, AnyRecord)).__struct_config__.tag == record["event"]
    assert [record["link"] for record in sink.records] == [0] + [3] * 14, "the newest link"


def test_the_json_schema_names_every_field_of_every_record() -> None:
    sink = Sink()
    write_each(audit())
    by_event = {
        part["properties"]["event"]["enum"][0]: part for part in json_schema()["$defs"].values() if "event" in part["properties"]
    }
    for record in some(sink.records):
        del record["level"]
        assert set(record) == set(by_event[record["event"]]["properties"])


def test_a_tree_that_was_never_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    assert writer._versions.__wrapped__()["realtime-fsm"] == "unknown"


def test_a_fault_and_a_gap_tell_when_they_began_and_ended() -> None:
    sink = Sink()
    log = audit()
    log.fault(FaultNews(opened=True, seconds=2.5), AT)
    log.fault(FaultNews(opened=False, seconds=2.5), AT)
    log.gap("s1", Gap(AT, AT, 1.5, 2))
    log.gap("s1", Gap(None, AT, 1.5, 2))
    began, ended = "2026-11-24T05:06:04.500089Z", "2026-11-24T05:06:07.000089Z"
    assert [(record.get("change"), record["since"], record["until"]) for record in sink.records] == [
        ("opened", began, None),
        ("closed", began, ended),
        (None, "2026-11-24T05:06:07.000+00:00", ended),
        (None, None, ended),
    ]


@pytest.mark.parametrize("write", [None, lambda: None])
def test_the_first_record_holds_the_settings(write: Callable[[], None] | None) -> None:
    sink = Sink()
    canary = Canary(channel="rows", every=60.0, within=5.0, write=write) if write else Canary(every=60.0, within=5.0)
    audit().opened(ConnectionContext(canary=canary, auto_reconnect=False, max_link_age=90.0, era=Era.E2))
    (record,) = sink.records
    assert record["canary"] == {"every": 60.0, "within": 5.0, "write": write is not None}
    assert (record["auto_reconnect"], record["max_link_age"], record["protocol"]) == (False, 90.0, "E2")
    assert set(record["versions"]) == {"python", "realtime-fsm", "transitions", "aiohttp", "structlog", "msgspec"}
    audit().opened(ConnectionContext())
    assert sink.records[1]["canary"] is None


async def test_drops_are_one_record_an_episode() -> None:
    sink = Sink()
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        for _ in range(2):
            for _ in range(1030):
                network.publish("rows")
            await asyncio.sleep(1)
            for _ in range(1024):
                await anext(rows)
    assert [record["count"] for record in sink.records if record["event"] == "realtime.dropped"] == [6, 6]


def test_a_number_that_nobody_gives_is_zero() -> None:
    """An outage, a pause or a canary that lasted a second before it began would move each statement of its beginning."""
    sink = Sink()
    log = audit()
    log.subscription("s1", "acknowledged")
    log.presence("stored")
    log.outage("opened", "stream_ended", planned=False)
    log.pause("opened", 2, dwell=3.0)
    log.canary("refused", 401)
    numbers = ("dwell", "size", "seconds", "dials")
    assert [{name: record[name] for name in numbers if name in record} for record in sink.records] == [
        {"dwell": 0.0, "size": 0},
        {"dwell": 0.0},
        {"seconds": 0.0, "dials": 0},
        {"seconds": 0.0, "dwell": 3.0},
        {"seconds": 0.0},
    ]
    assert {record["link"] for record in sink.records} == {0}, "no link has been dialed"
    assert [record["seq"] for record in sink.records] == [1, 2, 3, 4, 5]


def test_a_new_writer_has_had_no_failure_and_writes_nothing() -> None:
    log = audit()
    assert (log.failures, log.is_writing) == (0, False)


THIRD = 1 / 3
TOLD: list[tuple[str, Callable[[AuditWriter], object]]] = [
    ("info", lambda audit: audit.transition(transition(dwell=THIRD, lag=THIRD), AT)),
    ("debug", lambda audit: audit.subscription("s1", "acknowledged", dwell=THIRD)),
    ("warning", lambda audit: audit.subscription("s1", "rejected", dwell=THIRD)),
    ("debug", lambda audit: audit.presence("stored", dwell=THIRD)),
    ("warning", lambda audit: audit.presence("rejected", dwell=THIRD)),
    ("debug", lambda audit: audit.ping(THIRD)),
    ("warning", lambda audit: audit.fault(FaultNews(opened=True, seconds=THIRD), AT)),
    ("info", lambda audit: audit.fault(FaultNews(opened=False, seconds=THIRD), AT)),
    ("info", lambda audit: audit.outage("opened", "stream_ended", planned=False, seconds=THIRD)),
    ("info", lambda audit: audit.outage("opened", "reconnect", planned=True, seconds=THIRD)),
    ("info", lambda audit: audit.outage("closed", "stream_ended", planned=False, seconds=THIRD)),
    ("debug", lambda audit: audit.pause("opened", 1, dwell=THIRD, seconds=THIRD)),
    ("debug", lambda audit: audit.canary("echoed", seconds=THIRD)),
    ("warning", lambda audit: audit.canary("missed", seconds=THIRD)),
    ("warning", lambda audit: audit.retired(1, THIRD)),
    ("warning", lambda audit: audit.gap("s1", Gap(None, AT, THIRD, 2))),
    ("debug", lambda audit: audit.relayed(1, 0, lag=THIRD)),
]


@pytest.mark.parametrize(("level", "write"), TOLD)
def test_a_record_tells_times_to_the_microsecond_and_is_a_warning_where_something_went_wrong(
    level: str, write: Callable[[AuditWriter], object]
) -> None:
    sink = Sink()
    write(AuditWriter("c1", lambda failure: None))
    (record,) = sink.records
    times = [value for name, value in record.items() if name in ("dwell", "lag", "round_trip", "seconds")]
    assert (record["level"], set(times)) == (level, {0.333333})
