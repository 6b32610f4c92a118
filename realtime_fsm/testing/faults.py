"""The faults of the embedded server: the calls that make it fail, and scripts of them."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from realtime_fsm.testing.parts import ServerParts, threadsafe
from realtime_fsm.testing.script import Fault, parse, run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from realtime_fsm.testing.script import ScriptStep


class FaultsMixin(ServerParts):
    """The calls that make the server fail; each is safe from any thread."""

    def __init__(self) -> None:
        self._scripts: set[asyncio.Task[None]] = set()
        self._recovery: asyncio.TimerHandle | None = None

    @threadsafe
    def drop(self) -> None:
        """End every stream without a close frame; new dials are accepted."""
        self._listener.close_all()
        self._dispatcher.drop_all()

    @threadsafe
    def refuse_dials(self) -> None:
        """Refuse each new dial with HTTP 503, as a proxy does whose server is away; links that are up go on."""
        self._listener.refusing = True

    @threadsafe
    def accept_dials(self) -> None:
        """Accept dials again, after `refuse_dials`."""
        self._listener.refusing = False

    @threadsafe
    def freeze(self) -> None:
        """Fall silent like a stopped process: connections are accepted but not upgraded, and nothing is answered or sent."""
        self._listener.freeze()

    @threadsafe
    def thaw(self) -> None:
        """Go on after a `freeze`: handle the messages that came, and send the frames that were due, in order."""
        self._listener.thaw()

    @threadsafe
    def deafen(self, seconds: float | None = None) -> None:
        """Lose the event bus: every link stays up, the server answers messages and pings, and events are lost without a notice.

        A new link gets no events either. A later call replaces an earlier one.

        Args:
            seconds: the length, in seconds of the server's clock; None until `heal`.
        """
        self._backend.deafen(math.inf if seconds is None else self._clock() + seconds)

    @threadsafe
    def heal(self) -> None:
        """Regain the event bus after a `deafen`; the events of the time between stay lost."""
        self._backend.deafen(-math.inf)

    @threadsafe
    def fault(self, seconds: float) -> None:
        """Answer, and be unable to work, like a server whose Redis is away (PROTOCOL: "Messages", rule 10).

        A ping gets error 0 after 2 s, and any other message at once. The server greets a new dial after 2 s, and loses events.
        Then the same links work again. A later call replaces an earlier one.

        Args:
            seconds: the length, in seconds of the event loop; 0 ends the fault.

        Raises:
            ValueError: for a negative length, or one that is not finite.
            RuntimeError: when no event loop is running.
        """
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"seconds: {seconds!r} is not a length of time; give a finite number, at least 0")
        loop = asyncio.get_running_loop()
        self._recover()
        if seconds:
            self._backend.faulty = True
            self._recovery = loop.call_later(seconds, self._recover)

    def script(self, script: str) -> asyncio.Future[None]:
        """Fail by a script from now on, such as ``"2s drop; 2s refuse 3s; 8s freeze 3s; 12s deaf; 20s fault 4s"``.

        A step is a moment from now, a fault and its length: ``drop``, ``refuse`` from `refuse_dials` until `accept_dials`,
        ``freeze`` until `thaw`, ``deaf`` from `deafen` until `heal`, and ``fault``. A time is a number with ``ms``, ``s`` or
        ``m``, by the event loop. ``refuse``, ``freeze`` and ``deaf`` without a length last until the call that ends them,
        ``fault`` needs one, and ``drop`` takes none. `realtime_fsm.testing.script` has the grammar.

        Args:
            script: the steps, with semicolons between them.

        Returns:
            The task that runs the script; a future where the caller has another event loop than the server. Await it to wait for
            the end of the last step. Cancel it to start no further step; a fault that has begun goes on. `stop` cancels it.

        Raises:
            BadOption: for a step that is not valid, or that overlaps one of the same fault; it names the step and the remedy.
            RuntimeError: when no event loop is running.
        """
        steps = parse(script)
        loop, home = asyncio.get_running_loop(), self._foreign_loop()
        if home is None:
            return self._begin_script(steps)
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._run_script(steps), home), loop=loop)

    async def _run_script(self, steps: Iterable[ScriptStep]) -> None:
        await self._begin_script(steps)

    def _begin_script(self, steps: Iterable[ScriptStep]) -> asyncio.Task[None]:
        faults = {
            "drop": Fault(lambda _: self.drop(), self.drop),
            "refuse": Fault(lambda _: self.refuse_dials(), self.accept_dials),
            "freeze": Fault(lambda _: self.freeze(), self.thaw),
            "deaf": Fault(lambda _: self.deafen(), self.heal),
            "fault": Fault(self.fault, lambda: self.fault(0)),
        }
        task = asyncio.get_running_loop().create_task(run(steps, faults), name="realtime_fsm.testing script")
        self._scripts.add(task)
        task.add_done_callback(self._scripts.discard)
        return task

    async def _end_faults(self) -> None:
        """End every script and a `fault`, as a process that ends."""
        scripts = list(self._scripts)
        for script in scripts:
            script.cancel()
        await asyncio.gather(*scripts, return_exceptions=True)
        self._recover()

    def _recover(self) -> None:
        self._backend.faulty = False
        if self._recovery is not None:
            self._recovery.cancel()
            self._recovery = None
