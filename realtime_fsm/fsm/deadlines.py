"""The name of the deadline: the thing that a connection waits for until then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.fsm.table import LIVE, State

if TYPE_CHECKING:
    from realtime_fsm.fsm.context import ConnectionContext


def awaited(context: ConnectionContext) -> str:
    """Return the name of the deadline, a key of `descriptions.DEADLINES`; empty without a deadline."""
    state, due = State(context.state), context.deadline
    if due is None:
        return ""
    if state not in LIVE:
        return "dial" if context.link is None else context.link.phase.value
    if state is State.PING:
        return "pong"
    deadlines = {
        "reply": context.reply_by,
        "idling": context.idle_at if state is State.UNSUBSCRIBED else None,
        "renewal": context.renew_at,
        "handover": context.handover_at,
        "ping": context.ping_at,
        "stability": context.stable_at,
        "budget" if context.again_at is None else "repetition": context.budget_at,
    }
    return next(name for name, moment in deadlines.items() if moment == due)
