"""The subscription book: what the user desires, what the server has acknowledged on this link, and what to ask next.

The law: what is desired stays in the book until the user withdraws it or the server rejects it alone. An acknowledged
subscription is never silently lost: a new link makes it pending again.

The theory. Replies come out of order and an error frame names nobody (PROTOCOL: "Messages", rules 1 and 5), so one request
is in flight at a time and everything that waits is merged into it. When an error answers a batch, one of its items is bad
and nothing says which: the batch is halved and each half asked alone, until the guilty item stands alone. A half stays apart
from the rest, also over the next links.

A server fault blames nothing: the request is repeated, those that were never acknowledged apart from the others
(`realtime_fsm.fsm.fault`). A refusal (1008) announces the end of the link, so its halves wait for the next link; on a link that
stays up they wait as long as the repetition of a server fault does.

Older servers are asked by the address that is dialed, and acknowledge with their greeting (`plan`, `greeted`). On such a link
nothing is asked by message, what is withdrawn is gone at once, and what is desired later waits for the next link.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.errors import PresenceRejected, UnsupportedByServer
from realtime_fsm.fsm.canary import CANARY, CanaryBook
from realtime_fsm.fsm.commands import (
    AuthenticationRefused,
    CanaryOut,
    CanaryRefused,
    PresenceRefused,
    PresenceStored,
    SubscriptionAcknowledged,
    SubscriptionRefused,
    SubscriptionRemoved,
    SubscriptionUnsupported,
)
from realtime_fsm.fsm.control import ControlRequest, batched
from realtime_fsm.fsm.fault import Batch, Repetitions
from realtime_fsm.fsm.link import DrainingLink
from realtime_fsm.fsm.policies import POLICY
from realtime_fsm.fsm.refusals import Refusals
from realtime_fsm.protocol import eras, frames
from realtime_fsm.protocol.eras import Era

if TYPE_CHECKING:
    from collections.abc import Iterable, KeysView, Sequence

    from realtime_fsm.fsm.link import LinkState
    from realtime_fsm.protocol.eras import UrlPlan
    from realtime_fsm.protocol.frames import AcknowledgedSubscription, Code
    from realtime_fsm.protocol.spec import SubscriptionSpec

SUBSCRIBE, UNSUBSCRIBE, AUTHENTICATE, PRESENCE = "subscribe", "unsubscribe", "authentication", "presence"

GREETING_ACK = "connected"
"""What acknowledges channels in the address."""

Rejection = SubscriptionRefused | AuthenticationRefused | PresenceRefused | SubscriptionRemoved | CanaryRefused
_CANARY_ALONE = (CANARY,)


class SubscriptionTracker:
    """The subscriptions of one connection."""

    __slots__ = (
        "_acknowledged",
        "_again",
        "_bisection_groups",
        "_dropped",
        "_era",
        "_ever_acknowledged",
        "_greeting_channels",
        "_ids_in_url",
        "_pending",
        "_presence_asked",
        "_presence_id",
        "_presence_pending",
        "_presence_stored",
        "_removals",
        "_stored",
        "all_acknowledged",
        "all_removed",
        "canary",
        "desired",
        "in_flight",
        "presence",
        "presence_on_link",
        "refusals",
        "subscribed_in_url",
    )  # fmt: skip

    def __init__(self) -> None:
        self.desired: dict[str, SubscriptionSpec] = {}
        self._acknowledged: dict[str, None] = {}  # as are all here that could be sets: an empty set takes 150 bytes more
        self.in_flight: ControlRequest | None = None
        # `settled`: everything that was desired at some moment of this link has been acknowledged, and something still is.
        # `emptied`: something was desired on this link, and nothing is any more.
        self.all_acknowledged = False
        self.all_removed = False
        self._ever_acknowledged: dict[str, None] = {}
        self._pending: dict[str, None] = {}
        self._bisection_groups: tuple[tuple[str, ...], ...] = ()
        self.refusals = Refusals()
        self._again = Repetitions()
        self._removals: dict[str, None] = {}
        self._dropped: ControlRequest | None = None  # a subscribe that a 1013 has put back, on this link
        self._ids_in_url: tuple[str, ...] = ()  # what the newest link was asked for by its address
        self.subscribed_in_url = False  # whether the link that is up was asked so
        self._greeting_channels: Sequence[str] = ()  # the channels that the server named with its greeting
        self._era = Era.E4
        self.presence: bytes | None = None  # the message that shows us as present
        self.canary: CanaryBook | None = None
        self._presence_id = ""
        self._presence_asked: str | None = None  # the id in the presence message that is in flight
        self.presence_on_link: str | None = None  # the id of the presence that the server has stored for the link that is up
        self._presence_pending = False
        self._presence_stored = False  # whether the server has stored it once
        self._stored: tuple[bytes, str] | None = None  # the presence before, which is wanted again if the newest call fails

    @property
    def acknowledged(self) -> KeysView[str]:
        """What the server has acknowledged on this link, and is still desired."""
        return self._acknowledged.keys()

    def serves(self, identifiers: Iterable[str]) -> bool:
        """Whether each of them is acknowledged on this link, as far as it is still desired."""
        return all(identifier in self._acknowledged or identifier not in self.desired for identifier in identifiers)

    def is_new(self, identifier: str) -> bool:
        """Tell whether the server has never acknowledged it."""
        return identifier not in self._ever_acknowledged

    # --- the user -----------------------------------------------------------------------------------------------------

    def add(self, spec: SubscriptionSpec) -> None:
        """The user wants it."""
        self.desired[spec.id] = spec
        self._pending[spec.id] = None
        self.all_removed = False

    def withdraw(self, identifier: str) -> list[SubscriptionRemoved]:
        """The user does not want it any more. The answer tells if it is gone from the server at once."""
        if self.desired.pop(identifier, None) is None:
            return []
        self._forget_request(identifier)
        self._ever_acknowledged.pop(identifier, None)
        acknowledged = identifier in self._acknowledged
        self._acknowledged.pop(identifier, None)
        self._update_after_removal()
        if acknowledged:
            if self.subscribed_in_url:
                return [SubscriptionRemoved(identifier)]
            self._removals[identifier] = None
            return []
        asked = self.in_flight is not None and self.in_flight.kind == SUBSCRIBE and identifier in self.in_flight.ids
        return [] if asked else [SubscriptionRemoved(identifier)]

    def withdraw_never_acknowledged(self) -> tuple[str, ...]:
        """Strike what was never acknowledged: whoever asked for it is told that it failed."""
        gone = tuple(identifier for identifier in self.desired if identifier not in self._ever_acknowledged)
        for identifier in gone:
            self.withdraw(identifier)
        if not self._presence_stored:
            self._fall_back()
        return gone

    def set_presence(self, presence: bytes | None, identifier: str = "") -> None:
        """The user wants to be shown as present, or no longer; a message that waits is replaced."""
        if presence is None:
            self._stored = None
        elif self.presence is not None and self._presence_stored:
            self._stored = self.presence, self._presence_id
        self.presence, self._presence_id = presence, identifier
        self._presence_pending = presence is not None
        self._presence_stored = False

    def _fall_back(self) -> None:
        """The newest call for a presence fails: the one that the server stored before it is wanted again."""
        message, identifier = (None, "") if self._presence_stored or self._stored is None else self._stored
        self.set_presence(message, identifier)
        self._presence_stored = message is not None
        self._presence_pending = self._presence_stored and self.presence_on_link is None

    @property
    def presence_needs_link(self) -> bool:
        """Whether the presence wants another id than the one that this link has: the server would ignore it."""
        return self.presence is not None and self.presence_taken not in (None, self._presence_id)

    @property
    def presence_taken(self) -> str | None:
        """The id of the presence that this link has, or is to have by the message that is in flight."""
        return self._presence_asked if self.presence_on_link is None else self.presence_on_link

    # --- the link -----------------------------------------------------------------------------------------------------

    def begin_link(self) -> None:
        """A link is up. Nothing has been asked on it by message."""
        self.all_acknowledged = self.all_removed = self.subscribed_in_url = False
        self.refusals.begin_link()
        self._presence_pending = self.presence is not None

    def build_url_plan(self) -> UrlPlan:
        """Everything desired, for the address of the next link."""
        self._ids_in_url = tuple(self.desired)
        canary = self.canary
        hidden = () if canary is None or canary.spec is None else (canary.spec,)
        return eras.url_plan((*self.desired.values(), *hidden))

    def link_subscribed_in_url(self, channels: Sequence[str], era: Era) -> None:
        """The link that is up was asked by its address."""
        self.subscribed_in_url, self._greeting_channels, self._era = True, channels, era

    def acknowledge_url_subscriptions(self) -> list[SubscriptionAcknowledged | SubscriptionUnsupported | PresenceRefused]:
        """What the link was asked for by its address is acknowledged with the greeting."""
        told: list[SubscriptionAcknowledged | SubscriptionUnsupported | PresenceRefused] = []
        planned, self._ids_in_url = self._ids_in_url, ()
        if self.canary is not None:
            self.canary.listening = self.canary.spec is not None
        self._bisection_groups = (
            self._again.batches
        ) = ()  # the server was of another era when it refused them; an address asks for all
        for spec in [self.desired[identifier] for identifier in planned if identifier in self.desired]:
            self._pending.pop(spec.id, None)
            if spec.queries and not self._era.supports("queries"):
                self.withdraw(spec.id)
                told.append(SubscriptionUnsupported(spec.id, self._era))
                continue
            self._acknowledged[spec.id] = None
            self._ever_acknowledged[spec.id] = None
            told.append(SubscriptionAcknowledged(spec.id, eras.acknowledged_channels(spec, self._greeting_channels)))
        if self.presence is not None:
            self.set_presence(None)
            told.append(PresenceRefused(UnsupportedByServer("presence", self._era, self._era.releases)))
        self.refusals.accept()
        self._update_all_acknowledged()
        return told

    def reject_new_in_url(self, code: Code, message: str) -> list[SubscriptionRefused]:
        """The server refused an address. What has never been acknowledged is to blame, where all the rest once was."""
        mine = [identifier for identifier in self._ids_in_url if identifier in self.desired]
        new = [identifier for identifier in mine if identifier not in self._ever_acknowledged]
        if len(new) == len(mine):
            return []
        for identifier in new:
            self.withdraw(identifier)
        return [SubscriptionRefused(identifier, code, message) for identifier in new]

    @property
    def needs_handover(self) -> bool:
        """Whether something is desired that only another address can ask for."""
        return self.subscribed_in_url and bool(self._pending)

    def end_link(self) -> list[SubscriptionRemoved]:
        """The link is gone, and with it all that the server knew of us."""
        removed = [SubscriptionRemoved(identifier) for identifier in self._removals]
        if self.in_flight is not None and self.in_flight.ids != _CANARY_ALONE:
            # Of an unsubscribe, nothing is desired any more; of an authentication, the next dial carries it.
            removed += [SubscriptionRemoved(identifier) for identifier in self.in_flight.ids if identifier not in self.desired]
            self._requeue(self.in_flight)
        apart = {identifier for group in self._bisection_groups for identifier in group}.union(self._again.ids)
        self._pending = {identifier: None for identifier in self.desired if identifier not in apart}
        self._again.end_link()
        self._removals.clear()
        self._acknowledged.clear()
        self.in_flight = self._dropped = self.presence_on_link = self._presence_asked = None
        self.subscribed_in_url = False
        if self.canary is not None:
            self.canary.forget_link()
        return removed

    def drain_link(self, state: LinkState, era: Era | None, *, been_up: bool) -> DrainingLink:
        """Keep what the link serves, before `end_link`."""
        canary = self.canary is not None and self.canary.listening
        used = bool(self.desired) or self.all_removed
        return DrainingLink(state, tuple(self._acknowledged), used, self.presence_on_link, canary, era, been_up)

    def resume_link(self, old: DrainingLink) -> None:
        """Go back to a draining link, which still serves what it served. What came since is to be asked for on it."""
        self.begin_link()
        self.subscribed_in_url = old.state.subscribed_in_url
        self.presence_on_link = old.presence_id
        if self.canary is not None:
            self.canary.listening = old.hears_canary
        for identifier in old.served:
            if identifier in self.desired:
                self._forget_request(identifier)
                self._acknowledged[identifier] = None
        if self._acknowledged:
            self.refusals.accept()
        self.all_removed = old.used and not self.desired
        self._update_all_acknowledged()

    def renew_presence(self) -> None:
        """Send the presence again: the server has deleted it with another link."""
        self._presence_pending = self.presence is not None

    @property
    def has_pending_request(self) -> bool:
        """Whether something is to be asked, and nothing is in flight."""
        if self.in_flight is not None or self.subscribed_in_url:
            return False
        return self.has_news or any(self._others.values())

    @property
    def has_news(self) -> bool:
        """Whether something is to be asked that neither a server fault nor a refusal (1008) has met."""
        return bool(self._pending or self._bisection_groups)

    def next_request(self) -> ControlRequest | None:
        """Take the next request into flight: first the innocent, then one group of suspects, then the rest.

        Of the rest, a kind of request that a server fault has met gives way to the others.
        """
        if not self.has_pending_request:
            return None
        if self._pending:
            self.in_flight = batched(SUBSCRIBE, self._pending, (self._item(identifier) for identifier in self._pending))
        elif self._bisection_groups:
            group, *rest = self._bisection_groups
            self.in_flight = batched(SUBSCRIBE, group, (self._item(identifier) for identifier in group), suspect=True)
            left = group[len(self.in_flight.ids) :]
            self._bisection_groups = (left, *rest) if left else tuple(rest)
        elif (kind := self._again.next_kind(self._others)) == SUBSCRIBE:
            batch = self._again.take()
            self.in_flight = batched(SUBSCRIBE, batch.ids, (self._item(identifier) for identifier in batch.ids), batch=batch)
            later = batch.ids[len(self.in_flight.ids) :]
            self._again.batches += (Batch(later, batch.failures),) if later else ()
        elif kind == UNSUBSCRIBE:
            self.in_flight = batched(UNSUBSCRIBE, self._removals, map(frames.unsubscribe_item, self._removals))
        elif self.canary is not None and self.canary.waits:
            self.in_flight = self._next_of(self.canary)
        else:
            self.in_flight = self._next_presence()
        self._dropped = None
        for identifier in self.in_flight.ids:
            self._pending.pop(identifier, None)
            self._removals.pop(identifier, None)
        return self.in_flight

    def _next_presence(self) -> ControlRequest:
        assert self.presence is not None
        self._presence_pending = False
        self._presence_asked = self._presence_id
        return ControlRequest(PRESENCE, (), self.presence)

    def _next_of(self, canary: CanaryBook) -> ControlRequest:
        """The hidden subscription, or a presence to be heard on it: the one that is wanted, or one of the canary's own."""
        if canary.spec_due:
            canary.spec_due = False
            assert canary.spec is not None
            return batched(SUBSCRIBE, _CANARY_ALONE, (canary.spec.item,))
        canary.presence_due, canary.out, canary.own = False, True, self.presence is None
        if not canary.own:
            return self._next_presence()
        assert canary.presence is not None
        self._presence_asked = canary.id
        return ControlRequest(PRESENCE, (), canary.presence)

    def probe(self, spec: SubscriptionSpec, presence: bytes | None, identifier: str) -> list[CanaryOut]:
        """A canary is due on the link that is up."""
        canary = self.canary = CanaryBook() if self.canary is None else self.canary
        return [CanaryOut()] if canary.probe(spec, presence, identifier) else []

    @property
    def may_authenticate(self) -> bool:
        """Whether an authentication by message is safe on this link (PROTOCOL: "Messages", rule 3).

        With nothing acknowledged the server would forget the project; a plain `account` of a guest would not be bound anew;
        the old user's presence would stay stored for 30 days (rule 11); and one request is in flight at a time.
        """
        plain = any("account" in spec.channels for spec in self.desired.values())
        return (
            self.in_flight is None
            and self.all_acknowledged
            and not plain
            and not self.subscribed_in_url
            and self.presence is None
            and self.presence_on_link is None
        )

    def authenticate(self, session: str) -> ControlRequest:
        """Take an authentication into flight."""
        self.in_flight = ControlRequest(AUTHENTICATE, (), frames.authentication(session))
        return self.in_flight

    @property
    def answerable(self) -> ControlRequest | None:
        """The request that a reply may answer: the one in flight, or else the subscribe that a 1013 has put back."""
        return self.in_flight or self._dropped

    def matches_in_flight(self, to: str, granted: Sequence[AcknowledgedSubscription]) -> bool:
        """Whether a reply is the one that is awaited (PROTOCOL: "Messages", rule 1).

        A 1013 does not name the message that the server dropped. So while nothing is in flight, the reply may also be the one to
        the subscribe that the 1013 has put back: it proves that the server has these subscriptions.
        """
        if to == GREETING_ACK:
            return self.subscribed_in_url
        asked = self.answerable
        return asked is not None and asked.kind == to and {g.subscription_id for g in granted} == set(asked.ids)

    def handle_reply(
        self, granted: Sequence[AcknowledgedSubscription], presence: bytes = b"null"
    ) -> list[SubscriptionAcknowledged | SubscriptionRemoved | PresenceStored | CanaryOut]:
        """The request in flight was answered, or the one that a 1013 has put back."""
        asked, self.in_flight = self.in_flight, None
        if asked is None and self._dropped is not None:
            asked, self._dropped = self._dropped, None
            for identifier in asked.ids:
                self._forget_request(identifier)
        if asked is not None:
            self._again.note(asked.kind, failed=False)
        if asked is not None and asked.ids == _CANARY_ALONE:
            assert self.canary is not None
            self.canary.listening = True
            return [] if self.canary.presence_due else [CanaryOut()]
        if asked is not None and asked.kind == PRESENCE:
            self.presence_on_link = self.presence_on_link or self._presence_asked
            out, own = self._end_canary()
            heard: list[SubscriptionAcknowledged | SubscriptionRemoved | PresenceStored | CanaryOut] = (
                [CanaryOut()] if out else []
            )
            if own or self._presence_pending:  # a newer one is to follow, and to be told
                return heard
            self._presence_stored = True
            return [PresenceStored(presence), *heard]
        if asked is not None and asked.kind == AUTHENTICATE and self.canary is not None:
            self.canary.listening = False  # its subscription is the user's who was
        if asked is None or asked.kind == UNSUBSCRIBE:
            return [SubscriptionRemoved(g.subscription_id) for g in granted]
        told: list[SubscriptionAcknowledged | SubscriptionRemoved | PresenceStored | CanaryOut] = []
        for g in granted:
            if g.subscription_id in self.desired:
                self._acknowledged[g.subscription_id] = None
                self._ever_acknowledged[g.subscription_id] = None
                told.append(SubscriptionAcknowledged(g.subscription_id, g.channels))
            else:  # withdrawn while it was in flight
                self._removals[g.subscription_id] = None
        if told and self.refusals.accept():  # none of the small groups tells anything
            self.reunite()
        self._update_all_acknowledged()
        return told

    @property
    def repeats(self) -> bool:
        """Whether subscriptions wait for a repetition."""
        return bool(self._again.batches)

    def handle_error(self, code: Code, message: str, attempts: int | None = None) -> list[Rejection]:
        """Reject the only item of the request in flight, or halve the request: an error answered it.

        Args:
            code: the code of the error frame.
            message: its text.
            attempts: after how many refusals (1008) alone a subscription that was never acknowledged is rejected; None for never.
        """
        asked, self.in_flight = self.in_flight, None
        if asked is None:
            return []
        if asked.kind == AUTHENTICATE:
            return [AuthenticationRefused(code, message)]
        if asked.ids == _CANARY_ALONE:
            assert self.canary is not None
            self.canary.presence_due = False
            return [CanaryRefused(code)]
        if asked.kind == PRESENCE:
            self._presence_asked = None
            out, own = self._end_canary()
            refused: list[Rejection] = [CanaryRefused(code)] if out else []
            if own or self._presence_pending:  # a newer one is to follow, and may fare better
                return refused
            self._fall_back()
            return [PresenceRefused(PresenceRejected(code, message)), *refused]
        # What was to be removed counts as removed: the user has let go of it, and what still comes for it is dropped.
        gone: list[Rejection] = [SubscriptionRemoved(identifier) for identifier in asked.ids if identifier not in self.desired]
        ids = [identifier for identifier in asked.ids if identifier in self.desired]
        guilty = code != POLICY or self._is_newcomer_alone(ids) or self.refusals.refuse(ids, self.desired)
        before, lone = self._unanswered(asked), len(asked.ids) == 1 and bool(ids)
        spent = attempts is not None and before.alone + 1 >= attempts and not self._ever_acknowledged.keys() & ids
        if lone and (guilty or spent):
            self.withdraw(ids[0])
            return [SubscriptionRefused(ids[0], code, message)]
        middle = (len(ids) + 1) // 2
        halves = tuple(tuple(half) for half in (ids[:middle], ids[middle:]) if half)
        if code == POLICY:
            self._again.note(SUBSCRIBE, failed=True)
            later = tuple(Batch(half, before.failures, before.alone + lone) for half in halves)
            # Where nothing was accepted, another group comes first: if the server refuses that as well, it refuses everything.
            self._again.batches = (*later, *self._again.batches) if guilty else (*self._again.batches, *later)
        else:
            self._bisection_groups = (*halves, *self._bisection_groups)
        return gone

    def _is_newcomer_alone(self, ids: Sequence[str]) -> bool:
        """Whether these are the only one, which was never acknowledged: the link lived until the user asked for it."""
        return len(ids) == len(self.desired) == 1 and ids[0] not in self._ever_acknowledged

    @property
    def in_repetition(self) -> bool:
        """Whether the request in flight is one that a server fault has met before."""
        asked = self.in_flight
        if asked is None or asked.kind == SUBSCRIBE:
            return asked is not None and asked.batch is not None and asked.batch.failures > 0
        return asked.kind in self._again

    def repeat(self, code: Code, message: str, attempts: int | None, *, whole: bool) -> list[Rejection]:
        """A server fault answered the request in flight: it goes out again, later.

        Args:
            code: the code of the error frame.
            message: its text.
            attempts: after how many requests alone a subscription that was never acknowledged is rejected; None for never.
            whole: whether a ping has failed, too, so that no item is to blame.
        """
        asked, self.in_flight = self.in_flight, None
        assert asked is not None
        if asked.kind == AUTHENTICATE:
            return [AuthenticationRefused(code, message)]
        if asked.ids == _CANARY_ALONE or asked.kind == PRESENCE:
            return self._repeat_presence(code, asked)
        self._again.note(asked.kind, failed=True)
        if asked.kind == UNSUBSCRIBE:
            self._removals |= dict.fromkeys(asked.ids)
            return []
        told: list[Rejection] = [SubscriptionRemoved(identifier) for identifier in asked.ids if identifier not in self.desired]
        for batch in self._unanswered(asked).fail(self._ever_acknowledged, whole=whole) if len(told) < len(asked.ids) else ():
            if attempts is not None and batch.alone >= attempts and batch.ids[0] not in self._ever_acknowledged:
                self.withdraw(batch.ids[0])
                told.append(SubscriptionRefused(batch.ids[0], code, message))
            else:
                self._again.batches += (batch,)
        return told

    def _repeat_presence(self, code: Code, asked: ControlRequest) -> list[Rejection]:
        """Keep the user's presence for a repetition. A canary proves nothing now, and the next one is due in its time."""
        if asked.ids == _CANARY_ALONE:
            assert self.canary is not None
            self.canary.presence_due = False
            return [CanaryRefused(code)]
        self._presence_asked = None
        out, own = self._end_canary()
        if not own:
            self._again.note(PRESENCE, failed=True)
            self._presence_pending = self.presence is not None
        return [CanaryRefused(code)] if out else []

    def reunite(self) -> None:
        """Put together what was divided: the server failed for every item, so no item is to blame."""
        self._again.reunite(self._ever_acknowledged)

    def requeue_in_flight(self) -> list[AuthenticationRefused | SubscriptionRemoved]:
        """The request in flight was dropped by the server (1013, 429): it goes out again, later."""
        asked, self.in_flight = self.in_flight, None
        if asked is None:
            return []
        if asked.kind == AUTHENTICATE:  # by the next window it may not be safe any more; whoever asked can dial anew
            return [AuthenticationRefused(1013, "too many messages")]
        if asked.ids == _CANARY_ALONE:
            assert self.canary is not None
            self.canary.spec_due = True
            return []
        if asked.kind == PRESENCE:
            out, own = self._end_canary()
            if out and self.canary is not None:
                self.canary.presence_due = True
            self._presence_pending = self.presence is not None and not own
            return []
        if asked.kind == UNSUBSCRIBE:
            self._removals |= dict.fromkeys(asked.ids)
            return []
        self._requeue(asked)
        self._dropped = asked
        return [SubscriptionRemoved(identifier) for identifier in asked.ids if identifier not in self.desired]

    def _end_canary(self) -> tuple[bool, bool]:
        """Whether the presence that was in flight is a canary, and one of its own."""
        if self.canary is None:
            return False, False
        ended = self.canary.out, self.canary.own
        self.canary.out = self.canary.own = False
        return ended

    # --- within -------------------------------------------------------------------------------------------------------

    def _forget_request(self, identifier: str) -> None:
        """Ask for a subscription no more."""
        self._pending.pop(identifier, None)
        self._bisection_groups = tuple(rest for group in self._bisection_groups if (rest := _tuple_without(group, identifier)))
        self._again.withdraw(identifier)

    def _requeue(self, asked: ControlRequest) -> None:
        batch = self._unanswered(asked)
        ids = batch.ids
        if ids and asked.batch is not None:
            self._again.batches = (batch, *self._again.batches)
        elif not asked.bisecting:
            self._pending |= dict.fromkeys(ids)
        elif ids:
            self._bisection_groups = (ids, *self._bisection_groups)

    def _unanswered(self, asked: ControlRequest) -> Batch:
        """What of a request is still desired."""
        before = asked.batch or Batch(asked.ids)
        ids = tuple(identifier for identifier in asked.ids if identifier in self.desired)
        return Batch(ids, before.failures, before.alone if ids == before.ids else 0)

    @property
    def _others(self) -> dict[str, object]:
        """What waits behind the innocent and the suspects, by the kind of its request."""
        canary = self.canary is not None and self.canary.waits
        return {SUBSCRIBE: self._again.batches, UNSUBSCRIBE: self._removals, PRESENCE: self._presence_pending or canary}

    def _item(self, identifier: str) -> bytes:
        return self.desired[identifier].item

    def _update_all_acknowledged(self) -> None:
        if self.desired and len(self._acknowledged) == len(self.desired):  # nothing is acknowledged that is not desired
            self.all_acknowledged = True

    def _update_after_removal(self) -> None:
        if self.desired:
            self._update_all_acknowledged()
        else:
            self.all_acknowledged = False
            self.all_removed = True


def _tuple_without(group: tuple[str, ...], identifier: str) -> tuple[str, ...]:
    return tuple(other for other in group if other != identifier)
