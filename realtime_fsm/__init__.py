"""Appwrite Realtime for asyncio, where the connection is a formal state machine.

::

    async with Realtime("https://cloud.appwrite.io/v1", project="demo") as realtime:
        subscription = await realtime.subscribe("rows", "files")
        async for event in subscription:
            print(event.timestamp, event.events[0], event.payload)

Design: each name is loaded when it is used, because pytest imports this package in every run, for the plugin of the test kit.
"""

# ruff: noqa: F405  (the errors among the names come by a star import)
from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_fsm.client.explanation import ExplainedSubscription, Explanation
    from realtime_fsm.client.health import Health
    from realtime_fsm.client.listener import Listener
    from realtime_fsm.client.realtime import Realtime
    from realtime_fsm.client.subscription import MissingChannelWarning, Subscription
    from realtime_fsm.diagram import Diagram, DrawingFailed, diagram
    from realtime_fsm.errors import *  # noqa: F403  (the names of `__all__` that no other line imports)
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

__version__ = "0.1.0"

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
    "ExplainedSubscription",
    "Explanation",
    "Failure",
    "Forked",
    "FrameTooLarge",
    "Gap",
    "GreetedAsGuest",
    "Health",
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

_NAMES = {
    "client.explanation": "ExplainedSubscription Explanation",
    "client.health": "Health",
    "client.listener": "Listener",
    "client.realtime": "Realtime",
    "client.subscription": "MissingChannelWarning Subscription",
    "diagram": "Diagram DrawingFailed diagram",
    "events": "Event PayloadMisfit",
    "identity": "TokenUnavailable",
    "fsm.canary_policy": "Canary",
    "fsm.change": "Change Failure Gap",
    "fsm.policies": "PingPolicy PingPolicyWarning RetryPolicy",
    "fsm.table": "State TABLE Trigger",
    "fsm.tablespec": "Row",
    "protocol.channel_checks": "ChannelWarning",
    "protocol.channels": "Channel",
    "protocol.eras": "Era",
    "protocol.options": "Timeouts",
    "runtime.transport": "InsecureWarning",
}
_MODULES = dict.fromkeys(__all__, "errors") | {name: module for module, names in _NAMES.items() for name in names.split()}


class _Package(ModuleType):
    """The package, where `diagram` is the function, though a subpackage has the same name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "diagram" or not isinstance(value, ModuleType):  # the import system binds the subpackage here
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

if not TYPE_CHECKING:  # for a type checker, each other name is an error

    def __getattr__(name: str) -> Any:
        module = _MODULES.get(name)
        if module is not None:
            value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
            return value
        if not name.startswith("_"):  # a module of the package
            try:
                return import_module(f"{__name__}.{name}")
            except ModuleNotFoundError as failure:
                if failure.name != f"{__name__}.{name}":
                    raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
