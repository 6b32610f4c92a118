"""Standard logging: without a configuration of structlog, the sentences go to the logger `realtime_fsm`."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import structlog

from auditlog.test_writer import AT, HIDDEN, Sink, audit, transition, write_each
from realtime_fsm import State
from realtime_fsm.audit.decoding import ExtendedRecord
from realtime_fsm.audit.formats.text import as_text
from realtime_fsm.audit.shapes import Shapes
from realtime_fsm.auditlog import records, writer
from realtime_fsm.auditlog.layouts import NAMESPACE
from realtime_fsm.auditlog.records import RECORDS
from realtime_fsm.auditlog.sentences import CAUSES
from realtime_fsm.errors import DialFailed, ServerError, StreamEnded
from support.brokenlogs import audited, lines_of
from support.network import Network
from support.some import some
from support.virtual import eventually

LOGGER = "realtime_fsm"


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """The level and the text of each line, without the connection's id."""
    return [(line.levelname, line.getMessage().rpartition(" [")[0]) for line in caplog.records if line.name == LOGGER]


async def test_the_changes_of_a_connection_are_sentences(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        network.socket.cut()
        await eventually(lambda: len(network.sockets) == 2 and realtime.state is State.SUBSCRIBED)
    assert told(caplog) == [
        ("INFO", "disconnected -> reconnecting: the program called subscribe()"),
        ("INFO", "reconnecting -> connected: link 1 is up: the connection asks for everything desired"),
        ("INFO", "connected -> subscribed: everything desired is acknowledged on this link"),
        ("WARNING", "link 1 lost: the server, or a middle box, ended the stream (close code 1006); dial 2 in 1.5 s"),
        ("INFO", "an outage begins"),
        ("INFO", "reconnecting -> connected: link 2 is up: the connection asks for everything desired"),
        ("WARNING", "subscription s1 may have missed events for 1.5 s, with 1 dial meanwhile"),
        ("INFO", "connected -> subscribed: everything desired is acknowledged on this link"),
        ("INFO", "the outage is over after 1.5 s and 1 dial"),
        ("INFO", "subscribed -> disposing: the program called dispose()"),
    ]
    assert {line.getMessage()[-11:] for line in caplog.records} == {f" [{realtime.connection_id[:8]}]"}


async def test_a_planned_gap_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        await realtime.disconnect()
        await asyncio.sleep(100)
        await realtime.connect()
        await eventually(lambda: rows.gaps)
    assert ("INFO", "subscription s1 may have missed events for 100.0 s, with 1 dial meanwhile") in told(caplog)
    assert {level for level, _ in told(caplog)} == {"INFO"}


async def test_a_loss_tells_its_cause_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        network.socket.cut()
        await eventually(lambda: len(network.sockets) == 2 and realtime.state is State.SUBSCRIBED)
        cause = CAUSES["stream_ended"]
        assert [level for level, text in told(caplog) if cause in text] == ["WARNING"]
        caplog.clear()
        await realtime.disconnect()
        assert told(caplog) == [
            ("INFO", "subscribed -> disconnected: the program called disconnect()"),
            ("INFO", "a planned outage begins"),
        ]


async def test_heartbeats_are_quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, LOGGER)
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        caplog.clear()
        await eventually(lambda: any("answered a ping" in line.getMessage() for line in caplog.records))
    beats = [line for line in caplog.records if "ping" in line.getMessage()]
    assert len(beats) == 3
    assert {line.levelno for line in beats} == {logging.DEBUG}


def test_each_line_carries_its_record(caplog: pytest.LogCaptureFixture) -> None:
    """A formatter for JSON writes the extra, and the audit reads it."""
    caplog.set_level(logging.DEBUG, LOGGER)
    write_each(audit())
    lines = [{"message": line.getMessage(), NAMESPACE: getattr(line, NAMESPACE)} for line in caplog.records]
    assert {line[NAMESPACE]["event"] for line in lines} == {kind.__struct_config__.tag for kind in RECORDS}
    shapes = Shapes()
    for number, line in enumerate(some(lines), 1):
        _, read = shapes.read(json.dumps(line).encode() + b"\n")
        assert isinstance(read, ExtendedRecord)
        assert (read.line.seq, read.line.event, read.secrets) == (number, line[NAMESPACE]["event"], ())


async def test_an_audit_of_a_log_at_info_names_the_level_that_it_misses(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    async with Network().realtime() as realtime:
        await realtime.subscribe("rows")
    report = audited(lines_of([getattr(line, NAMESPACE) for line in caplog.records]))
    assert report.verdict == "inconclusive"
    assert "realtime.open record, which has the level DEBUG: its delays" in "\n".join(as_text(report))


def test_with_structlog_nothing_goes_to_standard_logging(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, LOGGER)
    sink = Sink()
    write_each(audit())
    assert (len(sink.records), told(caplog)) == (15, [])


def test_a_record_that_no_one_hears_is_counted_and_never_built(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(**_: object) -> None:
        raise AssertionError("a record is built")

    caplog.set_level(logging.WARNING, LOGGER)
    log = audit()
    with monkeypatch.context() as patch:
        for name in ("OpenRecord", "TransitionRecord", "SubscriptionRecord", "PingRecord", "OutageRecord"):
            patch.setattr(records, name, never)
        patch.setattr(writer, "_settings_of", never)
        log.opened(None)  # type: ignore[arg-type]
        log.transition(transition(), AT)
        log.subscription("s1", "desired")
        log.ping(0.5)
        log.outage("opened", "stream_ended", planned=False)
    log.transition(transition("sub58", StreamEnded()), AT)
    assert [getattr(line, NAMESPACE)["seq"] for line in caplog.records] == [6]


def test_a_line_holds_no_text_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, LOGGER)
    log = audit()
    log.transition(transition("rec24", DialFailed(HIDDEN)), AT)
    log.transition(transition("rec27", ServerError(f"a text: {HIDDEN}", HIDDEN)), AT)
    assert [text.partition(":")[0] for _, text in told(caplog)] == ["dial 2 failed"] * 2
    assert HIDDEN not in repr([line.__dict__ for line in caplog.records])


class Broken(logging.Handler):
    """A handler that raises, which the handlers of the standard library avoid."""

    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError(f"no disk for {record.levelname}")


def test_a_failing_handler_is_contained_counted_and_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    failures: list[BaseException] = []
    log = audit(told=failures)
    logger, broken = logging.getLogger(LOGGER), Broken()
    logger.addHandler(broken)
    try:
        for _ in range(2):
            log.transition(transition("sub58", StreamEnded()), AT)
    finally:
        logger.removeHandler(broken)
    log.transition(transition("sub58", StreamEnded()), AT)
    assert log.failures == 2
    assert [str(failure) for failure in failures] == ["no disk for WARNING"]
    assert getattr(caplog.records[-1], NAMESPACE)["seq"] == 3


def test_records_that_a_handler_causes_are_told_after_the_present_one() -> None:
    written: list[int] = []
    log = audit()

    class Calling(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            number = getattr(record, NAMESPACE)["seq"]
            if number < 3:
                log.transition(transition("sub58", StreamEnded()), datetime.now(UTC))
            written.append(number)

    calling = Calling()
    logging.getLogger(LOGGER).addHandler(calling)
    try:
        log.transition(transition("sub58", StreamEnded()), AT)
    finally:
        logging.getLogger(LOGGER).removeHandler(calling)
    assert written == [1, 2, 3]


def test_a_program_without_logging_shows_warnings_on_stderr_and_no_more() -> None:
    program = (
        "import logging; from auditlog.test_writer import *; log = audit('0123456789'); log.transition(transition(), AT);"
        " log.transition(transition('sub58', StreamEnded(), attempt=0, delay=1.8), AT);"
        " logger = logging.getLogger('realtime_fsm'); assert (logger.handlers, logger.level) == ([], 0)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd="tests")
    assert (ran.stdout, ran.stderr) == (
        "",
        "link 3 lost: the server, or a middle box, ended the stream (close code 1006); dial 1 in 1.8 s [01234567]\n",
    )
