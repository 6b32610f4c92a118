"""The screen of ``listen --tui``: state, subscriptions with their counts, the last events, changes and failed dials.

Needs the extra ``tui``. A text of the server loses its control characters, and is no markup.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from realtime_fsm.audit.formats.text_utils import printable
from realtime_fsm.cli.describe import describe_change, describe_failure, on_failed_dial
from realtime_fsm.fsm.descriptions import STATES, StateKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import Console, ConsoleOptions, RenderableType

    from realtime_fsm.client.realtime import Realtime
    from realtime_fsm.client.subscription import Subscription
    from realtime_fsm.fsm.change import Failure

_COLORS = {StateKind.LIVE: "green", StateKind.UNDERWAY: "yellow", StateKind.ERROR: "red"}
_SHOWN = 10
_BORDERS = 13
"""The lines of an empty screen: the panel of the state, the table's head and end, and the borders of three lists."""
_PERIOD = 0.25


class Screen:
    """Follows one connection; each channel gets a subscription of its own, so that its events are counted."""

    def __init__(self, realtime: Realtime, channels: Iterable[str]) -> None:
        self._realtime = realtime
        self._subscriptions: dict[str, Subscription | None] = dict.fromkeys(channels)
        self._counts = dict.fromkeys(self._subscriptions, 0)
        self._events: deque[str] = deque(maxlen=_SHOWN)
        self._changes: deque[str] = deque(maxlen=_SHOWN)
        self._failures: deque[str] = deque(maxlen=_SHOWN)

    def _note_failure(self, failure: Failure) -> None:
        self._failures.append(f"{failure.at.astimezone():%H:%M:%S} {describe_failure(failure)}")

    def __rich_console__(self, console: Console, _: ConsoleOptions) -> Iterator[RenderableType]:
        """Draw the present moment; the lists share the lines that a terminal has left."""
        state = self._realtime.state
        told = STATES[state]
        head = Text.assemble((state, f"bold {_COLORS.get(told.kind, 'default')}"), f"  {told.brief}")
        table = Table("channel", "events", "dropped", expand=True)
        for channel, subscription in self._subscriptions.items():
            counts = ("waits", "") if subscription is None else (f"{self._counts[channel]:,}", f"{subscription.dropped:,}")
            table.add_row(Text(printable(channel)), *counts)
        yield Panel(head, title="realtime-fsm listen")
        yield table
        most = max(1, (console.height - _BORDERS - len(self._subscriptions)) // 3)
        for title, lines in (("Events", self._events), ("Changes", self._changes), ("Failed dials", self._failures)):
            shown = Text("\n".join([*lines][-most:]) or "none", no_wrap=True, overflow="ellipsis")
            yield Panel(shown, title=title, title_align="left")

    async def run(self, console: Console | None = None) -> None:
        """Subscribe, and draw on a console until the task is cancelled; None stands for standard output.

        Raises:
            RealtimeError: when the connection fails for good, or the server refuses a channel.
        """
        on_failed_dial(self._realtime, self._note_failure)
        work = [asyncio.ensure_future(self._follow_changes()), *map(asyncio.ensure_future, map(self._count, self._subscriptions))]
        try:
            with Live(self, console=console, screen=True, auto_refresh=False) as live:
                ended: set[asyncio.Future[None]] = set()
                while not ended:
                    live.refresh()
                    ended, _ = await asyncio.wait(work, timeout=_PERIOD, return_when=asyncio.FIRST_COMPLETED)
            ended.pop().result()
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    async def _follow_changes(self) -> None:
        async for change in self._realtime.states():
            self._changes.append(f"{change.at.astimezone():%H:%M:%S} {describe_change(change)}")

    async def _count(self, channel: str) -> None:
        subscription = self._subscriptions[channel] = await self._realtime.subscribe(channel)
        async for event in subscription:
            self._counts[channel] += 1
            self._events.append(printable(event.events[0] if event.events else "an event without a name"))
