"""The harness evaluates guards at the moment, and with the facts, of the explained input."""

from __future__ import annotations

import pytest

from realtime_fsm.fsm.inputs import Connect, Deadline, ErrorReceived, Subscribe, Unsubscribe
from realtime_fsm.fsm.names import Guard
from realtime_fsm.fsm.table import State
from realtime_fsm.protocol.spec import SubscriptionSpec
from realtime_fsm.replay.harness import MachineHarness, ReplayInput
from support.replaying import log_of, replayed
from support.wholelog import PING, RECORDS


@pytest.fixture
def before_ping(tmp_path_factory: pytest.TempPathFactory) -> MachineHarness:
    """Bring a connection to the moment before its first ping."""
    log = log_of(tmp_path_factory.mktemp("log") / "log", RECORDS[:PING])
    return MachineHarness(log.policies.by_name, [step.input_ for step in replayed(log)])


@pytest.mark.parametrize(("early", "due"), [(0.0, True), (0.001, False)])
def test_a_guard_about_time_is_evaluated_at_the_moment_of_the_input(before_ping: MachineHarness, early: float, due: bool) -> None:
    assert before_ping.state is State.SUBSCRIBED
    deadline = before_ping.context.deadline
    assert deadline is not None
    guards = before_ping.evaluate_guards(ReplayInput(deadline - early, Deadline()), [Guard.PING_DUE])
    assert guards == {Guard.PING_DUE: due}
    assert before_ping.context.now == deadline - early


def test_a_guard_is_evaluated_without_the_facts_of_the_step_before(before_ping: MachineHarness) -> None:
    context = before_ping.context
    before_ping.feed(ReplayInput(context.now, Subscribe(SubscriptionSpec("s2", ("rows",)))))
    before_ping.feed(ReplayInput(context.now, ErrorReceived(1, 1003, "no")))
    assert (context.step.failure is None, bool(context.step.commands)) == (False, True)
    before_ping.evaluate_guards(ReplayInput(context.now, Connect()), [])
    assert (context.step.failure, context.step.commands, context.step.drawn) == (None, [], None)


def test_a_guard_is_evaluated_with_the_facts_of_the_input(before_ping: MachineHarness) -> None:
    guards = before_ping.evaluate_guards(
        ReplayInput(before_ping.context.now, Unsubscribe("s1")), [Guard.ALL_ACKNOWLEDGED, Guard.NO_SUBSCRIPTIONS]
    )
    assert guards == {Guard.ALL_ACKNOWLEDGED: False, Guard.NO_SUBSCRIPTIONS: True}


@pytest.mark.parametrize("heard", [False, True])
def test_a_guard_is_evaluated_with_the_frame_before_the_input(before_ping: MachineHarness, heard: bool) -> None:
    for _ in range(2):
        deadline = before_ping.context.deadline
        assert deadline is not None
        asked = ReplayInput(deadline, Deadline(), heard=heard)
        if before_ping.state is State.SUBSCRIBED:
            before_ping.feed(asked)
    assert before_ping.state is State.PING
    assert before_ping.evaluate_guards(asked, [Guard.HEARD_SINCE_PING]) == {Guard.HEARD_SINCE_PING: heard}
