"""The eras of the server: where channels travel, and how its events find their subscriptions.

Since 1.9.5 a client subscribes by message, on a link that is up (E4). Every server before takes the channels in the address
that is dialed, so another set of channels needs another link (PROTOCOL: "Four server eras"). What such a server delivers is
routed by channel (E1, E2), or by ids that it chose itself (E3).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import quote

from realtime_fsm.errors import BadOption

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from realtime_fsm.protocol.spec import SubscriptionSpec


class Era(StrEnum):
    """What a server speaks.

    E1 and E2 differ in their heartbeat alone: a server that greets like both counts as E2 until it refuses a ping.
    """

    E1 = "E1"
    E2 = "E2"
    E3 = "E3"
    E4 = "E4"

    @property
    def releases(self) -> str:
        """The releases of Appwrite that speak it."""
        return {"E1": "1.0 to 1.6.0", "E2": "1.6.1 to 1.8", "E3": "1.9.0", "E4": "1.9.5 and later"}[self.value]

    @property
    def subscribes_in_url(self) -> bool:
        """Whether channels travel in the address."""
        return self is not Era.E4

    def supports(self, feature: str) -> bool:
        """Whether it has ``"queries"``, ``"update"`` or ``"presence"``."""
        return self is Era.E4 or (self is Era.E3 and feature == "queries")


def parse_era(value: object) -> Era:
    """Take an era as a user gives it.

    Raises:
        BadOption: when there is no such era.
    """
    try:
        return Era(value)  # type: ignore[arg-type]  # whatever it is, it is looked up
    except ValueError:
        raise BadOption("era", f"{value!r:.40} is none of {', '.join(Era)}; leave it out to have it found out") from None


UNFILTERED_SLOT = 0
"""The slot of all subscriptions without queries. The server treats a channel without queries as one of it, and as everything."""
_ACTIONS = frozenset({"create", "update", "upsert", "delete"})
_EVERYTHING = '{"method":"select","values":["*"]}'


@dataclass(frozen=True, slots=True)
class UrlPlan:
    """Which subscriptions are asked for by an address, and how.

    Attributes:
        query: what follows the project in the address.
        plain: the subscriptions without queries, by each of their channels; they share a slot.
        filtered: those with queries, by the slot that each has for itself.
    """

    query: str
    plain: Mapping[str, tuple[str, ...]]
    filtered: Mapping[int, str]

    def routes(self, slots: Mapping[int, str], channels: Sequence[str]) -> EventRoutes:
        """How events on this link find their subscriptions.

        Args:
            slots: the ids that the server chose, by slot; none before E3.
            channels: the channels that the server named in its greeting.
        """
        plain = dict(self.plain)
        for channel in channels:  # a user's events may name the account alone (PROTOCOL: "Channels")
            asked = _requested_channel(channel)
            if asked != channel and asked in plain:
                plain[channel] = tuple(dict.fromkeys((*plain.get(channel, ()), *plain[asked])))
        filtered = {slots[slot]: identifier for slot, identifier in self.filtered.items() if slot in slots}
        return EventRoutes(plain, filtered, slots.get(UNFILTERED_SLOT))


@dataclass(frozen=True, slots=True)
class EventRoutes:
    """How the events of one link find their subscriptions.

    Attributes:
        plain: subscriptions by channel.
        filtered: subscriptions by the server's id.
        common: the server's id for all plain ones together; None where it has no ids.
    """

    plain: Mapping[str, tuple[str, ...]]
    filtered: Mapping[str, str]
    common: str | None

    def match(self, theirs: Sequence[str], channels: Iterable[str]) -> tuple[str, ...]:
        """The subscriptions of an event, each once.

        Args:
            theirs: the ids that the server names; none before E3.
            channels: the event's channels.
        """
        found = [self.filtered[identifier] for identifier in theirs if identifier in self.filtered]
        if not theirs or self.common in theirs:
            found += [identifier for channel in channels for identifier in self.plain.get(channel, ())]
        return tuple(dict.fromkeys(found))


def url_plan(specs: Iterable[SubscriptionSpec]) -> UrlPlan:
    """Put subscriptions into an address.

    The server strikes channels such as ``account.bob``, and refuses an address that none is left in. An empty one is accepted,
    as recorded; so it stands where nothing else does.
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
    # A channel that has queries in some slot is everywhere else only where that is said.
    narrowed = {channel for channel, _, _ in slots}
    slots += [(channel, UNFILTERED_SLOT, _EVERYTHING) for channel in plain if channel in narrowed]
    items = [f"channels[]={quote(channel, safe='')}" for channel in names]
    items += [f"{quote(channel.replace('.', '_'), safe='')}[{slot}][]={quote(query, safe='')}" for channel, slot, query in slots]
    return UrlPlan("&".join(items), {channel: tuple(ids) for channel, ids in plain.items()}, filtered)


def acknowledged_channels(spec: SubscriptionSpec, channels: Sequence[str]) -> tuple[str, ...]:
    """The channels of a greeting that belong to a subscription: its own, and the user's account beside ``account``."""
    own = set(spec.channels)
    return tuple(channel for channel in channels if channel in own or _requested_channel(channel) in own)


def _requested_channel(channel: str) -> str:
    """What is asked for where the server names the user: ``account.alice.update`` is what has become of ``account.update``."""
    head, _, rest = channel.partition(".")
    user, dot, action = rest.partition(".")
    return f"account{dot}{action}" if head == "account" and user and user not in _ACTIONS else channel
