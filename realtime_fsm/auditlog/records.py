"""The records of the audit log: their types are its schema.

Invariant: a record holds states, rules, numbers and kinds of failure. It never holds a text of the server, a channel's name, a
payload or a secret.

Design: `SCHEMA` grows when a field changes its meaning or goes. A new field has a default, so old logs stay valid; a default of
`UNSET` leaves the field out of the records that do not need it.
"""

from __future__ import annotations

from inspect import cleandoc
from typing import Any, Literal, TypeAlias, get_args

import msgspec
from msgspec import UNSET, UnsetType

SCHEMA = 1
"""The version of the records."""
RETIRED = "retired"
"""The cause of an outage that begins when the old link of a handover ends before the new one serves everything."""
SubscriptionChange: TypeAlias = Literal["desired", "acknowledged", "rejected", "withdrawn", "removed"]
PresenceChange: TypeAlias = Literal["desired", "stored", "rejected", "withdrawn"]
CanaryChange: TypeAlias = Literal["echoed", "missed", "refused", "failed"]
IntervalChange: TypeAlias = Literal["opened", "closed"]


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """The fields of every record.

    Attributes:
        schema: the version of the records.
        machine: the fingerprint of the table that ran.
        connection_id: the connection of the record.
        seq: the number of the record on its connection, from 1; a hole means that a record is missing.
        timestamp: when the record was written, UTC, ISO 8601.
        link: the number of the newest link (its generation); 0 before the first.
        sentence: a sentence for people, made from the other fields.
    """

    schema: int = SCHEMA
    machine: str
    connection_id: str
    seq: int
    timestamp: str
    link: int
    sentence: str | UnsetType = UNSET


class OpenRecord(Record, frozen=True, kw_only=True, tag="realtime.open"):
    """A connection object was used for the first time.

    Attributes:
        retry: the retry policy, times in seconds.
        ping: the ping policy, times in seconds.
        timeouts: the timeouts, in seconds.
        auto_reconnect: whether a lost link is replaced.
        max_link_age: the age at which a link is renewed, in seconds.
        protocol: the era that the user set; None where the connection detects the era.
        canary: the canary policy, times in seconds, and whether the user writes for it; None without a canary.
        versions: of this library, of Python and of the libraries that it uses.
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
    """The connection took a transition rule.

    Attributes:
        row: the id of the transition rule.
        trigger: the trigger of the rule.
        source: the state before.
        dest: the state after; the same where the state stays.
        dwell: seconds since the source state was entered.
        attempt: dials in a row that have not been forgiven.
        sends: frames sent on the newest link so far.
        cause: the kind of failure that the step is about.
        error_code: the code of the server's error frame.
        close_code: the WebSocket close code; 1006 when no close frame came.
        era: the era of the server, as far as it is known.
        status: the HTTP status of a dial that the server answered without an upgrade.
        retry_after: the seconds that this answer asked to wait (429 and 503), at most 3,600; None where it did not ask.
        lag: by how many seconds the connection had missed its deadline, because the process was busy or asleep.
        at: the moment of the step by the machine's clock, in seconds; `realtime-fsm replay` sets its clock to that.
        draw: the random number from 0 to 1 that spread a delay; absent where the step used none.
        enabled: whether pings are on from this step on; absent where the step does not switch them.
        heard: whether a frame came since the ping, where a pong is overdue, or since the last error frame, where the link ends;
            absent on other steps.
        dial_slot: when the rate limit of the process lets the dial leave, by the machine's clock; absent where none has to wait.
        delay: seconds from the step to the next dial; absent where no dial waits.
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
    at: float | UnsetType = UNSET
    draw: float | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    heard: bool | UnsetType = UNSET
    dial_slot: float | UnsetType = UNSET
    delay: float | UnsetType = UNSET


FACTS = ("draw", "enabled", "heard", "dial_slot")
"""The fields, beside `at`, with the facts on which a step depended. Records of older versions lack all of these fields."""


class SubscriptionRecord(Record, frozen=True, kw_only=True, tag="realtime.subscription"):
    """A subscription changed.

    Attributes:
        subscription: its id.
        change: the user `desired` or has `withdrawn` the subscription; the server `acknowledged` or `rejected` it; it is
            `removed` when it has ended on the server, or with the link.
        error_code: the code of the error frame that rejected it.
        dwell: for `desired` and `withdrawn`: seconds since the state was entered.
        size: for `desired`: the bytes of the subscription in a request; they decide how many fit into one frame.
    """

    subscription: str
    change: SubscriptionChange
    error_code: int | str | None = None
    dwell: float = 0.0
    size: int = 0


class PresenceRecord(Record, frozen=True, kw_only=True, tag="realtime.presence"):
    """A presence changed.

    Attributes:
        change: the user `desired` or has `withdrawn` the presence; the server `stored` or `rejected` it. After `withdrawn` the
            connection sets it on no later link.
        error_code: the code of the error frame that rejected it; None where the server is too old for presences.
        dwell: for `desired` and `withdrawn`: seconds since the state was entered.
    """

    change: PresenceChange
    error_code: int | str | None = None
    dwell: float = 0.0


class PingRecord(Record, frozen=True, kw_only=True, tag="realtime.ping"):
    """The server answered a ping.

    Attributes:
        round_trip: seconds from the ping to its answer.
    """

    round_trip: float


class OutageRecord(Record, frozen=True, kw_only=True, tag="realtime.outage"):
    """An outage, from the loss of a live link to the next moment at which everything desired is acknowledged.

    Attributes:
        change: whether the outage begins or ends.
        planned: whether nothing failed: `disconnect()`, another identity, an idle link.
        seconds: how long it was; 0 where it begins.
        dials: how many dials the connection made in it so far.
        cause: the kind of failure, the trigger where nothing failed, or `retired`: the old link of a handover ended too early.
    """

    change: IntervalChange
    planned: bool
    seconds: float
    dials: int
    cause: str | None = None


class FaultRecord(Record, frozen=True, kw_only=True, tag="realtime.fault"):
    """A server fault on a live link: the server answers, and cannot do its work.

    Attributes:
        change: whether the fault begins or ends: with a proof that the server works, or with its link.
        since: when the server last proved on this link that it worked (a pong, an answer, or the greeting), UTC, ISO 8601.
        until: when the fault ended, UTC, ISO 8601; None where it begins.
        seconds: from `since` to the moment of the record.
    """

    change: IntervalChange
    since: str
    until: str | None
    seconds: float


class DroppedRecord(Record, frozen=True, kw_only=True, tag="realtime.dropped"):
    """Events of a subscription were dropped: one record an episode, when the consumer takes events again.

    Attributes:
        subscription: its id.
        count: how many events were dropped in the episode.
    """

    subscription: str
    count: int


class PauseRecord(Record, frozen=True, kw_only=True, tag="realtime.pause"):
    """The connection reads nothing from a link while a consumer that must lose nothing catches up.

    Attributes:
        change: whether the pause begins or ends.
        paused: the number of the link.
        seconds: how long it was; 0 where it begins.
        dwell: seconds since the state was entered.
    """

    change: IntervalChange
    paused: int
    seconds: float
    dwell: float


class RetiredRecord(Record, frozen=True, kw_only=True, tag="realtime.retired"):
    """A draining link ended before the next link was up.

    Attributes:
        retired: the number of the draining link.
        dwell: seconds since the state was entered.
    """

    retired: int
    dwell: float


class CanaryRecord(Record, frozen=True, kw_only=True, tag="realtime.canary"):
    """A canary went out, to prove that events still arrive.

    Attributes:
        change: its event came back (`echoed`) or did not (`missed`); the server `refused` it, or the user's callable raised
            (`failed`).
        error_code: the code of the error frame that refused it.
        seconds: since the canary was due.
    """

    change: CanaryChange
    error_code: int | str | None = None
    seconds: float = 0.0


class GapRecord(Record, frozen=True, kw_only=True, tag="realtime.gap"):
    """A subscription may have missed events.

    Attributes:
        subscription: its id.
        since: the server's time of its last event, ISO 8601; None without an event.
        until: when it was acknowledged again, or the server proved that it works again, UTC, ISO 8601.
        seconds: how long it was not acknowledged, its link was draining, or the server was at fault.
        dials: how many dials the connection made meanwhile.
    """

    subscription: str
    since: str | None
    until: str
    seconds: float
    dials: int


class MalformedRecord(Record, frozen=True, kw_only=True, tag="realtime.malformed"):
    """A message of the server could not be used: one record for each kind on a connection.

    Attributes:
        kind: the kind of mistake.
    """

    kind: str


class RelayedRecord(Record, frozen=True, kw_only=True, tag="realtime.relayed"):
    """A relay handed events to a broker since its last record: at most one record in ten seconds, and one at its end.

    Attributes:
        stored: how many messages the broker has stored, gaps included.
        duplicates: how many messages the broker had stored before, from another relay or before a loss.
        lag: seconds between the server's time of the newest event and its storing, by the clock of this machine.
    """

    stored: int
    duplicates: int
    lag: float


class CloseRecord(Record, frozen=True, tag="realtime.close"):
    """The user disposed of a connection object, and its socket is closed."""


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
    | RelayedRecord
    | CloseRecord
)
"""A line of the audit log."""

RECORDS: tuple[type[Record], ...] = get_args(AnyRecord)
"""All types of records."""


def json_schema() -> dict[str, Any]:
    """Make the JSON Schema of a line of the audit log."""
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
