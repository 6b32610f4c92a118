"""The driver: it feeds the machine, executes the commands of each step, publishes the transition, and owns the clock.

Invariant: `feed` is the only way into the machine, and the driver executes the commands of a step in their order. Results leave
through futures and buffers, so no consumer's code runs inside a step. Log processors run inside one, and so do tasks that start
eagerly: the inputs that they feed wait until the step is done.

Design: `calls` serves the user, `dispatch` turns messages into inputs and events, and `links` holds the links with their
handover. The connection's tasks, timers and records share the context in which the connection was built, whichever call starts
them.
"""

from __future__ import annotations

import asyncio
import warnings
from contextlib import suppress
from contextvars import copy_context
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from realtime_fsm import hooks
from realtime_fsm.auditlog.writer import AuditWriter
from realtime_fsm.errors import AuthenticationRejected, Disconnected, Disposed, PresenceRejected, UnsupportedByServer, WrongLoop
from realtime_fsm.fsm import commands
from realtime_fsm.fsm.change import Change
from realtime_fsm.fsm.inputs import Deadline, Dispose, Reconnect, ResumedFromSuspend
from realtime_fsm.fsm.machine import ConnectionMachine
from realtime_fsm.fsm.table import State
from realtime_fsm.runtime.callbacks import report_to
from realtime_fsm.runtime.calls import IDLE_STATES, Calls, record_call
from realtime_fsm.runtime.canary import Prober
from realtime_fsm.runtime.credentials import Identity
from realtime_fsm.runtime.dispatch import Dispatcher, decode_json_object
from realtime_fsm.runtime.failures import Failures
from realtime_fsm.runtime.grace import grace_after
from realtime_fsm.runtime.input_queue import InputQueue
from realtime_fsm.runtime.jitter import random_source
from realtime_fsm.runtime.links import LinkSet
from realtime_fsm.runtime.outages import OutageTracker
from realtime_fsm.runtime.registry import DeliveryRegistry
from realtime_fsm.runtime.stream_buffer import StreamBuffer
from realtime_fsm.runtime.suspend import detector_for
from realtime_fsm.runtime.waiters import Waiters

if TYPE_CHECKING:
    from realtime_fsm.fsm.commands import Command, TransitionTaken
    from realtime_fsm.fsm.context import ConnectionContext
    from realtime_fsm.fsm.inputs import Input
    from realtime_fsm.fsm.table import Trigger
    from realtime_fsm.fsm.tablespec import Row
    from realtime_fsm.runtime.credentials import Credentials
    from realtime_fsm.runtime.link import LinkIO
    from realtime_fsm.runtime.sockets import MessageHandler, Transport


_CHANGES_KEPT = 1024


class Driver:
    """Drives one connection on one event loop.

    Attributes:
        context: the machine's memory of the connection.
        prober: sends the canaries; None without a canary policy.
        entered_by: the transition rule that led into the state; None in the state of the beginning.
        bound_loop: the event loop on which the connection was first used; None before that.
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
        self.context: ConnectionContext = context
        self.project: str = project
        self.failures: Failures = Failures(context)
        self.entered_by: Row[State, Trigger] | None = None
        self.bound_loop: asyncio.AbstractEventLoop | None = None
        self._connection_id = connection_id
        self._transport = transport
        self._url = url
        self._machine = ConnectionMachine(context)
        self._draw = random_source()
        run_context = copy_context()
        self.audit: AuditWriter = AuditWriter(connection_id, self._report_audit, run_context)
        self._inputs = InputQueue(self._step, self.audit, run_context)
        self.outages: OutageTracker = OutageTracker(self.audit)
        self.registry: DeliveryRegistry = DeliveryRegistry(self.report, self.audit, self.outages)
        self.links: LinkSet = LinkSet(self, self.registry)
        self.identity: Identity = Identity(credentials)
        self._waiters = Waiters()
        self.calls: Calls = Calls(self, self._waiters)
        self._dispatcher = Dispatcher(self, self.links, self.registry, self.audit)
        self.prober: Prober | None = None
        if context.canary is not None:
            self.prober = Prober(context.canary, self, self.registry, self.audit)
            self.registry.on_canary = self.prober.heard
        self._state_streams: WeakSet[StreamBuffer[Change]] | tuple[()] = ()  # most connections have no stream, and need no set
        self._timer: asyncio.Handle | None = None
        self._armed_for: float | None = None  # the moment of that timer: on uvloop, the handle of one that is due has no `when`
        self._due: float  # the moment at which that timer is to fire: a deadline may have passed before
        self._releasing: asyncio.Task[None] | None = None

    # --- what the client reads ----------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The state of the connection."""
        return self._machine.state

    @property
    def malformed(self) -> dict[str, int]:
        """How many messages of the server could not be understood, by kind."""
        return self._dispatcher.malformed

    @property
    def link_number(self) -> int:
        """The number of the newest link; 0 before the first."""
        return self.context.generation

    @property
    def events_received(self) -> int:
        """How many events links have brought, once for each subscription; any thread may ask."""
        return self.registry.counts[0]

    @property
    def events_dropped(self) -> int:
        """How many events the buffers of all subscriptions have dropped; any thread may ask."""
        return self.registry.counts[1]

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that this connection belongs to: the one on which it was first used.

        Raises:
            WrongLoop: when another one is running.
        """
        running = asyncio.get_running_loop()
        if self.bound_loop is None:
            self.bound_loop = running
            hooks.connections[self._connection_id] = self
            self.audit.opened(self.context)
        elif self.bound_loop is not running:
            raise WrongLoop("this Realtime")
        return self.bound_loop

    def check_loop(self) -> None:
        """Refuse an event loop on which nothing can be dialed.

        Raises:
            WrongLoop: when the caller's aiohttp session belongs to another one.
        """
        self._transport.check(asyncio.get_running_loop())

    def watch_states(self) -> StreamBuffer[Change]:
        """Make a stream of the changes of state from now on, which lasts while some code holds it.

        After the end of the connection it is at its end, too.
        """
        stream: StreamBuffer[Change] = StreamBuffer("this stream of states", self.loop, _CHANGES_KEPT)
        self._state_streams = WeakSet((*self._state_streams, stream))
        if self.state is State.DISPOSING:
            stream.close()
        return stream

    def time_in_state(self, now: float) -> float:
        """Count the seconds from the entry into the state to a moment."""
        entered = self.context.state_entered_at
        return 0.0 if entered is None else now - entered

    # --- what feeds the machine ---------------------------------------------------------------------------------------

    def feed(self, input_: Input) -> None:
        """Step the machine, and execute its commands. From within a step, or from a log processor, the input waits."""
        self._inputs.put(input_, self.loop)

    async def act(self, input_: Input) -> None:
        """Feed an input, and wait until the machine has taken it.

        A new link waits until a handover that is under way is complete.
        """
        if isinstance(input_, Reconnect):
            await self.links.wait_drained()
        self.feed(input_)
        await self._inputs.wait_empty()

    def _step(self, input_: Input) -> None:
        now = self.loop.time()
        record_call(input_, self.audit, self.context, self.time_in_state(now))
        result = self._machine.step(input_, now, draw=self._draw())
        self.outages.begin_step(result.transition, now)
        for command in result.commands:
            self._execute(command, now)
        self._waiters.check()
        if self.prober is not None:
            self.prober.follow_step()
        self._arm_timer(result.deadline)
        if result.transition is not None:
            self._publish_transition(result.transition)
        self.outages.end_step()

    def on_resume(self) -> None:
        """Tell the machine that the process slept."""
        self.feed(ResumedFromSuspend())

    # --- what the machine asks ----------------------------------------------------------------------------------------

    def _execute(self, command: Command, now: float) -> None:
        match command:
            case commands.SendFrame(generation=generation, data=data):
                self.links.current_of(generation).send(data)
            case commands.OpenLink(plan=plan, renewal=renewal):
                link = self.links.create(self.context.require_link, plan)
                link.open(self._transport, self._url, partial(self.identity.dialing.headers, renewal))
                self.registry.clear_errors()
                self.outages.dial()
            case commands.RetireLink(generation=generation):
                self.links.begin_handover(generation)
            case commands.ReleaseLink():
                self.links.complete_handover(at_fault=self.outages.end_fault(now) is not None)
            case commands.ResumeLink(generation=generation, error=error, withdrawn=withdrawn):
                self.identity.end_trial()
                self.links.resume(generation)
                self.outages.end_fault(now)  # the link has the fault now
                self.registry.withdraw(withdrawn, error)
                self._waiters.fail_change(error)
            case commands.CloseLink(generation=generation, graceful=graceful):
                self._drop(generation, now, graceful=graceful)
            case commands.SubscriptionAcknowledged(id=identifier, channels=channels):
                delivery = self.registry.acknowledge(identifier, channels, now)
                if delivery is not None and self.links.handover is not None:
                    self.links.handover.acknowledged(delivery)
            case commands.SubscriptionRefused(id=identifier, code=code, message=message):
                self.registry.refuse(identifier, code, message, guest=self.identity.user is None)
            case commands.SubscriptionUnsupported(id=identifier, era=era):
                self.registry.reject(identifier, UnsupportedByServer("queries", era, era.releases))
            case commands.UserIdentified(user=user):
                self.identity.confirm(decode_json_object(user))
                self._waiters.resolve_identity()
            case commands.PresenceStored(presence=presence):
                self.audit.presence("stored")
                self._waiters.resolve_presence(decode_json_object(presence))
            case commands.PresenceRefused(error=error):
                self.audit.presence("rejected", error.code if isinstance(error, PresenceRejected) else None)
                if not self._waiters.reject_presence(error):
                    self.report(error, "the presence could not be restored")  # no call waits for it
            case commands.Restore(error=error):
                self.identity.end_trial()
                self._waiters.reject_identity(error)
            case commands.AuthenticationRefused(code=code, message=message):
                self.identity.end_trial()
                self._waiters.reject_identity(AuthenticationRejected(code, message))
            case commands.CanaryOut() if self.prober is not None:
                self.prober.out()
            case commands.CanaryRefused(code=code) if self.prober is not None:
                self.prober.refused(code)
            case commands.SubscriptionRemoved(id=identifier):
                self.registry.remove(identifier)
            case commands.EndFault(seconds=seconds, lost=True):
                self.outages.reach_back(seconds)
            case commands.EndFault(seconds=seconds):
                self.registry.gaps.recover(seconds)
            case commands.FailWaiters(error=error, withdrawn=withdrawn, streams=streams):
                self.identity.end_trial()
                self.registry.withdraw(withdrawn, error)
                if streams:
                    self.registry.fail_streams(error)
                self._waiters.fail(error, everyone=not isinstance(error, Disconnected))
            case commands.EndStreams():
                self.registry.end()
                self._waiters.fail(Disposed(), everyone=True)
                for stream in self._state_streams:
                    stream.close()

    def _drop(self, generation: int, now: float, *, graceful: bool) -> None:
        draining = self.links.draining
        if draining is None or draining.generation != generation:
            self.links.drop(generation, graceful=graceful)
            return
        if not graceful:
            self.audit.retired(generation, self.time_in_state(now))
        self.links.close_draining(with_current=graceful)
        if self.state is not State.DISPOSING:
            self.outages.lose(retired=not graceful)
            self.registry.gaps.note_loss()

    def _arm_timer(self, deadline: float | None) -> None:
        if self._timer is not None:
            if self._armed_for == deadline and not self._timer.cancelled():
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer, self._armed_for = self.loop.call_at(deadline, self._on_deadline), deadline
            self._due = max(deadline, self.loop.time())

    def _on_deadline(self) -> None:
        self._timer = grace_after(self.loop, self._due, self._feed_deadline)
        if self._timer is None:
            self.feed(Deadline())

    def _feed_deadline(self) -> None:
        self._timer = None
        self.feed(Deadline())

    def message_handler(self, link: LinkIO, *, held: bool = False) -> MessageHandler:
        """Make the function that takes the messages of a link: those that arrive, or those that a pause held."""
        return self._dispatcher.message_handler(link, held=held)

    def set_read_paused(self, link: LinkIO, *, paused: bool) -> float:
        """Note since now whether a link is read, and return the moment."""
        now = self.loop.time()
        link.paused_since = now if paused else None
        self._arm_timer(self._machine.set_read_paused(link.generation, now, paused=paused))
        return now

    def _report_audit(self, failure: BaseException) -> None:
        self.report(failure, "a log processor, a log handler or a hook failed")

    # --- telling ------------------------------------------------------------------------------------------------------

    def _publish_transition(self, transition: TransitionTaken) -> None:
        at = datetime.now(UTC)
        self.audit.transition(transition, at)
        row, dest = transition.row, transition.dest
        self.failures.note(transition, at, self.loop.time())
        if transition.round_trip is not None:
            self.audit.ping(transition.round_trip)
        if transition.fault is not None:
            self.audit.fault(transition.fault, at)
        if row.dest is None:
            return
        self.entered_by = row
        for stream in self._state_streams:
            stream.put(Change(row.source, dest, row.trigger, row.id, transition.attempt, transition.cause, at))
        if self.outages.on_transition(row.source, dest, draining_serves=self.links.draining_serves):
            self.registry.gaps.note_loss()
        detector = detector_for(self.loop)
        (detector.discard if dest in IDLE_STATES else detector.add)(self)

    def report(self, failure: BaseException, heading: str = "an unexpected exception") -> None:
        """Report an exception that no task awaits."""
        report_to(self.loop, failure, heading)

    # --- the end ------------------------------------------------------------------------------------------------------

    def spare(self, task: asyncio.Task[Any] | None) -> bool:
        """Let the callable go on that ends the connection, and tell whether the task runs a callable of the connection."""
        return self.registry.spare(task) or (self.prober is not None and self.prober.spare(task))

    async def aclose(self, spared: asyncio.Task[Any] | None = None) -> None:
        """After the end: wait for the sockets and for users' callables, but for the spared one; then release the transport."""
        await self.links.wait_closed()
        if self.prober is not None:
            await self.prober.wait_closed()
        await self.registry.wait_cancelled(spared)
        await self._transport.close()
        self.audit.closed()
        hooks.connections.pop(self._connection_id, None)

    def forsake(self) -> None:
        """End, on its own loop, a connection of which the user holds nothing any more; from any thread. Warns of it."""
        if self.state in IDLE_STATES or self.bound_loop is None:
            return
        with suppress(RuntimeError):  # the loop is closed
            self.bound_loop.call_soon_threadsafe(self._dispose)
        warnings.warn("a Realtime was not disposed of: use 'async with', or await dispose()", ResourceWarning, stacklevel=3)

    def _dispose(self) -> None:
        if self.links.is_cut_off:
            return  # the tasks that the loop cancels drop the sockets
        self.feed(Dispose())
        self._releasing = self.loop.create_task(self.aclose(), name="realtime_fsm release")
