"""The subscriptions of one connection: channels, queries, roles, and the effect of a login by message.

Design: a server keeps roles with each subscription, not with the connection. So a login by message may reach only a part of the
subscriptions. Each era updates them in its own way, by a method of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from realtime_fsm.testing.accounts import Account
    from realtime_fsm.testing.queries import Query

_ACTIONS = frozenset({"create", "update", "upsert", "delete"})


@dataclass(frozen=True, slots=True)
class ChannelSubscription:
    """One subscription on one channel."""

    queries: Sequence[Query]  # the queries, all of which must match
    roles: frozenset[str]  # the roles of the subscription on this channel


class Subscriptions:
    """The subscriptions of one connection."""

    def __init__(self) -> None:
        self.ids: dict[str, None] = {}  # the ids, oldest first
        # An event frame lists ids by the event's channels, then by entry into the channel; hence the order of these keys.
        self._channels: dict[str, dict[str, ChannelSubscription]] = {}
        self._latest: list[str] = []  # the channels that were added last: all that E1 to E3 remember of a connection

    @property
    def channels(self) -> set[str]:
        """The channels with at least one subscription."""
        return {channel for channel, entries in self._channels.items() if entries}

    def add(self, identifier: str, channels: Iterable[str], queries: Sequence[Query], roles: frozenset[str]) -> None:
        """Add channels, as `rewrite_channels` gives them, to a subscription, known or new.

        On a channel of the subscription, new queries and roles replace the old ones. An event must match all queries.
        """
        self.ids[identifier] = None
        self._latest = list(channels)
        for channel in self._latest:
            self._channels.setdefault(channel, {})[identifier] = ChannelSubscription(queries, roles)

    def remove(self, identifier: str) -> bool:
        """Remove a subscription, and return whether there was one."""
        removed = identifier in self.ids
        self.ids.pop(identifier, None)
        for entries in self._channels.values():
            entries.pop(identifier, None)
        return removed

    def matching(self, channels: Iterable[str], roles: frozenset[str], payload: object) -> list[str]:
        """Return the ids of the subscriptions that get an event for `roles`, in the order in which the server lists them."""
        found: dict[str, None] = {}
        for channel in channels:
            for identifier, entry in self._channels.get(channel, {}).items():
                if not roles.isdisjoint(entry.roles) and all(query.matches(payload) for query in entry.queries):
                    found[identifier] = None
        return list(found)

    def login_adding_roles(self, before: str | None, account: Account) -> None:
        """Log an account in as E1 and E2 do: subscriptions keep their roles, and gain those of the account.

        The roles of earlier users stay. ``account`` gains ``account.{user}``. A second login loses ``account``, because the
        server swaps the keys and values of its list of channels, where the two share one key. These eras ignore `before`.
        """
        displaced = any(channel.startswith("account.") for channel in self._latest)
        kept = [channel for channel in self._latest if channel != "account" or not displaced]
        self._latest = rewrite_channels(kept, account.user_id, actions=False)
        for identifier in self.ids:
            for channel in self._latest:
                entries = self._channels.setdefault(channel, {})
                old = entries.get(identifier, ChannelSubscription((), frozenset()))
                entries[identifier] = replace(old, roles=old.roles | account.roles)

    def login_replacing_latest(self, before: str | None, account: Account) -> None:
        """Log an account in as E3 does: the roles change on the channels of the last slot alone. This era ignores `before`."""
        for channel in self._latest:
            self._set_roles(channel, account.roles)

    def login_rebinding(self, before: str | None, account: Account) -> None:
        """Log an account in as E4 does: all roles change, and ``account.{user}`` changes from `before` to the account.

        Unlike a dial of the user, the login adds no ``account.{user}`` to a plain ``account``.
        """
        channels, self._channels = self._channels, {}
        for channel, entries in channels.items():
            self._channels.setdefault(_rebound(channel, before, account.user_id), {}).update(entries)
        for channel in self._channels:
            self._set_roles(channel, account.roles)

    def _set_roles(self, channel: str, roles: frozenset[str]) -> None:
        entries = self._channels[channel]
        for identifier, entry in entries.items():
            entries[identifier] = replace(entry, roles=roles)


def rewrite_channels(channels: Iterable[str], user_id: str | None, *, actions: bool = True) -> list[str]:
    """Rewrite the channels of a subscription, as the server does before it acknowledges them.

    ``account.{user}`` joins ``account``, ``account.{user}.update`` replaces ``account.update`` in an era that knows `actions`
    (from E4 on), and any other ``account.{...}`` vanishes. A guest's ``account`` and ``account.update`` stay as they are.
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
