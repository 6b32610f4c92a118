"""The subscription book: what the user desires, what the server has acknowledged on this link, and what to ask next.

The law: what is desired stays in the book until the user withdraws it or the server rejects it alone. An acknowledged
subscription is never silently lost: a new link makes it pending again.

The theory. Replies come out of order and an error frame names nobody (PROTOCOL: "Messages", rules 1 and 5), so one request
is in flight at a time and everything that waits is merged into it. When an error answers a batch, one of its items is bad
and nothing says which: the batch is halved and each half asked alone, until the guilty item stands alone. A half stays apart
from the rest, also over the next links.

A server fault blames nothing: the request is repeated, those that were never acknowledged apart from the others
(`realtime_fsm.core.fault`). A refusal (1008) announces the end of the link, so its halves wait for the next link; on a link that
stays up they wait as long as the repetition of a server fault does.

Older servers are asked by the address that is dialed, and acknowledge with their greeting (`plan`, `greeted`). On such a link
nothing is asked by message, what is withdrawn is gone at once, and what is desired later waits for the next link.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.core.canary import CANARY, CanaryBook
from realtime_fsm.core.control import Control, batched
from realtime_fsm.core.fault import Batch, Repetitions
from realtime_fsm.core.refusals import Refusals
from realtime_fsm.vocabulary import eras, frames
from realtime_fsm.vocabulary.eras import Era
from realtime_fsm.vocabulary.errors import PresenceRejected, UnsupportedByServer
from realtime_fsm.vocabulary.policies import POLICY
from realtime_fsm.vocabulary.requests import (
    CanaryOut,
    CanaryRefused,
    Grant,
    Lack,
    Present,
    Reject,
    RejectIdentity,
    RejectPresence,
    Remove,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, KeysView, Sequence

    from realtime_fsm.vocabulary.eras import Plan
    from realtime_fsm.vocabulary.frames import Code, Granted
    from realtime_fsm.vocabulary.inputs import Wish

SUBSCRIBE, UNSUBSCRIBE, AUTHENTICATE, PRESENCE = "subscribe", "unsubscribe", "authentication", "presence"

GREETING = "connected"
"""What acknowledges channels in the address."""

Blamed = Reject | RejectIdentity | RejectPresence | Remove | CanaryRefused
_CANARY_ALONE = (CANARY,)


class Book:
    """The subscriptions of one connection."""

    __slots__ = (
        "_acknowledged", "_again", "_dropped", "_era", "_established", "_named", "_pending", "_planned", "_presence_asked",
        "_presence_due", "_presence_id", "_removals", "_shown", "_stored", "_suspects", "by_address", "canary", "desired",
        "emptied", "in_flight", "presence", "presence_on_link", "refusals", "settled",
    )  # fmt: skip

    def __init__(self) -> None:
        self.desired: dict[str, Wish] = {}
        self._acknowledged: dict[str, None] = {}  # as are all here that could be sets: an empty set takes 150 bytes more
        self.in_flight: Control | None = None
        # `settled`: everything that was desired at some moment of this link has been acknowledged, and something still is.
        # `emptied`: something was desired on this link, and nothing is any more.
        self.settled = False
        self.emptied = False
        self._established: dict[str, None] = {}
        self._pending: dict[str, None] = {}
        self._suspects: tuple[tuple[str, ...], ...] = ()
        self.refusals = Refusals()
        self._again = Repetitions()
        self._removals: dict[str, None] = {}
        self._dropped: Control | None = None  # a subscribe that a 1013 has put back, on this link
        self._planned: tuple[str, ...] = ()  # what the newest link was asked for by its address
        self.by_address = False  # whether the link that is up was asked so
        self._named: Sequence[str] = ()  # the channels that the server named with its greeting
        self._era = Era.E4
        self.presence: bytes | None = None  # the message that shows us as present
        self.canary: CanaryBook | None = None
        self._presence_id = ""
        self._presence_asked: str | None = None  # the id in the presence message that is in flight
        self.presence_on_link: str | None = None  # the id of the presence that the server has stored for the link that is up
        self._presence_due = False
        self._shown = False  # whether the server has stored it once
        self._stored: tuple[bytes, str] | None = None  # the presence before, which is wanted again if the newest call fails

    @property
    def acknowledged(self) -> KeysView[str]:
        """What the server has acknowledged on this link, and is still desired."""
        return self._acknowledged.keys()

    def serves(self, identifiers: Iterable[str]) -> bool:
        """Whether each of them is acknowledged on this link, as far as it is still desired."""
        return all(identifier in self._acknowledged or identifier not in self.desired for identifier in identifiers)

    # --- the user -----------------------------------------------------------------------------------------------------

    def desire(self, wish: Wish) -> None:
        """The user wants it."""
        self.desired[wish.id] = wish
        self._pending[wish.id] = None
        self.emptied = False

    def withdraw(self, identifier: str) -> list[Remove]:
        """The user does not want it any more. The answer tells if it is gone from the server at once."""
        if self.desired.pop(identifier, None) is None:
            return []
        self._forget_request(identifier)
        self._established.pop(identifier, None)
        acknowledged = identifier in self._acknowledged
        self._acknowledged.pop(identifier, None)
        self._note_shrinking()
        if acknowledged:
            if self.by_address:
                return [Remove(identifier)]
            self._removals[identifier] = None
            return []
        asked = self.in_flight is not None and self.in_flight.kind == SUBSCRIBE and identifier in self.in_flight.ids
        return [] if asked else [Remove(identifier)]

    def withdraw_unestablished(self) -> tuple[str, ...]:
        """Strike what was never acknowledged: whoever asked for it is told that it failed."""
        gone = tuple(identifier for identifier in self.desired if identifier not in self._established)
        for identifier in gone:
            self.withdraw(identifier)
        if not self._shown:
            self._fall_back()
        return gone

    def show(self, presence: bytes | None, identifier: str = "") -> None:
        """The user wants to be shown as present, or no longer; a message that waits is replaced."""
        if presence is None:
            self._stored = None
        elif self.presence is not None and self._shown:
            self._stored = self.presence, self._presence_id
        self.presence, self._presence_id = presence, identifier
        self._presence_due = presence is not None
        self._shown = False

    def _fall_back(self) -> None:
        """The newest call for a presence fails: the one that the server stored before it is wanted again."""
        message, identifier = (None, "") if self._shown or self._stored is None else self._stored
        self.show(message, identifier)
        self._shown = message is not None
        self._presence_due = self._shown and self.presence_on_link is None

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
        self.settled = self.emptied = self.by_address = False
        self.refusals.begin_link()
        self._presence_due = self.presence is not None

    def plan(self) -> Plan:
        """Everything desired, for the address of the next link."""
        self._planned = tuple(self.desired)
        canary = self.canary
        hidden = () if canary is None or canary.wish is None else (canary.wish,)
        return eras.plan((*self.desired.values(), *hidden))

    def greet(self, channels: Sequence[str], era: Era) -> None:
        """The link that is up was asked by its address."""
        self.by_address, self._named, self._era = True, channels, era

    def settle_planned(self) -> list[Grant | Lack | RejectPresence]:
        """What the link was asked for by its address is acknowledged with the greeting."""
        told: list[Grant | Lack | RejectPresence] = []
        planned, self._planned = self._planned, ()
        if self.canary is not None:
            self.canary.listening = self.canary.wish is not None
        self._suspects = self._again.batches = ()  # the server was of another era when it refused them; an address asks for all
        for wish in [self.desired[identifier] for identifier in planned if identifier in self.desired]:
            self._pending.pop(wish.id, None)
            if wish.queries and not self._era.has("queries"):
                self.withdraw(wish.id)
                told.append(Lack(wish.id, self._era))
                continue
            self._acknowledged[wish.id] = None
            self._established[wish.id] = None
            told.append(Grant(wish.id, eras.named(wish, self._named)))
        if self.presence is not None:
            self.show(None)
            told.append(RejectPresence(UnsupportedByServer("presence", self._era, self._era.releases)))
        self.refusals.accept()
        self._note_progress()
        return told

    def blame_newcomers(self, code: Code, message: str) -> list[Reject]:
        """The server refused an address. What has never been acknowledged is to blame, where all the rest once was."""
        mine = [identifier for identifier in self._planned if identifier in self.desired]
        new = [identifier for identifier in mine if identifier not in self._established]
        if len(new) == len(mine):
            return []
        for identifier in new:
            self.withdraw(identifier)
        return [Reject(identifier, code, message) for identifier in new]

    @property
    def wants_handover(self) -> bool:
        """Whether something is desired that only another address can ask for."""
        return self.by_address and bool(self._pending)

    def end_link(self) -> list[Remove]:
        """The link is gone, and with it all that the server knew of us."""
        removed = [Remove(identifier) for identifier in self._removals]
        if self.in_flight is not None and self.in_flight.ids != _CANARY_ALONE:
            # Of an unsubscribe, nothing is desired any more; of an authentication, the next dial carries it.
            removed += [Remove(identifier) for identifier in self.in_flight.ids if identifier not in self.desired]
            self._put_back(self.in_flight)
        apart = {identifier for group in self._suspects for identifier in group}.union(self._again.ids)
        self._pending = {identifier: None for identifier in self.desired if identifier not in apart}
        self._again.end_link()
        self._removals.clear()
        self._acknowledged.clear()
        self.in_flight = self._dropped = self.presence_on_link = self._presence_asked = None
        self.by_address = False
        if self.canary is not None:
            self.canary.forget_link()
        return removed

    @property
    def waits(self) -> bool:
        """Whether something is to be asked, and nothing is in flight."""
        if self.in_flight is not None or self.by_address:
            return False
        return self.has_news or any(self._others.values())

    @property
    def has_news(self) -> bool:
        """Whether something is to be asked that neither a server fault nor a refusal (1008) has met."""
        return bool(self._pending or self._suspects)

    def next_request(self) -> Control | None:
        """Take the next request into flight: first the innocent, then one group of suspects, then the rest.

        Of the rest, a kind of request that a server fault has met gives way to the others.
        """
        if not self.waits:
            return None
        if self._pending:
            self.in_flight = batched(SUBSCRIBE, self._pending, (self._item(identifier) for identifier in self._pending))
        elif self._suspects:
            group, *rest = self._suspects
            self.in_flight = batched(SUBSCRIBE, group, (self._item(identifier) for identifier in group), suspect=True)
            left = group[len(self.in_flight.ids) :]
            self._suspects = (left, *rest) if left else tuple(rest)
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

    def _next_presence(self) -> Control:
        assert self.presence is not None
        self._presence_due = False
        self._presence_asked = self._presence_id
        return Control(PRESENCE, (), self.presence)

    def _next_of(self, canary: CanaryBook) -> Control:
        """The hidden subscription, or a presence to be heard on it: the one that is wanted, or one of the canary's own."""
        if canary.wish_due:
            canary.wish_due = False
            assert canary.wish is not None
            item = frames.subscribe_item(CANARY, canary.wish.channels, canary.wish.queries)
            return batched(SUBSCRIBE, _CANARY_ALONE, (item,))
        canary.presence_due, canary.out, canary.own = False, True, self.presence is None
        if not canary.own:
            return self._next_presence()
        assert canary.presence is not None
        self._presence_asked = canary.id
        return Control(PRESENCE, (), canary.presence)

    def probe(self, wish: Wish, presence: bytes | None, identifier: str) -> list[CanaryOut]:
        """A canary is due on the link that is up."""
        canary = self.canary = CanaryBook() if self.canary is None else self.canary
        return [CanaryOut()] if canary.probe(wish, presence, identifier) else []

    @property
    def may_authenticate(self) -> bool:
        """Whether an authentication by message is safe on this link (PROTOCOL: "Messages", rule 3).

        With nothing acknowledged the server would forget the project; a plain `account` of a guest would not be bound anew;
        the old user's presence would stay stored for 30 days (rule 11); and one request is in flight at a time.
        """
        plain = any("account" in wish.channels for wish in self.desired.values())
        return (
            self.in_flight is None
            and self.settled
            and not plain
            and not self.by_address
            and self.presence is None
            and self.presence_on_link is None
        )

    def authenticate(self, session: str) -> Control:
        """Take an authentication into flight."""
        self.in_flight = Control(AUTHENTICATE, (), frames.authentication(session))
        return self.in_flight

    @property
    def answerable(self) -> Control | None:
        """The request that a reply may answer: the one in flight, or else the subscribe that a 1013 has put back."""
        return self.in_flight or self._dropped

    def answers(self, to: str, granted: Sequence[Granted]) -> bool:
        """Whether a reply is the one that is awaited (PROTOCOL: "Messages", rule 1).

        A 1013 does not name the message that the server dropped. So while nothing is in flight, the reply may also be the one to
        the subscribe that the 1013 has put back: it proves that the server has these subscriptions.
        """
        if to == GREETING:
            return self.by_address
        asked = self.answerable
        return asked is not None and asked.kind == to and {g.subscription_id for g in granted} == set(asked.ids)

    def settle(self, granted: Sequence[Granted], presence: bytes = b"null") -> list[Grant | Remove | Present | CanaryOut]:
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
            heard: list[Grant | Remove | Present | CanaryOut] = [CanaryOut()] if out else []
            if own or self._presence_due:  # a newer one is to follow, and to be told
                return heard
            self._shown = True
            return [Present(presence), *heard]
        if asked is not None and asked.kind == AUTHENTICATE and self.canary is not None:
            self.canary.listening = False  # its subscription is the user's who was
        if asked is None or asked.kind == UNSUBSCRIBE:
            return [Remove(g.subscription_id) for g in granted]
        told: list[Grant | Remove | Present | CanaryOut] = []
        for g in granted:
            if g.subscription_id in self.desired:
                self._acknowledged[g.subscription_id] = None
                self._established[g.subscription_id] = None
                told.append(Grant(g.subscription_id, g.channels))
            else:  # withdrawn while it was in flight
                self._removals[g.subscription_id] = None
        if told and self.refusals.accept():  # none of the small groups tells anything
            self.reunite()
        self._note_progress()
        return told

    @property
    def repeats(self) -> bool:
        """Whether subscriptions wait for a repetition."""
        return bool(self._again.batches)

    def blame(self, code: Code, message: str, attempts: int | None = None) -> list[Blamed]:
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
            return [RejectIdentity(code, message)]
        if asked.ids == _CANARY_ALONE:
            assert self.canary is not None
            self.canary.presence_due = False
            return [CanaryRefused(code)]
        if asked.kind == PRESENCE:
            self._presence_asked = None
            out, own = self._end_canary()
            refused: list[Blamed] = [CanaryRefused(code)] if out else []
            if own or self._presence_due:  # a newer one is to follow, and may fare better
                return refused
            self._fall_back()
            return [RejectPresence(PresenceRejected(code, message)), *refused]
        # What was to be removed counts as removed: the user has let go of it, and what still comes for it is dropped.
        gone: list[Blamed] = [Remove(identifier) for identifier in asked.ids if identifier not in self.desired]
        ids = [identifier for identifier in asked.ids if identifier in self.desired]
        guilty = code != POLICY or self._is_newcomer_alone(ids) or self.refusals.refuse(ids, self.desired)
        before, lone = self._unanswered(asked), len(asked.ids) == 1 and bool(ids)
        spent = attempts is not None and before.alone + 1 >= attempts and not self._established.keys() & ids
        if lone and (guilty or spent):
            self.withdraw(ids[0])
            return [Reject(ids[0], code, message)]
        middle = (len(ids) + 1) // 2
        halves = tuple(tuple(half) for half in (ids[:middle], ids[middle:]) if half)
        if code == POLICY:
            self._again.note(SUBSCRIBE, failed=True)
            later = tuple(Batch(half, before.failures, before.alone + lone) for half in halves)
            # Where nothing was accepted, another group comes first: if the server refuses that as well, it refuses everything.
            self._again.batches = (*later, *self._again.batches) if guilty else (*self._again.batches, *later)
        else:
            self._suspects = (*halves, *self._suspects)
        return gone

    def _is_newcomer_alone(self, ids: Sequence[str]) -> bool:
        """Whether these are the only one, which was never acknowledged: the link lived until the user asked for it."""
        return len(ids) == len(self.desired) == 1 and ids[0] not in self._established

    @property
    def in_repetition(self) -> bool:
        """Whether the request in flight is one that a server fault has met before."""
        asked = self.in_flight
        if asked is None or asked.kind == SUBSCRIBE:
            return asked is not None and asked.batch is not None and asked.batch.failures > 0
        return asked.kind in self._again

    def repeat(self, code: Code, message: str, attempts: int | None, *, whole: bool) -> list[Blamed]:
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
            return [RejectIdentity(code, message)]
        if asked.ids == _CANARY_ALONE or asked.kind == PRESENCE:
            return self._repeat_presence(code, asked)
        self._again.note(asked.kind, failed=True)
        if asked.kind == UNSUBSCRIBE:
            self._removals |= dict.fromkeys(asked.ids)
            return []
        told: list[Blamed] = [Remove(identifier) for identifier in asked.ids if identifier not in self.desired]
        for batch in self._unanswered(asked).fail(self._established, whole=whole) if len(told) < len(asked.ids) else ():
            if attempts is not None and batch.alone >= attempts and batch.ids[0] not in self._established:
                self.withdraw(batch.ids[0])
                told.append(Reject(batch.ids[0], code, message))
            else:
                self._again.batches += (batch,)
        return told

    def _repeat_presence(self, code: Code, asked: Control) -> list[Blamed]:
        """Keep the user's presence for a repetition. A canary proves nothing now, and the next one is due in its time."""
        if asked.ids == _CANARY_ALONE:
            assert self.canary is not None
            self.canary.presence_due = False
            return [CanaryRefused(code)]
        self._presence_asked = None
        out, own = self._end_canary()
        if not own:
            self._again.note(PRESENCE, failed=True)
            self._presence_due = self.presence is not None
        return [CanaryRefused(code)] if out else []

    def reunite(self) -> None:
        """Put together what was divided: the server failed for every item, so no item is to blame."""
        self._again.reunite(self._established)

    def ask_again(self) -> list[RejectIdentity | Remove]:
        """The request in flight was dropped by the server (1013, 429): it goes out again, later."""
        asked, self.in_flight = self.in_flight, None
        if asked is None:
            return []
        if asked.kind == AUTHENTICATE:  # by the next window it may not be safe any more; whoever asked can dial anew
            return [RejectIdentity(1013, "too many messages")]
        if asked.ids == _CANARY_ALONE:
            assert self.canary is not None
            self.canary.wish_due = True
            return []
        if asked.kind == PRESENCE:
            out, own = self._end_canary()
            if out and self.canary is not None:
                self.canary.presence_due = True
            self._presence_due = self.presence is not None and not own
            return []
        if asked.kind == UNSUBSCRIBE:
            self._removals |= dict.fromkeys(asked.ids)
            return []
        self._put_back(asked)
        self._dropped = asked
        return [Remove(identifier) for identifier in asked.ids if identifier not in self.desired]

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
        self._suspects = tuple(rest for group in self._suspects if (rest := _without(group, identifier)))
        self._again.withdraw(identifier)

    def _put_back(self, asked: Control) -> None:
        batch = self._unanswered(asked)
        ids = batch.ids
        if ids and asked.batch is not None:
            self._again.batches = (batch, *self._again.batches)
        elif not asked.suspect:
            self._pending |= dict.fromkeys(ids)
        elif ids:
            self._suspects = (ids, *self._suspects)

    def _unanswered(self, asked: Control) -> Batch:
        """What of a request is still desired."""
        before = asked.batch or Batch(asked.ids)
        ids = tuple(identifier for identifier in asked.ids if identifier in self.desired)
        return Batch(ids, before.failures, before.alone if ids == before.ids else 0)

    @property
    def _others(self) -> dict[str, object]:
        """What waits behind the innocent and the suspects, by the kind of its request."""
        canary = self.canary is not None and self.canary.waits
        return {SUBSCRIBE: self._again.batches, UNSUBSCRIBE: self._removals, PRESENCE: self._presence_due or canary}

    def _item(self, identifier: str) -> bytes:
        wish = self.desired[identifier]
        return frames.subscribe_item(identifier, wish.channels, wish.queries)

    def _note_progress(self) -> None:
        if self.desired and len(self._acknowledged) == len(self.desired):  # nothing is acknowledged that is not desired
            self.settled = True

    def _note_shrinking(self) -> None:
        if self.desired:
            self._note_progress()
        else:
            self.settled = False
            self.emptied = True


def _without(group: tuple[str, ...], identifier: str) -> tuple[str, ...]:
    return tuple(other for other in group if other != identifier)
