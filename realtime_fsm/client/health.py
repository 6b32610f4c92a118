"""The health of a connection, for the probes of an orchestrator.

Design: a connection is *live* as long as it can heal without a restart of the process. So a server that is away, and state
``error``, never fail liveness: a restart would meet the same server, and ``reconnect()`` leads on. It is *ready* while links
deliver everything that is desired.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from realtime_fsm.fsm.descriptions import STATES
from realtime_fsm.fsm.table import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime_fsm.errors import LinkFailure
    from realtime_fsm.runtime.driver import Driver

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a connection can go on, and whether it delivers.

    Attributes:
        live: whether the connection can go on. False after ``dispose()``, and when its event loop is closed: then only a new
            connection helps.
        ready: whether links deliver everything that is desired, the old link of a handover included. False during a server
            fault, and while a canary finds the link deaf.
        reasons: why the connection is not live, or not ready: a sentence each; empty when it is both.
    """

    live: bool
    ready: bool
    reasons: tuple[str, ...] = ()


def health_of(driver: Driver, state: State) -> Health:
    """Judge the health of a connection in a state."""
    if state is State.DISPOSING:
        return Health(live=False, ready=False, reasons=(f"{state}: {STATES[state].brief}",))
    if driver.bound_loop is not None and driver.bound_loop.is_closed():
        return Health(live=False, ready=False, reasons=("the event loop of the connection is closed",))
    reasons = tuple(_obstacles(driver, state))
    return Health(live=True, ready=not reasons, reasons=reasons)


def named(ids: list[str]) -> str:
    """Name subscriptions by their ids, five at most."""
    return f"{', '.join(ids[:_MOST_NAMED])}{', ...' if len(ids) > _MOST_NAMED else ''}"


def delivering(driver: Driver, state: State) -> frozenset[str]:
    """Return the ids of the subscriptions that a link serves now, the old link of a handover included."""
    context, old = driver.context, driver.context.draining
    current = (*context.subscriptions.acknowledged,) if state.is_live else ()
    return frozenset((*current, *(() if old is None else old.served)))


def faulty_since(driver: Driver) -> float | None:
    """Return when the server last worked, in seconds of the loop's clock; None without a server fault.

    During a handover, the fault may be a suspected one of the old link.
    """
    link = driver.context.link
    fault = None if link is None else link.fault
    return fault.since if fault is not None and fault.is_open else driver.outages.faulty_since


def is_deaf(driver: Driver) -> bool:
    """Tell whether a canary was missed, and no echo has come since."""
    return driver.prober is not None and driver.prober.is_deaf


def current_failure(driver: Driver, state: State) -> LinkFailure | None:
    """Return the newest failure while it explains the state: no link has come since, or each link since is deaf."""
    newest, entered = driver.failures.last, driver.context.state_entered_at
    if newest is None or entered is None:
        return None
    if state.is_live:
        return newest.error if is_deaf(driver) and newest.error.kind == "echo_overdue" else None
    return newest.error if driver.failures.noted_at >= entered else None


def _obstacles(driver: Driver, state: State) -> Iterator[str]:
    context, desired = driver.context, tuple(driver.context.subscriptions.desired)
    served = delivering(driver, state)
    missing = [identifier for identifier in desired if identifier not in served]
    if not state.is_live and context.draining is None:
        cause = context.error or current_failure(driver, state)
        yield f"{state}: {STATES[state].brief}" + ("" if cause is None else f"; {cause}")
    elif missing:
        yield f"{len(missing)} of {len(desired)} subscriptions not acknowledged: {named(missing)}"
    if faulty_since(driver) is not None:
        yield "a server fault: the server answers, and cannot do its work"
    if is_deaf(driver):
        yield "a deaf link: a canary did not come back"
