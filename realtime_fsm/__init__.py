"""Appwrite Realtime for asyncio, where the connection is a formal state machine.

::

    async with Realtime("https://cloud.appwrite.io/v1", project="demo") as realtime:
        subscription = await realtime.subscribe("rows", "files")
        async for event in subscription:
            print(event.timestamp, event.events[0], event.payload)
"""

from realtime_fsm.edges.transport import InsecureWarning
from realtime_fsm.face.client import Realtime
from realtime_fsm.face.diagram import Diagram, DrawingFailed, diagram
from realtime_fsm.face.listener import Listener
from realtime_fsm.face.subscription import MissingChannelWarning, Subscription
from realtime_fsm.vocabulary.canary import Canary
from realtime_fsm.vocabulary.change import Change, Failure, Gap
from realtime_fsm.vocabulary.channel_checks import ChannelWarning
from realtime_fsm.vocabulary.channels import Channel
from realtime_fsm.vocabulary.eras import Era
from realtime_fsm.vocabulary.errors import (
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
    PayloadMisfit,
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
from realtime_fsm.vocabulary.events import Event
from realtime_fsm.vocabulary.form import Row
from realtime_fsm.vocabulary.options import Timeouts
from realtime_fsm.vocabulary.policies import PingPolicy, PingPolicyWarning, RetryPolicy
from realtime_fsm.vocabulary.table import TABLE, State, Trigger

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
    "Trigger",
    "UnsupportedByServer",
    "UpgradeRefused",
    "WrongLoop",
    "diagram",
]
