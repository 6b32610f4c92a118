"""The sentences: each record as text for people, and the level of each step.

Invariant: a sentence comes from the fields of its record alone, so it holds no text of the server, no channel's name, no payload
and no secret.

Design: the words of a step come from its transition rule, once for each rule. A record then takes one `str.format`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from realtime_fsm.auditlog import records
from realtime_fsm.fsm.descriptions import GUARD_LABELS, NEGATED_GUARD_LABELS, TRIGGERS, TriggerSource
from realtime_fsm.fsm.names import Effect, Guard
from realtime_fsm.fsm.table import LIVE, TABLE, State

if TYPE_CHECKING:
    from realtime_fsm.auditlog.records import Record, TransitionRecord
    from realtime_fsm.fsm.table import Trigger
    from realtime_fsm.fsm.tablespec import Row

CAUSES: dict[str, str] = {
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
    records.RETIRED: "the old link ended before the new one served everything",
}
"""The meaning of each kind of failure, without a full stop."""
CODES = (("error_code", "code"), ("close_code", "close code"), ("status", "HTTP status"))
"""The fields of a record that hold a code, each with its name in a sentence."""

_REASONS: dict[str, str] = {
    trigger: f"the program called {told.phrase}" if told.source is TriggerSource.USER else f"nothing failed: {told.phrase}"
    for trigger, told in TRIGGERS.items()
}


def meaning(kind: str) -> str:
    """Return the words for a cause: a kind of failure, or the trigger of a step where nothing failed."""
    return CAUSES.get(kind) or _REASONS.get(kind, CAUSES["link_failure"])


def _level(row: Row[State, Trigger]) -> str:
    """Choose the level of a step in which nothing fails. A heartbeat is for debugging, although it changes the state."""
    if row.dest is State.ERROR:
        return "error"
    beats = State.PING in (row.source, row.dest) and row.dest in LIVE
    return "debug" if row.dest is None or beats else "info"


_LEVELS = {row.id: _level(row) for row in TABLE.rows}
_FAILING = frozenset(
    row.id for row in TABLE.rows if Effect.ABORT_LINK in row.effects and Effect.USE_URL_SUBSCRIPTIONS not in row.effects
)
"""The rules with which a cause ends an attempt or a link; a dial that only finds out the era does not fail."""
_LOSING = frozenset(row.id for row in TABLE.rows if row.id in _FAILING and not {Effect.DIAL, Effect.RESUME_LINK} & {*row.effects})
"""The rules that leave a connection without a link for a while."""


def level_of(rule: str, *, fails: bool) -> str:
    """Return the level of a step by a transition rule; `fails` tells whether the step has a cause."""
    level = _LEVELS[rule]
    return "warning" if fails and level != "error" and rule in _FAILING else level


def _words(row: Row[State, Trigger]) -> str:
    """Write the template of a step: 0 is the record, 1 the cause, and 2 the next dial."""
    if row.id in _LOSING:
        head = "dial {0.attempt} failed" if row.source is State.RECONNECTING else "link {0.link} lost"
        return f"{head}: {{1}}; {_outcome(row)}"
    where = f"{row.source} -> {row.dest}" if row.dest is not None else f"{row.source}"
    if TRIGGERS[row.trigger].source is TriggerSource.USER:
        return f"{where}: {_REASONS[row.trigger]}"
    why = row.why.removesuffix(".").replace("`", "")
    why = why[0].lower() + why[1:]
    if Effect.DIAL not in row.effects:  # the number of the record is that of the link, and of no newer one
        why = f"link {{0.link}} {why.removeprefix('the link ')}" if why.startswith("the link ") else why
    return f"{where}: {why}"


def _outcome(row: Row[State, Trigger]) -> str:
    if row.dest is State.ERROR:
        is_fatal = Guard.IS_FATAL in row.guards
        return f"no dial follows: {GUARD_LABELS[Guard.IS_FATAL] if is_fatal else NEGATED_GUARD_LABELS[Guard.MAY_RETRY]}"
    return "no dial follows: auto_reconnect is off" if row.dest is State.DISCONNECTED else "{2}"


_STEPS = {row.id: _words(row) for row in TABLE.rows}
_STEP_OF_ANOTHER_TABLE = "{0.source} -> {0.dest}: {0.trigger}"

_ID = "{0.subscription:.8}"  # the first 8 characters tell subscriptions apart
_TEMPLATES: dict[tuple[type[Record], str], str] = {
    (records.OpenRecord, ""): "the connection is used for the first time: realtime-fsm {0.versions[realtime-fsm]},"
    " Python {0.versions[python]}",
    (records.SubscriptionRecord, "desired"): f"the program wants subscription {_ID}",
    (records.SubscriptionRecord, "acknowledged"): f"the server acknowledges subscription {_ID}",
    (records.SubscriptionRecord, "rejected"): f"the server rejects subscription {_ID}{{1}}",
    (records.SubscriptionRecord, "withdrawn"): f"the program no longer wants subscription {_ID}",
    (records.SubscriptionRecord, "removed"): f"subscription {_ID} has ended on the server",
    (records.PresenceRecord, "desired"): "the program wants a presence",
    (records.PresenceRecord, "stored"): "the server has stored the presence",
    (records.PresenceRecord, "rejected"): "the server rejects the presence{1}",
    (records.PresenceRecord, "withdrawn"): "the program no longer wants the presence",
    (records.PingRecord, ""): "the server answered a ping after {0.round_trip:.3f} s",
    (records.OutageRecord, "opened"): "{2} outage begins",
    (records.OutageRecord, "closed"): "the outage is over after {0.seconds:.1f} s and {3}",
    (records.FaultRecord, "opened"): "the server is at fault: it answers, and cannot do its work",
    (records.FaultRecord, "closed"): "the fault of the server is over after {0.seconds:.1f} s",
    (records.DroppedRecord, ""): f"subscription {_ID} dropped {{0.count}} of its events, because the consumer was too slow",
    (records.PauseRecord, "opened"): "link {0.paused} is not read until a slow consumer catches up",
    (records.PauseRecord, "closed"): "link {0.paused} is read again after {0.seconds:.1f} s",
    (records.RetiredRecord, ""): "link {0.retired} lost: it was draining, and the next link is not up",
    (records.CanaryRecord, "echoed"): "the canary came back after {0.seconds:.1f} s",
    (records.CanaryRecord, "missed"): "the canary did not come back within {0.seconds:.1f} s",
    (records.CanaryRecord, "refused"): "the server refused the canary{1}",
    (records.CanaryRecord, "failed"): "the callable that writes the canary raised an exception",
    (records.GapRecord, ""): f"subscription {_ID} may have missed events for {{0.seconds:.1f}} s, with {{3}} meanwhile",
    (records.MalformedRecord, ""): "the server sent a message that cannot be used: {0.kind}",
    (records.RelayedRecord, ""): "the broker stored messages of the relay: {0.stored}, the newest {0.lag:.1f} s after its event",
    (records.CloseRecord, ""): "the connection is disposed of, and its socket is closed",
}
"""The words by the type of a record and its change: 0 is the record, 1 its codes, 2 the kind of an outage, and 3 its dials."""


def sentence(record: Record) -> str:
    """Write a record as a sentence, without a full stop: ``link 3 lost: the server sent an error (code 0); dial 1 in 1.8 s``."""
    if isinstance(record, records.TransitionRecord):
        return _step(record)
    outage, dials = "a planned" if getattr(record, "planned", None) else "an", getattr(record, "dials", None)
    return _TEMPLATES[type(record), getattr(record, "change", "")].format(
        record, _codes(record), outage, f"{dials} dial{'s' * (dials != 1)}"
    )


def _step(record: TransitionRecord) -> str:
    template = _STEPS.get(record.row, _STEP_OF_ANOTHER_TABLE)
    cause = "" if record.cause is None else f"{meaning(record.cause)}{_codes(record)}"
    dial = "" if record.delay is UNSET else f"dial {record.attempt + 1} in {record.delay:.1f} s"
    if "{" in template:
        template = template.format(record, cause or CAUSES["link_failure"], dial or f"dial {record.attempt + 1} follows")
        if record.row in _LOSING:
            return template
    return "; ".join(filter(None, (template, cause, dial)))


def _codes(record: Record) -> str:
    told = [f"{word} {value}" for field, word in CODES if (value := getattr(record, field, None)) is not None]
    return f" ({', '.join(told)})" if told else ""
