"""What must hold in each state, whatever has happened: what the machine may have, and where everything desired is."""

from __future__ import annotations

from collections.abc import Callable

from realtime_fsm.fsm.context import ConnectionContext
from realtime_fsm.fsm.table import LIVE, State
from simulation.links import Links
from simulation.wants import Wants

_IDLE = (State.DISCONNECTED, State.ERROR)


def what_a_state_holds(
    seat: ConnectionContext, state: State, deadline: float | None, links: Links, must: Callable[[object, str], None]
) -> None:
    """The machine has what its state may have, and its links are those of the model."""
    link, current, retiring = seat.link, links.current, links.retiring
    mine = None if current is None else current.generation
    must(mine == (None if link is None else link.generation), "the model's link is not the machine's")
    must(
        (None if retiring is None else retiring.generation) == seat.draining_generation, "another link makes room for the machine"
    )
    must(retiring is None or state is State.RECONNECTING, "a link makes room, and another one is up or none is to come")
    if state in _IDLE or state is State.DISPOSING:
        must(link is None and deadline is None, "no link and no deadline here")
    if state is State.RECONNECTING or state is State.PING:
        must(deadline is not None, "something is waited for, without a deadline")
    if state is State.RECONNECTING:
        must((link is None) == (seat.attempt_at is not None), "an attempt, or a link to come")
    must((seat.error is not None) == (state is State.ERROR), "the stored error belongs to `error` alone")
    must((state in LIVE) == (current is not None and current.greeted), "live means greeted")
    book = seat.book
    if link is None:
        must(not book.acknowledged and book.in_flight is None, "without a link nothing is acknowledged or asked")
    else:
        must((link.ping_in_flight is not None) == (state is State.PING), "a pong is awaited in `ping` alone")
        must(not (link.ping_in_flight and book.in_flight), "one thing is awaited at a time")


def nothing_desired_is_lost(
    seat: ConnectionContext, state: State, links: Links, wants: Wants, must: Callable[[object, str], None]
) -> None:
    """All that is desired is in one place of the book, and the state says how far it has come."""
    if state is State.DISPOSING:
        return
    book, desired = seat.book, wants.desired
    must(book.presence == wants.presence, "the book and the user disagree on the presence")
    must(book.desired.keys() == desired.keys(), "the book and the users disagree")
    if not desired:
        must(state is not State.SUBSCRIBED, "subscribed, to nothing")
        return
    must(state is not State.UNSUBSCRIBED, "unsubscribed, with something desired")
    flying = book.in_flight
    asked = flying.ids if flying is not None and flying.kind == "subscribe" else ()
    places = (
        book.acknowledged,
        asked,
        book._pending,
        [one for group in book._bisection_groups for one in group],
        [*book._again.ids],
    )
    for identifier in desired:
        must(sum(identifier in place for place in places) == 1, "something desired is nowhere, or twice in the book")
    if state is State.CONNECTED:
        must(not desired.keys() <= book.acknowledged, "all is acknowledged, and the state does not say so")
    link = links.current
    if link is not None and link.socket is not None:
        known = all(link.serves(desired[identifier]) for identifier in book.acknowledged)
        must(known, "acknowledged, and the server does not know it")
