"""The checks of an examination, and the report with the most probable cause of missing events."""

from __future__ import annotations

from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, NoReturn

import msgspec

from realtime_fsm.remedies import remedy_of

if TYPE_CHECKING:
    from collections.abc import Callable

ORDER = ("name", "tcp", "proxy", "tls", "clock", "upgrade", "greeting", "identity", "ping", "era", "subscribe")
"""The checks of each examination, in their order."""
_SPECIFIC = ("era", "subscribe", "identity", "idle")
"""The checks whose warning can explain missing events: the more certain one first."""


class Status(StrEnum):
    """The outcome of a check."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


class Check(msgspec.Struct, frozen=True):
    """One check.

    Attributes:
        name: the checked step, such as ``"tls"``.
        status: the outcome.
        text: the finding.
        remedy: the next step of an operator; empty where nothing is to be done. Backquotes mark code.
    """

    name: str
    status: Status
    text: str
    remedy: str = ""


class Report(msgspec.Struct, frozen=True):
    """The result of an examination.

    Attributes:
        endpoint: the examined endpoint.
        project: the project's id.
        status: the worst status of all checks.
        checks: the checks, in their order.
        not_checked: the names of checks that an earlier failure prevented.
        cause: a sentence about the most probable cause of missing events.
    """

    endpoint: str
    project: str
    status: Status
    checks: tuple[Check, ...]
    not_checked: tuple[str, ...]
    cause: str


class ExaminationEnded(Exception):
    """A failed check makes the later ones impossible."""


class Checks:
    """Collects checks, and calls ``on_check`` with each at once."""

    def __init__(self, on_check: Callable[[Check], object] | None) -> None:
        self._on_check = on_check
        self._done: list[Check] = []

    def ok(self, name: str, text: str) -> None:
        """Add a check without a finding."""
        self._add(Check(name, Status.OK, text))

    def warn(self, name: str, text: str, remedy: str) -> None:
        """Add a warning with the remedy of this key."""
        self._add(Check(name, Status.WARNING, text, remedy_of(remedy)))

    def fail(self, name: str, text: str, remedy: str | Exception) -> None:
        """Add a failure with the remedy of this key, or of this error."""
        self._add(Check(name, Status.FAILED, text, remedy_of(remedy)))

    def end(self, name: str, text: str, remedy: str | Exception) -> NoReturn:
        """Add a failure that makes all later checks impossible."""
        self.fail(name, text, remedy)
        raise ExaminationEnded

    def _add(self, check: Check) -> None:
        self._done.append(check)
        if self._on_check is not None:
            self._on_check(check)

    def report(self, endpoint: str, project: str, planned: tuple[str, ...]) -> Report:
        """Make the report; ``planned`` names all checks that were to be done."""
        done = {check.name for check in self._done}
        left = tuple(name for name in planned if name not in done)
        status = max((check.status for check in self._done), key=list(Status).index, default=Status.OK)
        return Report(endpoint, project, status, tuple(self._done), left, _cause(self._done, planned))


def _cause(checks: list[Check], planned: tuple[str, ...]) -> str:
    """Choose the check that explains missing events best: the first failure, else the most certain warning."""
    failures = (check for check in checks if check.status is Status.FAILED)
    warnings = (check for name in _SPECIFIC for check in checks if (check.name, check.status) == (name, Status.WARNING))
    if check := next(chain(failures, warnings), None):
        return f"Most probable cause of missing events: {check.name}: {check.text}"
    further = " and ".join(f"--{name}" for name in ("echo", "idle") if name not in planned)
    more = f"{further} look further; then check" if further else "Check"
    return f"No check explains missing events. {more} read permissions, ids and queries: see 'Solve \"I get no events\"'."
