"""Appwrite Realtime for asyncio, where the connection is a formal state machine.

::

    async with Realtime("https://cloud.appwrite.io/v1", project="demo") as realtime:
        subscription = await realtime.subscribe("rows", "files")
        async for event in subscription:
            print(event.timestamp, event.events[0], event.payload)
"""

from realtime_fsm.client.listener import Listener
from realtime_fsm.client.realtime import Realtime
from realtime_fsm.client.subscription import MissingChannelWarning, Subscription
from realtime_fsm.diagram import Diagram, DrawingFailed, diagram
from realtime_fsm.errors import (
    AuthenticationRejected,
    BadOption,
    BadTable,
    CertificateRefused,
    ConcurrentIteration,
    ConsumerTooSlow,
    DialFailed,
    Disconnected,
    Disposed,
    Forked,
    FrameTooLarge,
    GreetedAsGuest,
    IdentityUnavailable,
    LinkFailure,
    LinkLost,
    LinkPaused,
    MalformedEvent,
    Misuse,
    NameNotResolved,
    Overdue,
    PresenceRejected,
    RealtimeError,
    RefusedByServer,
    RetriesExhausted,
    ServerError,
    StreamEnded,
    SubscriptionEnded,
    SubscriptionRejected,
    UnsupportedByServer,
    UpgradeRefused,
    WrongLoop,
)
from realtime_fsm.events import Event, PayloadMisfit
from realtime_fsm.fsm.canary_policy import Canary
from realtime_fsm.fsm.change import Change, Failure, Gap
from realtime_fsm.fsm.policies import PingPolicy, PingPolicyWarning, RetryPolicy
from realtime_fsm.fsm.table import TABLE, State, Trigger
from realtime_fsm.fsm.tablespec import Row
from realtime_fsm.identity import TokenUnavailable
from realtime_fsm.protocol.channel_checks import ChannelWarning
from realtime_fsm.protocol.channels import Channel
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.options import Timeouts
from realtime_fsm.runtime.transport import InsecureWarning

__all__ = [
    "TABLE",
    "AuthenticationRejected",
    "BadOption",
    "BadTable",
    "Canary",
    "CertificateRefused",
    "Change",
    "Channel",
    "ChannelWarning",
    "ConcurrentIteration",
    "ConsumerTooSlow",
    "Diagram",
    "DialFailed",
    "Disconnected",
    "Disposed",
    "DrawingFailed",
    "Era",
    "Event",
    "Failure",
    "Forked",
    "FrameTooLarge",
    "Gap",
    "GreetedAsGuest",
    "IdentityUnavailable",
    "InsecureWarning",
    "LinkFailure",
    "LinkLost",
    "LinkPaused",
    "Listener",
    "MalformedEvent",
    "MissingChannelWarning",
    "Misuse",
    "NameNotResolved",
    "Overdue",
    "PayloadMisfit",
    "PingPolicy",
    "PingPolicyWarning",
    "PresenceRejected",
    "Realtime",
    "RealtimeError",
    "RefusedByServer",
    "RetriesExhausted",
    "RetryPolicy",
    "Row",
    "ServerError",
    "State",
    "StreamEnded",
    "Subscription",
    "SubscriptionEnded",
    "SubscriptionRejected",
    "Timeouts",
    "TokenUnavailable",
    "Trigger",
    "UnsupportedByServer",
    "UpgradeRefused",
    "WrongLoop",
    "diagram",
]
