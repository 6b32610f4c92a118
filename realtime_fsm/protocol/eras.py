"""The eras of servers: where channels travel, and how events find their subscriptions.

Since 1.9.5 a client subscribes by message, on a live link (E4). Every older server takes the channels in the URL, so other
channels need another link (PROTOCOL: "Four server eras"). Events of such a server carry channels (E1, E2), or ids that the
server chose (E3).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import quote

from msgspec import Struct

from realtime_fsm.errors import BadOption
from realtime_fsm.protocol.channels import ACTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from realtime_fsm.protocol.spec import SubscriptionSpec


class Era(StrEnum):
    """A generation of server protocol.

    E1 and E2 differ only in the answer to a ping, so an E1 server counts as E2 until the server refuses a ping.
    """

    E1 = "E1"
    E2 = "E2"
    E3 = "E3"
    E4 = "E4"

    @property
    def releases(self) -> str:
        """The releases of Appwrite in this era."""
        return {"E1": "1.0 to 1.6.0", "E2": "1.6.1 to 1.8", "E3": "1.9.0", "E4": "1.9.5 and later"}[self.value]

    @property
    def subscribes_in_url(self) -> bool:
        """Tell whether channels travel in the URL."""
        return self is not Era.E4

    def supports(self, feature: str) -> bool:
        """Tell whether the era has ``"queries"``, ``"update"`` or ``"presence"``."""
        return self is Era.E4 or (self is Era.E3 and feature == "queries")


def parse_era(value: object) -> Era:
    """Return the era that a user names, or refuse the value."""
    try:
        return Era(value)  # type: ignore[arg-type]  # any value may be looked up
    except ValueError:
        raise BadOption(
            "era", f"{value!r:.40} is not one of {', '.join(Era)}; leave it out, and the first dial detects it"
        ) from None


UNFILTERED_SLOT = 0
"""The slot of all subscriptions without queries. The server sends this slot every event of its channels."""
_EVERYTHING = '{"method":"select","values":["*"]}'


class UrlPlan(Struct, frozen=True):
    """The subscriptions that a URL carries.

    Attributes:
        query: the part of the URL after the project.
        plain: the ids of the subscriptions without queries, by channel; these subscriptions share a slot.
        filtered: the id of each subscription with queries, by its slot.
    """

    query: str
    plain: Mapping[str, tuple[str, ...]]
    filtered: Mapping[int, str]

    def routes(self, slots: Mapping[int, str], channels: Sequence[str]) -> EventRoutes:
        """Make the routes of the link that this URL opened, from the ids and channels in the server's greeting."""
        plain = dict(self.plain)
        for channel in channels:  # a user's events may name the account alone (PROTOCOL: "Channels")
            requested = _requested_channel(channel)
            if requested != channel and requested in plain:
                plain[channel] = tuple(dict.fromkeys((*plain.get(channel, ()), *plain[requested])))
        filtered = {slots[slot]: identifier for slot, identifier in self.filtered.items() if slot in slots}
        return EventRoutes(plain, filtered, slots.get(UNFILTERED_SLOT))


class EventRoutes(Struct, frozen=True):
    """The routes from the events of one link to its subscriptions.

    Attributes:
        plain: the ids of the subscriptions without queries, by channel.
        filtered: the id of each subscription with queries, by the id that the server chose.
        common: the id that the server chose for all plain subscriptions together; None in eras without ids.
    """

    plain: Mapping[str, tuple[str, ...]]
    filtered: Mapping[str, str]
    common: str | None

    def match(self, server_ids: Sequence[str], channels: Iterable[str]) -> tuple[str, ...]:
        """Return the id of each subscription of an event, by the server's ids (empty before E3) and the event's channels."""
        found = [self.filtered[identifier] for identifier in server_ids if identifier in self.filtered]
        if not server_ids or self.common in server_ids:
            found += [identifier for channel in channels for identifier in self.plain.get(channel, ())]
        return tuple(dict.fromkeys(found))


def url_plan(specs: Iterable[SubscriptionSpec]) -> UrlPlan:
    """Plan the URL of some subscriptions.

    The server drops channels such as ``account.bob``, and refuses a URL without any other channel. It accepts an empty channel,
    so the plan adds one where the server could drop every channel.
    """
    channels: dict[str, None] = {}
    plain: dict[str, list[str]] = {}
    filtered: dict[int, str] = {}
    slots: list[tuple[str, int, str]] = []
    for spec in specs:
        channels |= dict.fromkeys(spec.channels)
        if spec.queries:
            slot = UNFILTERED_SLOT + 1 + len(filtered)
            filtered[slot] = spec.id
            slots += [(channel, slot, query) for channel in spec.channels for query in spec.queries]
        else:
            for channel in dict.fromkeys(spec.channels):
                plain.setdefault(channel, []).append(spec.id)
    names = [*channels, *([""] if all(channel.startswith("account.") for channel in channels) else [])]
    # A channel with queries in one slot counts in the unfiltered slot only with a query that selects everything.
    narrowed = {channel for channel, _, _ in slots}
    slots += [(channel, UNFILTERED_SLOT, _EVERYTHING) for channel in plain if channel in narrowed]
    items = [f"channels[]={quote(channel, safe='')}" for channel in names]
    items += [f"{quote(channel.replace('.', '_'), safe='')}[{slot}][]={quote(query, safe='')}" for channel, slot, query in slots]
    return UrlPlan("&".join(items), {channel: tuple(ids) for channel, ids in plain.items()}, filtered)


def acknowledged_channels(spec: SubscriptionSpec, channels: Sequence[str]) -> tuple[str, ...]:
    """Return the channels of a greeting that belong to a subscription; ``account.{user}`` belongs to ``account``."""
    own = set(spec.channels)
    return tuple(channel for channel in channels if channel in own or _requested_channel(channel) in own)


def _requested_channel(channel: str) -> str:
    """Return the channel as a client names it: a server answers ``account.update`` with ``account.alice.update``."""
    head, _, rest = channel.partition(".")
    user, dot, action = rest.partition(".")
    return f"account{dot}{action}" if head == "account" and user and user not in ACTIONS else channel
