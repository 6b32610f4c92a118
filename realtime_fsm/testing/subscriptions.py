"""The subscriptions of one connection: who listens to what, as whom, and what a login in the middle of a connection does.

A server holds roles with each subscription, not with the connection. That is why a login by message may reach a part of them
only: every era re-reads its own bookkeeping in its own way, and each way is a method here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from realtime_fsm.testing.identity import Account
    from realtime_fsm.testing.queries import Query

GUEST = frozenset({"any", "guests"})
"""The roles of nobody in particular."""

_ACTIONS = frozenset({"create", "update", "upsert", "delete"})


@dataclass(frozen=True, slots=True)
class ChannelSubscription:
    """What one subscription gets on one channel.

    Attributes:
        queries: what must hold, all of it.
        roles: as whom it listens.
    """

    queries: Sequence[Query]
    roles: frozenset[str]


class Subscriptions:
    """Which subscription listens to which channel, under which queries, as whom.

    Attributes:
        ids: the ids, oldest first.
    """

    def __init__(self) -> None:
        self.ids: dict[str, None] = {}
        # An event frame lists ids by the event's channels, then by entry into the channel; so this is kept by channel.
        self._channels: dict[str, dict[str, ChannelSubscription]] = {}
        self._latest: list[str] = []  # the channels that were added last: all that E1 to E3 remember of a connection

    def add(self, identifier: str, channels: Iterable[str], queries: Sequence[Query], roles: frozenset[str]) -> None:
        """Add channels to a subscription, known or new; on a channel that it has, queries and roles are replaced.

        Args:
            identifier: its id.
            channels: the channels, as `rewritten` gives them.
            queries: what must hold on them, all of it.
            roles: as whom it listens.
        """
        self.ids[identifier] = None
        self._latest = list(channels)
        for channel in self._latest:
            self._channels.setdefault(channel, {})[identifier] = ChannelSubscription(queries, roles)

    def remove(self, identifier: str) -> bool:
        """Remove a subscription.

        Args:
            identifier: its id.

        Returns:
            Whether there was one.
        """
        known = identifier in self.ids
        self.ids.pop(identifier, None)
        for holders in self._channels.values():
            holders.pop(identifier, None)
        return known

    def matching(self, channels: Iterable[str], roles: frozenset[str], payload: object) -> list[str]:
        """Find the subscriptions that an event goes to.

        Args:
            channels: the event's channels.
            roles: who may see it.
            payload: its payload, as PHP holds it.

        Returns:
            Their ids, in the order in which the server lists them.
        """
        found: dict[str, None] = {}
        for channel in channels:
            for identifier, grant in self._channels.get(channel, {}).items():
                if not roles.isdisjoint(grant.roles) and all(query.holds(payload) for query in grant.queries):
                    found[identifier] = None
        return list(found)

    def login_adding_roles(self, before: str | None, account: Account) -> None:
        """Let an account in as E1 and E2 do: what there was stays, and the account's roles come on top.

        The old users' roles stay for good. ``account`` gains ``account.{user}``; the login after that loses ``account``, for
        the server turns its list of channels around, where the two stand in one place.

        Args:
            before: the id of the user before; here it does not matter.
            account: who logs in.
        """
        displaced = any(channel.startswith("account.") for channel in self._latest)
        kept = [channel for channel in self._latest if channel != "account" or not displaced]
        self._latest = rewrite_channels(kept, account.user_id, actions=False)
        for identifier in self.ids:
            for channel in self._latest:
                holders = self._channels.setdefault(channel, {})
                old = holders.get(identifier, ChannelSubscription((), frozenset()))
                holders[identifier] = replace(old, roles=old.roles | account.roles)

    def replace_latest(self, before: str | None, account: Account) -> None:
        """Let an account in as E3 does: what listens on the channels of the last slot changes roles; nothing else does.

        Args:
            before: the id of the user before; here it does not matter.
            account: who logs in.
        """
        for channel in self._latest:
            self._assign(channel, account.roles)

    def login_rebinding(self, before: str | None, account: Account) -> None:
        """Let an account in as E4 does: all roles change, and the ``account`` channels follow.

        A plain ``account`` stays as it is: it never gains the ``account.{user}`` that it would have had from the start.

        Args:
            before: the id of the user before; None for a guest.
            account: who logs in.
        """
        channels, self._channels = self._channels, {}
        for channel, holders in channels.items():
            self._channels.setdefault(_rebound(channel, before, account.user_id), {}).update(holders)
        for channel in self._channels:
            self._assign(channel, account.roles)

    def _assign(self, channel: str, roles: frozenset[str]) -> None:
        holders = self._channels[channel]
        for identifier, grant in holders.items():
            holders[identifier] = replace(grant, roles=roles)


def rewrite_channels(channels: Iterable[str], user_id: str | None, *, actions: bool = True) -> list[str]:
    """Rewrite the channels of a subscription, as the server does before it acknowledges them.

    Args:
        channels: what was asked for.
        user_id: the id of the user; None for a guest.
        actions: whether ``account.update`` and its like are known (from E4 on).

    Returns:
        Each channel once. ``account.{user}`` joins ``account``, ``account.{user}.update`` replaces ``account.update``, and
        any other ``account.{...}`` vanishes. A guest's ``account`` and ``account.update`` stay as they are.
    """
    kept: dict[str, None] = {}
    added: dict[str, None] = {}
    for channel in channels:
        head, dot, tail = channel.partition(".")
        if head != "account":
            kept[channel] = None
        elif not dot or (actions and tail in _ACTIONS):
            if user_id is None or not dot:
                kept[channel] = None
            if user_id is not None:
                added[f"account.{user_id}{dot}{tail}"] = None
    return list(kept | added)


def _rebound(channel: str, before: str | None, user_id: str) -> str:
    head, _, tail = channel.partition(".")
    if head != "account" or not tail:
        return channel
    own = f"account.{user_id}"
    return f"{own}.{tail}" if before is None else own + tail.removeprefix(before)
