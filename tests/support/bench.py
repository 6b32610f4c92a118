"""A connection on a workbench: the machine without a driver, in a time that the test sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from realtime_fsm.errors import DialFailed
from realtime_fsm.fsm.commands import StepResult
from realtime_fsm.fsm.context import ConnectionContext
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
)
from realtime_fsm.fsm.machine import ConnectionMachine
from realtime_fsm.fsm.policies import RetryPolicy
from realtime_fsm.fsm.subscriptions import GREETING_ACK
from realtime_fsm.fsm.table import State, Trigger
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.frames import AcknowledgedSubscription
from realtime_fsm.protocol.spec import SubscriptionSpec

DRAW = 0.5
WELCOMING = 0.0
"""The random number of a greeting: the first ping comes as late as the others, and a link grows as old as it may."""


class Bench:
    """Steps one connection and remembers what came of it."""

    def __init__(self, **options: Any) -> None:
        self.context = ConnectionContext(**options)
        self.machine = ConnectionMachine(self.context)
        self.now = 1000.0
        self.last = StepResult(None, (), None)

    @property
    def state(self) -> State:
        return self.machine.state

    @property
    def generation(self) -> int:
        return self.context.generation if self.context.link is None else self.context.link.generation

    def do(self, input_: Input, *, after: float = 0.0) -> StepResult:
        self.now += after
        draw = WELCOMING if isinstance(input_, GreetingReceived) else DRAW
        self.last = self.machine.step(input_, self.now, draw=draw)
        return self.last

    def requests(self, kind: type) -> list[Any]:
        """The requests of one kind in the last outcome."""
        return [request for request in self.last.commands if type(request) is kind]

    # --- what the outside world says, about the newest link -----------------------------------------------------------

    def subscribe(self, identifier: str = "s1", *channels: str) -> StepResult:
        return self.do(Subscribe(SubscriptionSpec(identifier, channels or ("rows",))))

    def hear(self, input_: Input) -> StepResult:
        """Let a frame come, which the driver counts."""
        self.hear_something()
        return self.do(input_)

    def hear_something(self) -> None:
        """Count a frame of any kind, as the driver does."""
        if self.context.link is not None:
            self.context.link.frames_received += 1

    def open(self) -> StepResult:
        return self.do(Opened(self.generation))

    def greet(self, between: Callable[[], object] = lambda: None) -> StepResult:
        """Greet; where the URL asked for channels, the greeting names them, and acknowledges them in another step."""
        channels = dict.fromkeys(c for spec in self.context.subscriptions.desired.values() for c in spec.channels)
        planned = self.context.require_link.subscribed_in_url
        numbered = not planned or self.context.configured_era not in (Era.E1, Era.E2)
        greeted = self.hear(
            GreetingReceived(self.generation, channels=tuple(channels) if planned else (), has_subscription_ids=numbered)
        )
        if not planned:
            return greeted
        between()
        return self.do(Acknowledged(self.generation, GREETING_ACK, ()))

    def ask_anew(self, identifier: str, *channels: str, up: bool = True) -> StepResult:
        """Subscribe where channels travel in the URL: another link is dialed, and is up or waits for the greeting."""
        self.subscribe(identifier, *channels)
        self.expire()
        if not up:
            return self.open()
        self.open()
        self.greet()
        return self.drain()

    def drain(self) -> StepResult:
        """The old link of a handover is closed, if there was one."""
        result, old = self.last, self.context.lingering
        if old is not None:
            self.do(Closed(old.generation))
            self.last = result
        return result

    def acknowledge(self) -> StepResult:
        """Answer the request in flight."""
        asked = self.context.subscriptions.in_flight
        assert asked is not None
        granted = tuple(
            AcknowledgedSubscription(
                identifier,
                self.context.subscriptions.desired[identifier].channels
                if identifier in self.context.subscriptions.desired
                else (),
            )
            for identifier in asked.ids
        )
        return self.hear(Acknowledged(self.generation, asked.kind, granted))

    def err(self, code: int | str, message: str = "Error: Server Error") -> StepResult:
        return self.hear(ErrorReceived(self.generation, code, message))

    def lose(self, close_code: int = 1006) -> StepResult:
        return self.do(LinkClosed(self.generation, close_code))

    def fail_dial(self) -> StepResult:
        return self.do(DialFailure(self.generation, DialFailed("refused")))

    def expire(self) -> StepResult:
        """Let the time pass until the deadline."""
        deadline = self.context.deadline
        assert deadline is not None
        self.now = max(self.now, deadline)
        return self.do(Deadline())

    def expire_until(self, row: str) -> StepResult:
        """Let deadlines pass, with a server that answers pings, until a row is taken."""
        for _ in range(20):
            result = self.hear(Pong(self.generation)) if self.state is State.PING else self.expire()
            if result.transition is not None and result.transition.row.id == row:
                return result
        raise AssertionError(f"{row} was not taken")

    # --- how to get somewhere -----------------------------------------------------------------------------------------

    def to(self, state: State) -> Bench:
        """Bring a fresh connection into a state."""
        if state is State.DISCONNECTED:
            self.do(Disconnect())
        elif state is State.RECONNECTING:
            self.do(Connect())
        elif state is State.CONNECTED:
            self.to(State.RECONNECTING).open()
            self.greet()
        elif state is State.SUBSCRIBED and self.context.subscribes_in_url:
            self.to(State.CONNECTED).ask_anew("s1")
        elif state is State.SUBSCRIBED:
            self.to(State.CONNECTED).subscribe()
            self.acknowledge()
        elif state is State.UNSUBSCRIBED:
            self.to(State.SUBSCRIBED).do(Unsubscribe("s1"))
            self.acknowledge()
        elif state is State.PING:
            self.to(State.SUBSCRIBED).expire_until("sub64")
        elif state is State.ERROR:
            self.to(State.RECONNECTING).err(403)
        else:
            self.to(State.CONNECTED).do(Dispose())
        assert self.state is state
        return self


ONCE = RetryPolicy(attempts=1, reconnect_attempts=1)
"""One dial, and no other."""


def any_input(trigger: Trigger, generation: int) -> Input:
    """Some input of a trigger, about a link."""
    return {
        Trigger.CONNECT: Connect(),
        Trigger.SUBSCRIBE: Subscribe(SubscriptionSpec("any", ("rows",))),
        Trigger.UNSUBSCRIBE: Unsubscribe("any"),
        Trigger.RECONNECT: Reconnect(),
        Trigger.DISCONNECT: Disconnect(),
        Trigger.DISPOSE: Dispose(),
        Trigger.PING_SWITCHED: PingEnabledChanged(enabled=True),
        Trigger.AUTHENTICATE: Authenticate("session"),
        Trigger.LOG_OUT: LogOut(),
        Trigger.WOKEN: ResumedFromSuspend(),
        Trigger.PRESENCE: SetPresence(b"{}"),
        Trigger.OPENED: Opened(generation),
        Trigger.GREETED: GreetingReceived(generation),
        Trigger.ACKNOWLEDGED: Acknowledged(generation, "subscribe", ()),
        Trigger.PONG: Pong(generation),
        Trigger.SERVER_ERROR: ErrorReceived(generation, 500, ""),
        Trigger.RECOVERED: Recovered(generation),
        Trigger.LOST: LinkClosed(generation),
        Trigger.DIAL_FAILED: DialFailure(generation, DialFailed("refused")),
        Trigger.CLOSED: Closed(generation),
        Trigger.DEAF: Deaf(generation),
        Trigger.CANARY: Probe(SubscriptionSpec("canary", ("presences",)), b"{}", "own"),
        Trigger.DEADLINE: Deadline(),
    }[trigger]
