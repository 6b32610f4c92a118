"""Logs as an on-call engineer has them: situations of connections, in the shapes of shippers.

A few walks of the machine make all situations; each situation names the right verdict, and who was down at an instant.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from realtime_fsm.fsm.change import Gap
from realtime_fsm.fsm.inputs import Closed, Disconnect, Dispose, LogOut, Pong
from realtime_fsm.fsm.policies import RetryPolicy
from realtime_fsm.fsm.table import State
from support.bench import Bench
from support.brokenlogs import BEGIN, Record, Scribe
from support.lives import lived
from support.shippers import ALL, without

# --- the walks --------------------------------------------------------------------------------------------------------


def beating(bench: Bench, beats: int = 3) -> None:
    """Send pings, each of which the server answers."""
    for _ in range(beats):
        bench.expire_until("sub64")
        bench.now += 0.05
        bench.hear(Pong(bench.generation))


def up(bench: Bench) -> None:
    bench.to(State.SUBSCRIBED)
    beating(bench)
    bench.now += 1.0


def lost(bench: Bench, tries: int = 2) -> None:
    """Be up, lose the link, and fail to get another one."""
    up(bench)
    bench.lose()
    for _ in range(tries):
        bench.expire()
        bench.fail_dial()


def back(bench: Bench, scribe: Scribe) -> None:
    """Get a link again, on which the subscription reports its gap."""
    bench.expire()
    bench.open()
    bench.now += 0.25
    bench.greet()
    outage = scribe.outages.current
    assert outage is not None
    scribe.audit.gap("s1", Gap(None, BEGIN + timedelta(seconds=bench.now), bench.now - outage.began, outage.dials))
    bench.now += 0.25
    bench.acknowledge()


def healthy(bench: Bench, scribe: Scribe) -> None:
    up(bench)
    beating(bench, 20)


def healed(bench: Bench, scribe: Scribe) -> None:
    lost(bench)
    back(bench, scribe)
    beating(bench)


def still_away(bench: Bench, scribe: Scribe) -> None:
    lost(bench, 4)


def gave_up(bench: Bench, scribe: Scribe) -> None:
    lost(bench)


def never_up(bench: Bench, scribe: Scribe) -> None:
    bench.to(State.RECONNECTING)
    bench.now += 0.5
    bench.fail_dial()
    bench.expire()
    bench.fail_dial()


def disposed_of(bench: Bench, scribe: Scribe) -> None:
    lost(bench)
    bench.do(Dispose(), after=0.5)
    scribe.audit.closed()


def logged_out(bench: Bench, scribe: Scribe) -> None:
    up(bench)
    bench.do(LogOut())
    bench.do(Closed(bench.generation), after=0.5)
    bench.open()
    bench.now += 5.0
    bench.greet()
    bench.acknowledge()
    beating(bench)


def unwanted(bench: Bench, scribe: Scribe) -> None:
    up(bench)
    bench.do(Disconnect())


def faulty(bench: Bench, scribe: Scribe) -> None:
    up(bench)
    bench.expire_until("sub64")
    bench.now += 2.0
    bench.err(0)
    bench.now += 2.0


TWICE = {"retry": RetryPolicy(attempts=2, reconnect_attempts=2)}
WALKS: dict[str, list[Record]] = {
    walk.__name__: lived(walk.__name__, walk, **options)
    for walk, options in (
        (healthy, {}), (healed, {}), (still_away, {}), (gave_up, TWICE), (never_up, TWICE), (disposed_of, {}), (logged_out, {}),
        (unwanted, {}), (faulty, {}),
    )
}  # fmt: skip


def moment(record: Record) -> datetime:
    return datetime.fromisoformat(record["timestamp"])


def told(walk: str, event: str, change: str = "opened") -> Record:
    """The first record of a walk that tells a change."""
    return next(r for r in WALKS[walk] if r["event"] == f"realtime.{event}" and r["change"] == change)


def begun(walk: str) -> datetime:
    return moment(told(walk, "outage"))


def within(walk: str) -> datetime:
    """An instant in the outage of a walk."""
    return begun(walk) + timedelta(seconds=0.3)


def end(walk: str) -> datetime:
    return moment(WALKS[walk][-1])


# --- the situations ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Situation:
    """A log, and the right answers about it.

    Attributes:
        records: its records.
        at: the instant of the question.
        verdict: the right verdict.
        down: the connections that were down then: how each ended.
        healthy: how many were available.
        unknown: of how many the log does not tell.
        damage: alters the lines.
        pack: makes the file.
        window: the span that is judged.
        within: the seconds of outages in that span.
    """

    records: list[Record]
    at: datetime
    verdict: str = "conformant"
    down: dict[str, str] = field(default_factory=dict)
    healthy: int = 0
    unknown: int = 0
    damage: Callable[[list[bytes]], list[bytes]] = list
    pack: Callable[[bytes], bytes] = bytes
    window: tuple[datetime | None, datetime | None] = (None, None)
    within: float | None = None


def together(*walks: str) -> list[Record]:
    """The records of walks, in the order of time."""
    return sorted((record for walk in walks for record in WALKS[walk]), key=moment)


def less(walk: str, gone: Callable[[Record], bool]) -> list[Record]:
    """A walk without its last record of a kind."""
    records = WALKS[walk]
    last = max(index for index, record in enumerate(records) if gone(record))
    return records[:last] + records[last + 1 :]


def is_outage(change: str) -> Callable[[Record], bool]:
    return lambda record: record["event"] == "realtime.outage" and record["change"] == change


def later(records: Iterable[Record], seconds: float, name: str | None = None) -> list[Record]:
    """The records, later by the wall clock."""
    by = timedelta(seconds=seconds)
    changed = {} if name is None else {"connection_id": name}
    return [{**record, "timestamp": (moment(record) + by).isoformat(), **changed} for record in records]


def cut(data: bytes) -> bytes:
    return gzip.compress(data)[:-30]


def stepped() -> list[Record]:
    """The outage of a walk, in which the clock is set forward by an hour."""
    records = WALKS["healed"]
    first = records.index(told("healed", "outage")) + 1
    return records[:first] + later(records[first:], 3600.0)


def fleet() -> list[Record]:
    records = WALKS["healthy"]
    good = [{**record, "connection_id": f"good-{number}"} for number in range(30) for record in records]
    return sorted(good + WALKS["healed"], key=moment)


AWAY, BACK = {"healed": "healed"}, timedelta(seconds=0.1)
ONE = Situation(WALKS["healed"], within("healed"), down=AWAY)
OPEN = Situation(together("still_away", "healthy"), end("healthy"), down={"still_away": "still down"}, healthy=1)
LONG = (moment(told("healed", "outage", "closed")) - begun("healed")).total_seconds()

SITUATIONS: dict[str, Situation] = {
    "healthy": Situation(WALKS["healthy"], end("healthy") - timedelta(seconds=7), healthy=1),
    "one outage": ONE,
    "before the outage": replace(ONE, at=begun("healed") - BACK, down={}, healthy=1),
    "after the outage": replace(ONE, at=end("healed") - BACK, down={}, healthy=1),
    "an open outage": Situation(WALKS["still_away"], end("still_away"), down={"still_away": "still down"}),
    "an open outage beside others": OPEN,
    "a window inside an outage": replace(
        ONE, window=(within("healed"), within("healed") + BACK), within=BACK.total_seconds()
    ),
    "a window into an outage": replace(ONE, window=(None, within("healed")), within=0.3),
    "a window out of an outage": replace(ONE, window=(within("healed"), None), within=LONG - 0.3),
    "the beginning of the outage is lost": replace(
        ONE, records=less("healed", is_outage("opened")), verdict="inconclusive"
    ),
    "the end of the outage is lost": replace(ONE, records=less("healed", is_outage("closed")), verdict="inconclusive"),
    "the loss is lost": replace(
        ONE, records=less("healed", lambda r: r.get("dest") == "reconnecting" and r["source"] == "subscribed"),
        verdict="inconclusive",
    ),
    "the head is cut off within the outage": replace(
        ONE, records=WALKS["healed"][WALKS["healed"].index(told("healed", "outage")) + 1 :], verdict="inconclusive"
    ),
    "a doubled file": replace(ONE, verdict="inconclusive", damage=lambda lines: [*lines, *lines]),
    "a cut gzip": replace(ONE, verdict="inconclusive", pack=cut),
    "one of many is down": Situation(fleet(), within("healed"), down=AWAY, healthy=30),
    "retries exhausted": Situation(
        together("gave_up", "healthy"), end("healthy") - BACK, down={"gave_up": "still down"}, healthy=1
    ),
    "never a link": Situation(together("never_up", "healthy"), end("healthy") - BACK, down={"never_up": "still down"}, healthy=1),
    "disposed of while away": Situation(WALKS["disposed_of"], within("disposed_of"), down={"disposed_of": "disposed"}),
    "after the disposal": Situation(together("disposed_of", "healthy"), end("healthy") - BACK, healthy=1),
    "a restart of the process": Situation(
        WALKS["still_away"][:-1] + later(WALKS["healthy"], 300.0, "restarted"),
        end("healthy") + timedelta(seconds=290), down={"still_away": "still down"}, healthy=1,
    ),
    "the clock is set forward": Situation(stepped(), begun("healed") + timedelta(seconds=1800), down=AWAY),
    "a planned outage": Situation(WALKS["logged_out"], within("logged_out"), down={"logged_out": "healed"}),
    "no link is wanted": Situation(together("unwanted", "healthy"), end("healthy") - BACK, healthy=1),
    "a server fault": Situation(WALKS["faulty"], end("faulty"), down={"faulty": "still down"}),
    "a reserved field is eaten": replace(
        ONE, records=[without(record, "source") for record in WALKS["healed"]], verdict="inconclusive"
    ),
    "another reserved field is eaten": replace(ONE, records=[without(record, "status") for record in WALKS["healed"]]),
    "another table": replace(
        ONE, records=[{**record, "machine": "0123456789ab"} for record in WALKS["healed"]], verdict="inconclusive",
    ),
}  # fmt: skip

CASES: list[tuple[str, str]] = [(name, "plain") for name in SITUATIONS] + [
    (list(SITUATIONS)[number % len(SITUATIONS)], shape) for number, shape in enumerate(ALL)
]
"""Each situation in plain lines, and each shape in one of the situations."""


def lines_of(name: str, shape: str, prefix: str = "") -> list[bytes]:
    """Write a situation in a shape, with a prefix of the ids of its connections."""
    write: Callable[[Record], str] = (ALL | {"plain": ALL["upper-case level"]})[shape]
    situation = SITUATIONS[name]
    records = ({**record, "connection_id": f"{prefix}{record['connection_id']}"} for record in situation.records)
    return situation.damage([write(record).encode() + b"\n" for record in records])


def options_of(situation: Situation) -> dict[str, Any]:
    since, until = situation.window
    return {"since": since, "until": until}
