"""The frame of an event, whose form depends on its channels and on the era."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from realtime_fsm.testing.messages import TAIL
from realtime_fsm.testing.wire import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    FrameForIds: TypeAlias = Callable[[Sequence[str]], bytes]

_START, _END = b'{"type":"event","data":', b"}}"


def frame_for_ids(
    events: Sequence[str], channels: Sequence[str], timestamp: str, payload: object, *, console: bool, ids: bool
) -> FrameForIds:
    """Encode an event once; the returned function adds the ids of the subscriptions that get the event.

    Args:
        events: the names of the event.
        channels: the channels of the event.
        timestamp: the time of the event.
        payload: a JSON value.
        console: whether the event belongs to the console's own project.
        ids: whether the era has ids of subscriptions.
    """
    if console and any(channel.startswith(TAIL) for channel in channels):
        # The live tail names no time, and its payload comes last (PROTOCOL: "Messages", rule 12).
        return lambda subscriptions: (
            _START
            + encode({"channels": channels, "events": events, "subscriptions": subscriptions, "payload": payload})
            + _END[1:]
        )
    fields = encode({"events": events, "channels": channels, "timestamp": timestamp, "payload": payload})
    if not ids or (console and "project" in channels):
        # E1 and E2, and the statistics on channel `project`, name no subscriptions (PROTOCOL: "Messages", rule 12).
        frame = _START + fields + _END[1:]
        return lambda _: frame
    start = _START + fields[:-1] + b',"subscriptions":'
    return lambda subscriptions: start + encode(subscriptions) + _END
