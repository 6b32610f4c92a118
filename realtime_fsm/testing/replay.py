"""The names that emitted tests import. Users keep such tests, so these names stay when the machine's own names change.

`realtime-fsm replay --emit-test` writes an emitted test, which holds the inputs of one connection, as its log tells them.
`check_path` steps the machine with each input and compares the rule, the state, the counts and the commands with those of the
log. `play` runs the user's code with a client of an embedded server that fails by a script.
"""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003  (for tools that read annotations, as are those below)
from typing import NamedTuple

from realtime_fsm.fsm.canary_policy import Canary  # noqa: TC001
from realtime_fsm.fsm.inputs import (
    Acknowledged,
    Authenticate,
    Closed,
    Connect,
    Deadline,
    Deaf,
    DialFailure,
    Disconnect,
    Dispose,
    ErrorReceived,
    GreetingReceived,
    Input,
    LinkClosed,
    LogOut,
    Opened,
    PingEnabledChanged,
    Pong,
    Probe,
    Reconnect,
    Recovered,
    ResumedFromSuspend,
    SetPresence,
    Subscribe,
    Unsubscribe,
)  # fmt: skip
from realtime_fsm.fsm.policies import PingPolicy, RetryPolicy  # noqa: TC001
from realtime_fsm.protocol.eras import Era  # noqa: TC001
from realtime_fsm.protocol.frames import AcknowledgedSubscription
from realtime_fsm.protocol.options import Timeouts  # noqa: TC001
from realtime_fsm.protocol.spec import SubscriptionSpec as SubscriptionSpec
from realtime_fsm.replay.harness import DEFAULT_DRAW, MachineHarness, ReplayInput
from realtime_fsm.replay.scenario import Outcome
from realtime_fsm.testing.scenario import play

__all__ = [
    "Acknowledged", "Authenticate", "Closed", "Connect", "Deadline", "Deaf", "DialFailure", "Disconnect", "Dispose",
    "ErrorReceived", "GreetingReceived", "LinkClosed", "LogOut", "Opened", "Outcome", "PingEnabledChanged", "Pong", "Probe",
    "Reconnect", "Recovered", "ResumedFromSuspend", "SetPresence", "Step", "Subscribe", "SubscriptionSpec", "Unsubscribe",
    "check_path", "granted", "play",
]  # fmt: skip


class Step(NamedTuple):
    """One input, and the state that the machine must reach with it.

    Attributes:
        at: the moment, in seconds since the first step.
        input: the input.
        row: the id of the rule; None for an input that takes no rule.
        state: the state afterwards.
        link: the number of the link afterwards.
        attempt: the number of the attempt afterwards.
        sends: the number of frames that the client has sent on the link.
        asks: the words for the commands of the step, in their order.
        draw: the random number of the step, from which a delay follows.
        dial_slot: the moment of a dial by the rate limit, in seconds since the first step; None for a dial at once.
        heard: whether another frame, such as an event, came since the step before.
        pauses: the moments at which the client stopped reading (True) or continued (False).
    """

    at: float
    input: Input
    row: str | None
    state: str
    link: int
    attempt: int
    sends: int
    asks: str
    draw: float = DEFAULT_DRAW
    dial_slot: float | None = None
    heard: bool = False
    pauses: tuple[tuple[float, bool], ...] = ()


def granted(*names: str) -> tuple[AcknowledgedSubscription, ...]:
    """Name the subscriptions that a reply acknowledges."""
    return tuple(AcknowledgedSubscription(name) for name in names)


def check_path(
    steps: Sequence[Step],
    *,
    retry: RetryPolicy,
    ping: PingPolicy,
    timeouts: Timeouts,
    auto_reconnect: bool,
    max_link_age: float | None,
    era: Era | None,
    canary: Canary | None = None,
) -> None:
    """Step the machine along a path, and compare each step.

    Args:
        steps: the path.
        retry: the retry policy.
        ping: the ping policy.
        timeouts: the timeouts, in seconds.
        auto_reconnect: whether a lost link is replaced.
        max_link_age: the age at which the client renews a link, in seconds; None to keep links.
        era: the era; None to detect it.
        canary: the canary policy; None for no canary.

    Raises:
        AssertionError: when the machine takes another path. The text names the step, what came and what was expected.
    """
    settings = {
        "retry": retry, "ping": ping, "timeouts": timeouts, "auto_reconnect": auto_reconnect, "max_link_age": max_link_age,
        "era": era, "canary": canary,
    }  # fmt: skip
    harness = MachineHarness(settings)
    for number, step in enumerate(steps, 1):
        result = harness.feed(ReplayInput(step.at, step.input, step.draw, step.dial_slot, step.heard, step.pauses))
        came = tuple(harness.reached(result))
        expected = (step.row, step.state, step.link, step.attempt, step.sends, step.asks)
        if came != expected:
            raise AssertionError(f"step {number} at {step.at} s, {step.input}: {came} instead of {expected}")
