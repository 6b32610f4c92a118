"""The roster: all subscribers of a connection. It routes events to them and tells them what becomes of their subscriptions."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from realtime_fsm.edges.subscriber import Subscriber
from realtime_fsm.edges.waiting import reject, resolve
from realtime_fsm.vocabulary.errors import Disposed, SubscriptionRejected, UnsupportedByServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from realtime_fsm.edges.audit import Audit
    from realtime_fsm.edges.outages import Outages
    from realtime_fsm.edges.subscriber import Options
    from realtime_fsm.vocabulary.eras import Era
    from realtime_fsm.vocabulary.errors import RealtimeError
    from realtime_fsm.vocabulary.frames import Code, EventFrame
    from realtime_fsm.vocabulary.inputs import Wish


class Roster:
    """The subscribers by id."""

    def __init__(
        self, report: Callable[[BaseException], None], audit: Audit, outages: Outages, on_stray: Callable[[], None]
    ) -> None:
        self._report = report
        self._audit = audit
        self._on_stray = on_stray
        self._subscribers: dict[str, Subscriber] = {}
        self._leftover: set[asyncio.Task[None]] = set()
        self._outages = outages

    def enlist(self, wish: Wish, options: Options, loop: asyncio.AbstractEventLoop) -> Subscriber:
        """Make room for a subscription's events, before it is asked for."""
        subscriber = self._subscribers[wish.id] = Subscriber(wish, options, loop, self._report, self._audit)
        self._audit.subscription(wish.id, "desired")
        return subscriber

    def route(self, frame: EventFrame, subscriptions: Sequence[str]) -> bool:
        """Give an event to each subscriber that it is for, once.

        Returns:
            Whether a consumer should be let run.
        """
        event, stamp = frame.event(subscriptions), frame.stamp
        crowded = False
        for identifier in dict.fromkeys(subscriptions):
            subscriber = self._subscribers.get(identifier)
            if subscriber is None:
                self._on_stray()
                continue
            subscriber.stamp = stamp
            if subscriber.put(event):
                crowded = True
        return crowded

    def known(self, identifiers: Iterable[str]) -> list[str]:
        """Those of them that are still wanted."""
        return [identifier for identifier in identifiers if identifier in self._subscribers]

    def grant(self, identifier: str, channels: tuple[str, ...], now: float) -> None:
        """It is acknowledged on the link that is up."""
        subscriber = self._subscribers[identifier]
        subscriber.acknowledged = channels
        self._audit.subscription(identifier, "acknowledged")
        outage = self._outages.current
        if subscriber.established and outage is not None:
            subscriber.resume(datetime.now(UTC), now - outage.began, outage.dials)
        subscriber.established = True
        resolve(subscriber.granted)

    def reject(self, identifier: str, code: Code, message: str) -> None:
        """The server refused it."""
        wish = self._subscribers[identifier].wish
        self._end(identifier, SubscriptionRejected(wish.channels, wish.queries, code, message), code)

    def withdraw(self, identifier: str) -> None:
        """The user does not want it any more; until it is removed, what comes for it is still known."""
        subscriber = self._subscribers.get(identifier)
        if subscriber is not None and not subscriber.withdrawn:
            subscriber.withdrawn = True
            self._audit.subscription(identifier, "withdrawn")

    def lack(self, identifier: str, era: Era) -> None:
        """The server is too old for it."""
        self._end(identifier, UnsupportedByServer("queries", era, era.releases))

    def remove(self, identifier: str) -> None:
        """It is gone."""
        subscriber = self._leave(identifier)
        self._audit.subscription(identifier, "removed")
        subscriber.end()
        resolve(subscriber.removed)

    def fail(self, error: RealtimeError, withdrawn: tuple[str, ...], *, streams: bool) -> None:
        """There will be no link for now."""
        for identifier in withdrawn:
            subscriber = self._leave(identifier)
            self._audit.subscription(identifier, "removed")
            reject(subscriber.granted, error)
        if streams:
            for subscriber in self._subscribers.values():
                subscriber.inbox.fail(error)

    def mend(self) -> None:
        """There may be events again."""
        for subscriber in self._subscribers.values():
            subscriber.inbox.mend()

    def end(self) -> None:
        """Nothing follows."""
        for identifier in tuple(self._subscribers):
            subscriber = self._leave(identifier)
            reject(subscriber.granted, Disposed())
            subscriber.end()

    async def settle(self) -> None:
        """Wait for what is left of the users' callables, which were cancelled."""
        while self._leftover:
            await asyncio.wait(tuple(self._leftover))

    def _end(self, identifier: str, error: RealtimeError, code: Code | None = None) -> None:
        subscriber = self._leave(identifier)
        self._audit.subscription(identifier, "rejected", code)
        reject(subscriber.granted, error)
        subscriber.inbox.fail(error)
        resolve(subscriber.removed)

    def _leave(self, identifier: str) -> Subscriber:
        subscriber = self._subscribers.pop(identifier)
        for task in subscriber.tasks:
            self._leftover.add(task)
            task.add_done_callback(self._leftover.discard)
        return subscriber
