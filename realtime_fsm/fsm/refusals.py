"""The refusals: whether the server refuses one subscription, or all of them.

Invariant: while the server refuses everything, no item is to blame.

Design: A server answers a subscribe with 1008 and ends the link (PROTOCOL: "Messages", rule 5). The frame names no item. So the
subscribe queue asks again in halves: each half on a link of its own, or at the pace of `Fault.postpone` if the link stays up. The
server refuses everything if it refuses two disjoint groups and accepts nothing in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


class Refusals:
    """The refusals of one connection since the server last accepted a subscription."""

    __slots__ = ("_last", "accepted", "everything")

    def __init__(self) -> None:
        self.everything: bool = False  # whether the server refuses everything, by the newest refusal
        self.accepted: bool = False  # whether the link that is up has accepted a subscription
        self._last: tuple[str, ...] = ()  # the group that was refused last

    def begin_link(self) -> None:
        """Begin a new link."""
        self.accepted = False

    def accept(self) -> bool:
        """Keep that the server accepted a subscription on the link that is up.

        Returns:
            Whether the server refused everything until then.
        """
        refused_everything = self.everything
        self.accepted, self._last, self.everything = True, (), False
        return refused_everything

    def refuse(self, group: Sequence[str], desired: Collection[str]) -> bool:
        """Keep that the server refused a group.

        Args:
            group: the ids in the request that are still desired.
            desired: all ids that the user wants.

        Returns:
            Whether this very group is to blame: the server has accepted another one on the same link.
        """
        if self.accepted:
            return True
        disjoint = bool(self._last) and not set(self._last).intersection(group)
        self.everything = bool(group) and (disjoint or len(desired) == 1)
        self._last = tuple(group)
        return False
