"""The statistics of an audit, its bounded memory, and its time beside that of a bare decode."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from bench.auditlog import run
from realtime_fsm.audit import collector as ledger
from realtime_fsm.audit import connections
from realtime_fsm.audit.auditor import Auditor
from realtime_fsm.audit.formats.text import life_lines
from support.brokenlogs import audited, lines_of
from support.lives import ALL
from support.longlog import live, write
from support.some import some
from support.wholelog import LINES, RECORDS, renamed

BOUND = 5.0
"""Times the bare decoding that an audit of a short log may take, in which beginnings weigh more; `make bench-audit` measures for
real."""
MOST_ROUNDS = 16


def test_life_is_told() -> None:
    (connection,) = audited(LINES).connections
    life = connection.life
    assert life.states["ping"] == pytest.approx(0.1)
    assert life.ping.p99 == pytest.approx(0.1, rel=0.01)
    assert life.failures == 1
    (outage,) = life.outages
    assert (outage.cause, outage.dials, outage.planned, outage.end) == ("stream_ended", 1, False, "healed")
    assert outage.seconds == life.to_recovery == pytest.approx(1.5)
    assert life.availability == pytest.approx(100 * 31.1 / 32.6, rel=0.001)


def test_the_time_of_a_server_fault_is_told_and_is_not_available() -> None:
    (connection,) = audited(lines_of(ALL["at_fault"])).connections
    life = connection.life
    assert (life.faults, life.failures) == (2, 0)
    assert life.at_fault == pytest.approx(30 + 2 + 7 + 0.01, abs=4), "from the acknowledgement to the event, and two repetitions"
    wanted = sum(seconds for state, seconds in life.states.items() if state not in ("disconnected", "disposing"))
    assert life.availability == pytest.approx(100 * (1 - life.at_fault / wanted), rel=1e-6)
    (other,) = audited(lines_of(ALL["at_fault_to_the_end"])).connections
    assert (other.life.faults, other.verdict) == (2, "conformant")
    assert other.life.at_fault == pytest.approx(30 + 3.5 + 0.5, abs=0.1)
    plain = "\n".join(life_lines(life))
    assert "server faults 2, together " in plain


# --- memory and time ----------------------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_connections_that_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def fed(count: int) -> int:
        judge = Auditor()
        tracemalloc.start()
        judge.feed(line for number in range(count) for line in renamed(f"c{number}"))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert not judge._connections.live
        return peak

    monkeypatch.setattr(ledger, "KEPT", 20)
    monkeypatch.setattr(connections, "MAX_ENDED_TRACKED", 20)
    fed(100)  # what is made once
    few, many = fed(100), fed(300)
    assert many < few * 1.2


def test_memory_does_not_grow_with_the_records_of_a_connection() -> None:
    """Heartbeats wait to be counted, frames to leave their window: neither for long."""
    log = [b"%bname%b2026-11-24T05:00:00Z%b" % (piece.head, piece.middle, piece.tail) for piece in live(1, hours=12.0)]
    judge = Auditor()
    tracemalloc.start()
    sizes = []
    for start in range(0, len(log), 400):
        judge.feed(log[start : start + 400])
        sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert len(sizes) > 8
    assert len(judge._connections.live) <= 1
    assert max(sizes[4:]) < sizes[3] + 30_000


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("speed") / "log"
    write(path, 30_000_000, connections=100, plots=4)
    yield path
    path.unlink()


def test_an_audit_takes_little_more_time_than_decoding(log: Path) -> None:
    """In turns, in processes of their own, and the best of each is compared.

    Other work on the machine slows the audit more than the decoding, so the test measures on while the bound is exceeded.
    """
    bare = audit = float("inf")
    for number in some(range(MOST_ROUNDS)):
        decoded, audited = run("bare", log), run("audit", log)
        assert audited["verdict"] == "conformant"
        bare, audit = min(bare, decoded["seconds"]), min(audit, audited["seconds"])
        if number >= 3 and audit < bare * BOUND:
            break
    assert audit < bare * BOUND, f"{audit / bare:.2f} times the bare decoding"


def test_the_long_log_is_that_of_real_clients(log: Path) -> None:
    with log.open("rb") as file:
        heads = [msgspec.json.decode(line) for line in islice(file, 5000)]
    assert {record["connection_id"] for record in heads if record["seq"] == 1} == {r["connection_id"] for r in heads}
    moments = [record["timestamp"] for record in heads]
    assert moments == sorted(moments)
    assert len(RECORDS[0]) == len(heads[0]), "no field is lost"
