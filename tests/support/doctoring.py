"""Look at the checks of the doctor."""

from __future__ import annotations

from realtime_fsm.ops.doctor.report import Check, Checks
from realtime_fsm.remedies import CHECKS


def made(checks: Checks) -> tuple[Check, ...]:
    """Return the checks that were made so far."""
    return checks.report("", "", ()).checks


def remedy(key: str) -> str:
    """Return a remedy as a terminal shows it."""
    return CHECKS[key].replace("``", "`")
