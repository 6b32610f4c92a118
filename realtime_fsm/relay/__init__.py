"""Publish the events of a connection to a broker, at least once (extra ``nats``).

::

    from realtime_fsm import Realtime
    from realtime_fsm.relay import JetStream, Relay

    async with Realtime("https://cloud.appwrite.io/v1", project="demo") as realtime:
        sink = JetStream("nats://127.0.0.1:4222", stream="APPWRITE")
        await Relay(realtime, "databases.main.tables.orders.rows", sink=sink).run()

An event is done when the broker has acknowledged it. Several relays of the same channels need no leader: each gives an event the
same id, and the broker keeps one copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from realtime_fsm.errors import BadOption
from realtime_fsm.relay.errors import (
    BrokerRefused,
    BrokerUnavailable,
    CatchUpFailed,
    InsecureBroker,
    MessageTooLarge,
    OtherChannelsWarning,
    RelayError,
    ShortWindowWarning,
    StreamFull,
    StreamUnfit,
)
from realtime_fsm.relay.message import Message, parse_subject
from realtime_fsm.relay.relay import Relay, Sink

if TYPE_CHECKING:
    from realtime_fsm.relay.jetstream import JetStream

__all__ = [
    "BrokerRefused",
    "BrokerUnavailable",
    "CatchUpFailed",
    "InsecureBroker",
    "JetStream",
    "Message",
    "MessageTooLarge",
    "OtherChannelsWarning",
    "Relay",
    "RelayError",
    "ShortWindowWarning",
    "Sink",
    "StreamFull",
    "StreamUnfit",
    "parse_subject",
]

if not TYPE_CHECKING:  # for a type checker, each other name is an error

    def __getattr__(name: str) -> Any:
        if name != "JetStream":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            from realtime_fsm.relay.jetstream import JetStream
        except ModuleNotFoundError as missing:
            if (missing.name or "").partition(".")[0] != "nats":
                raise
            raise BadOption("JetStream", 'nats-py is missing; run pip install "realtime-fsm[nats]"') from None
        return JetStream
