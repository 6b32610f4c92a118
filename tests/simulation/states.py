"""The invariants of each state: the resources that the machine may hold, and the place of each desired subscription."""

from __future__ import annotations

from collections.abc import Callable

from realtime_fsm.fsm.context import ConnectionContext
from realtime_fsm.fsm.table import LIVE, State
from simulation.links import Links
from simulation.wants import Wants

_IDLE = (State.DISCONNECTED, State.ERROR)


def what_a_state_holds(
    context: ConnectionContext, state: State, deadline: float | None, links: Links, must: Callable[[object, str], None]
) -> None:
    """The machine has what its state may have, and its links are those of the model."""
    link, current, draining = context.link, links.current, links.draining
    mine = None if current is None else current.generation
    must(mine == (None if link is None else link.generation), "the model's link is not the machine's")
    must(
        (None if draining is None else draining.generation) == context.draining_generation,
        "another link drains for the machine",
    )
    under_way = (State.RECONNECTING, State.CONNECTED, State.PING)
    must(draining is None or state in under_way, "a link drains, and another one serves everything or none is to come")
    if state in _IDLE or state is State.DISPOSING:
        must(link is None and deadline is None, "no link and no deadline here")
    if state is State.RECONNECTING or state is State.PING:
        must(deadline is not None, "something is waited for, without a deadline")
    if state is State.RECONNECTING:
        must((link is None) == (context.attempt_at is not None), "an attempt, or a link to come")
    must((context.error is not None) == (state is State.ERROR), "the stored error belongs to `error` alone")
    must((state in LIVE) == (current is not None and current.greeted), "live means greeted")
    alike = draining is None or current is None or not current.greeted or draining.user == current.user
    must(alike, "a link delivers as another user")
    tracker = context.subscriptions
    if link is None:
        must(not tracker.acknowledged and tracker.in_flight is None, "without a link nothing is acknowledged or asked")
    else:
        must((link.ping_in_flight is not None) == (state is State.PING), "a pong is awaited in `ping` alone")
        must(not (link.ping_in_flight and tracker.in_flight), "one thing is awaited at a time")


def nothing_desired_is_lost(
    context: ConnectionContext, state: State, links: Links, wants: Wants, must: Callable[[object, str], None]
) -> None:
    """All that is desired is in one place of the book, and the state says how far it has come."""
    if state is State.DISPOSING:
        return
    tracker, desired = context.subscriptions, wants.desired
    must(tracker.presence.message == wants.presence, "the book and the user disagree on the presence")
    must(tracker.desired.keys() == desired.keys(), "the book and the users disagree")
    if not desired:
        must(state is not State.SUBSCRIBED, "subscribed, to nothing")
        return
    must(state is not State.UNSUBSCRIBED, "unsubscribed, with something desired")
    flying = tracker.in_flight
    asked = flying.ids if flying is not None and flying.kind == "subscribe" else ()
    places = (
        tracker.acknowledged,
        asked,
        tracker.queue.pending,
        [one for group in tracker.queue.groups for one in group],
        [one for batch in tracker.queue.batches for one in batch.ids],
    )
    for identifier in desired:
        must(sum(identifier in place for place in places) == 1, "something desired is nowhere, or twice in the book")
    if state is State.CONNECTED:
        must(not desired.keys() <= tracker.acknowledged, "all is acknowledged, and the state does not say so")
    if state in LIVE:
        must(links.draining is None or links.missing(desired), "a link drains, though the new one serves all its subscriptions")
    link = links.current
    if link is not None and link.socket is not None:
        known = all(link.serves(desired[identifier]) for identifier in tracker.acknowledged)
        must(known, "acknowledged, and the server does not know it")
