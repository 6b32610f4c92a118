"""The express: the short way for records that are exactly what was expected, which nearly all records are.

The law: it says nothing and gives no benefit of the doubt. A record that it takes moves the shadow just as `follow` would, and
keeps all rules that `judge` would look at; every other one it leaves untouched, to be looked at in full. A test holds the two
ways to the same report.

The theory. A connection that is up pings, is answered, asks for something, is answered. Of such a step only numbers are new. So
each state knows the few rows that are swift from there, and of which kind they are. What follows is written out in one function,
because in Python a call costs more than what there is to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.apply import apply_record
from realtime_fsm.audit.row_facts import ANSWERED, ASKED, GRANTED, PINGED
from realtime_fsm.audit.tracking import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.positions import BlockLines, LineNumbers
    from realtime_fsm.audit.tracking import TrackedConnection


def run_fast_path(
    records: Iterator[FlatRecord],
    live: dict[str, TrackedConnection],
    places: LineNumbers,
    rows: list[str],
    lines: BlockLines | list[bytes] | None,
    before: int,
) -> FlatRecord | None:
    """Take records as long as they are what was expected.

    Args:
        records: of the lines, one of each; what it raises is raised.
        live: the connections that are followed.
        places: counts the lines.
        rows: gets the rows that are taken.
        lines: where the newest lines of each connection are kept, those under way.
        before: the number of lines before them.

    Returns:
        The first record that is something else; None at the end.
    """
    number = places.number
    try:
        for record in records:
            number += 1
            tracked = live.get(record.connection_id)
            if tracked is None or (seq := record.seq) != tracked.seq + 1 or record.link != tracked.link:
                return record
            if row := record.row:
                step = tracked.fast_steps.get(row)
                if (
                    step is None
                    or record.trigger != step.trigger
                    or record.source != step.source
                    or record.dest != step.dest
                    or record.attempt != tracked.attempt
                    or record.cause is not None
                ):
                    return record
                t = tracked.entered + (dwell := record.dwell)
                if t < tracked.now:
                    return record
                kind = step.kind
                sends = record.sends - tracked.sends
                if not sends:
                    if kind is ANSWERED:
                        if dwell > tracked.pong_within:
                            return record
                        tracked.pongs.append(dwell)
                        tracked.entered, tracked.state, tracked.fast_steps = t, step.dest, step.next_fast_steps
                    elif kind is GRANTED:
                        if tracked.request_in_flight is not True or t > tracked.asked_at + tracked.reply_within:
                            return record
                        tracked.request_in_flight = False
                    elif kind is PINGED:
                        return record
                else:
                    sent = tracked.sent
                    if len(sent) == LIMIT:
                        tracked.prune_send_window(t)
                    if sends != 1 or len(sent) == LIMIT or t < tracked.closed_until:
                        return record
                    if kind is PINGED:
                        if tracked.request_in_flight is not False:
                            return record
                        tracked.entered, tracked.state, tracked.fast_steps = t, step.dest, step.next_fast_steps
                    elif kind is GRANTED:
                        if tracked.request_in_flight is not True or t > tracked.asked_at + tracked.reply_within:
                            return record
                        tracked.asked_at = t
                    elif kind is ASKED and tracked.request_in_flight is False:
                        tracked.request_in_flight, tracked.asked_at, tracked.put_back = True, t, False
                    else:
                        return record
                    sent.append(t)
                    tracked.sends = record.sends
                tracked.now = t
                rows.append(row)
            elif record.event == "realtime.ping":
                if record.round_trip < 0:
                    return record
            elif (
                record.event != "realtime.subscription"
                or record.change == "rejected"
                or apply_record(tracked, record) is not None
            ):
                return record
            tracked.seq = seq
            tracked.last = record.timestamp
            if lines is not None:
                tracked.recent.append((number, lines[number - before - 1]))
    finally:
        places.number = number
    return None
