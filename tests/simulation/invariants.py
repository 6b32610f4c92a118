"""The invariants: a watcher of one connection that looks after every step of its machine.

It keeps a model of its own, made from what went into the machine and what came out of it: which link is current, what is
desired, what was sent and when. So it does not have to believe what the package remembers; it compares.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable
from typing import Any

from realtime_fsm import Realtime
from realtime_fsm.core.machine import Connection
from realtime_fsm.core.seat import Seat
from realtime_fsm.edges.link import Link
from realtime_fsm.edges.transport import Receiver
from realtime_fsm.vocabulary.frames import PING
from realtime_fsm.vocabulary.inputs import (
    Closed,
    Deadline,
    Greeted,
    Input,
    Opened,
    PingSwitched,
    ServerErred,
    SocketInput,
    Subscribe,
    Unsubscribe,
    Woken,
)
from realtime_fsm.vocabulary.requests import Drop, End, Fail, Grant, Open, Outcome, Reject, Remove, Send
from realtime_fsm.vocabulary.table import LIVE, State
from simulation.coverage import Coverage
from simulation.ledger import Ledger
from simulation.network import Wire
from simulation.sockets import SimulatedSocket
from simulation.world import World

_LIMIT, _WINDOW = 32, 60.0
_DUST = 1e-6  # what floating point leaves of a moment
_MOST_STEPS = 400_000
_LONGEST_WAIT = 3_600.0
_STATES = {state.value: state for state in State}
_IDLE = (State.DISCONNECTED, State.ERROR)


class Watched(Connection):
    """The real machine of one connection, with somebody who looks at every step."""

    __slots__ = ("_watch",)

    def __init__(self, seat: Seat, watch: Watch) -> None:
        super().__init__(seat)
        self._events = watch.coverage.events()
        self._watch = watch

    def step(self, happened: Input, now: float, **more: Any) -> Outcome:
        watch = self._watch
        watch.before(happened, now)
        outcome = super().step(happened, now, **more)
        watch.after(happened, now, outcome)
        return outcome


class Watch:
    """Watches one connection.

    Attributes:
        desired: what the users want, as the model has it.
        streams: the subscriptions that the driver must still serve.
        link: the generation of the current link; None when there is none.
    """

    def __init__(self, world: World, realtime: Realtime, wire: Wire, coverage: Coverage) -> None:
        self.world = world
        self.name = wire.name
        self.coverage = coverage
        self.ledger = Ledger(world)
        self.desired: set[str] = set()
        self.streams: set[str] = set()
        self._driver: Any = realtime._driver
        self._seat: Seat = self._driver._core._seat
        self._driver._core = Watched(self._seat, self)
        self._feed, self._receiver = self._driver.feed, self._driver.receiver
        vars(self._driver).update(feed=self.feed, receiver=self.receiver)
        self.wire = wire
        self.link: int | None = None
        self._closing: int | None = None
        self._socket: SimulatedSocket | None = None
        self._asked: list[bytes] = []  # frames that the machine sent on the current link
        self._greeted = False
        self._sent: deque[float] = deque()
        self._pings = self._seat.ping_enabled
        self._dropped_at = self._throttled_at = -1e9
        self._renewing = self._woken = False  # whether the next dial is a renewal, or one on waking from sleep
        self._same_moment = 0
        self._last_now = 0.0
        self._before: tuple[State, float | None] = State.DISCONNECTED, None

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return _STATES[self._seat.state]

    @property
    def satisfied(self) -> bool:
        """Whether everything desired is acknowledged, by the book and by the server, on a stream that works."""
        if self.state not in LIVE or self._socket is None or not self._socket.sound:
            return False
        return self.desired <= self._seat.book.acknowledged and self.desired <= set(self._socket.peer.subscriptions)

    def silence(self) -> None:
        """The last blow, when all is well: the stream of the current link goes silent."""
        if self._socket is not None:
            self.world.count("stream goes silent")
            self._socket.silence()

    def must(self, holds: object, what: str, *, known: str = "") -> None:
        if not holds:
            self.world.must(False, f"{self.name}: {what}", known=known)

    # --- the driver ---------------------------------------------------------------------------------------------------

    def feed(self, happened: Input) -> None:
        """Around the driver's own: it must have armed its timer for what the machine waits for."""
        self._feed(happened)
        timer, deadline = self._driver._timer, self._seat.deadline
        if deadline is None:
            self.must(timer is None, "a timer without a deadline")
        else:
            self.must(timer is not None and timer.when() == deadline, "the timer is not set to the deadline")

    def receiver(self, link: Link) -> Receiver:
        """Around the driver's own: only what comes on the current link is owed to the streams."""
        receive: Receiver = self._receiver(link)

        def received(data: bytes) -> Awaitable[None] | None:
            if link.generation == self.link:
                self.ledger.arrived(data, self.streams)
            return receive(data)

        return received

    # --- the machine ----------------------------------------------------------------------------------------------------

    def before(self, happened: Input, now: float) -> None:
        """Before a step."""
        self.world.steps += 1
        if self.world.steps > _MOST_STEPS:
            self.must(False, "the run never ends")
        self.must(now >= self._last_now, "the clock goes back")
        self._same_moment = self._same_moment + 1 if now == self._last_now else 0
        self._last_now = now
        self._before = self.state, self._seat.deadline
        self.coverage.cell = self.state, happened.trigger
        self.coverage.cells[self.coverage.cell] += 1
        match happened:
            case Subscribe(wish=wish) if self.state is not State.DISPOSING:
                self.desired.add(wish.id)
                self.streams.add(wish.id)
            case Unsubscribe(id=identifier):
                self.desired.discard(identifier)
            case PingSwitched(enabled=enabled) if self.state is not State.DISPOSING:
                self._pings = enabled
            case Opened(generation=generation) if generation == self.link:  # the dial has come back this very moment
                *others, self._socket = self.wire.sockets
                self.must(all(other.given_up for other in others), "two open sockets")

    def after(self, happened: Input, now: float, outcome: Outcome) -> None:
        """After a step: everything that must hold."""
        self.coverage.cell = None
        row = outcome.taken.row if outcome.taken else None
        self.world.note(self.name, happened, row.id if row else "-", self.state, outcome.deadline)
        if row is not None:
            self.coverage.rows[row.id] += 1
            self._renewing |= row.id[3:] == "73"
            self._woken |= row.id == "rec76"
            self.must(self.state is (row.dest or row.source), "the state is not where the row leads")
            self.must(row.source is self._before[0], "the row is of another state")
        else:
            self.must(self.state is self._before[0], "the state moved without a row")
        self._old_sockets(happened, outcome)
        self._the_clock(happened, now, outcome)
        for request in outcome.requests:
            self._look_at(request, now, happened)
        if isinstance(happened, Greeted) and row is not None:
            self._greeted = self.state in LIVE
            asks = any(type(request) is Send for request in outcome.requests)
            self.must(asks or not self.desired or self.state is State.ERROR, "up again, and not subscribed again")
        if isinstance(happened, ServerErred) and happened.code == 1013 and self._before[0] is State.RECONNECTING and row:
            self._throttled_at = now
        if row is not None and "start_afresh" in row.effects:
            self._throttled_at = -1e9  # the user takes it on himself
        self._what_a_state_holds(outcome)
        self._nothing_desired_is_lost()

    def _old_sockets(self, happened: Input, outcome: Outcome) -> None:
        if not isinstance(happened, SocketInput) or happened.generation == self.link:
            return
        if isinstance(happened, Closed) and happened.generation == self._closing:
            return
        self.must(outcome.taken is None and not outcome.requests, "an old socket moved the machine")
        self.must((self.state, outcome.deadline) == self._before, "an old socket changed the deadline")

    def _the_clock(self, happened: Input, now: float, outcome: Outcome) -> None:
        due = self._before[1]
        if isinstance(happened, Deadline) and due is not None and due <= now:
            self.must(outcome.taken is not None, "a deadline that is due is for nothing")
            self.must(self._same_moment < 200, "the clock stands still")
        if outcome.deadline is not None:
            self.must(outcome.deadline <= now + _LONGEST_WAIT, "a deadline beyond reason")

    def _look_at(self, request: Any, now: float, happened: Input) -> None:
        match request:
            case Open(generation=generation):
                self.must(self.link is None, "at most one current link")
                self.must(not self._asked or generation > (self._closing or 0), "a generation that was used before")
                self.link, self._greeted, self._socket = generation, False, None
                self._asked = []
                self._sent.clear()
                self.wire.network.count_dial(now)
                if isinstance(happened, Deadline | Woken):
                    self._automatic_dial(now)
                self._throttled_at, self._renewing, self._woken = -1e9, False, False
            case Drop(generation=generation):
                self.must(generation == self.link, "drops what is not current")
                if self._socket is not None:
                    sent = self._socket.sent
                    self.must(sent == self._asked[: len(sent)], "something else was sent than the machine asked for")
                self.link, self._closing, self._socket = None, generation, None
                self._dropped_at = now
            case Send(generation=generation, data=data):
                self.must(generation == self.link and (self._greeted or isinstance(happened, Greeted)), "sends too early")
                self.must(data != PING or self._pings, "a ping, though they are off")
                self._asked.append(data)
                self._sent.append(now)
                while self._sent[0] <= now - _WINDOW + _DUST:
                    self._sent.popleft()
                self.must(len(self._sent) <= _LIMIT, "the budget of a minute is overspent")
            case Reject(id=identifier):
                self.desired.discard(identifier)
                self.streams.discard(identifier)
            case Fail(error=error, withdrawn=withdrawn):
                self.desired.difference_update(withdrawn)
                self.streams.difference_update(withdrawn)
                self.must(self.world.hides(f"{error} {error!r}"), "a secret in an error")
            case Grant(id=identifier):
                self.must(identifier in self.desired, "grants what nobody wants")
            case Remove(id=identifier):
                self.must(identifier not in self.desired, "removes what is wanted")
                self.streams.discard(identifier)
            case End():
                self.streams.clear()

    def _automatic_dial(self, now: float) -> None:
        """One that no user asked for."""
        retry, attempt = self._seat.retry, self._seat.attempt
        throttled = now < self._throttled_at + _WINDOW - _DUST
        hasty = "a throttled dial does not wait for the server's next minute"
        self.must(not throttled, hasty)
        late = now >= self._dropped_at + retry.base / 2
        self.must(attempt < 2 or late or self._woken or self._renewing, "a dial without a delay")
        allowed = retry.attempts is None or attempt <= retry.attempts
        self.must(allowed, "more dials than the policy allows")

    def _what_a_state_holds(self, outcome: Outcome) -> None:
        seat, state, link = self._seat, self.state, self._seat.link
        must = self.must
        must(self.link == (None if link is None else link.generation), "the model's link is not the machine's")
        if state in _IDLE or state is State.DISPOSING:
            must(link is None and outcome.deadline is None, "no link and no deadline here")
        if state is State.RECONNECTING or state is State.PING:
            must(outcome.deadline is not None, "something is waited for, without a deadline")
        if state is State.RECONNECTING:
            must((link is None) == (seat.attempt_at is not None), "an attempt, or a link to come")
        must((seat.error is not None) == (state is State.ERROR), "the stored error belongs to `error` alone")
        must((state in LIVE) == (link is not None and self._greeted), "live means greeted")
        book = seat.book
        if link is None:
            must(not book.acknowledged and book.in_flight is None, "without a link nothing is acknowledged or asked")
        else:
            must((link.pinged is not None) == (state is State.PING), "a pong is awaited in `ping` alone")
            must(not (link.pinged and book.in_flight), "one thing is awaited at a time")

    def _nothing_desired_is_lost(self) -> None:
        book, state, must = self._seat.book, self.state, self.must
        if state is State.DISPOSING:
            return
        must(book.desired.keys() == self.desired, "the book and the users disagree")
        if not self.desired:
            must(state is not State.SUBSCRIBED, "subscribed, to nothing")
            return
        must(state is not State.UNSUBSCRIBED, "unsubscribed, with something desired")
        flying = book.in_flight
        asked = flying.ids if flying is not None and flying.kind == "subscribe" else ()
        places = (book.acknowledged, asked, book._pending, [one for group in book._suspects for one in group])
        for identifier in self.desired:
            must(sum(identifier in place for place in places) == 1, "something desired is nowhere, or twice in the book")
        if state is State.CONNECTED:
            must(not self.desired <= book.acknowledged, "all is acknowledged, and the state does not say so")
        if book.acknowledged and self._socket is not None:
            known = self._socket.peer.subscriptions
            must(all(one in known for one in book.acknowledged), "acknowledged, and the server does not know it")
