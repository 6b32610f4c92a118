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

    from realtime_fsm.runtime.driver import Driver

NAMED = 5
"""The ids of subscriptions that a reason names at most."""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a connection lives, and whether it delivers.

    Attributes:
        live: whether the connection can go on. False after ``dispose()``, and when its event loop is closed: nothing but a new
            connection helps then.
        ready: whether links deliver everything that is desired. The old link of a handover counts, an open server fault does not,
            nor does a deaf link.
        reasons: why it is not live, or not ready; empty when it is both.
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


def delivering(driver: Driver, state: State) -> frozenset[str]:
    """Return the ids of the subscriptions that a link serves now, the old link of a handover included."""
    context, old = driver.context, driver.context.draining
    current = (*context.subscriptions.acknowledged,) if state.is_live else ()
    return frozenset((*current, *(() if old is None else old.served)))


def faulty_since(driver: Driver) -> float | None:
    """Return when the server last worked, in seconds of the loop's clock; None without an open server fault."""
    link = driver.context.link
    fault = None if link is None else link.fault
    return fault.since if fault is not None and fault.is_open else driver.outages.faulty_since


def is_deaf(driver: Driver) -> bool:
    """Tell whether a canary was missed, and no echo has come since."""
    return driver.prober is not None and driver.prober.is_deaf


def _obstacles(driver: Driver, state: State) -> Iterator[str]:
    context, desired = driver.context, tuple(driver.context.subscriptions.desired)
    served = delivering(driver, state)
    missing = [identifier for identifier in desired if identifier not in served]
    if not state.is_live and context.draining is None:
        entered, failure = context.state_entered_at, driver.failures.last
        recent = failure is not None and entered is not None and driver.failures.noted_at >= entered
        cause = driver.context.error or (failure.error if failure is not None and recent else None)
        yield f"{state}: {STATES[state].brief}" + ("" if cause is None else f"; {cause}")
    elif missing:
        named = ", ".join(missing[:NAMED]) + (", ..." if len(missing) > NAMED else "")
        yield f"{len(missing)} of {len(desired)} subscriptions not acknowledged: {named}"
    if faulty_since(driver) is not None:
        yield "a server fault: the server answers, and cannot do its work"
    if is_deaf(driver):
        yield "a deaf link: a canary did not come back"
