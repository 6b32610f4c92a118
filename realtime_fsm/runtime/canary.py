"""The canaries: a connection causes an event for its own hidden subscription; a link that does not bring the event is deaf.

Invariant: the prober calls a link deaf for one reason only: a canary was sent on it, and no event of the hidden subscription
came in time, while the client read the link and no server fault was open.

Design: the prober owns one timer. It asks the machine to send a canary (`Probe`), and tells the machine of a missing echo
(`Deaf`). The driver calls the prober within a step, so the prober feeds only from a timer or a task.
"""

from __future__ import annotations

import asyncio
import math
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from realtime_fsm.fsm.canary import CANARY, CANARY_STATUS
from realtime_fsm.fsm.inputs import Deaf, Probe
from realtime_fsm.fsm.table import State
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.faults import POLICY
from realtime_fsm.protocol.spec import SubscriptionSpec, presence_message
from realtime_fsm.runtime.callbacks import Callback
from realtime_fsm.runtime.grace import GracedTimer

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_fsm.auditlog.writer import AuditWriter
    from realtime_fsm.events import Event
    from realtime_fsm.fsm.canary_policy import Canary
    from realtime_fsm.protocol.frames import Code
    from realtime_fsm.runtime.connection import Connection
    from realtime_fsm.runtime.registry import DeliveryRegistry


class _Deafness(msgspec.Struct):
    """A gap that no echo has ended yet.

    Attributes:
        began: the moment of the last proof, in seconds of the loop's clock.
        proof: the server's time of the last proof, as it came; None without a proof.
        link: the number of the link on which the first canary was missed.
    """

    began: float
    proof: Any
    link: int


class Prober:
    """Sends the canaries of one connection."""

    def __init__(self, canary: Canary, owner: Connection, registry: DeliveryRegistry, audit: AuditWriter) -> None:
        self._canary = canary
        self._owner = owner
        self._registry = registry
        self._audit = audit
        self._presence_id = uuid.uuid4().hex
        self._link = 0  # the number of the link that is probed; 0 for none
        self._timer: GracedTimer | None = None
        self._probing = False  # whether a canary was asked for, and its echo is still awaited
        self._began: float  # when the newest canary was asked for
        self._met_fault = False  # whether a server fault was open at some time since then
        self._proven: float  # the last proof, or the moment at which the link could first give one
        self._proof: Any = None  # the server's time of the last echo, as it came
        self._deaf: _Deafness | None = None
        self._refused_until = -math.inf  # when the next canary is due, after the server ended a link because of one
        self._write_callback = None if canary.write is None else Callback("canary", canary.write)
        self._writing: asyncio.Task[None] | None = None  # the task of a call of that callable
        self._writing_since: float | None = None  # when the call began, until its slowness is reported
        self._spared = False  # whether the call ends the connection, and so goes on after the end

    @property
    def is_deaf(self) -> bool:
        """Whether a canary was missed, and the prober has not yet told of the gap."""
        return self._deaf is not None

    # --- what the driver tells ----------------------------------------------------------------------------------------

    def follow_step(self) -> None:
        """Follow a step of the machine: begin to probe a link that serves everything, and stop with the link."""
        context = self._owner.context
        link = context.link
        self._met_fault |= link is not None and link.at_fault
        serves = link is not None and self._owner.state.is_live and context.subscriptions.all_acknowledged
        number = link.generation if link is not None and serves else 0
        if number == self._link:
            return
        self._stop()
        self._link = number
        if number:
            now = self._owner.loop.time()
            if self._deaf is None:
                self._proven = now
            self._set_timer(max(0.0, self._refused_until - now), self._probe)

    def spare(self, task: asyncio.Task[Any] | None) -> bool:
        """Let the user's callable go on if it ends the connection, and tell whether the task runs the callable."""
        self._spared = task is not None and task is self._writing
        return self._spared

    async def wait_closed(self) -> None:
        """Wait until the user's cancelled callable has ended. A callable that ends the connection itself is not waited for."""
        if self._writing is not None and not self._spared:
            await asyncio.wait((self._writing,))

    def out(self) -> None:
        """Begin to wait for the echo, or call the user's callable: the hidden subscription is acknowledged."""
        if not self._probing:
            return
        if self._canary.write is None:
            self._await_echo()
        else:
            self._writing_since = self._owner.loop.time()
            self._set_timer(self._canary.every, self._probe)  # before the call: an eager one may set the timer of the echo
            self._writing = self._owner.loop.create_task(self._write(), name="realtime_fsm canary")

    def refused(self, code: Code) -> None:
        """Handle a refusal: it proves nothing, and the next canary goes out after the usual interval.

        A server that refuses with 1008 ends the link (PROTOCOL: "Messages", rule 5). So the next link keeps the interval, too: a
        canary at its beginning would end that link as well.
        """
        self._audit.canary("refused", code)
        if code == POLICY:
            self._refused_until = self._began + self._canary.every
        self._end_probe(self._owner.loop.time())

    def heard(self, event: Event) -> None:
        """Handle an event of the hidden subscription: the link is not deaf."""
        now = self._owner.loop.time()
        self._proven, self._proof = now, event._timestamp  # noqa: SLF001  (as it came)
        if self._probing:
            self._audit.canary("echoed", seconds=now - self._began)
            self._end_probe(now)

    # --- probing ------------------------------------------------------------------------------------------------------

    def _probe(self) -> None:
        if self._writing is not None and not self._writing.done():  # the call for the canary before goes on
            self._set_timer(self._canary.within, self._probe)
            self._note_hanging()
            return
        input_ = self._next()
        if input_ is None:
            self._tell_gap(self._owner.loop.time())
            self._set_timer(self._canary.every, self._probe)
            return
        link = self._owner.context.link
        assert link is not None
        self._probing, self._began, self._met_fault = True, self._owner.loop.time(), link.at_fault
        self._owner.feed(input_)

    def _next(self) -> Probe | None:
        """Return the next canary; None where the client cannot set a presence."""
        if self._canary.channel is not None:
            return Probe(SubscriptionSpec(CANARY, (self._canary.channel,)))
        named = self._owner.identity.user
        user = None if named is None else named.get("$id")
        if self._owner.context.era is not Era.E4 or not isinstance(user, str):
            return None
        mine = msgspec.json.encode({"method": "equal", "attribute": "userId", "values": [user]}).decode()
        message = presence_message(CANARY_STATUS, None, None, self._presence_id)
        return Probe(SubscriptionSpec(CANARY, ("presences",), (mine,)), message, self._presence_id)

    async def _write(self) -> None:
        assert self._write_callback is not None
        _, failure = await self._write_callback.call()
        if failure is not None:
            self._note(self._write_callback, failure)
        elif self._probing:
            self._await_echo()

    def _note_hanging(self) -> None:
        """Tell once that the callable has not returned before the next canary is due."""
        since, every = self._writing_since, self._canary.every
        if since is not None and self._owner.loop.time() >= since + every:
            self._writing_since = None
            assert self._write_callback is not None
            hangs = TimeoutError(f"Canary.write has not returned for {every:g} s; until it does, no canary goes out")
            self._note(self._write_callback, hangs)

    def _note(self, write: Callback, failure: BaseException) -> None:
        """Tell that the callable raised, or hangs. This does not prove that the link is deaf.

        A canary under way is that of the call: while a call goes on, the prober asks for no other canary, on any link.
        """
        if self._owner.context.state != State.DISPOSING:  # the log may be closed
            self._audit.canary("failed")
        write.report(failure, self._owner.report, self._owner.loop)
        if self._probing:
            self._end_probe(self._owner.loop.time())

    def _end_probe(self, now: float) -> None:
        """End a probe, whether an echo has come or none can be expected, and plan the next one."""
        self._probing = False
        self._tell_gap(now)
        self._plan_probe(now)

    def _plan_probe(self, now: float) -> None:
        self._set_timer(max(0.0, self._began + self._canary.every - now), self._probe)

    def _await_echo(self) -> None:
        self._set_timer(self._canary.within, self._miss)

    def _miss(self) -> None:
        """Call the link deaf, unless the silence proves nothing.

        While the client does not read the link, the wait begins anew. A server fault explains the silence, and has a gap of its
        own: the link stays, and the next canary goes out after the usual interval. The gap of an earlier deaf link goes on.
        """
        link = self._owner.context.link
        assert link is not None
        if link.read_paused:
            self._await_echo()
            return
        now = self._owner.loop.time()
        self._audit.canary("missed", seconds=now - self._began)
        if self._met_fault:
            self._probing = False
            self._plan_probe(now)
            return
        if self._deaf is None:
            self._deaf = _Deafness(self._proven, self._proof, self._link)
        self._registry.gaps.note_deaf_link()
        self._owner.feed(Deaf(self._link))

    def _tell_gap(self, now: float) -> None:
        """Tell the subscriptions that a deaf link served of a gap, from the last proof until now."""
        if self._deaf is not None:
            deaf, self._deaf = self._deaf, None
            dials = self._owner.context.generation - deaf.link
            self._registry.gaps.end_deafness(datetime.now(UTC), now - deaf.began, dials, deaf.proof)

    # --- the timer ----------------------------------------------------------------------------------------------------

    def _set_timer(self, delay: float, action: Callable[[], None]) -> None:
        self._cancel_timer()
        loop = self._owner.loop
        self._timer = GracedTimer(loop, loop.time() + delay, action)

    def _stop(self) -> None:
        self._cancel_timer()
        self._probing = False
        if self._writing is not None and not self._spared:
            self._writing.cancel()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
