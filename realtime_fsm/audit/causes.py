"""The causes of outages in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.decoding import MISSING
from realtime_fsm.audit.secret_scan import masked
from realtime_fsm.auditlog.sentences import CAUSES, CODES, meaning

if TYPE_CHECKING:
    from realtime_fsm.audit.decoding import FlatRecord

MEANINGS: dict[str, str] = {**CAUSES, MISSING: "the log does not tell the cause"}
"""Each kind of failure, without a full stop."""

KNOWN_CODES: dict[int, tuple[str, str]] = {
    0: (
        "The server cannot do its work, or it does not allow a query.",
        "Look at the server's log, then at the queries. The client repeats its request.",
    ),
    1003: ("The server does not understand a message: one of the oldest servers (E1) answers a ping so.", ""),
    1006: (
        "The stream ended without a close frame. The client notes this code itself.",
        "Look for a restart of the server, a proxy or middle box that ends connections, or a lost network.",
    ),
    1008: (
        "The server refuses the project, the identity, the origin or a subscription.",
        "Check the project's id, the identity and the platforms of the project.",
    ),
    1009: ("A message was larger than the receiver accepts.", "Raise `max_frame=`, or make the payloads smaller."),
    1013: (
        "The server has received too many dials or messages in this minute.",
        "Wait for the next minute, as the client does. Look for many clients behind one address.",
    ),
    401: ("The server does not know the session, the JWT or the key.", "Give a fresh one, best by a callable."),
    403: ("The identity, or the origin, may not do this.", "Check permissions, and the platforms of the project."),
    429: ("The server, or a proxy, has received too many requests.", "Wait as the client does: it obeys `retry_after`."),
    500: ("The server cannot do its work.", "Look at the server's log. The client repeats its request."),
    503: ("The server, or a proxy, cannot serve now.", "Look at the server. The client obeys `retry_after`."),
}
"""Codes of close frames, error frames and HTTP answers: the meaning of each, and the next step of an operator."""


def describe_cause(kind: str, record: FlatRecord | None = None) -> str:
    """Describe a kind of failure, or a trigger where nothing failed: its meaning, its name, and its code in a record."""
    codes = [f"{word} {masked(value)}" for field, word in CODES if (value := getattr(record, field, None)) is not None]
    return f"{MEANINGS.get(kind) or meaning(kind)} ({', '.join([masked(kind), *codes])})"
