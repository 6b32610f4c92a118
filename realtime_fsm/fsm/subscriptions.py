"""The subscription tracker: the subscriptions that the user desires, the acknowledged ones, and the next request to the server.

The tracker alone knows which subscriptions exist, and which the server has acknowledged. The deliveries of the runtime know
neither.

Invariant: a desired subscription stays in the tracker until the user withdraws it, or the server rejects that very one. Each new
link makes all desired subscriptions pending again.

Design: Replies come out of order, and an error frame names no request (PROTOCOL: "Messages", rules 1 and 5). So one request is in
flight at a time, and carries everything that waits. The subscribe queue keeps the groups in which requests ask for subscriptions.
The presence tracker builds the messages of the presence and the canary.

Older servers take subscriptions from the URL, and acknowledge them with the greeting (`build_url_plan`). On such a link the
connection sends no requests. A withdrawn subscription is gone at once, and a later one waits for the next link.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.errors import UnsupportedByServer
from realtime_fsm.fsm.commands import (
    AuthenticationRefused,
    PresenceRefused,
    SubscriptionAcknowledged,
    SubscriptionRefused,
    SubscriptionRemoved,
    SubscriptionUnsupported,
)
from realtime_fsm.fsm.control import AUTHENTICATE, PRESENCE, SUBSCRIBE, UNSUBSCRIBE, ControlRequest, KindOrder, batched
from realtime_fsm.fsm.link import DrainingLink
from realtime_fsm.fsm.presence import PresenceTracker
from realtime_fsm.fsm.subscribe_queue import SubscribeQueue
from realtime_fsm.protocol import eras, frames
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.faults import POLICY

if TYPE_CHECKING:
    from collections.abc import Iterable, KeysView, Sequence

    from realtime_fsm.fsm.commands import Command
    from realtime_fsm.fsm.link import LinkState
    from realtime_fsm.protocol.eras import UrlPlan
    from realtime_fsm.protocol.frames import AcknowledgedSubscription, Code
    from realtime_fsm.protocol.spec import SubscriptionSpec

GREETING_ACK = "connected"
"""The `to` of the reply that stands for a greeting, which acknowledges the channels in the URL."""


class SubscriptionTracker:
    """The subscriptions of one connection."""

    __slots__ = (
        "_acknowledged", "_dropped", "_era", "_ever_acknowledged", "_greeting_channels", "_ids_in_url", "_order",
        "_removals", "_removed_early", "all_acknowledged", "all_removed", "desired", "in_flight", "presence", "queue",
        "subscribed_in_url",
    )  # fmt: skip

    def __init__(self) -> None:
        self.desired: dict[str, SubscriptionSpec] = {}  # the subscriptions that the user wants, by id
        self.in_flight: ControlRequest | None = None  # the control request that awaits its answer
        # whether everything desired was acknowledged on this link at some moment, and something still is desired
        self.all_acknowledged: bool = False
        self.all_removed: bool = False  # whether something was desired on this link, and nothing is any more
        self.subscribed_in_url: bool = False  # whether the URL of the link that is up asked for the subscriptions
        self.presence: PresenceTracker = PresenceTracker()  # the presence and the canary
        self._acknowledged: dict[str, None] = {}  # dicts, because an empty set takes 150 bytes more
        self._ever_acknowledged: dict[str, None] = {}
        self.queue: SubscribeQueue = SubscribeQueue(self.desired, self._ever_acknowledged)  # the subscriptions to ask for
        self._removals: dict[str, None] = {}
        self._dropped: ControlRequest | None = None  # the subscribe that the last 1013 put back into the queue
        self._removed_early: tuple[str, ...] = ()  # those that count as gone since that 1013, and that the server has after all
        self._ids_in_url: tuple[str, ...] = ()  # the subscriptions in the URL of the newest link
        self._greeting_channels: Sequence[str] = ()  # the channels that the server named with its greeting
        self._order, self._era = KindOrder(), Era.E4

    @property
    def acknowledged(self) -> KeysView[str]:
        """The ids of the subscriptions that the server has acknowledged on this link, and that are still desired."""
        return self._acknowledged.keys()

    def serves(self, identifiers: Iterable[str]) -> bool:
        """Tell whether this link serves all of these subscriptions that are still desired."""
        return all(identifier in self._acknowledged or identifier not in self.desired for identifier in identifiers)

    def is_new(self, identifier: str) -> bool:
        """Tell whether the server has never acknowledged a subscription."""
        return identifier not in self._ever_acknowledged

    # --- the user -----------------------------------------------------------------------------------------------------

    def add(self, spec: SubscriptionSpec) -> None:
        """Desire a subscription."""
        self.desired[spec.id] = spec
        self.queue.pending[spec.id] = None
        self.all_removed = False

    def withdraw(self, identifier: str) -> list[SubscriptionRemoved]:
        """Desire a subscription no more. The result tells that it is gone, unless the server must hear of the removal first."""
        if self.desired.pop(identifier, None) is None:
            return []
        self.queue.remove(identifier)
        self._ever_acknowledged.pop(identifier, None)
        acknowledged = identifier in self._acknowledged
        self._acknowledged.pop(identifier, None)
        if self.desired:
            self._update_all_acknowledged()
        else:
            self.all_acknowledged, self.all_removed = False, True
        if acknowledged and not self.subscribed_in_url:
            self._removals[identifier] = None
            return []
        return [] if self.in_flight is not None and identifier in self.in_flight.ids else [SubscriptionRemoved(identifier)]

    def withdraw_never_acknowledged(self) -> tuple[str, ...]:
        """Withdraw each subscription that the server never acknowledged, and a presence that it never stored: their calls fail.

        Returns:
            The ids of the subscriptions.
        """
        gone = tuple(filter(self.is_new, self.desired))
        for identifier in gone:
            self.withdraw(identifier)
        self.presence.drop_unstored()
        return gone

    # --- the link -----------------------------------------------------------------------------------------------------

    def begin_link(self) -> None:
        """Begin a link, on which no message has asked for anything yet."""
        self.all_acknowledged = self.all_removed = self.subscribed_in_url = False
        self.queue.refusals.begin_link()
        self.presence.begin_link()

    def end_link(self) -> list[SubscriptionRemoved]:
        """End the link. The server forgets everything about this connection with it."""
        removed = self._removed(self._removals)
        if self.in_flight is not None and not self.presence.sent(self.in_flight):
            removed += self._withdrawn_of(self.in_flight)  # an authentication is not put back: the next dial carries it
            self.queue.put_back(self.in_flight)
        self.queue.end_link()
        self._order.reset()
        self._removals.clear()
        self._acknowledged.clear()
        self.in_flight, self._dropped, self._removed_early = None, None, ()
        self.subscribed_in_url = False
        self.presence.end_link()
        return removed

    def drain_link(self, state: LinkState, era: Era | None, *, been_up: bool) -> DrainingLink:
        """Return the link with the subscriptions that it serves; `end_link` follows."""
        served, used, presence = tuple(self._acknowledged), bool(self.desired) or self.all_removed, self.presence
        return DrainingLink(state, served, used, presence.on_link, presence.is_listening, era, been_up)

    def resume_link(self, old: DrainingLink) -> None:
        """Return to a draining link, which still serves what it served. Later subscriptions wait for a request on it."""
        self.begin_link()
        self.subscribed_in_url = old.state.subscribed_in_url
        self.presence.resume_link(old.presence_id, is_listening=old.hears_canary)
        for identifier in old.served:
            if identifier in self.desired:
                self.queue.remove(identifier)
                self._acknowledged[identifier] = None
        if self._acknowledged:
            self.queue.refusals.accept()
        self.all_removed = old.used and not self.desired
        self._update_all_acknowledged()

    # --- a link with channels in its URL ------------------------------------------------------------------------------

    def build_url_plan(self) -> UrlPlan:
        """Plan the URL of the next link, which asks for everything desired."""
        self._ids_in_url = tuple(self.desired)
        canary = self.presence.canary
        hidden = () if canary is None or canary.spec is None else (canary.spec,)
        return eras.url_plan((*self.desired.values(), *hidden))

    def link_subscribed_in_url(self, channels: Sequence[str], era: Era) -> None:
        """Keep that the URL of the link that is up asked for the subscriptions, and keep the channels of its greeting."""
        self.subscribed_in_url, self._greeting_channels, self._era = True, channels, era

    def acknowledge_url_subscriptions(self) -> list[Command]:
        """Accept the greeting as the acknowledgement of the subscriptions in the URL."""
        commands: list[Command] = []
        ids, self._ids_in_url = self._ids_in_url, ()
        if (canary := self.presence.canary) is not None:
            canary.listening = canary.spec is not None
        self.queue.groups = self.queue.batches = ()  # a server of another era refused those; the URL asked for all
        for spec in [self.desired[identifier] for identifier in ids if identifier in self.desired]:
            self.queue.pending.pop(spec.id, None)
            if spec.queries and not self._era.supports("queries"):
                self.withdraw(spec.id)
                commands.append(SubscriptionUnsupported(spec.id, self._era))
            else:
                commands.append(self._acknowledge(spec.id, eras.acknowledged_channels(spec, self._greeting_channels)))
        if self.presence.message is not None:
            self.presence.set(None)
            commands.append(PresenceRefused(UnsupportedByServer("presence", self._era, self._era.releases)))
        self.queue.refusals.accept()
        self._update_all_acknowledged()
        return commands

    def reject_new_in_url(self, code: Code, message: str) -> list[SubscriptionRefused]:
        """Reject the new subscriptions in a URL that the server refused, if it has acknowledged others in that URL before."""
        asked = [identifier for identifier in self._ids_in_url if identifier in self.desired]
        new = [*filter(self.is_new, asked)]
        if len(new) == len(asked):
            return []
        return [refused for identifier in new for refused in self._reject(identifier, code, message)]

    @property
    def needs_handover(self) -> bool:
        """Whether only another URL can ask for a desired subscription."""
        return self.subscribed_in_url and bool(self.queue.pending)

    # --- the next request ---------------------------------------------------------------------------------------------

    @property
    def has_pending_request(self) -> bool:
        """Whether a request waits, and none is in flight."""
        free = self.in_flight is None and not self.subscribed_in_url
        return free and (self.queue.has_new or any(self._others.values()))

    def next_request(self) -> ControlRequest | None:
        """Take the next request into flight: new subscriptions first, then the other kinds in their order."""
        if not self.has_pending_request:
            return None
        if self.queue.has_new:
            request = self.queue.take_new()
        elif (kind := self._order.next_kind(self._others)) == SUBSCRIBE:
            request = self.queue.take_batch()
        elif kind == UNSUBSCRIBE:
            request = batched(UNSUBSCRIBE, self._removals, map(frames.unsubscribe_item, self._removals))
        else:
            request = self.presence.next_request()
        self.in_flight, self._dropped = request, None
        for identifier in request.ids:
            self._removals.pop(identifier, None)
        return request

    @property
    def _others(self) -> dict[str, object]:
        """By kind, a true value if a request of that kind waits behind the new subscriptions."""
        return {SUBSCRIBE: self.queue.batches, UNSUBSCRIBE: self._removals, PRESENCE: self.presence.waits}

    def authenticate(self, session: str) -> ControlRequest:
        """Take an authentication into flight."""
        self.in_flight = ControlRequest(AUTHENTICATE, (), frames.authentication(session))
        return self.in_flight

    # --- the answers --------------------------------------------------------------------------------------------------

    @property
    def answerable(self) -> ControlRequest | None:
        """The request that a reply may answer: the one in flight, or else the subscribe that a 1013 put back."""
        return self.in_flight or self._dropped

    def matches_in_flight(self, to: str, acknowledged: Sequence[AcknowledgedSubscription]) -> bool:
        """Tell whether a reply answers a request (PROTOCOL: "Messages", rule 1).

        A 1013 does not name the message that the server dropped. So while no request is in flight, a reply may also answer the
        subscribe that the 1013 put back. Such a reply proves that the server has these subscriptions.
        """
        if to == GREETING_ACK:
            return self.subscribed_in_url
        request = self.answerable
        return request is not None and request.kind == to and {one.subscription_id for one in acknowledged} == set(request.ids)

    def handle_reply(self, acknowledged: Sequence[AcknowledgedSubscription], presence: bytes = b"null") -> list[Command]:
        """Accept the reply to the request in flight, or to the subscribe that a 1013 put back."""
        request, self.in_flight = self.in_flight, None
        if request is None and self._dropped is not None:
            request, self._dropped = self._dropped, None
            for identifier in request.ids:
                self.queue.remove(identifier)
            self._removed_early += tuple(identifier for identifier in request.ids if identifier not in self.desired)
        if request is None:
            return []
        self._order.record(request.kind, failed=False)
        if self.presence.sent(request):
            return self.presence.accept(request, presence)
        if request.kind == AUTHENTICATE and self.presence.canary is not None:
            self.presence.canary.listening = False  # the hidden subscription belongs to the user before
        if request.kind == UNSUBSCRIBE:
            return [*self._removed(one.subscription_id for one in acknowledged)]
        commands: list[Command] = []
        for one in acknowledged:
            if one.subscription_id in self.desired:
                commands.append(self._acknowledge(one.subscription_id, one.channels))
            else:  # the user withdrew it while the request was in flight
                self._removals[one.subscription_id] = None
        if commands and self.queue.refusals.accept():  # the server had refused everything, so no group is to blame
            self.queue.reunite()
        self._update_all_acknowledged()
        return commands

    def handle_error(self, code: Code, message: str, attempts: int | None = None) -> list[Command]:
        """Reject the only item of the request in flight, or halve the request, because an error answered it.

        A subscription that the server never acknowledged is rejected after `attempts` refusals (1008) of it alone.
        """
        request, self.in_flight = self.in_flight, None
        if request is None:
            return []
        if request.kind == AUTHENTICATE:
            return [AuthenticationRefused(code, message)]
        if self.presence.sent(request):
            return self.presence.refuse(request, code, message)
        removed = self._withdrawn_of(request)  # an unsubscribe counts as done: the runtime drops late events for its items
        rejected = self.queue.divide(request, code, attempts)
        if rejected is None and code == POLICY:
            self._order.record(SUBSCRIBE, failed=True)
        return [*removed, *self._reject(rejected, code, message)]

    def repeat(self, code: Code, message: str, attempts: int | None, *, whole: bool) -> list[Command]:
        """Plan to repeat the request that met a server fault; `whole` if a ping failed, too, so that no item is to blame."""
        request, self.in_flight = self.in_flight, None
        assert request is not None
        if request.kind == AUTHENTICATE:
            return [AuthenticationRefused(code, message)]
        if self.presence.sent(request):
            refused, failed = self.presence.repeat(request, code)
            if failed:
                self._order.record(PRESENCE, failed=True)
            return refused
        self._order.record(request.kind, failed=True)
        if request.kind == UNSUBSCRIBE:
            self._removals |= dict.fromkeys(request.ids)
            return []
        removed = self._withdrawn_of(request)
        rejected = self.queue.postpone(request, attempts, whole=whole)
        return [*removed, *self._reject(rejected, code, message)]

    def requeue_in_flight(self) -> Sequence[AuthenticationRefused | SubscriptionRemoved]:
        """Plan to send the request in flight again, because the server dropped it (1013, 429)."""
        request, self.in_flight = self.in_flight, None
        if request is None:
            return []
        if request.kind == AUTHENTICATE:  # it may not be safe any more in the next window; its caller can dial anew
            return [AuthenticationRefused(1013, "too many messages")]
        if self.presence.sent(request):
            self.presence.requeue(request)
        elif request.kind == UNSUBSCRIBE:
            self._removals |= dict.fromkeys(request.ids)
        else:
            self.queue.put_back(request)
            self._dropped = request
            return self._withdrawn_of(request)
        return []

    @property
    def in_repetition(self) -> bool:
        """Whether the request in flight repeats one that met a server fault."""
        request = self.in_flight
        if request is not None and request.kind == SUBSCRIBE:
            return request.batch is not None and request.batch.failures > 0
        return request is not None and request.kind in self._order

    def _acknowledge(self, identifier: str, channels: tuple[str, ...]) -> SubscriptionAcknowledged:
        self._acknowledged[identifier] = self._ever_acknowledged[identifier] = None
        return SubscriptionAcknowledged(identifier, channels)

    def _withdrawn_of(self, request: ControlRequest) -> list[SubscriptionRemoved]:
        return self._removed(identifier for identifier in request.ids if identifier not in self.desired)

    def _removed(self, identifiers: Iterable[str]) -> list[SubscriptionRemoved]:
        """Report subscriptions as gone, each one once."""
        return [SubscriptionRemoved(identifier) for identifier in identifiers if identifier not in self._removed_early]

    def _reject(self, identifier: str | None, code: Code, message: str) -> list[SubscriptionRefused]:
        if identifier is None:
            return []
        self.withdraw(identifier)
        return [SubscriptionRefused(identifier, code, message)]

    def _update_all_acknowledged(self) -> None:
        if self.desired and len(self._acknowledged) == len(self.desired):  # only desired ones are in it
            self.all_acknowledged = True
