"""The differences between the four eras of servers, from their recordings; everything else is the same in all eras.

E1 to E3 take channels from the URL only, drop every ``account.{...}`` in it, and refuse a dial that has no channel left.
In E1 and E2 a connection has one subscription, without an id. From E3 on, the client learns the id of each subscription.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from realtime_fsm.testing.subscriptions import Subscriptions
from realtime_fsm.testing.wire import BAD_MESSAGE, MASKED, POLICY, UNCAUGHT, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from realtime_fsm.testing.accounts import Account

EraName: TypeAlias = Literal["E1", "E2", "E3", "E4"]

_FAULTS = 500  # the least code of a fault of the server
_DERIVED = frozenset({"emailCanonical", "emailIsFree", "emailIsDisposable", "emailIsCorporate", "emailIsCanonical"})
_IMPERSONATION = frozenset({"impersonator", "impersonatorUserId"})


@dataclass(frozen=True, slots=True)
class EraRules:
    """The behaviour of the servers of one era. The defaults are those of the newest era."""

    name: EraName
    releases: str  # the releases of Appwrite in the era
    rate_limit: int | None = 32  # messages a minute of one connection; None for no limit
    # the types of message that the server knows; any other type gets error 1003
    messages: frozenset[str] = frozenset({"authentication", "ping", "presence", "subscribe", "unsubscribe"})
    ids: bool = True  # whether subscriptions have ids, and queries in the URL count
    # whether a production server masks the texts of error 0 and of errors from 500 on, such as 1003, 1008 and 1013
    masked: bool = True
    reveals_dial_errors: bool = True  # whether such a server keeps the text of a 1008 that refuses a dial
    # the update of the subscriptions at a login by message; takes the id of the user before, and the new account
    login: Callable[[Subscriptions, str | None, Account], None] = Subscriptions.login_rebinding
    # whether a change of memberships after a stale login ends all events, for every connection (PROTOCOL: "Four server eras"). A
    # login is stale if the connection has logged in by message as another user before.
    goes_deaf: bool = False
    null_session: int = BAD_MESSAGE  # the code of the error for a session that is not a text
    absent_fields: frozenset[str] = frozenset()  # the fields that the era's user documents lack

    @property
    def by_message(self) -> bool:
        """Whether a client subscribes by message; otherwise a dial must name channels."""
        return "subscribe" in self.messages

    def text(self, refusal: Refusal, *, dialing: bool) -> str:
        """Return the text of a refusal by a production server."""
        maskable = isinstance(refusal.code, str) or refusal.code == UNCAUGHT or refusal.code >= _FAULTS
        revealed = self.reveals_dial_errors and dialing and refusal.code == POLICY
        return MASKED if self.masked and maskable and not revealed else refusal.message


_E1 = EraRules(
    "E1", "1.0 to 1.6.0", messages=frozenset({"authentication"}), ids=False, masked=False,
    login=Subscriptions.login_adding_roles, goes_deaf=True, absent_fields=_DERIVED | _IMPERSONATION,
)  # fmt: skip
_E2 = EraRules(
    "E2", "1.6.1 to 1.8.x", rate_limit=None, messages=frozenset({"authentication", "ping"}), ids=False,
    reveals_dial_errors=False, login=Subscriptions.login_adding_roles, goes_deaf=True, null_session=UNCAUGHT,
    absent_fields=_DERIVED | _IMPERSONATION,
)  # fmt: skip
_E3 = EraRules(
    "E3", "1.9.0", messages=frozenset({"authentication", "ping"}), login=Subscriptions.login_replacing_latest,
    null_session=UNCAUGHT, absent_fields=_DERIVED,
)  # fmt: skip
_E4 = EraRules("E4", "1.9.5 and later")
ERAS: Mapping[str, EraRules] = MappingProxyType({rules.name: rules for rules in (_E1, _E2, _E3, _E4)})


def era_named(name: str) -> EraRules:
    """Return the era of a name; raise `ValueError` when there is no such era."""
    if name not in ERAS:
        raise ValueError(f"there is no era {name!r}: give one of {', '.join(ERAS)}")
    return ERAS[name]
