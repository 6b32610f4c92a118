"""What differs between the four eras of servers: one row each, from their recordings. What is not here is the same in all.

E1 to E3 take the channels from the URL only, drop every ``account.{...}`` that is asked for, and refuse a dial that has no
channel left. In E1 and E2 a connection has one nameless subscription; from E3 on, each has an id that the client is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from realtime_fsm.testing.subscriptions import Subscriptions
from realtime_fsm.testing.wire import MASKED, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from realtime_fsm.testing.identity import Account

EraName: TypeAlias = Literal["E1", "E2", "E3", "E4"]

_POLICY, _BAD_MESSAGE, _UNCAUGHT, _FAULTS = 1008, 1003, 0, 500
_DERIVED = frozenset({"emailCanonical", "emailIsFree", "emailIsDisposable", "emailIsCorporate", "emailIsCanonical"})
_IMPERSONATION = frozenset({"impersonator", "impersonatorUserId"})


@dataclass(frozen=True, slots=True)
class EraRules:
    """The habits of the servers of one time.

    Attributes:
        name: the era's name.
        releases: which releases of Appwrite it spans.
        rate_limit: messages a minute of one connection; None for no limit.
        messages: the types of message that it understands; any other gets error 1003.
        ids: whether subscriptions have ids, and queries in the URL are heeded.
        masked: whether texts of error 0 and of errors from 500 on (1003, 1008 and 1013 are such) are masked in production.
        explains: whether the text of a 1008 that refuses a dial is said all the same.
        login: what the message ``authentication`` does to the subscriptions: the user's id before, then the account.
        goes_deaf: whether a change of memberships behind a stale login ends all events, for everybody (PROTOCOL: "Four server
            eras"). A stale login is one by message as one user and then as another.
        null_session: the code of the error for a session that is no text.
        unknown: what a user document does not hold yet.
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
        """Whether a client subscribes by message; where not, a dial must bring channels."""
        return "subscribe" in self.messages

    def text(self, refusal: Refusal, *, dialing: bool) -> str:
        """What a production server says of a refusal.

        Args:
            refusal: the refusal.
            dialing: whether it answers a dial.

        Returns:
            The text of the error frame.
        """
        fault = isinstance(refusal.code, str) or refusal.code == _UNCAUGHT or refusal.code >= _FAULTS
        said = self.reveals_dial_errors and dialing and refusal.code == _POLICY
        return MASKED if self.masked and fault and not said else refusal.message


ERAS: Mapping[str, EraRules] = MappingProxyType(
    {
        era.name: era
        for era in (
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
                null_session=_BAD_MESSAGE,
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
                null_session=_UNCAUGHT,
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
                login=Subscriptions.replace_latest,
                goes_deaf=False,
                null_session=_UNCAUGHT,
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
                null_session=_BAD_MESSAGE,
                absent_fields=frozenset(),
            ),
        )
    }
)


def era_named(name: str) -> EraRules:
    """Look an era up.

    Args:
        name: its name.

    Returns:
        The era.

    Raises:
        ValueError: when there is none of that name.
    """
    if name not in ERAS:
        raise ValueError(f"there is no era {name!r}: give one of {', '.join(ERAS)}")
    return ERAS[name]
