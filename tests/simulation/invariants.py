"""The invariants: a watcher of one connection that looks after every step of its machine.

It keeps a model of its own, made from what went into the machine and what came out of it: which link is current, what is
desired, what was sent and when. So it does not have to believe what the package remembers; it compares.
"""

from __future__ import annotations

from typing import Any

import msgspec

from realtime_fsm import Canary, Realtime, RetryPolicy
from realtime_fsm.errors import RetriesExhausted
from realtime_fsm.fsm.commands import (
    CanaryRefused,
    CloseLink,
    EndFault,
    FailWaiters,
    OpenLink,
    PresenceRefused,
    ReleaseLink,
    ResumeLink,
    RetireLink,
    SendFrame,
    StepResult,
    SubscriptionAcknowledged,
    SubscriptionRefused,
    SubscriptionRemoved,
)
from realtime_fsm.fsm.context import ConnectionContext
from realtime_fsm.fsm.control import AUTHENTICATE
from realtime_fsm.fsm.inputs import (
    Acknowledged,
    Authenticate,
    Closed,
    Deadline,
    Deaf,
    Disconnect,
    ErrorReceived,
    GreetingReceived,
    Input,
    LinkClosed,
    LogOut,
    Opened,
    ResumedFromSuspend,
    SetPresence,
    SocketInput,
)
from realtime_fsm.fsm.machine import ConnectionMachine
from realtime_fsm.fsm.names import Effect
from realtime_fsm.fsm.subscriptions import GREETING_ACK
from realtime_fsm.fsm.table import LIVE, State, Trigger
from realtime_fsm.protocol.faults import is_server_fault
from realtime_fsm.protocol.frames import PING
from simulation.coverage import Coverage
from simulation.deliveries import Deliveries
from simulation.dials import Dials
from simulation.links import Link
from simulation.network import Wire
from simulation.states import nothing_desired_is_lost, what_a_state_holds
from simulation.world import World

_LIMIT, _WINDOW = 32, 60.0
_DUST = 1e-6  # what floating point leaves of a moment
_MOST_STEPS = 400_000
_LONGEST_WAIT = 3_600.0
_GREETED_IN_VAIN = {Effect.RESTORE_IDENTITY, Effect.RESUME_LINK}
_STATES = {state.value: state for state in State}


def _user_id(user: bytes) -> object:
    named = msgspec.json.decode(user)
    return named.get("$id") if isinstance(named, dict) else None


class Watched(ConnectionMachine):
    """The real machine of one connection, which shows every step to its watch."""

    __slots__ = ("_watch",)

    def __init__(self, context: ConnectionContext, watch: Watch) -> None:
        super().__init__(context)
        self._events = watch.coverage.events()
        self._watch = watch

    def step(self, input_: Input, now: float, **more: Any) -> StepResult:
        watch = self._watch
        watch.before(input_, now)
        result = super().step(input_, now, **more)
        watch.after(input_, now, result)
        return result


class Watch(Deliveries):
    """Watches one connection.

    Attributes:
        coverage: the rows and guards that were met.
    """

    def __init__(self, world: World, realtime: Realtime, wire: Wire, coverage: Coverage) -> None:
        super().__init__(world, realtime, wire)
        self.coverage = coverage
        self._driver._machine = Watched(self._context, self)
        self._dials = Dials(self._context, self.must)
        self._dropped: set[int] = set()
        self._same_moment = 0
        self._last_now = 0.0
        self._drained = False  # whether a link was draining before the step
        self._before: tuple[State, float | None] = State.DISCONNECTED, None

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return _STATES[self._context.state]

    @property
    def policy(self) -> RetryPolicy:
        """How dials are repeated."""
        return self._context.retry

    @property
    def canary(self) -> Canary | None:
        """How deaf links are found."""
        return self._context.canary

    @property
    def hears_canary(self) -> bool:
        """Whether the server has acknowledged the canary's hidden subscription on the current link."""
        return self._context.subscriptions.presence.is_listening

    @property
    def next_ping(self) -> float:
        """When the next ping is due; before all times if none is."""
        return self._context.ping_at or 0.0

    @property
    def replaces_links(self) -> bool:
        """Whether the user wants a lost link to be replaced."""
        return self._context.auto_reconnect

    @property
    def satisfied(self) -> bool:
        """Whether everything wanted is acknowledged, by the book and by the server, on the one stream there is, which works."""
        link, wants = self.links.current, self.wants
        if self.state not in LIVE or link is None or link.socket is None or not link.socket.sound:
            return False
        if self._context.link is not None and self._context.link.at_fault:  # its losses are told with the next proof
            return False
        if any(stream.spec.id in wants.desired for stream in self.deafness.served):
            return False
        if self.links.draining is not None or self.links.lingering is not None:
            return False
        served = all(one in self._context.subscriptions.acknowledged and link.serves(spec) for one, spec in wants.desired.items())
        return served and wants.shown_by(link)

    @property
    def link(self) -> int:
        """The generation of the newest link."""
        return self._dials.newest

    def silence(self) -> None:
        """The last blow, when all is well: the stream of the current link goes silent."""
        link = self.links.current
        if link is not None and link.socket is not None:
            self.world.count("stream goes silent")
            link.socket.silence()

    def excused(self, number: int) -> str:
        """Return why an event may be lost without a gap: nothing shows the loss.

        The server is deaf; or it was slower with an event than with the answer of a draining link; or pings are off.
        """
        if any(number in socket.unheard for socket in self.wire.sockets):
            return "deaf"
        return "late" if any(link.excuses(number) for link in self.links.made_room) else ""

    def before(self, input_: Input, now: float) -> None:
        """Before a step."""
        self.world.steps += 1
        if self.world.steps > _MOST_STEPS:
            self.must(False, "the run never ends")
        self.must(now >= self._last_now, "the clock goes back")
        self._same_moment = self._same_moment + 1 if now == self._last_now else 0
        self._last_now = now
        self._before = self.state, self._context.deadline
        self._drained = self.links.draining is not None
        self.coverage.cell = self.state, input_.trigger
        self.coverage.cells[self.coverage.cell] += 1
        if isinstance(input_, Deaf) and self._is_current(input_.generation):
            self.deafness.begin(self.links.current, [self.ledger.of[one] for one in self.wants.streams])
        if self.state is not State.DISPOSING:
            self.wants.hear(input_)
        if isinstance(input_, Opened) and self._is_current(input_.generation):  # the dial has come back this very moment
            self.links.opened(self.wire.sockets)

    def after(self, input_: Input, now: float, result: StepResult) -> None:
        """After a step: everything that must hold."""
        self.coverage.cell = None
        row = result.transition.row if result.transition else None
        self.world.note(self.name, input_, row.id if row else "-", self.state, result.deadline)
        if row is not None:
            self.coverage.rows[row.id] += 1
            self.must(self.state is (row.dest or row.source), "the state is not where the row leads")
            self.must(row.source is self._before[0], "the row is of another state")
            self._dials.look_at_row(row, now)
            self._dials.look_at_end(row, input_)
            if row.source is State.PING and row.trigger is Trigger.DEADLINE and Effect.ABORT_LINK in row.effects:
                self._silent(self.links.current)
            if isinstance(input_, ErrorReceived) and input_.code == 1013 and row.source is State.RECONNECTING:
                self._dials.throttled(now)
        else:
            self.must(self.state is self._before[0], "the state moved without a row")
        self._old_sockets(input_, result)
        self._the_clock(input_, now, result)
        if row is not None and input_.trigger in (Trigger.PONG, Trigger.ACKNOWLEDGED) and self._context.link is not None:
            greeted = isinstance(input_, Acknowledged) and input_.to == GREETING_ACK
            self.must(greeted or not self._context.link.at_fault, "the server has answered, and the server fault is not over")
        if isinstance(input_, ErrorReceived) and input_.code == 1008 and self._before[0] in LIVE:
            self._dials.refused()
        if isinstance(input_, ErrorReceived):
            self._newcomers(input_, result)
        for request in result.commands:
            self._look_at(request, now, input_)
        if isinstance(input_, GreetingReceived) and row is not None and not _GREETED_IN_VAIN.intersection(row.effects):
            self._greeted(input_, result)
        if isinstance(input_, Acknowledged) and row is not None and input_.to == AUTHENTICATE and self.links.current is not None:
            self.links.current.user = _user_id(input_.user)
        self.links.look_at_draining()
        self._planned_changes(input_, result)
        if isinstance(input_, LogOut):
            self.must(self.links.draining is None, "a link delivers as another user")
        covered = self.links.draining is not None
        self.outages.moved(self._before[0], self.state, None if row is None else row.dest, covered=covered)
        self._dials.look_at_link(now, quiet=self._is_quiet())
        self.deafness.look(self.links.current, now)
        what_a_state_holds(self._context, self.state, result.deadline, self.links, self.must)
        nothing_desired_is_lost(self._context, self.state, self.links, self.wants, self.must)

    def _planned_changes(self, input_: Input, result: StepResult) -> None:
        """A planned change of link makes before it breaks, and one that fails leads back to the old link."""
        before, cause = self._before[0], None if result.transition is None else result.transition.cause
        planned = before in LIVE and self.state is State.RECONNECTING and cause is None
        if planned and not isinstance(input_, LogOut | SetPresence):
            self.must(self.links.draining is not None, "a planned change of link breaks before it makes")
        if self._drained and isinstance(input_, Authenticate):
            self.must(self.links.draining is not None, "another identity closes the link that delivers")
        if self._drained and not isinstance(input_, Disconnect):
            self.must(self.state not in (State.ERROR, State.DISCONNECTED), "gives up, while the old link delivers")

    def _is_quiet(self) -> bool:
        """Whether the live link acknowledges everything desired, or nothing is desired."""
        link = self.links.current
        if link is None or not link.greeted or self.state not in LIVE:
            return False
        link.quiet = self.wants.desired.keys() <= link.granted or (link.quiet and self.state is not State.CONNECTED)
        return link.quiet

    def _silent(self, link: Link | None) -> None:
        """A link is given up because nothing was heard since its ping."""
        self.must(link is not None and link.heard == link.heard_before_ping, "a link is given up that was heard of")

    def _is_current(self, generation: int) -> bool:
        return self.links.current is not None and self.links.current.generation == generation

    def _old_sockets(self, input_: Input, result: StepResult) -> None:
        if not isinstance(input_, SocketInput) or self._is_current(input_.generation):
            return
        if isinstance(input_, Closed) and input_.generation in self._dropped:
            return
        draining = self.links.draining
        ended = isinstance(input_, LinkClosed) and draining is not None and input_.generation == draining.generation
        expected = (CloseLink(input_.generation, graceful=False),) if ended else ()
        self.must(result.transition is None and result.commands == expected, "an old socket moved the machine")
        deadline = self._context.deadline if ended else self._before[1]  # a renewal may have waited for the draining link
        self.must((self.state, result.deadline) == (self._before[0], deadline), "an old socket changed the deadline")

    def _the_clock(self, input_: Input, now: float, result: StepResult) -> None:
        due = self._before[1]
        if isinstance(input_, Deadline) and due is not None and due <= now:
            self.must(result.transition is not None, "a deadline that is due is for nothing")
            self.must(self._same_moment < 200, "the clock stands still")
        if result.deadline is not None:
            self.must(result.deadline <= now + _LONGEST_WAIT, "a deadline beyond reason")

    def _newcomers(self, input_: ErrorReceived, result: StepResult) -> None:
        """The server refuses an address: what is new in it is to blame, and what was acknowledged before is asked for again."""
        link = self.links.current
        if link is None or not self._is_current(input_.generation) or link.greeted or link.specs is None:
            return
        mine = [spec.id for spec in link.specs if spec.id in self.wants.desired]
        new = [one for one in mine if one not in self.wants.granted]
        rejected = [request.id for request in result.commands if isinstance(request, SubscriptionRefused)]
        if input_.code in (1013, 401, 403) or len(new) == len(mine):
            new = []
        self.must(rejected == new, f"{rejected} are to blame, and should be {new}")
        self.must(not new or self.state is State.RECONNECTING, "a new subscription takes the others with it")
        dials = any(isinstance(request, OpenLink) for request in result.commands)
        waits = self._context.dial_slot is not None or self._context.awaited
        self.must(not new or dials or waits, "a new subscription delays the others")

    def _greeted(self, input_: GreetingReceived, result: StepResult) -> None:
        link = self.links.current
        if link is None or self.state not in LIVE:
            self.must(self.state is State.ERROR, "greeted, and neither up nor refused")
            return
        link.greeted = True
        link.user = _user_id(input_.user)
        planned = link.specs is not None
        self._dials.greeted(by_address=planned, numbered=input_.has_subscription_ids)
        asks = any(type(request) is SendFrame for request in result.commands)
        self.must(asks or planned or not self.wants.desired, "up again, and not subscribed again")

    def _look_at(self, request: Any, now: float, input_: Input) -> None:
        up = isinstance(input_, GreetingReceived) and self.state in LIVE
        match request:
            case OpenLink(generation=generation, plan=plan):
                self._dials.open(request, now, automatic=isinstance(input_, Deadline | ResumedFromSuspend | SocketInput))
                self.links.open(generation, plan, self.wants.desired.values())
                self.wire.network.count_dial(now)
            case RetireLink(generation=generation):
                streams = ((one, self.ledger.of[one]) for one in self.wants.streams)
                self.links.retire(generation, {one: stream for one, stream in streams if stream.granted})
            case ReleaseLink(generation=generation):
                missing = self.links.missing(self.wants.desired)
                self.must(not missing, f"a draining link closes, and the new link does not serve {missing}")
                self.links.release(generation)
                self._dropped.add(generation)
            case ResumeLink(generation=generation, error=error):
                self._dials.resume(error)
                self.links.resume(generation)
            case CloseLink(generation=generation):
                self._dropped.add(generation)
                if self.links.drop(generation):
                    self.outages.drop_draining(self.state)
                else:
                    self._dials.dropped(now)
            case SendFrame(generation=generation, data=data):
                self._send(generation, data, now, up=up)
            case CanaryRefused():
                self.deafness.refused = True
            case EndFault(lost=True):
                self.links.fail()
            case EndFault():
                self.outages.recover([self.ledger.of[one] for one in self.wants.streams if one in self.wants.desired])
            case SubscriptionRefused(id=identifier, code=code):
                kept = identifier in self.wants.granted and is_server_fault(code)
                self.must(not kept, "a server fault ends a subscription that was acknowledged")
                link = self.links.current
                alone = link is not None and link.specs is None and not link.granted
                known = identifier in self.wants.granted and code == 1008
                self.must(not (known and alone), "a server that refuses everything ends a subscription that was acknowledged")
            case SubscriptionAcknowledged(id=identifier):
                self.must(identifier in self.wants.desired, "acknowledges an undesired subscription")
            case SubscriptionRemoved(id=identifier):
                self.must(identifier not in self.wants.desired, "removes what is wanted")
            case FailWaiters(error=error) | PresenceRefused(error=error):
                self._dials.failed(error)
                if isinstance(error, RetriesExhausted):
                    self._dials.given_up(error)
                self.must(self.world.hides(f"{error} {error!r}"), "a secret in an error")
        if isinstance(request, SubscriptionAcknowledged) and self.links.current is not None:
            self.links.current.granted.add(request.id)
        self.wants.look_at(request, self.links.current, len(self._history))

    def _send(self, generation: int, data: bytes, now: float, *, up: bool) -> None:
        link = self.links.current
        if link is None or link.generation != generation or not (link.greeted or up):
            self.must(False, "sends too early, or on a draining link")
            return
        self.must(data != PING or self.wants.pings, "a ping, though they are off")
        link.ordered.append(data)
        if data == PING:
            link.heard_before_ping = link.heard
        link.sent_at.append(now)
        while link.sent_at[0] <= now - _WINDOW + _DUST:
            link.sent_at.popleft()
        self.must(len(link.sent_at) <= _LIMIT, "the budget of a minute is overspent")
