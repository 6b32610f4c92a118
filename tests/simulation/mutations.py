"""The mutations: ways in which the table, the book, the machine or the driver could be wrong. The simulation must catch each.

A mutation is put into the running process and taken back; no file changes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from inspect import isawaitable
from typing import Any
from unittest.mock import patch

import msgspec

from realtime_fsm.auditlog import writer as audit
from realtime_fsm.fsm import budget, context, notes, pacer, refusals, subscriptions
from realtime_fsm.fsm import link as core_link
from realtime_fsm.fsm.names import Effect, Guard, Note
from realtime_fsm.fsm.policies import Verdict
from realtime_fsm.fsm.table import State
from realtime_fsm.runtime import (
    calls,
    canary,
    catching_up,
    delivery,
    dispatch,
    driver,
    event_buffer,
    gaps,
    handover,
    link,
    links,
    outages,
    registry,
    stream_buffer,
    waiters,
)
from simulation.coverage import machine
from simulation.world import SECRET

Mutation = Callable[[], AbstractContextManager[object]]


@contextmanager
def _broken(mutation: Mutation) -> Iterator[None]:
    """Break the code for a while. The machine that all connections share is built anew for it, and anew afterwards."""
    machine._shared_machine.cache_clear()
    try:
        with mutation():
            yield
    finally:
        machine._shared_machine.cache_clear()


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


def _instead(effect: str, other: str, number: int) -> Mutation:
    """The rows of a rule have another effect."""

    def change(row: Any) -> Any:
        if row.id[3:] != str(number):
            return row
        return dataclasses.replace(row, effects=tuple(other if name == effect else name for name in row.effects))

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
        self._acknowledged |= dict.fromkeys(acknowledged)
        return told

    return kept


def _forgetful(ask_again: Any) -> Any:
    def forget(self: Any, *told: Any) -> Any:
        self.in_flight = None
        return []

    return forget


def _blaming(repeat: Any) -> Any:
    """A server fault rejects what it meets, as another error does."""
    return lambda self, code, message, attempts, *, whole: self.handle_error(code, message)


def _any_reply(answers: Any) -> Any:
    return lambda self, to, granted: self.in_flight is not None and self.in_flight.kind == to


def _every_generation(means_nothing: Any) -> Any:
    def check(self: Any, input_: Any, source: Any, trigger: Any, due: Any) -> Any:
        if hasattr(input_, "generation") and self._context.link is not None:
            input_ = msgspec.structs.replace(input_, generation=self._context.link.generation)
        return means_nothing(self, input_, source, trigger, due)

    return check


def _every_link(receiver: Any) -> Any:
    def late(self: Any, old: Any, **options: Any) -> Any:
        return lambda data: receiver(self, old if self.links.current is None else self.links.current, **options)(data)

    return late


def _unforgotten(leave: Any) -> Any:
    def keep(self: Any, identifier: str, error: Any) -> Any:
        found = leave(self, identifier, error)
        self.deliveries[identifier] = found
        return found

    return keep


def _lazy(arm: Any) -> Any:
    def once(self: Any, deadline: float | None) -> None:
        if self._timer is None:
            arm(self, deadline)

    return once


def _twice(send: Any) -> Any:
    def doubled(self: Any, data: bytes) -> None:
        send(self, data)
        send(self, data)

    return doubled


def _lost_without_closing(drop: Any) -> Any:
    def leak(self: Any, generation: int, *, graceful: bool) -> None:
        self.links.current = None

    return leak


def _with_note(name: str, make: Callable[[Any], Any]) -> Mutation:
    """A note is another one, made from the original."""
    return lambda: patch.dict(notes.NOTES, {name: make(notes.NOTES[name])})


def _with_effect(name: str, make: Callable[[Any], Any]) -> Mutation:
    """An effect is another one, made from the original."""
    return lambda: patch.dict(machine.EFFECTS, {name: make(machine.EFFECTS[name])})


def _lingering_for_ever(linger: Any) -> Any:
    return lambda self: None


def _oblivious(drain_link: Any) -> Any:
    """Forget the reason of a handover."""

    def retire(context: Any) -> None:
        drain_link(context)
        context.subscriptions.queue.pending = {
            one: None for one in context.subscriptions.queue.pending if one in context.subscriptions._ever_acknowledged
        }

    return retire


def _stale_routes(name: Any) -> Any:
    def old(self: Any, link: Any, event: Any) -> Any:
        draining = self._links.draining
        return name(self, link if draining is None or draining.routes is None else draining, event)

    return old


def _deaf_to_what_makes_room(receiver: Any) -> Any:
    def listen(self: Any, link: Any, **options: Any) -> Any:
        receive = receiver(self, link, **options)
        return lambda data: receive(data) if link is self.links.current else None

    return listen


def _without_news(part: Any) -> Any:
    def forget(self: Any, handover: Any) -> None:
        for overlap in handover.overlaps.values():
            overlap.ahead.clear()
        part(self, handover)

    return forget


def _without_era(greet: Any) -> Any:
    def forget(context: Any, input_: Any) -> None:
        before = context.era
        greet(context, input_)
        context.era = before

    return forget


def _absent(begin_link: Any) -> Any:
    def begin(self: Any) -> None:
        begin_link(self)
        self.presence.pending = False

    return begin


def _both_wanted(replace: Any) -> Any:
    """Keep the replaced subscription."""

    async def keep(self: Any, delivery: Any, spec: Any) -> None:
        registry = self._owner.registry
        give_up, old = registry.give_up, delivery.spec.id
        vars(registry)["give_up"] = lambda identifier, *more: identifier != old and give_up(identifier, *more)
        try:
            await replace(self, delivery, spec)
        finally:
            vars(registry)["give_up"] = give_up

    return keep


def _forgiving(welcome: Any) -> Any:
    def greet(context: Any) -> None:
        welcome(context)
        context.attempt = 0

    return greet


def _without_date(version: Any) -> Any:
    return lambda event: None if (found := version(event)) is None else (found[0], "")


def _fragile(call_user: Any) -> Any:
    async def raising(self: Any, callback: Any, news: Any) -> None:
        answer = callback._function(news)
        if isawaitable(answer):
            await answer

    return raising


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
    "a lost link is not aborted": _without(Effect.ABORT_LINK, 58),
    "a new link asks for nothing": _without(Effect.SEND_REQUEST, 22),
    "a retry is not planned": _without(Effect.SCHEDULE_RETRY, 24),
    "an outage counts as the way to the first link": _with(
        context.ConnectionContext, "record_proven", lambda _: lambda self, link: None
    ),
    "every refusal may pass": _with(notes, "_may_pass", lambda _: lambda context, *, answered_request: True),
    "reconnect() keeps the stored error": _without(Effect.RESET_ATTEMPTS, 10),
    "a pong is awaited without end": _without(Effect.CLEAR_PING, 42),
    "disconnect() keeps the socket": _without(Effect.CLOSE_LINK, 13),
    "the last removal leads to subscribed": _leading("sub7", State.SUBSCRIBED),
    "silence after a ping is no loss": _with_guard(Guard.HEARD_SINCE_PING, lambda context: True),
    "the retry policy is not asked": _with_guard(Guard.MAY_RETRY, lambda context: True),
    "new subscriptions are never rejected": _with_guard(Guard.NEW_SUBSCRIPTIONS_REJECTED, lambda context: False),
    "a guess is made, whatever was said": _with_guard(
        Guard.SERVER_NEEDS_URL_CHANNELS, lambda context: context.step.verdict is Verdict.FATAL
    ),
    "another identity closes the link that delivers": _instead(Effect.ABORT_LINK, Effect.CLOSE_LINK, 91),
    # the book
    "acknowledgements outlive their link": _with(subscriptions.SubscriptionTracker, "end_link", _keeping),
    "a throttled request is forgotten": _with(subscriptions.SubscriptionTracker, "requeue_in_flight", _forgetful),
    "any reply is taken for the awaited one": _with(subscriptions.SubscriptionTracker, "matches_in_flight", _any_reply),
    "a handover forgets what it is for": _with_effect(Effect.DRAIN_LINK, _oblivious),
    "the era is not remembered": _with_note(Note.RECORD_GREETING, _without_era),
    "a presence is not restored": _with(subscriptions.SubscriptionTracker, "begin_link", _absent),
    # the machine and its rules
    "the budget of a link is ignored": _with(budget.SendBudget, "available_at", lambda _: lambda self, now, *, ping: now),
    "old sockets are listened to": _both(
        _with(machine.ConnectionMachine, "_is_stale_or_early", _every_generation),
        _with(driver.Driver, "message_handler", _every_link),
    ),
    "a throttled dial comes back at once": _with(notes, "verdict", lambda _: lambda cause, **known: Verdict.TRANSIENT),
    "dials are not paced": _both(
        _with(pacer.Pacer, "reserve", lambda _: lambda self, now: now),
        _with(pacer.Pacer, "claim", lambda _: lambda self, place, now: now),
    ),
    "a budget of 33": _with(budget, "MESSAGES_PER_MINUTE", lambda _: 33),
    "failures are forgiven at the greeting": _with_effect(Effect.START_LIVE_LINK, _forgiving),
    "a ping's verdict ignores what was heard": _with(
        core_link.LinkState,
        "no_reply_to_ping",
        lambda _: property(lambda self: self.ping_in_flight is not None and not self.read_paused),
    ),
    "a place among the dials is kept": _with(pacer.Pacer, "release", lambda _: lambda self, place: None),
    # the driver and its streams
    "the timer is set once": _with(driver.Driver, "_arm_timer", _lazy),
    "a socket is dropped and not closed": _with(driver.Driver, "_drop", _lost_without_closing),
    "frames are sent twice": _with(link.LinkIO, "send", _twice),
    "events go to the unsubscribed": _with(registry.DeliveryRegistry, "_remove_id", _unforgotten),
    "a full stream loses the newest, silently": _with(event_buffer.EventBuffer, "_overflow", lambda _: lambda self, item: None),
    "events are told apart by their ids alone": _with(catching_up, "version_or_none", _without_date),
    "what comes while catching up is lost": _with(
        stream_buffer.StreamBuffer, "merge_from", lambda _: lambda self, other, wanted: None
    ),
    "what was caught up comes again": _with(catching_up.CatchingUp, "_is_new", lambda _: lambda self, event, seen: True),
    # one link in the place of another
    "a drained link is kept": _with(handover.Handover, "_check_drained", _lingering_for_ever),
    "a drained link goes at once": _with(handover, "DRAIN_SECONDS", lambda _: 0.0),
    "the old link goes with the greeting": _with(
        subscriptions.SubscriptionTracker, "serves", lambda _: lambda self, identifiers: True
    ),
    "another user gets what the old link brings": _with_guard(Guard.USER_CHANGED, lambda context: False),
    "a change of link breaks before it makes": _instead(Effect.DRAIN_LINK, Effect.CLOSE_LINK, 12),
    "no way leads back to the old link": _with_guard(Guard.CAN_RESUME, lambda context: False),
    "an old link that died is believed to live": _with(handover.Handover, "_check_alive", lambda _: lambda self: None),
    "what two links bring comes twice": _with(links.LinkSet, "filter_new", lambda _: lambda self, link, event, whom: whom),
    "a draining link does not deliver": _with(driver.Driver, "message_handler", _deaf_to_what_makes_room),
    "events are routed as on the link before": _with(dispatch.Dispatcher, "_resolve_subscription_ids", _stale_routes),
    "the end of a draining link is not told": _with(
        outages.OutageTracker, "lose", lambda _: lambda self, now, *, retired=False: None
    ),
    "every handover is an outage": _with(links.LinkSet, "draining_serves", lambda _: False),
    "the losses of a silently dead link are not told": _with(
        gaps.GapReporter, "report_possible_loss", lambda _: lambda self, handover: None
    ),
    "a link that lives is not believed": _with(handover.Handover, "is_confirmed", lambda _: False),
    "what came meanwhile is caught up with": _with(gaps.GapReporter, "report_possible_loss", _without_news),
    "what was replaced is not given up": _with(calls.Calls, "update_subscription", _both_wanted),
    # what is told
    "a handler that raises is called no more": _with(delivery.SubscriptionDelivery, "call_user", _fragile),
    "the end wakes no waiter": _with(waiters.Waiters, "fail", lambda _: lambda self, error, *, everyone: None),
    "a server fault ends what was acknowledged": _with(subscriptions.SubscriptionTracker, "repeat", _blaming),
    "a server fault reports no gap": _with(gaps.GapReporter, "recover", lambda _: lambda self, *news: None),
    "a proof does not end a server fault": _with(notes, "_prove", lambda _: lambda context, link: None),
    "a missing echo is not noticed": _with(canary.Prober, "_miss", lambda _: lambda self: None),
    "a deaf link reports no gap": _with(gaps.GapReporter, "end_deafness", lambda _: lambda self, *news: None),
    "the gap of a deaf link comes before an echo": _with(gaps.GapReporter, "note_deaf_link", lambda _: lambda self: None),
    "every refusal is blamed on its request": _with(refusals.Refusals, "refuse", lambda _: lambda self, group, desired: True),
    "the session is in the records": _with(audit, "_safe_code", lambda _: lambda code: SECRET),
}

MUTATIONS: dict[str, Mutation] = {name: partial(_broken, mutation) for name, mutation in _MUTATIONS.items()}
"""Each breaks the code while it is entered."""
