"""Logs of connections with outages, handovers and faults, each with an edge to it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NoReturn
from unittest.mock import patch

import structlog

from realtime_fsm.fsm.change import Gap
from realtime_fsm.fsm.inputs import (
    Authenticate,
    Closed,
    Connect,
    Disconnect,
    Dispose,
    LinkClosed,
    LogOut,
    PingEnabledChanged,
    Pong,
    Reconnect,
    Recovered,
    Unsubscribe,
)
from realtime_fsm.fsm.policies import RetryPolicy
from realtime_fsm.fsm.table import State
from realtime_fsm.protocol.eras import Era
from simulation import records, storm
from support.bench import ONCE, Bench
from support.brokenlogs import BEGIN, Record, Scribe, collected


def simulated(seed: int) -> list[Record]:
    """The log of a storm, without the records that the application's logging refused."""
    written: list[Record] = []

    class Kept(records.Records):
        def __call__(self, logger: object, level: str, record: Any) -> NoReturn:
            try:
                super().__call__(logger, level, record)
            except structlog.DropEvent:
                written.append({**record, "level": level})
                raise

    with patch.object(storm, "Records", Kept):
        assert storm.simulate(seed, seconds=200.0).violation is None
    return written


def lived(name: str, live: Callable[[Bench, Scribe], object], **options: Any) -> list[Record]:
    """The log of a bench."""
    with collected() as records:
        bench = Bench(**options)
        live(bench, Scribe(bench, name))
    return records


def pinged(bench: Bench, scribe: Scribe) -> None:
    bench.to(State.SUBSCRIBED)
    for answered in (0.1, 0.004, 2.5):
        bench.expire_until("sub64")
        bench.now += answered
        bench.hear(Pong(bench.generation))


def back_again(bench: Bench) -> None:
    bench.expire()
    bench.open()
    bench.now += 0.25
    bench.greet()
    bench.acknowledge()


def never_ended(bench: Bench, scribe: Scribe) -> None:
    pinged(bench, scribe)
    bench.do(PingEnabledChanged(enabled=False), after=7.5)


def healed(bench: Bench, scribe: Scribe) -> None:
    pinged(bench, scribe)
    bench.lose()
    back_again(bench)
    bench.do(Dispose(), after=1.0)
    scribe.audit.closed()
    scribe.audit.dropped("s1", 3)


def healed_at_the_second_try(bench: Bench, scribe: Scribe) -> None:
    bench.to(State.SUBSCRIBED).lose(1001)
    bench.expire()
    bench.fail_dial()
    scribe.audit.malformed("not_json")
    bench.expire()
    bench.open()
    bench.greet()
    bench.lose()  # before anything is acknowledged: the same outage
    back_again(bench)
    scribe.audit.gap("s1", Gap(None, BEGIN, 5.5, 3))


def gap_within(bench: Bench, scribe: Scribe) -> None:
    bench.to(State.SUBSCRIBED).subscribe("s2")
    bench.acknowledge()
    bench.lose()
    bench.expire()
    bench.open()
    bench.greet()
    scribe.audit.gap("s1", Gap(BEGIN, BEGIN, 2.25, 1))
    scribe.audit.gap("s2", Gap(BEGIN, BEGIN, 1.5, 1))
    bench.acknowledge()


def given_up(bench: Bench, scribe: Scribe) -> None:
    bench.to(State.SUBSCRIBED).lose()
    bench.do(Reconnect(), after=20.0)
    bench.open()
    bench.now += 3.0
    bench.greet()
    bench.acknowledge()
    bench.lose()
    bench.expire()
    bench.err(1008)
    bench.do(PingEnabledChanged(enabled=False), after=4.0)


def given_up_and_disposed_of(bench: Bench, scribe: Scribe) -> None:
    given_up(bench, scribe)
    bench.do(Dispose(), after=6.0)
    bench.do(Closed(bench.generation), after=0.5)
    scribe.audit.closed()


def disposed_of_while_away(bench: Bench, scribe: Scribe) -> None:
    bench.to(State.SUBSCRIBED).lose()
    bench.do(Dispose(), after=0.75)
    scribe.audit.closed()


def disconnected_while_away(bench: Bench, scribe: Scribe) -> None:
    bench.to(State.SUBSCRIBED).lose()
    bench.do(Disconnect(), after=0.75)
    bench.do(Connect(), after=50.0)
    bench.open()


def disconnected_by_the_user(bench: Bench, scribe: Scribe) -> None:
    bench.to(State.SUBSCRIBED).do(Disconnect(), after=3.0)
    bench.do(Connect(), after=50.0)


def lost_and_not_dialed(bench: Bench, scribe: Scribe) -> None:
    bench.to(State.SUBSCRIBED).lose()
    bench.do(Connect(), after=12.0)
    bench.open()
    bench.greet()
    bench.acknowledge()
    bench.lose()
    bench.do(Dispose(), after=9.0)


def planned(bench: Bench, scribe: Scribe) -> None:
    bench.to(State.SUBSCRIBED).do(LogOut(), after=4.0)
    bench.do(Closed(bench.generation))
    bench.open()
    bench.now += 0.5
    bench.greet()
    bench.acknowledge()
    bench.do(LogOut(), after=4.0)


def nothing_desired(bench: Bench, scribe: Scribe) -> None:
    bench.to(State.SUBSCRIBED).lose()
    bench.do(Unsubscribe("s1"), after=0.5)
    bench.expire()
    bench.open()
    bench.greet()
    bench.do(PingEnabledChanged(enabled=False), after=30.0)


def rejected(bench: Bench, scribe: Scribe) -> None:
    bench.to(State.CONNECTED).subscribe()
    bench.err(1003)


def dialing(bench: Bench, scribe: Scribe) -> None:
    bench.to(State.RECONNECTING)


def handing_over(bench: Bench, scribe: Scribe) -> None:
    bench.to(State.SUBSCRIBED).do(PingEnabledChanged(enabled=False), after=10.0)
    bench.ask_anew("s2", up=False)
    bench.do(PingEnabledChanged(enabled=True), after=2.0)


def handed_over(bench: Bench, scribe: Scribe) -> None:
    handing_over(bench, scribe)
    bench.now += 1.0
    bench.greet()


def handed_over_at_the_second_try(bench: Bench, scribe: Scribe) -> None:
    handing_over(bench, scribe)
    bench.fail_dial()
    bench.expire()
    bench.open()
    bench.do(LinkClosed(bench.context.draining_generation or 0), after=0.25)
    scribe.audit.gap("s1", Gap(BEGIN, BEGIN, 0.5, 1))
    bench.greet()


def handed_over_too_late(bench: Bench, scribe: Scribe) -> None:
    handing_over(bench, scribe)
    bench.do(LinkClosed(bench.context.draining_generation or 0), after=0.75)
    bench.now += 0.5
    bench.greet()


def never_handed_over(bench: Bench, scribe: Scribe) -> None:
    handing_over(bench, scribe)
    bench.do(LinkClosed(bench.context.draining_generation or 0), after=0.75)


def handed_over_as_somebody_else(bench: Bench, scribe: Scribe) -> None:
    handing_over(bench, scribe)
    bench.do(Authenticate("session"), after=0.25)
    bench.open()
    bench.now += 0.5
    bench.greet()


def given_up_while_handing_over(bench: Bench, scribe: Scribe) -> None:
    handing_over(bench, scribe)
    bench.fail_dial()
    bench.do(PingEnabledChanged(enabled=False), after=4.0)


def disconnected_while_handing_over(bench: Bench, scribe: Scribe) -> None:
    handing_over(bench, scribe)
    bench.do(Disconnect(), after=0.5)
    bench.do(PingEnabledChanged(enabled=False), after=4.0)


def disposed_of_while_handing_over(bench: Bench, scribe: Scribe) -> None:
    handing_over(bench, scribe)
    bench.do(Dispose(), after=0.5)
    scribe.audit.closed()


def handed_over_in_an_outage(bench: Bench, scribe: Scribe) -> None:
    bench.to(State.SUBSCRIBED).lose()
    bench.expire()
    bench.open()
    bench.subscribe("s2")
    bench.greet()
    bench.ask_anew("s3", up=False)
    bench.do(LinkClosed(bench.context.draining_generation or 0), after=0.75)
    bench.greet()


def at_fault(bench: Bench, scribe: Scribe) -> None:
    """A ping meets a server fault, an event ends it; then a request does, and its acknowledgement."""
    bench.to(State.SUBSCRIBED).expire_until("sub64")
    bench.now += 2.0
    bench.err(0)
    scribe.audit.gap("s1", Gap(BEGIN, BEGIN, 32.0, 0))
    bench.now += 7.0
    bench.hear(Recovered(bench.generation))
    bench.subscribe("s2")
    bench.err(500)
    bench.expire_until("sub115")
    bench.err(500)
    bench.expire_until("sub115")
    bench.acknowledge()
    bench.do(Dispose(), after=1.0)
    scribe.audit.closed()


def at_fault_to_the_end(bench: Bench, scribe: Scribe) -> None:
    """The link is lost during one server fault, and another one is not over."""
    bench.to(State.SUBSCRIBED).expire_until("sub64")
    bench.err("42S02")
    bench.now += 3.5
    bench.lose()
    bench.expire()
    bench.open()
    bench.greet()
    bench.err(0)
    bench.do(PingEnabledChanged(enabled=True), after=0.5)


LIVES: dict[str, Callable[[Bench, Scribe], object]] = {
    life.__name__: life
    for life in (
        never_ended, healed, healed_at_the_second_try, gap_within, given_up, given_up_and_disposed_of, disposed_of_while_away,
        disconnected_while_away, disconnected_by_the_user, lost_and_not_dialed, planned, nothing_desired, rejected, dialing,
        handing_over, handed_over, handed_over_at_the_second_try, handed_over_too_late, never_handed_over,
        handed_over_as_somebody_else, given_up_while_handing_over, disconnected_while_handing_over,
        disposed_of_while_handing_over, handed_over_in_an_outage, at_fault, at_fault_to_the_end,
    )
}  # fmt: skip
OPTIONS: dict[str, dict[str, Any]] = {
    "healed_at_the_second_try": {"retry": RetryPolicy(attempts=5)},
    "lost_and_not_dialed": {"auto_reconnect": False},
    **{name: {"era": Era.E2} for name in LIVES if "hand" in name},
    "given_up_while_handing_over": {"era": Era.E2, "retry": ONCE},
}
ALL = {name: lived(name, life, **OPTIONS.get(name, {})) for name, life in LIVES.items()}
ENDS = {
    "never_ended": [],
    "healed": ["healed"],
    "healed_at_the_second_try": ["healed"],
    "gap_within": ["healed"],
    "given_up": ["healed", ""],
    "given_up_and_disposed_of": ["healed", "disposed"],
    "disposed_of_while_away": ["disposed"],
    "disconnected_while_away": [""],
    "disconnected_by_the_user": [""],
    "lost_and_not_dialed": ["healed", "disposed"],
    "planned": ["healed", ""],
    "nothing_desired": [""],
    "rejected": [],
    "dialing": [],
    "handing_over": [],
    "handed_over": [],
    "handed_over_at_the_second_try": ["healed"],
    "handed_over_too_late": ["healed"],
    "never_handed_over": [""],
    "handed_over_as_somebody_else": [],
    "given_up_while_handing_over": [],
    "disconnected_while_handing_over": [""],
    "disposed_of_while_handing_over": [],
    "handed_over_in_an_outage": ["healed"],
    "at_fault": [],
    "at_fault_to_the_end": [""],
}


def interleaved() -> list[Record]:
    """The records of all, one of each in turn."""
    turns = itertools.zip_longest(*ALL.values())
    return [record for turn in turns for record in turn if record is not None]
