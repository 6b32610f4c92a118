"""The causes of outages in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.decoding import MISSING
from realtime_fsm.audit.secret_scan import masked
from realtime_fsm.auditlog.records import RETIRED
from realtime_fsm.fsm.descriptions import TRIGGERS, TriggerSource
from realtime_fsm.fsm.table import Trigger

if TYPE_CHECKING:
    from realtime_fsm.audit.decoding import FlatRecord

MEANINGS: dict[str, str] = {
    "link_failure": "the link failed",
    "dial_failed": "no connection to the server came about",
    "name_not_resolved": "the name of the server could not be looked up",
    "upgrade_refused": "the server, or a proxy, answered the dial with an HTTP status",
    "certificate_refused": "the certificate of the server is not trusted",
    "identity_unavailable": "the callable for the session or JWT raised an exception",
    "token_unavailable": "the server gave no token for the user",
    "greeted_as_guest": "the server does not know the session or JWT",
    "stream_ended": "the server, or a middle box, ended the stream",
    "frame_too_large": "a message of the server was larger than the limit",
    "error_frame": "the server sent an error",
    "upgrade_overdue": "the server did not answer the dial in time",
    "greeting_overdue": "the server did not greet in time",
    "reply_overdue": "the server did not answer a request in time",
    "pong_overdue": "the link was silent: the server did not answer a ping in time",
    "echo_overdue": "the link was deaf: a canary did not come back",
    RETIRED: "the old link ended before the new one served everything",
    MISSING: "the log does not tell the cause",
}
"""Each kind of failure, without a full stop."""
_CODES = (("error_code", "code"), ("close_code", "close code"), ("status", "HTTP status"))


def describe_cause(kind: str, record: FlatRecord | None = None) -> str:
    """Describe a cause by its meaning, its name, and its code where a record has one.

    Args:
        kind: the kind of failure, or the trigger where nothing failed.
        record: the step that tells the cause.
    """
    codes = [f"{word} {masked(value)}" for field, word in _CODES if (value := getattr(record, field, None)) is not None]
    return f"{_meaning(kind)} ({', '.join([masked(kind), *codes])})"


def _meaning(kind: str) -> str:
    trigger = next((each for each in Trigger if each.value == kind), None)
    if kind in MEANINGS or trigger is None:
        return MEANINGS.get(kind, MEANINGS["link_failure"])
    told = TRIGGERS[trigger]
    return f"the program called {told.phrase}" if told.side is TriggerSource.USER else f"nothing failed: {told.phrase}"
