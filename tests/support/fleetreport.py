"""The report of a fleet over hours: heartbeats, outages of one connection and of many at once, and connections that give up.

``python -m support.fleetreport COUNT FILE``, in the folder tests/, writes the page of such a fleet.
"""

from __future__ import annotations

import random
import sys
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import msgspec

from realtime_fsm.audit.auditor import Auditor
from realtime_fsm.audit.collector import ReportBuilder
from realtime_fsm.audit.formats.html import as_html
from realtime_fsm.audit.report import Finding, Location, OutageLine, Report
from realtime_fsm.audit.tracking import TrackedConnection
from realtime_fsm.fsm.table import State
from support.brokenlogs import audited
from support.wholelog import LINES

BEGIN = datetime(2026, 11, 24, tzinfo=UTC)
FILE = "fleet.jsonl"
NIGHT, NIGHT_LASTS = 3.2 * 3600, 300.0
"""The outage of many at once: its beginning and its length, in seconds."""
CAUSES = ("stream_ended", "pong_overdue", "dial_failed", "upgrade_refused")


@cache
def _outage() -> OutageLine:
    """An outage of a real log, as a pattern."""
    return audited(LINES).connections[0].life.outages[0]


def outages(count: int) -> list[OutageLine]:
    """Make outages, one a minute, of 0, 1, 2, ... seconds."""
    starts = [BEGIN + timedelta(minutes=number) for number in range(count)]
    return [msgspec.structs.replace(_outage(), start=start, seconds=float(number)) for number, start in enumerate(starts)]


class _Life:
    """One connection, which is made from its beginning to its end."""

    def __init__(self, name: str, number: int, draw: random.Random) -> None:
        self.tracked = TrackedConnection(name, number + 1)
        self.tracked.first = BEGIN
        self.draw = draw
        self.now = 0.0

    def stay(self, state: State, seconds: float) -> None:
        self.tracked.stats.states[state] += seconds
        self.tracked.stats.stays.add(BEGIN.timestamp() + self.now, seconds, state)
        self.tracked.seq += 1
        self.tracked.facts.state = state
        self.now += seconds

    def live(self, seconds: float) -> None:
        """Be subscribed, with a heartbeat every ten minutes."""
        while seconds > 600.1:
            self.stay(State.SUBSCRIBED, 600.0)
            self.stay(State.PING, self.draw.uniform(0.02, 0.1))
            seconds -= 600.1
        self.stay(State.SUBSCRIBED, seconds)

    def outage(self, seconds: float, cause: str, *, error: float = 0.0) -> None:
        """Lose the link; with `error` seconds, give up at the end."""
        began = self.now
        self.stay(State.RECONNECTING, seconds)
        if error:
            self.stay(State.ERROR, error)
        else:
            self.stay(State.CONNECTED, 0.05)
        start = BEGIN + timedelta(seconds=began)
        end = "" if error else "healed"
        seconds = self.now - began
        outage = msgspec.structs.replace(
            _outage(), start=start, at=began, seconds=seconds, cause=cause, dials=3, gap=seconds, end=end
        )
        self.tracked.stats.add_outage(outage)


def fleet(count: int, *, hours: float = 24.0, seed: int = 1) -> Report:
    """Make the report of a fleet."""
    auditor, records = Auditor(detail=True), 0
    builder = auditor._builder
    for number in range(count):
        tracked = _lived(builder, number, hours * 3600, random.Random(seed * 100_000 + number))
        builder.finish_connection(tracked, Location(FILE, 0))
        records += tracked.records
    return msgspec.structs.replace(auditor.finish(), files=[FILE], lines=records, other=0)


def _lived(builder: ReportBuilder, number: int, end: float, draw: random.Random) -> TrackedConnection:
    life = _Life(f"{draw.getrandbits(128):032x}", number, draw)
    life.stay(State.DISCONNECTED, draw.uniform(0, 0.02) * end)
    life.stay(State.RECONNECTING, 0.2)
    night, hit = NIGHT / 86400 * end, draw.random() < 0.6
    unlucky = draw.random() < 0.2
    while True:
        quiet = draw.expovariate(1 / 7200 if unlucky else 1 / 90_000)
        if hit and life.now < night <= life.now + quiet:
            life.live(night - life.now)
            life.outage(NIGHT_LASTS * draw.uniform(0.7, 1.3), "stream_ended")
            continue
        if life.now + quiet > end - 1:
            break
        life.live(quiet)
        lasts = min(draw.lognormvariate(1.5, 1.5), 0.1 * end)
        if draw.random() < 0.004:
            life.outage(lasts, "error_frame", error=max(1.0, end - life.now - lasts))
            break
        life.outage(lasts, draw.choice(CAUSES))
    if life.tracked.facts.state != State.ERROR:
        life.live(end - life.now)
    if number % 97 == 5:
        said = "sub41 is not a transition rule of its state and trigger"
        builder.add(life.tracked, Finding("row", "violation", said, Location(FILE, number), life.tracked.connection_id))
    life.tracked.last = BEGIN + timedelta(seconds=life.now)
    return life.tracked


if __name__ == "__main__":
    Path(sys.argv[2]).write_text("\n".join(as_html(fleet(int(sys.argv[1])))), encoding="utf-8")
