"""The driver: it owns the clock and feeds the machine, executes the commands, and publishes what a step came to.

Invariant: `feed` is the only way into the machine, and the driver executes the commands of a step in their order. Results leave
through futures and buffers, so no consumer's code runs inside a step. Log processors do, and tasks that start eagerly: the
inputs that they feed wait until the step is done.

Design: `calls` serves the user, `dispatch` turns messages into inputs and events, and `links` holds the links with their
handover. The connection's tasks, timers and records share the context in which the connection was built, whichever call starts
them.
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from realtime_fsm import hooks
from realtime_fsm.auditlog.writer import AuditWriter
from realtime_fsm.containment import contain
from realtime_fsm.errors import AuthenticationRejected, Disconnected, Disposed, PresenceRejected, WrongLoop
from realtime_fsm.fsm.change import Change
from realtime_fsm.fsm.commands import (
    AuthenticationRefused,
    CanaryOut,
    CanaryRefused,
    CloseLink,
    EndFault,
    EndStreams,
    FailWaiters,
    OpenLink,
    PresenceRefused,
    PresenceStored,
    ReleaseLink,
    Restore,
    ResumeLink,
    RetireLink,
    SendFrame,
    SubscriptionAcknowledged,
    SubscriptionRefused,
    SubscriptionRemoved,
    SubscriptionUnsupported,
    UserIdentified,
)
from realtime_fsm.fsm.inputs import Deadline, Reconnect, ResumedFromSuspend
from realtime_fsm.fsm.machine import ConnectionMachine
from realtime_fsm.fsm.table import State
from realtime_fsm.runtime.calls import IDLE_STATES, Calls
from realtime_fsm.runtime.canary import Prober
from realtime_fsm.runtime.dispatch import Dispatcher, decode_json_object
from realtime_fsm.runtime.failures import Failures
from realtime_fsm.runtime.jitter import random_source
from realtime_fsm.runtime.links import LinkSet
from realtime_fsm.runtime.outages import OutageTracker
from realtime_fsm.runtime.registry import DeliveryRegistry
from realtime_fsm.runtime.suspend import detector_for

if TYPE_CHECKING:
    from realtime_fsm.errors import RealtimeError
    from realtime_fsm.fsm.canary_policy import Canary
    from realtime_fsm.fsm.change import Failure
    from realtime_fsm.fsm.commands import Command, TransitionTaken
    from realtime_fsm.fsm.context import ConnectionContext
    from realtime_fsm.fsm.inputs import Input
    from realtime_fsm.fsm.table import Trigger
    from realtime_fsm.fsm.tablespec import Row
    from realtime_fsm.protocol.eras import Era
    from realtime_fsm.runtime.credentials import Credentials
    from realtime_fsm.runtime.handover import Handover
    from realtime_fsm.runtime.link import LinkIO
    from realtime_fsm.runtime.sockets import MessageHandler, Transport


class Driver(Calls):
    """Drives one connection on one event loop.

    Attributes:
        project: the id of the project.
        failures: the newest failed attempt, or loss of a link, and what the next ones are reported to.
        entered_by: the transition rule that led into the state; None in the state of the beginning.
    """

    def __init__(
        self,
        context: ConnectionContext,
        transport: Transport,
        *,
        connection_id: str,
        url: str,
        credentials: Credentials,
        project: str = "",
    ) -> None:
        super().__init__(credentials)
        self.failures: Failures = Failures(context)
        self._core = ConnectionMachine(context)
        self._context = context
        self._transport = transport
        self._url = url
        self.project = project
        self.entered_by: Row[State, Trigger] | None = None
        self._draw = random_source()
        self._run_context = copy_context()
        self._inputs: list[Input] = []
        self._stepping = False
        self._audit = AuditWriter(connection_id, self._report_audit, self._run_context)
        self._outages = OutageTracker(self._audit)
        self._registry = DeliveryRegistry(self.report, self._audit, self._outages)
        self._links = LinkSet(self, context, self._registry.report_possible_loss)
        self._dispatcher = Dispatcher(self, self._links, self._registry, self._audit)
        self._prober = None if context.canary is None else Prober(context.canary, self, context, self._registry, self._audit)
        if self._prober is not None:
            self._registry.on_canary = self._prober.heard
        self._connection_id = connection_id
        self._timer: asyncio.Handle | None = None
        self._armed_for: float | None = None  # the moment of that timer: on uvloop, the handle of one that is due has no `when`

    # --- what the face asks -------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return self._core.state

    @property
    def error(self) -> RealtimeError | None:
        """Why there is no link and no attempt, in `error`."""
        return self._core.error

    @property
    def era(self) -> Era | None:
        """The protocol era of the server; None until the client knows it."""
        return self._core.era

    @property
    def malformed(self) -> dict[str, int]:
        """How many messages of the server could not be understood, by kind."""
        return self._dispatcher.malformed

    @property
    def link_number(self) -> int:
        """The number of the newest link; 0 before the first."""
        return self._context.generation

    @property
    def events_received(self) -> int:
        """How many events links have brought, once for each subscription; any thread may ask."""
        return self._registry.counts[0]

    @property
    def events_dropped(self) -> int:
        """How many events the buffers of all subscriptions have dropped; any thread may ask."""
        return self._registry.counts[1]

    @property
    def canary(self) -> Canary | None:
        """How deaf links are found."""
        return self._context.canary

    @property
    def last_failure(self) -> Failure | None:
        """The newest failed attempt, or loss of a link."""
        return self.failures.last

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that this connection belongs to: the one on which it was first used.

        Raises:
            WrongLoop: when another one is running.
        """
        running = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = running
            hooks.connections[self._connection_id] = self
            self._audit.opened(self._context)
        elif self._loop is not running:
            raise WrongLoop("this Realtime")
        return self._loop

    def check_loop(self) -> None:
        """Refuse an event loop on which nothing can be dialed.

        Raises:
            WrongLoop: when the caller's aiohttp session belongs to another one.
        """
        self._transport.check(asyncio.get_running_loop())

    def feed(self, input_: Input) -> None:
        """Step the machine and do what it asks. From within a step, or from a log processor, the input waits for the loop.

        Invariant: inputs are taken in the order in which they come, each one whole.
        """
        loop = self.loop
        self._inputs.append(input_)
        if self._audit.is_writing and not self._stepping:
            loop.call_soon(self._step_all, loop)
        elif not self._stepping:
            self._run_context.copy().run(self._step_all, loop)

    async def act(self, input_: Input) -> None:
        """Feed an input, and wait until it is taken: at once, but for calls from within a step.

        A new link waits until the one that it would replace has replaced another.
        """
        if isinstance(input_, Reconnect):
            await self._links.wait_drained()
        self.feed(input_)
        while self._inputs:  # noqa: ASYNC110  (the loop takes them next: an event would cost more, and say no more)
            await asyncio.sleep(0)

    def _step_all(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take the inputs that are there. Those that come meanwhile wait for the loop, which a call in a circle cannot block."""
        self._stepping = True
        try:
            for _ in range(len(self._inputs)):
                self._step(self._inputs.pop(0))
        finally:
            self._stepping = False
            if self._inputs:
                loop.call_soon(self._step_all, loop)

    def _step(self, input_: Input) -> None:
        now = self.loop.time()
        self.record_call(input_, now)
        result = self._core.step(input_, now, draw=self._draw())
        self._outages.begin_step(result.transition, now)
        for command in result.commands:
            self._execute(command, now)
        self._waiting.check()
        if self._prober is not None:
            self._prober.follow_step()
        self._arm_timer(result.deadline)
        if result.transition is not None:
            self._publish_transition(result.transition)
        self._outages.end_step()

    def on_resume(self) -> None:
        """Tell the machine that the process slept."""
        self.feed(ResumedFromSuspend())

    # --- what the machine asks ----------------------------------------------------------------------------------------

    def _execute(self, command: Command, now: float) -> None:
        match command:
            case SendFrame(generation=generation, data=data):
                self._links.current_of(generation).send(data)
            case OpenLink(generation=generation, plan=plan, renewal=renewal):
                link = self._links.create(generation, self._context.require_link, plan, self.loop)
                link.open(self._transport, self._url, partial(self.dialing.headers, renewal))
                self._registry.clear_errors()
                self._outages.dial()
            case RetireLink(generation=generation):
                self._links.begin_handover(generation, self.loop, self._registry.established)
            case ReleaseLink():
                self._outages.end_handover()
                self._links.complete_handover()
            case ResumeLink(generation=generation, error=error, withdrawn=withdrawn):
                self._trial = None
                self._links.resume(generation)
                self._outages.end_handover()
                self._registry.fail(error, withdrawn, streams=False)
                self._waiting.fail_change(error)
            case CloseLink(generation=generation, graceful=graceful):
                self._drop(generation, now, graceful=graceful)
            case SubscriptionAcknowledged(id=identifier, channels=channels):
                delivery = self._registry.acknowledge(identifier, channels, now)
                if delivery is not None and self._links.handover is not None:
                    self._links.handover.acknowledged(delivery)
            case SubscriptionRefused(id=identifier, code=code, message=message):
                self._registry.reject(identifier, code, message, guest=self.user is None)
            case SubscriptionUnsupported(id=identifier, era=era):
                self._registry.reject_unsupported(identifier, era)
            case UserIdentified(user=user):
                self._set_user(user)
            case PresenceStored(presence=presence):
                self._audit.presence("stored")
                self._waiting.resolve_presence(decode_json_object(presence))
            case PresenceRefused(error=error):
                self._audit.presence("rejected", error.code if isinstance(error, PresenceRejected) else None)
                if not self._waiting.reject_presence(error):
                    self.report(error, "the presence could not be restored")  # no call waits for it
            case Restore(error=error):
                self._trial = None
                self._waiting.reject_identity(error)
            case AuthenticationRefused(code=code, message=message):
                self._trial = None
                self._waiting.reject_identity(AuthenticationRejected(code, message))
            case CanaryOut() if self._prober is not None:
                self._prober.out()
            case CanaryRefused(code=code) if self._prober is not None:
                self._prober.refused(code)
            case SubscriptionRemoved(id=identifier):
                self._registry.remove(identifier)
            case EndFault(seconds=seconds, lost=True):
                self._outages.reach_back(seconds)
            case EndFault(seconds=seconds):
                self._registry.recover(seconds)
            case FailWaiters(error=error, withdrawn=withdrawn, streams=streams):
                self._trial = None
                self._registry.fail(error, withdrawn, streams=streams)
                self._waiting.fail(error, everyone=not isinstance(error, Disconnected))
            case EndStreams():
                self._registry.end()
                self._waiting.fail(Disposed(), everyone=True)
                for follower in self._state_watchers:
                    follower.close()

    def recover_draining(self, handover: Handover) -> None:
        """Tell of a gap: an event on the old link proves that a server fault is over. The machine knows current links only."""
        seconds = self._outages.end_fault(self.loop.time())
        if seconds is not None:
            self._registry.recover(seconds, handover)

    def _drop(self, generation: int, now: float, *, graceful: bool) -> None:
        draining = self._links.draining
        if draining is None or draining.generation != generation:
            self._links.drop(generation, graceful=graceful)
            return
        if not graceful:
            self._audit.retired(generation, self.time_in_state(now))
        self._links.close_draining(with_current=graceful)
        if self.state is not State.DISPOSING:
            self._outages.lose(retired=not graceful)

    def _arm_timer(self, deadline: float | None) -> None:
        if self._timer is not None:
            if self._armed_for == deadline and not self._timer.cancelled():
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer, self._armed_for = self.loop.call_at(deadline, self._on_deadline), deadline

    def _on_deadline(self) -> None:
        self._timer = None
        self.feed(Deadline())

    def message_handler(self, link: LinkIO, *, held: bool = False) -> MessageHandler:
        """Make the function that takes the messages of a link: those that arrive, or those that a pause held."""
        return self._dispatcher.message_handler(link, held=held)

    def set_read_paused(self, link: LinkIO, *, paused: bool) -> float:
        """Note since now whether a link is read.

        Returns:
            The moment.
        """
        now = self.loop.time()
        link.paused_since = now if paused else None
        self._arm_timer(self._core.set_read_paused(link.generation, now, paused=paused))
        return now

    def _report_audit(self, failure: BaseException) -> None:
        self.report(failure, "a log processor, a log handler or a hook failed")

    # --- telling ------------------------------------------------------------------------------------------------------

    def _publish_transition(self, transition: TransitionTaken) -> None:
        at = datetime.now(UTC)
        self._audit.transition(transition, at)
        row, dest = transition.row, transition.dest
        self.failures.note(transition, at, self.loop.time())
        if transition.round_trip is not None:
            self._audit.ping(transition.round_trip)
        if transition.fault is not None:
            self._audit.fault(transition.fault, at)
        if row.dest is None:
            return
        self.entered_by = row
        change = Change(row.source, dest, row.trigger, row.id, transition.attempt, transition.cause, at)
        for follower in self._state_watchers:
            follower.put(change)
        self._outages.on_transition(row.source, dest, draining_serves=self._links.draining_serves)
        detector = detector_for(self.loop)
        (detector.discard if dest in IDLE_STATES else detector.add)(self)

    def report(self, failure: BaseException, heading: str = "an unexpected exception") -> None:
        """Report through the event loop's exception handler, where asyncio programs look for what no task awaits.

        The handler is the user's code, too: what it raises goes to the loop's default handler.
        """
        try:
            self.loop.call_exception_handler({"message": f"realtime_fsm: {heading}", "exception": failure})
        except BaseException as raised:  # noqa: BLE001  (asyncio lets SystemExit and KeyboardInterrupt pass)
            contain(raised)
            self.loop.default_exception_handler(
                {"message": f"realtime_fsm: the exception handler failed on: {heading}", "exception": raised}
            )
