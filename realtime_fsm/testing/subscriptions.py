"""The subscriptions of one connection, and what becomes of the ``account`` channels of a user."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from realtime_fsm.testing.queries import Query

_ACTIONS = frozenset({"create", "update", "upsert", "delete"})


class Subscriptions:
    """Which subscription listens to which channel, under which queries.

    Attributes:
        ids: the ids, oldest first.
    """

    def __init__(self) -> None:
        self.ids: dict[str, None] = {}
        # An event frame lists ids by the event's channels, then by entry into the channel; so this is kept by channel.
        self._channels: dict[str, dict[str, tuple[Query, ...]]] = {}

    def add(self, identifier: str, channels: Iterable[str], queries: tuple[Query, ...]) -> None:
        """Add channels to a subscription, known or new; on a channel that it has, the queries are replaced.

        Args:
            identifier: its id.
            channels: the channels, as `rewritten` gives them.
            queries: what must hold on them, all of it.
        """
        self.ids[identifier] = None
        for channel in channels:
            self._channels.setdefault(channel, {})[identifier] = queries

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

    def matching(self, channels: Iterable[str], payload: object) -> list[str]:
        """Find the subscriptions that an event goes to.

        Args:
            channels: the event's channels.
            payload: its payload, as PHP holds it.

        Returns:
            Their ids, in the order in which the server lists them.
        """
        found: dict[str, None] = {}
        for channel in channels:
            for identifier, queries in self._channels.get(channel, {}).items():
                if all(query.holds(payload) for query in queries):
                    found[identifier] = None
        return list(found)

    def rebind(self, before: str | None, user_id: str) -> None:
        """Let the ``account`` channels follow an authentication.

        A plain ``account`` stays as it is: it never gains the ``account.{user}`` that it would have had from the start.

        Args:
            before: the id of the user before; None for a guest.
            user_id: the id of the user from now on.
        """
        channels, self._channels = self._channels, {}
        for channel, holders in channels.items():
            self._channels.setdefault(_rebound(channel, before, user_id), {}).update(holders)


def rewritten(channels: Iterable[str], user_id: str | None) -> list[str]:
    """Rewrite the channels of a subscription, as the server does before it acknowledges them.

    Args:
        channels: what was asked for.
        user_id: the id of the user; None for a guest.

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
        elif not dot or tail in _ACTIONS:
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
