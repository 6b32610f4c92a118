"""The records of the audit log: their types are its schema.

A record names states, rows, numbers and kinds of failure. It never holds a text of the server, a channel's name, a payload or a
secret. `SCHEMA` grows when a field changes its meaning or goes; a field that is added does not change it.
"""

from __future__ import annotations

from inspect import cleandoc
from typing import Any, Literal, get_args

import msgspec

SCHEMA = 1
"""The version of the records."""
RETIRED = "retired"
"""The cause of an outage that begins when a draining link ends before the next one is up."""


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """What every record has.

    Attributes:
        schema: the version of the records.
        machine: the fingerprint of the table that ran.
        connection_id: whose record it is.
        seq: its number among all records of the connection, from 1; a hole means that one is missing.
        timestamp: when it was written, UTC, ISO 8601.
        link: the number of the newest link (its generation); 0 before the first.
    """

    schema: int = SCHEMA
    machine: str
    connection_id: str
    seq: int
    timestamp: str
    link: int


class OpenRecord(Record, frozen=True, kw_only=True, tag="realtime.open"):
    """A connection object was used for the first time.

    Attributes:
        retry: the retry policy, its times in seconds.
        ping: the ping policy, its times in seconds.
        timeouts: the timeouts, in seconds.
        auto_reconnect: whether a lost link is replaced.
        max_link_age: the age at which a link is renewed, in seconds.
        protocol: the era that the server is said to speak; None where it is found out.
        canary: the canary policy, its times in seconds, and whether something is written for it; None where there is none.
        versions: of this library, of Python and of what it runs on.
    """

    retry: dict[str, float | int | None]
    ping: dict[str, float | bool]
    timeouts: dict[str, float | None]
    auto_reconnect: bool
    max_link_age: float | None
    versions: dict[str, str]
    protocol: str | None = None
    canary: dict[str, float | bool] | None = None


class TransitionRecord(Record, frozen=True, kw_only=True, tag="realtime.transition"):
    """A row of the table was taken.

    Attributes:
        row: the row's id.
        trigger: what happened.
        source: the state before.
        dest: the state after; the same where the state stays.
        dwell: seconds since the source state was entered.
        attempt: dials in a row that have not been forgiven.
        sends: frames sent on the newest link so far.
        cause: the kind of failure that the step is about.
        error_code: the code of the server's error frame.
        close_code: the WebSocket close code; 1006 when no close frame came.
        era: what the server speaks, as far as it is known.
        status: the HTTP status of a dial that was answered without an upgrade.
        retry_after: seconds that this answer asked to wait (429 and 503), at most 3,600; None where it did not ask.
        lag: by how many seconds the deadline that the connection waited for had been missed: the process was busy or asleep.
    """

    row: str
    trigger: str
    source: str
    dest: str
    dwell: float
    attempt: int
    sends: int
    cause: str | None
    error_code: int | str | None
    close_code: int | None
    status: int | None = None
    retry_after: float | None = None
    era: str | None = None
    lag: float = 0.0


class SubscriptionRecord(Record, frozen=True, kw_only=True, tag="realtime.subscription"):
    """What became of a subscription.

    Attributes:
        subscription: its id.
        change: what became of it; `withdrawn` is the user's word, and `removed` comes when the server, or the link, has let go.
        error_code: the code of the error frame that rejected it.
        dwell: of what the user did (`desired`, `withdrawn`): seconds since the state was entered.
        size: of `desired`: the bytes that it takes in a request; how many fit into one frame depends on it.
    """

    subscription: str
    change: Literal["desired", "acknowledged", "rejected", "withdrawn", "removed"]
    error_code: int | str | None = None
    dwell: float = 0.0
    size: int = 0


class PresenceRecord(Record, frozen=True, kw_only=True, tag="realtime.presence"):
    """What became of a presence.

    Attributes:
        change: what became of it; after `withdrawn` it is no longer set on later links.
        error_code: the code of the error frame that rejected it; None where the server is too old for one.
        dwell: seconds since the state was entered, where the user says something of it.
    """

    change: Literal["desired", "stored", "rejected", "withdrawn"]
    error_code: int | str | None = None
    dwell: float = 0.0


class PingRecord(Record, frozen=True, kw_only=True, tag="realtime.ping"):
    """A ping was answered by its pong.

    Attributes:
        round_trip: seconds.
    """

    round_trip: float


class OutageRecord(Record, frozen=True, kw_only=True, tag="realtime.outage"):
    """An outage, from the loss of a live link to the next moment at which everything desired is acknowledged.

    A draining link still delivers, so a handover is no outage; but one that fails, or needs a second dial, is.

    Attributes:
        change: whether it begins or ends.
        planned: whether nothing failed: `disconnect()`, `reconnect()`, another identity, an idle link, `max_link_age`.
        seconds: how long it has been; more than 0 where it begins with a handover that needs a second dial.
        dials: how many dials were made in it so far.
        cause: the kind of failure, the trigger where nothing failed, or `retired`: the draining link ended too early.
    """

    change: Literal["opened", "closed"]
    planned: bool
    seconds: float
    dials: int
    cause: str | None = None


class FaultRecord(Record, frozen=True, kw_only=True, tag="realtime.fault"):
    """A server fault on a live link: the server answers, and cannot do its work.

    Attributes:
        change: whether it begins, or ends: with a proof that the server works, or with its link.
        since: when the server had last proved on this link that it worked (a pong, an answer, or the greeting), UTC, ISO 8601.
        until: when it ended, UTC, ISO 8601; None where it begins.
        seconds: from `since` to the moment of the record.
    """

    change: Literal["opened", "closed"]
    since: str
    until: str | None
    seconds: float


class DroppedRecord(Record, frozen=True, kw_only=True, tag="realtime.dropped"):
    """Events of a subscription had to make room: one record an episode, when the consumer has taken something again.

    Attributes:
        subscription: its id.
        count: how many were dropped in the episode.
    """

    subscription: str
    count: int


class PauseRecord(Record, frozen=True, kw_only=True, tag="realtime.pause"):
    """Nothing is read from a link, so that a consumer who is to lose nothing can come after; what is awaited waits, too.

    Attributes:
        change: whether it begins or ends.
        paused: the number of the link.
        seconds: how long it was; 0 where it begins.
        dwell: seconds since the state was entered.
    """

    change: Literal["opened", "closed"]
    paused: int
    seconds: float
    dwell: float


class RetiredRecord(Record, frozen=True, kw_only=True, tag="realtime.retired"):
    """A link that made room for another one has ended by itself, before the other one was up.

    Attributes:
        retired: its number.
        dwell: seconds since the state was entered.
    """

    retired: int
    dwell: float


class CanaryRecord(Record, frozen=True, kw_only=True, tag="realtime.canary"):
    """A canary went out, to prove that events still arrive.

    Attributes:
        change: what became of it: its event came back, or was missed; the server refused it, or the user's callable raised.
        error_code: the code of the error frame that refused it.
        seconds: from when it was due.
    """

    change: Literal["echoed", "missed", "refused", "failed"]
    error_code: int | str | None = None
    seconds: float = 0.0


class GapRecord(Record, frozen=True, kw_only=True, tag="realtime.gap"):
    """A subscription may have missed events.

    Attributes:
        subscription: its id.
        since: the server's time of its last event, ISO 8601; None if it had got none.
        until: when it was acknowledged again, or the server proved that it works again, UTC, ISO 8601.
        seconds: how long it was not acknowledged, the link that it was acknowledged on made room, or the server was at fault.
        dials: how many dials were made meanwhile.
    """

    subscription: str
    since: str | None
    until: str
    seconds: float
    dials: int


class MalformedRecord(Record, frozen=True, kw_only=True, tag="realtime.malformed"):
    """A message of the server could not be used; once a kind and connection.

    Attributes:
        kind: what was wrong.
    """

    kind: str


class CloseRecord(Record, frozen=True, kw_only=True, tag="realtime.close"):
    """A connection object was disposed of, and its socket is closed."""


AnyRecord = (
    OpenRecord
    | TransitionRecord
    | SubscriptionRecord
    | PresenceRecord
    | PingRecord
    | OutageRecord
    | FaultRecord
    | DroppedRecord
    | PauseRecord
    | RetiredRecord
    | CanaryRecord
    | GapRecord
    | MalformedRecord
    | CloseRecord
)
"""What a line of the audit log can be."""

RECORDS: tuple[type[Record], ...] = get_args(AnyRecord)
"""All types of records."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a line of the audit log, made from the types."""
    schemas, components = msgspec.json.schema_components(RECORDS, ref_template="#/$defs/{name}")
    for component in components.values():  # some versions of Python indent docstrings, others do not
        component["description"] = cleandoc(component["description"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"realtime_fsm audit record, schema {SCHEMA}",
        "description": "One line of the audit log. The application's logging may add fields, such as a level.",
        "oneOf": list(schemas),
        "$defs": dict(components),
    }
