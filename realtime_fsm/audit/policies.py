"""The settings of a connection, as its `realtime.open` record tells them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from realtime_fsm.fsm.canary_policy import Canary
from realtime_fsm.fsm.policies import PingPolicy, PingPolicyWarning, RetryPolicy
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.options import Timeouts

if TYPE_CHECKING:
    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.auditlog.records import OpenRecord

_UNTOLD_CHANNEL = "canary"
"""A placeholder for the channel of a canary, which no record tells."""


class Policies:
    """The settings of a `realtime.open` record.

    Raises:
        BadOption, TypeError: for settings that the library does not accept.
    """

    __slots__ = ("auto_reconnect", "canary", "era", "max_link_age", "ping", "retry", "timeouts")

    def __init__(self, opened: OpenRecord | FlatRecord) -> None:
        given: Any = opened
        self.retry: RetryPolicy = RetryPolicy(**given.retry)
        with warnings.catch_warnings():  # the program that built the policy was warned
            warnings.simplefilter("ignore", PingPolicyWarning)
            self.ping: PingPolicy = PingPolicy(**given.ping)
        self.timeouts: Timeouts = Timeouts(**given.timeouts)
        self.auto_reconnect: bool = opened.auto_reconnect
        self.max_link_age: float | None = opened.max_link_age
        self.era: Era | None = None if opened.protocol is None else Era(opened.protocol)
        self.canary: Canary | None = None if opened.canary is None else _canary(opened.canary)

    @property
    def by_name(self) -> dict[str, Any]:
        """The settings by the names of the parameters of `ConnectionContext`; `Realtime` has the same names."""
        return {name: getattr(self, name) for name in self.__slots__}


def _canary(told: dict[str, float | bool]) -> Canary:
    """Build the canary policy, with a placeholder for the user's callable."""
    given: Any = {name: value for name, value in told.items() if name != "write"}
    return Canary(**given, write=_write, channel=_UNTOLD_CHANNEL) if told.get("write") else Canary(**given)


async def _write() -> None:
    """Stand for the user's callable; the audit never calls it."""
