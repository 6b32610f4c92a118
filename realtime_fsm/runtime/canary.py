"""The canaries of a connection: it causes an event on its own link, and a link that does not bring the event is deaf.

Invariant: deafness is concluded from one thing only: a canary is known to be out on the link that is up, and no event of the
hidden subscription came within its time while the link was read.

Design: the prober owns one timer. It asks the machine to send (`Probe`) and tells the machine of a missing echo (`Deaf`). It is
called on the driver's funnel and never feeds within that call: each step of its own begins with a timer or a task.
"""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from realtime_fsm.fsm.canary import CANARY, CANARY_STATUS
from realtime_fsm.fsm.inputs import Deaf, Probe
from realtime_fsm.fsm.policies import POLICY
from realtime_fsm.fsm.table import LIVE, State
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.spec import SubscriptionSpec, presence_message
from realtime_fsm.runtime.callbacks import Callback

if TYPE_CHECKING:
    from realtime_fsm.auditlog.writer import AuditWriter
    from realtime_fsm.events import Event
    from realtime_fsm.fsm.canary_policy import Canary
    from realtime_fsm.fsm.context import ConnectionContext
    from realtime_fsm.fsm.inputs import Input
    from realtime_fsm.protocol.frames import Code
    from realtime_fsm.runtime.credentials import Identity
    from realtime_fsm.runtime.registry import DeliveryRegistry


class ProbedConnection(Protocol):
    """The connection that the prober serves."""

    identity: Identity

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the connection."""

    def feed(self, input_: Input) -> None:
        """Step the machine."""

    def report(self, failure: BaseException, heading: str) -> None:
        """Report an exception that no task awaits."""


class _Deafness(msgspec.Struct):
    """A gap that no echo has ended yet.

    Attributes:
        began: the last proof, in seconds of the loop's clock.
        proof: the server's time of it, as it came; None if there was none.
        link: the number of the link on which a canary was missed first.
    """

    began: float
    proof: Any
    link: int


_LIVE = frozenset(state.value for state in LIVE)


class Prober:
    """Sends the canaries of one connection."""

    def __init__(
        self, canary: Canary, owner: ProbedConnection, context: ConnectionContext, registry: DeliveryRegistry, audit: AuditWriter
    ) -> None:
        self._canary = canary
        self._owner = owner
        self._context = context
        self._registry = registry
        self._audit = audit
        self._presence_id = uuid.uuid4().hex
        self._link = 0  # the number of the link that is probed; 0 for none
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._spared = False  # whether that ends the connection, and goes on
        self._probing = False  # a canary was asked for, and neither its echo came nor its time is over
        self._began = 0.0  # when it was asked for
        self._proven = 0.0  # the last proof, or the moment at which the link could first give one
        self._proof: Any = None  # the server's time of the last echo, as it came
        self._deaf: _Deafness | None = None
        self._refused_until = 0.0  # when the next one is due, where the server ended the link over the last one
        self._writing_since: float | None = None  # of a call of ``write`` that has not returned, and was not told of
        self._write_callback = None if canary.write is None else Callback("canary", canary.write)

    @property
    def is_deaf(self) -> bool:
        """Whether a canary was missed, and nothing has shown since that events arrive, or that this cannot be shown."""
        return self._deaf is not None

    # --- what the driver tells ----------------------------------------------------------------------------------------

    def follow_step(self) -> None:
        """Follow a step of the machine: begin to probe a link that serves everything, and stop with the link."""
        link = self._context.link
        serves = link is not None and self._context.state in _LIVE and self._context.subscriptions.all_acknowledged
        number = link.generation if link is not None and serves else 0
        if number == self._link:
            return
        self._stop()
        self._link = number
        if number:
            now = self._owner.loop.time()
            if self._deaf is None:
                self._proven = now
            self._plan(max(0.0, self._refused_until - now))

    def spare(self, task: asyncio.Task[Any] | None) -> bool:
        """Let the user's callable go on that ends the connection, and tell whether the task is that of the callable."""
        self._spared = task is not None and task is self._writing
        return self._spared

    async def wait_closed(self) -> None:
        """Wait until the user's callable, which was cancelled, has ended; not for one that ends the connection itself."""
        if self._writing is not None and not self._spared:
            await asyncio.wait((self._writing,))

    def out(self) -> None:
        """Begin to wait for the event, or permit its write: the canary is subscribed."""
        if not self._probing:
            return
        if self._canary.write is None:
            self._await_echo()
        else:
            self._writing_since = self._owner.loop.time()
            self._writing = self._owner.loop.create_task(self._write(self._link), name="realtime_fsm canary")
            self._plan(self._canary.every)

    def refused(self, code: Code) -> None:
        """Handle a refusal: it proves nothing, and the next canary goes out after the usual interval, on another link, too.

        A server that refuses with 1008 ends the link (PROTOCOL: "Messages", rule 5), so a canary on each new link would end each.
        """
        self._audit.canary("refused", code)
        if code == POLICY:
            self._refused_until = self._began + self._canary.every
        self._prove_nothing()

    def heard(self, event: Event) -> None:
        """Handle an event of the hidden subscription: it proves that the link is not deaf."""
        now = self._owner.loop.time()
        self._proven, self._proof = now, event._timestamp  # noqa: SLF001  (as it came)
        if not self._probing:
            return
        self._probing = False
        self._audit.canary("echoed", seconds=now - self._began)
        self._tell_gap(now)
        self._plan(max(0.0, self._began + self._canary.every - now))

    # --- probing ------------------------------------------------------------------------------------------------------

    def _plan(self, delay: float) -> None:
        self._cancel_timer()
        self._timer = self._owner.loop.call_later(delay, self._probe)

    def _probe(self) -> None:
        self._timer = None
        if self._writing is not None and not self._writing.done():  # the one before is still being written
            self._plan(self._canary.within)
            self._note_hanging()
            return
        input_ = self._next()
        if input_ is None:
            self._tell_gap(self._owner.loop.time())
            self._plan(self._canary.every)
            return
        self._probing, self._began = True, self._owner.loop.time()
        self._owner.feed(input_)

    def _next(self) -> Probe | None:
        """Return the canary that can go out on this link; None where the client cannot set a presence."""
        if self._canary.channel is not None:
            return Probe(SubscriptionSpec(CANARY, (self._canary.channel,)))
        named = self._owner.identity.user
        user = None if named is None else named.get("$id")
        if self._context.era is not Era.E4 or not isinstance(user, str):
            return None
        mine = msgspec.json.encode({"method": "equal", "attribute": "userId", "values": [user]}).decode()
        message = presence_message(CANARY_STATUS, None, None, self._presence_id)
        return Probe(SubscriptionSpec(CANARY, ("presences",), (mine,)), message, self._presence_id)

    async def _write(self, link: int) -> None:
        assert self._write_callback is not None
        try:
            _, failure = await self._write_callback.call()
        finally:
            self._writing = None
        if failure is not None:
            self._note(self._write_callback, failure, link)
        elif link == self._link and self._probing:
            self._await_echo()

    def _note_hanging(self) -> None:
        """Tell once that the callable has not returned before the next canary is due: until it does, none goes out."""
        since, every = self._writing_since, self._canary.every
        if since is not None and self._owner.loop.time() >= since + every:
            self._writing_since = None
            assert self._write_callback is not None
            hangs = TimeoutError(f"Canary.write has not returned for {every:g} s; until it does, no canary goes out")
            self._note(self._write_callback, hangs, self._link)

    def _note(self, write: Callback, failure: BaseException, link: int) -> None:
        """Tell that the callable raised, or hangs. Its failure is no proof of deafness."""
        if self._context.state != State.DISPOSING:  # the log may be closed
            self._audit.canary("failed")
        write.report(failure, self._owner.report, self._owner.loop)
        if link == self._link and self._probing:
            self._prove_nothing()

    def _prove_nothing(self) -> None:
        now = self._owner.loop.time()
        self._probing = False
        self._tell_gap(now)
        self._plan(max(0.0, self._began + self._canary.every - now))

    def _await_echo(self) -> None:
        self._cancel_timer()
        self._timer = self._owner.loop.call_later(self._canary.within, self._miss)

    def _miss(self) -> None:
        """No echo. While nothing is read, silence means nothing, and the echo is awaited anew."""
        self._timer = None
        link = self._context.link
        assert link is not None
        if link.read_paused:
            self._await_echo()
            return
        self._audit.canary("missed", seconds=self._owner.loop.time() - self._began)
        if self._deaf is None:
            self._deaf = _Deafness(self._proven, self._proof, self._link)
        self._registry.note_deaf_link()
        self._owner.feed(Deaf(self._link))

    def _tell_gap(self, now: float) -> None:
        """Tell everyone who was served by a deaf link what may be missing: from the last proof until now."""
        if self._deaf is not None:
            deaf, self._deaf = self._deaf, None
            dials = self._context.generation - deaf.link
            self._registry.end_deafness(datetime.now(UTC), now - deaf.began, dials, deaf.proof)

    # --- timers -------------------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        self._cancel_timer()
        self._probing = False
        if self._writing is not None and not self._spared:
            self._writing.cancel()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
