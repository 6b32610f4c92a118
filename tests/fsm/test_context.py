"""The context of a new connection is empty, and deadlines follow from the facts of a context."""

from __future__ import annotations

import math
from typing import Any

import pytest

from realtime_fsm.fsm.budget import SendBudget
from realtime_fsm.fsm.canary import CanaryTracker
from realtime_fsm.fsm.commands import OpenLink
from realtime_fsm.fsm.context import ConnectionContext
from realtime_fsm.fsm.fault import Fault
from realtime_fsm.fsm.inputs import LogOut, Pong, Reconnect
from realtime_fsm.fsm.link import LinkState, Phase
from realtime_fsm.fsm.refusals import Refusals
from realtime_fsm.fsm.step_facts import StepFacts
from realtime_fsm.fsm.subscriptions import SubscriptionTracker
from realtime_fsm.fsm.table import State
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.options import Timeouts
from support.bench import Bench

NOTHING: list[tuple[object, dict[str, Any]]] = [
    (
        ConnectionContext(),
        {"state": "disconnected", "auto_reconnect": True, "ping_enabled": True, "now": -math.inf, "not_before": -math.inf},
    ),
    (SubscriptionTracker(), {}),
    (SubscriptionTracker().presence, {}),
    (SubscriptionTracker().queue, {}),
    (CanaryTracker(), {}),
    (Fault(), {}),
    (Refusals(), {}),
    (LinkState(1, 2.0, SendBudget(30.0), subscribed_in_url=True), {"generation": 1, "since": 2.0, "subscribed_in_url": True}),
    (StepFacts(), {}),
]
"""Each object of a new connection, and those of its fields that are not empty."""


@pytest.mark.parametrize(("made", "told"), NOTHING, ids=lambda value: type(value).__name__)
def test_a_new_connection_has_no_facts(made: Any, told: dict[str, Any]) -> None:
    names = getattr(made, "__struct_fields__", None) or made.__slots__
    values = {name: getattr(made, name, None) for name in names if not name.startswith("_")}
    plain = (bool, int, float, str, tuple, list, dict)
    assert {name: value for name, value in values.items() if isinstance(value, plain) and value} == told
    assert values.get("phase", Phase.DIALING) is Phase.DIALING


def test_a_dial_waits_for_a_link_that_closes_but_no_longer_than_a_close_may_take() -> None:
    bench = Bench().to(State.SUBSCRIBED)
    begun = bench.now
    bench.do(LogOut())
    assert bench.requests(OpenLink) == []
    bench.expire()
    assert (bench.now, len(bench.requests(OpenLink))) == (begun + bench.context.timeouts.close, 1)


def test_a_link_has_been_up_once_everything_desired_is_acknowledged() -> None:
    bench = Bench()
    bench.subscribe()
    bench.open()
    bench.greet()
    link = bench.context.require_link
    assert (bench.context.been_up, link.proven, link.stable_since) == (False, False, None)
    bench.acknowledge()
    assert (bench.context.been_up, link.proven, link.stable_since) == (True, True, bench.now)


def test_a_link_is_renewed_at_its_age_but_not_during_a_request() -> None:
    bench = Bench(max_link_age=600.0).to(State.SUBSCRIBED)
    begun = bench.now
    assert (bench.context.renew_at, bench.context.deadlines["renewal"]) == (begun + 600, begun + 600)
    bench.subscribe("s2")
    assert bench.context.renew_at is None
    bench.acknowledge()
    assert bench.context.renew_at == begun + 600
    while bench.state is not State.RECONNECTING:
        if bench.state is State.PING:
            bench.hear(Pong(bench.generation))
        else:
            bench.expire()
    assert bench.now == begun + 600
    assert bench.context.renew_at is None


def test_the_dial_and_the_greeting_have_a_timeout_each() -> None:
    bench = Bench(timeouts=Timeouts(dial=5.0, greeting=7.0)).to(State.RECONNECTING)
    assert bench.context.deadlines == {"upgrade": bench.now + 5.0}
    bench.now += 1.0
    bench.open()
    assert bench.context.deadlines == {"greeting": bench.now + 7.0}


@pytest.mark.parametrize("era", [Era.E2, Era.E4])
def test_a_link_waits_with_its_renewal_and_handover_until_the_old_link_is_closed(era: Era) -> None:
    bench = Bench(max_link_age=600.0, era=era).to(State.SUBSCRIBED)
    bench.drain()
    assert bench.context.renew_at is not None
    bench.do(Reconnect())
    bench.open()
    bench.greet()
    if era is Era.E4:
        bench.acknowledge()
    bench.subscribe("s2")
    if era is Era.E4:
        bench.acknowledge()
    assert bench.context.lingering is not None
    assert not {"renewal", "handover"} & set(bench.context.deadlines)
    bench.drain()
    due = bench.context.deadlines
    assert due["renewal"] == bench.now + 600.0
    assert due.get("handover") == (bench.now + 0.05 if era is Era.E2 else None)
