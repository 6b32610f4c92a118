"""The mutations: ways in which the table, the book, the machine or the driver could be wrong. The simulation must catch each.

A mutation is put into the running process and taken back; no file changes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

from realtime_fsm.core import book, budget, effects, seat
from realtime_fsm.edges import audit, driver, inbox, link, roster, subscriber, waiting
from realtime_fsm.vocabulary.policies import Verdict
from realtime_fsm.vocabulary.table import State
from simulation.coverage import machine
from simulation.world import SECRET

Mutation = Callable[[], AbstractContextManager[object]]


@contextmanager
def _broken(mutation: Mutation) -> Iterator[None]:
    """Break the code for a while. The machine that all connections share is built anew for it, and anew afterwards."""
    machine._the_machine.cache_clear()
    try:
        with mutation():
            yield
    finally:
        machine._the_machine.cache_clear()


def _rows(change: Callable[[Any], Any]) -> AbstractContextManager[object]:
    """Another table."""
    return patch.object(
        machine, "TABLE", dataclasses.replace(machine.TABLE, rows=tuple(change(row) for row in machine.TABLE.rows))
    )


def _without(effect: str, number: int) -> Mutation:
    """The rows of a rule lose one of their effects."""

    def change(row: Any) -> Any:
        if row.id[3:] != str(number):
            return row
        return dataclasses.replace(row, effects=tuple(name for name in row.effects if name != effect))

    return lambda: _rows(change)


def _leading(identifier: str, dest: State) -> Mutation:
    """A row leads elsewhere."""
    return lambda: _rows(lambda row: dataclasses.replace(row, dest=dest) if row.id == identifier else row)


def _with_guard(name: str, guard: Callable[[Any], bool]) -> Mutation:
    """A guard is another one."""
    return lambda: patch.dict(machine.GUARDS, {name: guard})


def _with(owner: Any, name: str, make: Callable[[Any], Any]) -> Mutation:
    """A function is another one, made from the original."""
    return lambda: patch.object(owner, name, make(getattr(owner, name)))


def _keeping(end_link: Any) -> Any:
    def kept(self: Any) -> Any:
        acknowledged = set(self.acknowledged)
        told = end_link(self)
        self.acknowledged |= acknowledged
        return told

    return kept


def _forgetful(ask_again: Any) -> Any:
    def forget(self: Any, *told: Any) -> Any:
        self.in_flight = None
        return []

    return forget


def _any_reply(answers: Any) -> Any:
    return lambda self, to, granted: self.in_flight is not None and self.in_flight.kind == to


def _every_generation(means_nothing: Any) -> Any:
    def check(self: Any, happened: Any, source: Any, trigger: Any, due: Any) -> Any:
        if hasattr(happened, "generation") and self._seat.link is not None:
            happened = dataclasses.replace(happened, generation=self._seat.link.generation)
        return means_nothing(self, happened, source, trigger, due)

    return check


def _every_link(receiver: Any) -> Any:
    def late(self: Any, old: Any) -> Any:
        return lambda data: receiver(self, old if self._links.current is None else self._links.current)(data)

    return late


def _unforgotten(leave: Any) -> Any:
    def keep(self: Any, identifier: str) -> Any:
        found = leave(self, identifier)
        self.subscribers[identifier] = found
        return found

    return keep


def _lazy(arm: Any) -> Any:
    def once(self: Any, deadline: float | None) -> None:
        if self._timer is None:
            arm(self, deadline)

    return once


def _newest_lost(put: Any) -> Any:
    def full(self: Any, item: Any) -> Any:
        return False if len(self._items) >= self._capacity else put(self, item)

    return full


def _twice(send: Any) -> Any:
    def doubled(self: Any, data: bytes) -> None:
        send(self, data)
        send(self, data)

    return doubled


def _lost_without_closing(drop: Any) -> Any:
    def leak(self: Any, generation: int, *, tidy: bool) -> None:
        self._links.current = None

    return leak


def _unpaced() -> AbstractContextManager[object]:
    def dial(seat: Any) -> None:
        seat.place = seat.now
        effects.dial(seat)

    return patch.dict(machine.EFFECTS, {"dial": dial})


def _both(*mutations: Mutation) -> Mutation:
    @contextmanager
    def together() -> Iterator[None]:
        with ExitStack() as stack:
            for mutation in mutations:
                stack.enter_context(mutation())
            yield

    return together


_MUTATIONS: dict[str, Mutation] = {
    # the table
    "a lost link is not let go of": _without("drop_link", 58),
    "a new link asks for nothing": _without("send_request", 22),
    "a retry is not planned": _without("schedule_retry", 24),
    "reconnect() keeps the stored error": _without("start_afresh", 10),
    "a pong is awaited for ever": _without("stop_awaiting_pong", 42),
    "disconnect() keeps the socket": _without("hang_up", 13),
    "the last removal leads to subscribed": _leading("sub7", State.SUBSCRIBED),
    "silence after a ping is no loss": _with_guard("heard_since_ping", lambda seat: True),
    "the retry policy is not asked": _with_guard("may_retry", lambda seat: True),
    # the book
    "acknowledgements outlive their link": _with(book.Book, "end_link", _keeping),
    "a throttled request is forgotten": _with(book.Book, "ask_again", _forgetful),
    "any reply is taken for the awaited one": _with(book.Book, "answers", _any_reply),
    # the machine and its rules
    "the budget of a link is ignored": _with(budget.Budget, "free_at", lambda _: lambda self, now, *, ping: now),
    "old sockets are listened to": _both(
        _with(machine.Connection, "_means_nothing", _every_generation), _with(driver.Driver, "receiver", _every_link)
    ),
    "a throttled dial comes back at once": _with(seat, "verdict", lambda _: lambda cause, *, live: Verdict.TRANSIENT),
    "dials are not paced": _unpaced,
    # the driver and its streams
    "the timer is set once": _with(driver.Driver, "_arm", _lazy),
    "a socket is dropped and not closed": _with(driver.Driver, "_drop", _lost_without_closing),
    "frames are sent twice": _with(link.Link, "send", _twice),
    "events go to the unsubscribed": _with(roster.Roster, "_leave", _unforgotten),
    "a full stream loses the newest, silently": _with(inbox.Inbox, "put", _newest_lost),
    "what was caught up comes again": _with(subscriber.Subscriber, "_is_new", lambda _: lambda self, event, seen: True),
    "nobody is told of the end": _with(waiting.WaitingRoom, "fail", lambda _: lambda self, error, *, patient: None),
    "the session is in the records": _with(audit, "_shown", lambda _: lambda code: SECRET),
}

MUTATIONS: dict[str, Mutation] = {name: partial(_broken, mutation) for name, mutation in _MUTATIONS.items()}
"""Each breaks the code while it is entered."""
