"""A model of the server that answers a subscription tracker, and an account of the news that its user got."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from realtime_fsm.fsm.commands import Command, SubscriptionAcknowledged, SubscriptionRefused, SubscriptionRemoved
from realtime_fsm.fsm.control import SUBSCRIBE, UNSUBSCRIBE, ControlRequest
from realtime_fsm.fsm.subscriptions import SubscriptionTracker
from realtime_fsm.protocol.frames import AcknowledgedSubscription
from realtime_fsm.protocol.spec import SubscriptionSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FRAME_LIMIT = 65_536
FAULT, BAD_MESSAGE, POLICY = 0, 1003, 1008
ATTEMPTS = 3


def frame_size(data: bytes) -> int:
    """A client's frame on the wire: two bytes, the length if it does not fit into them, the mask, the text."""
    extended = 0 if len(data) <= 125 else 2 if len(data) <= 65_535 else 8
    return 2 + extended + 4 + len(data)


def grants(*identifiers: str) -> tuple[AcknowledgedSubscription, ...]:
    """A reply that grants these."""
    return tuple(AcknowledgedSubscription(identifier, ("rows",)) for identifier in identifiers)


def spec(identifier: str, size: int = 0) -> SubscriptionSpec:
    """Return a subscription whose item takes more than `size` bytes."""
    return SubscriptionSpec(identifier, ("rows",), ("q" * size,) if size else ())


class Server:
    """The subscriptions that the server holds of one connection, and those that it never accepts, with the code."""

    def __init__(self, bad: dict[str, int] | None = None) -> None:
        self.bad = {} if bad is None else bad
        self.holds: set[str] = set()

    def code_for(self, asked: ControlRequest) -> int | None:
        """The error that answers a request, if one does: one bad item rejects its whole batch."""
        return next((self.bad[i] for i in asked.ids if i in self.bad), None) if asked.kind == SUBSCRIBE else None

    def accept(self, asked: ControlRequest) -> tuple[AcknowledgedSubscription, ...]:
        """Do what is asked, in another order."""
        if asked.kind == SUBSCRIBE:
            self.holds.update(asked.ids)
        else:
            self.holds.difference_update(asked.ids)
        return tuple(reversed(grants(*asked.ids)))


class Account:
    """The news that the user of a tracker got: of each subscription one end, in one of two ways."""

    def __init__(self) -> None:
        self.granted: set[str] = set()
        self.removed: set[str] = set()
        self.rejected: set[str] = set()

    def record(self, told: Iterable[Command]) -> None:
        for command in told:
            assert isinstance(command, SubscriptionAcknowledged | SubscriptionRefused | SubscriptionRemoved), (
                "no authentication and no presence is sent here"
            )
            assert command.id not in self.removed | self.rejected, "nothing is told after the end"
            (
                self.granted
                if isinstance(command, SubscriptionAcknowledged)
                else self.removed
                if isinstance(command, SubscriptionRemoved)
                else self.rejected
            ).add(command.id)


def ask(tracker: SubscriptionTracker) -> ControlRequest | None:
    """Take the next request, and check it against the rules of every request."""
    waited = tracker.has_pending_request
    asked = tracker.next_request()
    assert waited == (asked is not None)
    if asked is None:
        return None
    assert tracker.in_flight is asked
    assert not tracker.has_pending_request
    assert tracker.next_request() is None, "one request in flight"
    assert frame_size(asked.data) <= FRAME_LIMIT
    sent = json.loads(asked.data)
    assert sent["type"] == asked.kind
    assert [item["subscriptionId"] for item in sent["data"]] == list(asked.ids)
    assert 0 < len(asked.ids) == len(set(asked.ids)), "nothing is asked twice in one request"
    for item in sent["data"]:
        wanted = tracker.desired.get(item["subscriptionId"])
        if asked.kind == UNSUBSCRIBE:
            assert wanted is None
        else:
            assert wanted is not None
            assert (item["channels"], item.get("queries", [])) == (list(wanted.channels), list(wanted.queries))
    return asked


def tracker_with(*identifiers: str) -> SubscriptionTracker:
    """Return a tracker on a new link in which these are desired."""
    tracker = SubscriptionTracker()
    tracker.begin_link()
    for identifier in identifiers:
        tracker.add(spec(identifier))
    return tracker


def asked(tracker: SubscriptionTracker) -> ControlRequest:
    """Return the next request, where one waits."""
    control = ask(tracker)
    assert control is not None
    return control


def acknowledged(*identifiers: str) -> SubscriptionTracker:
    """Return a tracker in which these are acknowledged."""
    tracker = tracker_with(*identifiers)
    tracker.handle_reply(grants(*asked(tracker).ids))
    return tracker


def converge(tracker: SubscriptionTracker, server: Server, account: Account, bound: int) -> None:
    """Ask and answer until nothing waits: within `bound` requests everything good is acknowledged and the rest gone."""
    for _ in range(bound):
        if (asked := tracker.in_flight or ask(tracker)) is None:
            return
        answer(tracker, server, account, asked)
    assert tracker.in_flight is None
    assert not tracker.has_pending_request, f"not done after {bound} requests"


def answer(tracker: SubscriptionTracker, server: Server, account: Account, asked: ControlRequest) -> None:
    """Answer the request in flight; after 1008 the link is over and a new one begins."""
    code = server.code_for(asked)
    if code is None:
        granted = server.accept(asked)
        assert tracker.matches_in_flight(asked.kind, granted)
        account.record(tracker.handle_reply(granted))
        return
    account.record(blamed(tracker, code))
    if code == POLICY:
        relink(tracker, server, account)


def blamed(tracker: SubscriptionTracker, code: int) -> Sequence[Command]:
    """Let an error answer the request in flight."""
    if code == FAULT:
        return tracker.repeat(code, "Error: Server Error", ATTEMPTS, whole=False)
    return tracker.handle_error(code, "Error: Server Error")


def relink(tracker: SubscriptionTracker, server: Server, account: Account) -> None:
    """The link ends, and another begins: the server knows nothing any more."""
    account.record(tracker.end_link())
    server.holds.clear()
    tracker.begin_link()


class TrackerMachine(RuleBasedStateMachine):
    """A user, a server and a link do whatever they may, in any order; in the end everything is as it must be."""

    def __init__(self) -> None:
        super().__init__()
        self.subscriptions, self.server, self.account = SubscriptionTracker(), Server(), Account()
        self.subscriptions.begin_link()
        self.up = True
        self.dying = False  # the server has said 1008, and the end of the stream has not come yet
        self.known: list[str] = []
        self.withdrawn: set[str] = set()
        self.struck: set[str] = set()
        self.forsaken: set[str] = set()  # removals that the server answered with an error
        self.settled = self.emptied = self.had_some = False

    @property
    def wanted(self) -> set[str]:
        return set(self.known) - self.withdrawn - self.struck - self.account.rejected

    # --- the user -----------------------------------------------------------------------------------------------------

    @rule(
        size=st.sampled_from([0, 0, 9_000, 30_000, 65_000]), code=st.sampled_from([None, None, None, FAULT, BAD_MESSAGE, POLICY])
    )
    def desire(self, size: int, code: int | None) -> None:
        identifier = f"s{len(self.known)}"
        self.known.append(identifier)
        if code is not None:
            self.server.bad[identifier] = code
        self.subscriptions.add(spec(identifier, size))

    @precondition(lambda self: self.wanted)
    @rule(pick=st.integers(0, 1000))
    def withdraw(self, pick: int) -> None:
        identifier = sorted(self.wanted)[pick % len(self.wanted)]
        self.withdrawn.add(identifier)
        self.account.record(self.subscriptions.withdraw(identifier))

    # --- the server ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.up and self.subscriptions.has_pending_request)
    @rule()
    def ask(self) -> None:
        ask(self.subscriptions)

    @precondition(lambda self: self.up and not self.dying and self.subscriptions.in_flight)
    @rule()
    def reply(self) -> None:
        asked = self.subscriptions.in_flight
        assert asked is not None
        code = self.server.code_for(asked)
        before = set(self.account.rejected)
        if code is None:
            self.account.record(self.subscriptions.handle_reply(self.server.accept(asked)))
        else:
            self.account.record(blamed(self.subscriptions, code))
            self.dying = code == POLICY
        if rejected := self.account.rejected - before:
            assert rejected == set(asked.ids) <= set(self.server.bad), "only a bad item is rejected, and alone"

    @precondition(lambda self: self.up and not self.dying and self.subscriptions.in_flight)
    @rule()
    def throttle(self) -> None:
        self.account.record(self.subscriptions.requeue_in_flight())

    @precondition(lambda self: self.up and not self.dying and self.subscriptions.in_flight)
    @rule(whole=st.booleans())
    def meet_a_fault(self, whole: bool) -> None:
        self.account.record(self.subscriptions.repeat(FAULT, "Error: Server Error", None, whole=whole))

    @precondition(lambda self: self.up and not self.dying)
    @rule()
    def fail_a_ping(self) -> None:
        self.subscriptions.queue.reunite()

    @precondition(
        lambda self: (
            self.up and not self.dying and self.subscriptions.in_flight and self.subscriptions.in_flight.kind == UNSUBSCRIBE
        )
    )
    @rule()
    def fail_to_remove(self) -> None:
        assert self.subscriptions.in_flight is not None
        self.forsaken.update(self.subscriptions.in_flight.ids)
        self.account.record(self.subscriptions.handle_error(500, "Error: Server Error"))

    # --- the link -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.up)
    @rule()
    def lose(self) -> None:
        self.account.record(self.subscriptions.end_link())
        self.server.holds.clear()
        self.up = self.dying = False

    @precondition(lambda self: not self.up)
    @rule()
    def link_up(self) -> None:
        self.subscriptions.begin_link()
        self.up, self.settled, self.emptied, self.had_some = True, False, False, bool(self.wanted)

    @precondition(lambda self: not self.up)
    @rule()
    def give_up(self) -> None:
        gone = self.subscriptions.withdraw_never_acknowledged()
        assert set(gone) == self.wanted - self.account.granted
        self.struck.update(gone)

    # --- what always holds --------------------------------------------------------------------------------------------

    @invariant()
    def nothing_desired_is_lost(self) -> None:
        assert set(self.subscriptions.desired) == self.wanted
        assert self.subscriptions.acknowledged <= self.wanted & self.server.holds
        if self.wanted - self.subscriptions.acknowledged:
            assert self.subscriptions.has_pending_request or self.subscriptions.in_flight is not None

    @invariant()
    def removed_is_what_was_withdrawn(self) -> None:
        assert self.account.removed <= self.withdrawn

    @invariant()
    def the_totals_are_right(self) -> None:
        if not self.up:
            return
        wanted = self.wanted
        self.settled = bool(wanted) and (self.settled or self.subscriptions.acknowledged >= wanted)
        self.emptied = not wanted and (self.emptied or self.had_some)
        self.had_some = bool(wanted)
        assert (self.subscriptions.all_acknowledged, self.subscriptions.all_removed) == (self.settled, self.emptied)

    def teardown(self) -> None:
        if not self.up:
            self.subscriptions.begin_link()
        elif self.dying:
            relink(self.subscriptions, self.server, self.account)
        self.desire(0, None)  # a server that refuses everything has its own tests
        wanted, rejected = len(self.wanted), len(self.wanted & set(self.server.bad))
        levels = 1 + math.ceil(math.log2(wanted + 1))
        again = sum(code == FAULT for code in self.server.bad.values()) * (levels + ATTEMPTS + 2)
        links = 1 + rejected * levels
        bound = links * (wanted + 1) + wanted + 2 * rejected * levels + 2 + again
        # Until something is accepted each group has a link of its own, and the search begins anew then.
        converge(self.subscriptions, self.server, self.account, 2 * bound + 3 * wanted)
        assert self.account.rejected <= set(self.server.bad)
        assert self.wanted.isdisjoint(self.server.bad)
        assert self.subscriptions.acknowledged == self.server.holds - self.forsaken == self.wanted
        assert self.account.removed == self.withdrawn
