"""A random walk over the machine: anything may happen next, and what DESIGN promises holds after each step."""

from __future__ import annotations

from collections import deque
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from realtime_fsm.errors import CertificateRefused, DialFailed, UpgradeRefused
from realtime_fsm.fsm.commands import (
    CloseLink,
    FailWaiters,
    OpenLink,
    ReleaseLink,
    ResumeLink,
    SendFrame,
    SubscriptionAcknowledged,
    SubscriptionRefused,
    SubscriptionRemoved,
    SubscriptionUnsupported,
)
from realtime_fsm.fsm.inputs import (
    Authenticate,
    Closed,
    Connect,
    Deadline,
    DialFailure,
    Dispose,
    Input,
    LinkClosed,
    LogOut,
    PingEnabledChanged,
    Pong,
    Reconnect,
    ResumedFromSuspend,
    SetPresence,
    Subscribe,
    Unsubscribe,
)
from realtime_fsm.fsm.policies import PingPolicy, RetryPolicy
from realtime_fsm.fsm.table import LIVE, TABLE, State, Trigger
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.options import Timeouts
from realtime_fsm.protocol.spec import SubscriptionSpec
from support.bench import Bench, any_input

CODES = st.sampled_from([0, 401, 500, 1003, 1008, 1013, "42S02"])


class Walk(RuleBasedStateMachine):
    """Anything may happen next; the sockets and the server are as odd as the strategies make them."""

    @initialize(
        attempts=st.sampled_from([1, 3, None]),
        auto=st.booleans(),
        idle=st.sampled_from([None, 15.0]),
        interval=st.sampled_from([2.0, 30.0, 90.0]),
        age=st.sampled_from([None, 50.0]),
        pace=st.sampled_from([None, 3, 128]),
        era=st.sampled_from([None, None, *Era]),
    )
    def begin(
        self,
        attempts: int | None,
        auto: bool,
        idle: float | None,
        interval: float,
        age: float | None,
        pace: int | None,
        era: Era | None,
    ) -> None:
        self.dials: deque[float] = deque(maxlen=pace)
        self.bench = Bench(
            retry=RetryPolicy(attempts=attempts, dials_per_minute=pace),
            max_link_age=age,
            ping=PingPolicy(interval=interval, timeout=min(10.0, interval)),
            timeouts=Timeouts(idle=idle),
            auto_reconnect=auto,
            era=era,
        )
        self.open_links: set[int] = set()
        self.desired: set[str] = set()
        self.given = 0
        self.sent: deque[float] = deque()
        self.sent_on = 0

    # --- what may happen ----------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.desired) < 6)
    @rule(queries=st.sampled_from([(), (), ('{"method":"isNull","attribute":"n"}',)]))
    def subscribe(self, queries: tuple[str, ...]) -> None:
        self.given += 1  # an id is never used again
        identifier = f"s{self.given}"
        if self.bench.state is not State.DISPOSING:
            self.desired.add(identifier)
        self.step(Subscribe(SubscriptionSpec(identifier, ("rows",), queries)))

    @precondition(lambda self: self.desired)
    @rule(which=st.integers(0, 5))
    def unsubscribe(self, which: int) -> None:
        identifier = sorted(self.desired)[which % len(self.desired)]
        self.desired.discard(identifier)
        self.step(Unsubscribe(identifier))

    @precondition(lambda self: not self.phase)
    @rule(input_=st.sampled_from([Connect(), Reconnect()]))
    def command(self, input_: Input) -> None:
        self.step(input_)

    @rule(input_=st.sampled_from([ResumedFromSuspend(), Authenticate("session"), Authenticate(None), LogOut()]))
    def wake_or_change(self, input_: Input) -> None:
        self.step(input_)

    @rule(identifier=st.sampled_from([None, "one", "two"]))
    def show(self, identifier: str | None) -> None:
        self.step(SetPresence(None if identifier is None else b"{}", identifier or ""))

    @precondition(lambda self: self.bench.context.awaited)
    @rule(which=st.integers(0, 1))
    def close_what_is_awaited(self, which: int) -> None:
        self.step(Closed(self.bench.context.awaited[which % len(self.bench.context.awaited)]))

    @precondition(lambda self: self.bench.context.lingering)
    @rule()
    def close_old_link(self) -> None:
        self.bench.drain()
        assert self.bench.context.lingering is None

    @rule(enabled=st.booleans())
    def switch_ping(self, enabled: bool) -> None:
        self.step(PingEnabledChanged(enabled=enabled))

    @precondition(lambda self: self.phase == "upgrade")
    @rule()
    def open(self) -> None:
        self.bench.open()
        self.look()

    @precondition(lambda self: self.phase == "greeting")
    @rule()
    def greet(self) -> None:
        before = self.bench.state
        self.bench.greet(self.look)
        self.look()
        if before is State.RECONNECTING and self.bench.state in LIVE and self.desired:
            planned = self.bench.context.require_link.subscribed_in_url
            assert self.bench.requests(SendFrame) or planned, "leaving reconnecting by success subscribes again"

    @precondition(lambda self: self.bench.context.subscriptions.in_flight is not None)
    @rule()
    def acknowledge(self) -> None:
        self.bench.acknowledge()
        self.look()

    @precondition(lambda self: self.phase == "live")
    @rule()
    def pong(self) -> None:
        self.bench.hear(Pong(self.bench.generation))
        self.look()

    @precondition(lambda self: self.phase == "live")
    @rule()
    def event(self) -> None:
        self.bench.hear_something()

    @precondition(lambda self: self.phase in ("greeting", "live"))
    @rule(code=CODES)
    def err(self, code: int) -> None:
        self.bench.err(code)
        self.look()

    @precondition(lambda self: self.phase in ("greeting", "live"))
    @rule(code=st.sampled_from([1000, 1006, 1008, 1013]))
    def lose(self, code: int) -> None:
        self.bench.lose(code)
        self.look()

    @precondition(lambda self: self.bench.context.draining_generation is not None)
    @rule()
    def lose_what_makes_room(self) -> None:
        before = self.bench.state
        self.step(LinkClosed(self.bench.context.draining_generation or 0))
        assert (self.bench.context.draining_generation, self.bench.state) == (None, before)
        assert self.bench.requests(CloseLink)

    @precondition(lambda self: self.phase == "upgrade")
    @rule(cause=st.sampled_from([DialFailed("refused"), UpgradeRefused(429), CertificateRefused("no")]))
    def fail_dial(self, cause: DialFailed) -> None:
        self.step(DialFailure(self.bench.generation, cause))

    @rule(trigger=st.sampled_from([t for t in Trigger if t not in (Trigger.SUBSCRIBE, Trigger.DISPOSE)]))
    def out_of_place(self, trigger: Trigger) -> None:
        self.step(any_input(trigger, self.bench.generation))

    @rule(trigger=st.sampled_from(Trigger), back=st.integers(1, 3))
    def word_of_an_old_socket(self, trigger: Trigger, back: int) -> None:
        input_ = any_input(trigger, self.bench.generation - back)
        context = self.bench.context
        lingering = None if context.lingering is None else context.lingering.generation
        current = None if context.link is None else context.link.generation
        awaited = (context.closing_generation, context.draining_generation, lingering, current, *context.awaited)
        if hasattr(input_, "generation") and input_.generation not in awaited:
            before = self.bench.state, self.bench.context.deadline
            self.step(input_)
            assert self.bench.last.transition is None
            assert before == (self.bench.state, self.bench.context.deadline)

    @rule(seconds=st.sampled_from([0.1, 3.0, 11.0, 31.0, 100.0]))
    def wait(self, seconds: float) -> None:
        """Time passes, and the driver wakes the machine whenever it asked for it."""
        end = self.bench.now + seconds
        steps = 0
        while (deadline := self.bench.context.deadline) is not None and deadline <= end:
            self.bench.now = max(self.bench.now, deadline)
            self.step(Deadline())
            assert self.bench.last.transition is not None, "a deadline that is due is for something"
            steps += 1
            assert steps < 1000, "the clock stands still"
        self.bench.now = end

    @precondition(lambda self: self.bench.now > 2000)
    @rule()
    def dispose(self) -> None:
        self.step(Dispose())
        assert self.bench.state is State.DISPOSING

    @property
    def phase(self) -> str:
        link = self.bench.context.link
        return "" if link is None else link.phase.value

    # --- what must hold -----------------------------------------------------------------------------------------------

    def step(self, input_: Input) -> None:
        self.bench.do(input_)
        self.look()

    def look(self) -> None:
        """At the outcome of one step."""
        result = self.bench.last
        for request in result.commands:
            self.look_at(request)
        if result.transition is not None:
            row = result.transition.row
            assert row in TABLE.rows
            assert self.bench.state is result.transition.dest is (row.dest or row.source)
            assert result.transition.dwell >= 0
        assert result.deadline == self.bench.context.deadline
        self.what_a_state_holds()
        self.timers_are_up_to_date()
        self.nothing_desired_is_lost()

    def look_at(self, request: Any) -> None:
        match request:
            case OpenLink(generation=generation):
                assert self.open_links <= {self.bench.context.draining_generation}, "at most one current socket"
                self.open_links.add(generation)
                if self.dials.maxlen is not None:
                    if len(self.dials) == self.dials.maxlen:
                        assert self.dials[0] <= self.bench.now - 60 + 1e-6, "the pace of a minute"
                    self.dials.append(self.bench.now)
            case CloseLink(generation=generation) | ReleaseLink(generation=generation):
                self.open_links.remove(generation)
            case SendFrame(generation=generation):
                assert generation in self.open_links - {self.bench.context.draining_generation}
                if generation != self.sent_on:
                    self.sent_on = generation
                    self.sent.clear()
                self.sent.append(self.bench.now)
                while self.sent[0] <= self.bench.now - 60:
                    self.sent.popleft()
                assert len(self.sent) <= 32, "the budget of a minute"
            case SubscriptionRefused(id=identifier) | SubscriptionUnsupported(id=identifier):
                self.desired.discard(identifier)
            case FailWaiters(withdrawn=withdrawn) | ResumeLink(withdrawn=withdrawn):
                self.desired -= set(withdrawn)
            case SubscriptionAcknowledged(id=identifier):
                assert identifier in self.desired
            case SubscriptionRemoved(id=identifier):
                assert identifier not in self.desired

    def what_a_state_holds(self) -> None:
        context, state = self.bench.context, self.bench.state
        assert state in State
        assert len(self.open_links) == (context.link is not None) + (context.draining_generation is not None)
        under_way = (State.RECONNECTING, State.CONNECTED, State.PING)
        assert context.draining is None or state in under_way, "a link drains until another one serves everything"
        served = () if context.draining is None else context.draining.served
        assert state not in LIVE or not served or not context.subscriptions.serves(served)
        if state in (State.DISCONNECTED, State.ERROR):
            assert (context.link, context.deadline) == (None, None)
        if state is State.RECONNECTING:
            assert context.deadline is not None
            assert (context.link is None) == (context.attempt_at is not None)
        assert (context.error is not None) == (state is State.ERROR)
        assert (state in LIVE) == (context.link is not None and context.link.phase.value == "live")
        if context.link is not None:
            assert (context.link.ping_in_flight is not None) == (state is State.PING)
            assert not (context.link.ping_in_flight and context.subscriptions.in_flight), "one thing is awaited at a time"

    def timers_are_up_to_date(self) -> None:
        """Whatever the trigger: only some of them update the timers."""
        context, tracker = self.bench.context, self.bench.context.subscriptions
        if self.phase == "live":
            link = context.require_link
            quiet = tracker.all_acknowledged or not tracker.desired
            since = link.stable_since, link.idle_since, link.handover_wanted_since
            assert [moment is not None for moment in since] == [quiet, tracker.all_removed, tracker.needs_handover]
            assert link.proven or not quiet

    def nothing_desired_is_lost(self) -> None:
        tracker, state = self.bench.context.subscriptions, self.bench.state
        if state is State.DISPOSING:
            return
        assert set(tracker.desired) == self.desired
        asked = set(tracker.in_flight.ids) if tracker.in_flight and tracker.in_flight.kind == "subscribe" else set()
        queue = tracker.queue
        apart = [identifier for ids in (*queue.groups, *(batch.ids for batch in queue.batches)) for identifier in ids]
        all_places = (tracker.acknowledged, asked, queue.pending, apart)
        places = {identifier: sum(list(place).count(identifier) for place in all_places) for identifier in self.desired}
        assert places == dict.fromkeys(self.desired, 1), "each is in one place"
        if state is State.SUBSCRIBED:
            assert self.desired
        if state is State.UNSUBSCRIBED:
            assert not self.desired
