"""The frame of an event, as each kind of channel was seen to get it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from realtime_fsm.testing.messages import TAIL
from realtime_fsm.testing.wire import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Framed: TypeAlias = Callable[[Sequence[str]], bytes]
    Shape: TypeAlias = Callable[[Sequence[str], Sequence[str], str, object], Framed]

_START, _END = b'{"type":"event","data":', b"}}"


def shape_of(channels: Sequence[str], *, console: bool, ids: bool) -> Shape:
    """Choose how the server writes an event.

    Args:
        channels: the event's channels.
        console: whether it belongs to the console's own project.
        ids: whether the era has ids of subscriptions.

    Returns:
        What takes the event's names, channels, time and payload, and gives what writes the frame for the ids of subscriptions.
    """
    if console and any(channel.startswith(TAIL) for channel in channels):
        return _tail
    if not ids or (console and "project" in channels):
        return _plain
    return _labelled


def _tail(events: Sequence[str], channels: Sequence[str], timestamp: str, payload: object) -> Framed:
    """The live tail names no time, and its payload comes last (PROTOCOL: "Messages", rule 12)."""
    return lambda ids: (
        _START + encode({"channels": channels, "events": events, "subscriptions": ids, "payload": payload}) + _END[1:]
    )


def _plain(events: Sequence[str], channels: Sequence[str], timestamp: str, payload: object) -> Framed:
    """Without ids: E1 and E2, and the statistics on channel ``project`` (PROTOCOL: "Messages", rule 12)."""
    happening = {"events": events, "channels": channels, "timestamp": timestamp, "payload": payload}
    frame = _START + encode(happening) + _END[1:]
    return lambda _: frame


def _labelled(events: Sequence[str], channels: Sequence[str], timestamp: str, payload: object) -> Framed:
    happening = {"events": events, "channels": channels, "timestamp": timestamp, "payload": payload}
    start = _START + encode(happening)[:-1] + b',"subscriptions":'
    return lambda ids: start + encode(ids) + _END
