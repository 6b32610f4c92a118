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
    """The behaviour of the servers of one era.

    Attributes:
        name: the name of the era.
        releases: the releases of Appwrite that it spans.
        rate_limit: messages a minute of one connection; None for no limit.
        messages: the types of message that the server knows; any other type gets error 1003.
        ids: whether subscriptions have ids, and queries in the URL count.
        masked: whether a production server masks the texts of error 0 and of errors from 500 on, such as 1003, 1008 and 1013.
        reveals_dial_errors: whether a 1008 that refuses a dial keeps its text all the same.
        login: applies a login by message to the subscriptions: takes the id of the user before, then the account.
        goes_deaf: whether a change of memberships after a stale login ends all events, for every connection (PROTOCOL: "Four
            server eras"). A login is stale where one connection logs in by message as one user, and then as another.
        null_session: the code of the error for a session that is not a text.
        absent_fields: the fields that the era's user documents lack.
    """

    name: EraName
    releases: str
    rate_limit: int | None
    messages: frozenset[str]
    ids: bool
    masked: bool
    reveals_dial_errors: bool
    login: Callable[[Subscriptions, str | None, Account], None]
    goes_deaf: bool
    null_session: int
    absent_fields: frozenset[str]

    @property
    def by_message(self) -> bool:
        """Whether a client subscribes by message; otherwise a dial must name channels."""
        return "subscribe" in self.messages

    def text(self, refusal: Refusal, *, dialing: bool) -> str:
        """Return the text with which a production server refuses a dial, or else a message."""
        maskable = isinstance(refusal.code, str) or refusal.code == UNCAUGHT or refusal.code >= _FAULTS
        revealed = self.reveals_dial_errors and dialing and refusal.code == POLICY
        return MASKED if self.masked and maskable and not revealed else refusal.message


ERAS: Mapping[str, EraRules] = MappingProxyType(
    {
        rules.name: rules
        for rules in (
            EraRules(
                name="E1",
                releases="1.0 to 1.6.0",
                rate_limit=32,
                messages=frozenset({"authentication"}),
                ids=False,
                masked=False,
                reveals_dial_errors=True,
                login=Subscriptions.login_adding_roles,
                goes_deaf=True,
                null_session=BAD_MESSAGE,
                absent_fields=_DERIVED | _IMPERSONATION,
            ),
            EraRules(
                name="E2",
                releases="1.6.1 to 1.8.x",
                rate_limit=None,
                messages=frozenset({"authentication", "ping"}),
                ids=False,
                masked=True,
                reveals_dial_errors=False,
                login=Subscriptions.login_adding_roles,
                goes_deaf=True,
                null_session=UNCAUGHT,
                absent_fields=_DERIVED | _IMPERSONATION,
            ),
            EraRules(
                name="E3",
                releases="1.9.0",
                rate_limit=32,
                messages=frozenset({"authentication", "ping"}),
                ids=True,
                masked=True,
                reveals_dial_errors=True,
                login=Subscriptions.login_replacing_latest,
                goes_deaf=False,
                null_session=UNCAUGHT,
                absent_fields=_DERIVED,
            ),
            EraRules(
                name="E4",
                releases="1.9.5 and later",
                rate_limit=32,
                messages=frozenset({"authentication", "ping", "presence", "subscribe", "unsubscribe"}),
                ids=True,
                masked=True,
                reveals_dial_errors=True,
                login=Subscriptions.login_rebinding,
                goes_deaf=False,
                null_session=BAD_MESSAGE,
                absent_fields=frozenset(),
            ),
        )
    }
)


def era_named(name: str) -> EraRules:
    """Return the era of a name.

    Raises:
        ValueError: when there is no such era.
    """
    if name not in ERAS:
        raise ValueError(f"there is no era {name!r}: give one of {', '.join(ERAS)}")
    return ERAS[name]
