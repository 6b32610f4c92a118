"""The subscription book: nothing desired is ever lost, whatever the server and the link do, and the guilty stands alone."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_fsm.fsm.canary import CANARY
from realtime_fsm.fsm.commands import CanaryRefused, SubscriptionAcknowledged, SubscriptionRefused, SubscriptionRemoved
from realtime_fsm.fsm.subscriptions import PRESENCE, SUBSCRIBE, UNSUBSCRIBE, SubscriptionTracker
from support.book import (
    BAD_MESSAGE,
    FRAME_LIMIT,
    POLICY,
    Account,
    BookMachine,
    Server,
    acknowledged,
    ask,
    asked,
    book_of,
    converge,
    frame_size,
    grants,
    wish,
)
from support.some import some

LARGE = 30_000


# --- asking -----------------------------------------------------------------------------------------------------------


def test_everything_that_waits_goes_into_one_request_in_order() -> None:
    control = asked(book_of("a", "b", "c"))
    assert (control.kind, control.ids, control.bisecting) == (SUBSCRIBE, ("a", "b", "c"), False)


def test_what_comes_while_a_request_is_in_flight_waits_for_its_answer() -> None:
    book = book_of("a")
    asked(book)
    book.add(wish("b"))
    assert not book.has_pending_request
    assert book.next_request() is None
    assert book.handle_reply(grants("a")) == [SubscriptionAcknowledged("a", ("rows",))]
    assert asked(book).ids == ("b",)


def test_a_reply_to_nothing_changes_nothing() -> None:
    book = book_of("a")
    assert book.handle_reply(()) == []
    assert asked(book).ids == ("a",)


@pytest.mark.parametrize("answer", ["refusal", "fault"])
def test_an_error_that_answers_the_canarys_subscription_is_told_and_repeats_nothing(answer: str) -> None:
    book = book_of("a")
    asked(book)
    book.handle_reply(grants("a"))
    book.probe(wish(CANARY), b"{}", "mine")
    listening = book.next_request()
    assert listening is not None
    assert listening.ids == (CANARY,)
    told = book.handle_error(1003, "") if answer == "refusal" else book.repeat(0, "", 3, whole=False)
    assert told == [CanaryRefused(1003 if answer == "refusal" else 0)]
    assert not book.has_pending_request


def test_a_server_fault_that_answers_a_presence_of_the_canarys_own_repeats_nothing() -> None:
    book = book_of("a")
    asked(book)
    book.handle_reply(grants("a"))
    assert book.probe(wish(CANARY), b"{}", "mine") == []
    listening = book.next_request()
    assert listening is not None
    assert listening.ids == (CANARY,)
    assert book.handle_reply(grants(CANARY)) == []
    shown = book.next_request()
    assert shown is not None
    assert shown.kind == PRESENCE
    assert book.repeat(0, "", 3, whole=False) == [CanaryRefused(0)]
    assert not book.has_pending_request


def test_a_reply_behind_a_1013_answers_the_request_that_was_put_back() -> None:
    book = book_of("a", "b")
    asked(book)
    book.add(wish("c"))
    assert book.requeue_in_flight() == []
    assert not book.matches_in_flight(SUBSCRIBE, grants("a"))
    assert not book.matches_in_flight(UNSUBSCRIBE, grants("a", "b"))
    assert book.matches_in_flight(SUBSCRIBE, grants("b", "a"))
    book.withdraw("b")
    assert book.handle_reply(grants("a", "b")) == [SubscriptionAcknowledged("a", ("rows",))]
    assert not book.matches_in_flight(SUBSCRIBE, grants("a", "b")), "once"
    assert asked(book).ids == ("c",)
    book.handle_reply(grants("c"))
    removal = asked(book)
    assert (removal.kind, removal.ids) == (UNSUBSCRIBE, ("b",)), "the server has it, and the user does not want it"


@pytest.mark.parametrize("later", ["asked again", "another link"])
def test_a_request_that_was_put_back_is_answered_by_no_reply(later: str) -> None:
    book = book_of("a")
    asked(book)
    book.requeue_in_flight()
    if later == "another link":
        book.end_link()
        book.begin_link()
        assert not book.matches_in_flight(SUBSCRIBE, grants("a"))
    else:
        book.add(wish("b"))
        assert asked(book).ids == ("a", "b")
        assert not book.matches_in_flight(SUBSCRIBE, grants("a")), "the request in flight has other ids"
        assert book.matches_in_flight(SUBSCRIBE, grants("a", "b"))


def test_a_suspect_that_was_put_back_is_acknowledged_by_a_late_reply() -> None:
    book = book_of("a", "b")
    asked(book)
    book.handle_error(BAD_MESSAGE, "bad")
    assert asked(book).ids == ("a",)
    book.requeue_in_flight()
    assert book.matches_in_flight(SUBSCRIBE, grants("a"))
    assert book.handle_reply(grants("a")) == [SubscriptionAcknowledged("a", ("rows",))]
    assert asked(book).ids == ("b",)


@pytest.mark.parametrize(("beyond", "first"), [(-8, ("a", "b")), (1, ("a",)), (99, ("a",))])
def test_a_batch_is_split_when_its_frame_would_be_too_large(beyond: int, first: tuple[str, ...]) -> None:
    book = SubscriptionTracker()
    book.add(wish("a", LARGE))
    book.add(wish("b", 1))
    least = frame_size(asked(book).data)
    book = SubscriptionTracker()
    book.add(wish("a", LARGE))
    book.add(wish("b", FRAME_LIMIT - least + 1 + beyond))
    assert asked(book).ids == first


def test_removals_go_out_together_after_all_that_is_desired() -> None:
    book = acknowledged("a", "b", "c")
    book.withdraw("a")
    book.withdraw("c")
    book.add(wish("d"))
    assert asked(book).ids == ("d",)
    book.handle_reply(grants("d"))
    control = asked(book)
    assert (control.kind, control.ids) == (UNSUBSCRIBE, ("a", "c"))
    assert book.handle_reply(grants("c", "a")) == [SubscriptionRemoved("c"), SubscriptionRemoved("a")]
    assert ask(book) is None


@pytest.mark.parametrize("size", [1, 3000])
def test_many_removals_keep_within_a_frame_too(size: int) -> None:
    names = [f"s{n}" for n in range(size)]
    book = book_of(*names)
    server, account = Server(), Account()
    converge(book, server, account, 10)
    for name in some(names):
        assert book.withdraw(name) == []
    converge(book, server, account, 10)
    assert account.removed == set(names)
    assert server.holds == set()


# --- replies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "names", "is_it"),
    [
        (SUBSCRIBE, ("a", "b"), True),
        (SUBSCRIBE, ("b", "a"), True),
        (UNSUBSCRIBE, ("a", "b"), False),
        ("authentication", (), False),
        (SUBSCRIBE, (), False),
        (SUBSCRIBE, ("a",), False),
        (SUBSCRIBE, ("a", "c"), False),
        (SUBSCRIBE, ("a", "b", "c"), False),
    ],
)
def test_a_reply_is_known_by_what_it_answers_and_its_ids(to: str, names: tuple[str, ...], is_it: bool) -> None:
    book = book_of("a", "b")
    assert not book.matches_in_flight(to, grants(*names))
    asked(book)
    assert book.matches_in_flight(to, grants(*names)) is is_it


def test_all_acknowledged_is_noted_and_later_additions_do_not_undo_it() -> None:
    book = book_of("a", "b")
    asked(book)
    assert not book.all_acknowledged
    book.handle_reply(grants("a", "b"))
    assert book.all_acknowledged
    book.add(wish("c"))
    assert book.all_acknowledged
    book.begin_link()
    assert not book.all_acknowledged


def test_the_last_one_removed_is_noted_and_a_new_one_undoes_it() -> None:
    book = acknowledged("a")
    assert not book.all_removed
    book.withdraw("a")
    assert (book.all_acknowledged, book.all_removed) == (False, True)
    book.add(wish("b"))
    assert not book.all_removed


# --- the user changes his mind ----------------------------------------------------------------------------------------


def test_what_was_not_asked_is_gone_at_once_and_only_once() -> None:
    book = book_of("a", "b")
    assert book.withdraw("a") == [SubscriptionRemoved("a")]
    assert book.withdraw("a") == []
    assert book.withdraw("never heard of") == []
    assert asked(book).ids == ("b",)


@pytest.mark.parametrize("end", ["granted", "refused", "throttled", "lost"])
def test_what_is_withdrawn_while_it_is_asked_is_told_as_removed_when_that_is_sure(end: str) -> None:
    book = book_of("a", "b")
    asked(book)
    assert book.withdraw("a") == []
    if end == "granted":  # the server has it now, so it is to be told
        assert book.handle_reply(grants("a", "b")) == [SubscriptionAcknowledged("b", ("rows",))]
        control = asked(book)
        assert (control.kind, control.ids) == (UNSUBSCRIBE, ("a",))
        assert book.handle_reply(grants("a")) == [SubscriptionRemoved("a")]
        assert ask(book) is None
        return
    told = {"refused": lambda: book.handle_error(0, ""), "throttled": book.requeue_in_flight, "lost": book.end_link}[end]()
    assert told == [SubscriptionRemoved("a")]
    assert asked(book).ids == ("b",)


def test_a_lonely_item_that_is_withdrawn_before_it_is_refused_is_removed_and_not_rejected() -> None:
    book = book_of("a")
    asked(book)
    book.withdraw("a")
    assert book.handle_error(BAD_MESSAGE, "") == [SubscriptionRemoved("a")]
    assert ask(book) is None


@pytest.mark.parametrize("end", ["granted", "refused", "throttled", "lost"])
def test_a_removal_is_told_once_however_it_ends(end: str) -> None:
    book = acknowledged("a", "b")
    book.withdraw("a")
    asked(book)
    if end == "throttled":
        assert book.requeue_in_flight() == []
        assert asked(book).kind == UNSUBSCRIBE
        end = "granted"
    told = {
        "granted": lambda: book.handle_reply(grants("a")),
        "refused": lambda: book.handle_error(500, ""),
        "lost": book.end_link,
    }[end]()
    assert told == [SubscriptionRemoved("a")]
    assert book.end_link() == []


def test_a_removal_that_was_not_asked_is_done_by_the_end_of_the_link() -> None:
    book = acknowledged("a", "b")
    book.withdraw("a")
    assert book.end_link() == [SubscriptionRemoved("a")]
    assert asked(book).ids == ("b",)


def test_when_no_link_can_be_had_what_was_never_acknowledged_is_struck() -> None:
    book = acknowledged("a", "b")
    book.add(wish("c"))
    book.end_link()
    book.add(wish("d"))
    assert book.withdraw_never_acknowledged() == ("c", "d")
    assert book.withdraw_never_acknowledged() == ()
    book.withdraw("b")
    book.add(wish("b"))  # wanted again, and not acknowledged since
    assert book.withdraw_never_acknowledged() == ("b",)
    assert asked(book).ids == ("a",)


# --- the link ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_flight", [False, True])
def test_a_new_link_is_asked_for_everything_desired(in_flight: bool) -> None:
    book = acknowledged("a", "b")
    book.add(wish("c"))
    if in_flight:
        asked(book)
    assert book.end_link() == []
    assert book.acknowledged == set()
    assert asked(book).ids == ("a", "b", "c")


def test_errors_without_a_request_are_not_the_books_business() -> None:
    book = acknowledged("a")
    assert book.handle_error(500, "") == []
    assert book.requeue_in_flight() == []
    assert (set(book.acknowledged), book.all_acknowledged) == ({"a"}, True)


# --- one bad item -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [BAD_MESSAGE, 0, "42S02"])
def test_a_lonely_item_is_rejected_with_the_words_of_the_server(code: int | str) -> None:
    book = book_of("a")
    asked(book)
    assert book.handle_error(code, "why") == [SubscriptionRefused("a", code, "why")]
    assert (book.desired, book.all_removed) == ({}, True)
    assert ask(book) is None


def test_a_batch_is_halved_until_the_guilty_stands_alone() -> None:
    book = book_of(*"abcd")
    tried = []
    while control := ask(book):
        tried.append("".join(control.ids))
        _ = book.handle_error(0, "") if "c" in control.ids else book.handle_reply(grants(*control.ids))
    assert tried == ["abcd", "ab", "cd", "c", "d"]
    assert book.acknowledged == set("abd")


def test_the_innocent_go_before_the_suspects_and_apart_from_them() -> None:
    book = book_of("a", "b")
    asked(book)
    book.handle_error(0, "")
    book.add(wish("c"))
    controls = []
    while control := ask(book):
        controls.append((control.ids, control.bisecting))
        book.handle_reply(grants(*control.ids))
    assert controls == [(("c",), False), (("a",), True), (("b",), True)]


@pytest.mark.parametrize("interrupt", ["end_link", "requeue_in_flight"])
@pytest.mark.parametrize("in_flight", [False, True])
@pytest.mark.parametrize("code", [BAD_MESSAGE, POLICY])
def test_suspects_stay_apart_over_throttling_and_the_next_links(code: int, interrupt: str, in_flight: bool) -> None:
    book = book_of(*"abcd")
    asked(book)
    book.handle_error(code, "")
    if in_flight:
        assert asked(book).ids == ("a", "b")
    assert getattr(book, interrupt)() == []
    for expected in (("a", "b"), ("c", "d")):
        control = asked(book)
        assert (control.ids, control.bisecting, control.batch is not None) == (expected, code != POLICY, code == POLICY)
        book.handle_reply(grants(*control.ids))


def test_suspects_can_be_withdrawn() -> None:
    book = book_of("a", "b", "c")
    asked(book)
    book.handle_error(0, "")
    assert book.withdraw("a") == [SubscriptionRemoved("a")]
    assert asked(book).ids == ("b",)
    assert book.withdraw("b") == []
    assert book.requeue_in_flight() == [SubscriptionRemoved("b")]
    assert book.withdraw("c") == [SubscriptionRemoved("c")]
    assert ask(book) is None


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 60), st.dictionaries(st.integers(0, 59), st.sampled_from([BAD_MESSAGE, POLICY]), max_size=4))
def test_the_guilty_alone_are_rejected_within_a_bound(count: int, guilty: dict[int, int]) -> None:
    names = [f"s{n}" for n in range(count)]
    bad = {f"s{n}": code for n, code in guilty.items() if n < count}
    book, server, account = book_of(*names), Server(bad), Account()
    book.add(wish("good"))
    names.append("good")
    # A halving costs two requests a level for each guilty one; each end of a link costs one more for what was acknowledged.
    # Until something is accepted each group has a link of its own, and the search begins anew then.
    halvings = 1 + 2 * len(bad) * (1 + math.ceil(math.log2(count + 1)))
    converge(book, server, account, 4 * halvings + 3 * count)
    assert account.rejected == set(bad)
    assert book.acknowledged == server.holds == set(names) - set(bad)
    assert account.removed == set()


TestAnyOrder = BookMachine.TestCase
TestAnyOrder.settings = settings(deadline=None, max_examples=50, stateful_step_count=40)


def test_what_is_left_is_not_acknowledged_because_something_else_was() -> None:
    book = SubscriptionTracker()
    book.begin_link()
    book.add(wish("s1"))
    book.handle_reply(grants(*asked(book).ids))
    book.begin_link()
    book.all_acknowledged = False
    book.add(wish("s2"))
    book.withdraw("s1")
    assert not book.all_acknowledged
