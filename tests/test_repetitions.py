"""What a server fault meets is asked for again: apart, in halves or whole, as the fault and the pings say."""

from __future__ import annotations

from realtime_fsm.fsm.commands import SubscriptionRefused
from realtime_fsm.fsm.subscriptions import SubscriptionTracker
from realtime_fsm.protocol.faults import is_server_fault
from support.book import asked, book_of, grants, wish


def fail(book: SubscriptionTracker, *, whole: bool = False, attempts: int | None = 3) -> tuple[str, ...]:
    """Let a server fault answer the request in flight, which goes out again; what the next one asks for."""
    assert book.repeat(500, "Error: Server Error", attempts, whole=whole) == []
    return asked(book).ids


def settle(book: SubscriptionTracker) -> None:
    assert book.in_flight is not None
    book.handle_reply(grants(*book.in_flight.ids))


def established(*identifiers: str) -> SubscriptionTracker:
    """On a link on which these are to be acknowledged again."""
    book = book_of(*identifiers)
    asked(book)
    settle(book)
    book.end_link()
    book.begin_link()
    return book


def test_the_codes_that_are_faults() -> None:
    assert all(is_server_fault(code) for code in (0, -1, 500, 503, 599, 1, 399, 600, 1011))
    assert all(is_server_fault(code) for code in ("42S02", "404", ""))
    assert not any(is_server_fault(code) for code in (1003, 1008, 1013, 400, 401, 403, 404, 499))


def test_those_that_were_acknowledged_are_asked_for_first_and_apart() -> None:
    book = established("s1", "s2")
    book.add(wish("s3"))
    book.add(wish("s4"))
    assert set(asked(book).ids) == {"s1", "s2", "s3", "s4"}
    assert set(fail(book)) == {"s1", "s2"}
    settle(book)
    assert set(asked(book).ids) == {"s3", "s4"}


def test_the_second_repetition_goes_out_in_halves_until_the_guilty_one_is_alone() -> None:
    book = book_of("s1", "s2", "s3")
    assert asked(book).ids == ("s1", "s2", "s3")
    assert fail(book) == ("s1", "s2", "s3")
    assert fail(book) == ("s1", "s2")
    settle(book)
    assert asked(book).ids == ("s3",)
    assert fail(book) == ("s3",)
    assert fail(book) == ("s3",)
    assert book.repeat(500, "text", 3, whole=False) == [SubscriptionRefused("s3", 500, "text")]
    assert not book.has_pending_request
    assert book.all_acknowledged


def test_while_pings_fail_it_is_repeated_whole_and_what_was_divided_is_put_together() -> None:
    book = established("s1", "s2", "s3")
    book.add(wish("s4"))
    asked(book)
    fail(book)
    assert fail(book) == ("s4",)
    assert fail(book) == ("s1", "s2")
    assert fail(book) == ("s3",)
    book.repeat(500, "", 3, whole=False)
    book.reunite()
    assert set(asked(book).ids) == {"s1", "s2", "s3"}
    assert fail(book, whole=True) == ("s4",)
    assert set(fail(book, whole=True)) == {"s1", "s2", "s3"}
    settle(book)
    assert asked(book).ids == ("s4",)
    assert book.repeat(500, "", 3, whole=True) == [SubscriptionRefused("s4", 500, "")], "alone it keeps its count"


def test_an_acknowledged_one_is_repeated_for_ever() -> None:
    book = established("s1")
    asked(book)
    for _ in range(100):
        assert fail(book) == ("s1",)


def test_they_stay_apart_on_the_next_link() -> None:
    book = established("s1")
    book.add(wish("s2"))
    asked(book)
    assert fail(book) == ("s1",)
    book.end_link()
    book.begin_link()
    assert asked(book).ids == ("s1",)
    assert book.requeue_in_flight() == []
    assert asked(book).ids == ("s1",)
    settle(book)
    book.add(wish("s3"))
    assert asked(book).ids == ("s3",), "what is new comes first"
    settle(book)
    assert asked(book).ids == ("s2",)
    book.withdraw("s2")
    assert book.requeue_in_flight() != []
    assert not book.has_pending_request


def test_a_batch_that_does_not_fit_into_a_frame_goes_out_in_turn() -> None:
    book = SubscriptionTracker()
    book.begin_link()
    for identifier in ("s1", "s2"):
        book.add(wish(identifier, 40_000))
    assert asked(book).ids == ("s1",)
    assert fail(book) == ("s2",)
    book.repeat(500, "", 3, whole=True)
    book.reunite()
    assert asked(book).ids == ("s1",)
    settle(book)
    assert asked(book).ids == ("s2",)
    book.withdraw("s2")
    assert [type(told).__name__ for told in book.repeat(500, "", 3, whole=False)] == ["SubscriptionRemoved"]


def test_a_kind_of_request_that_meets_a_fault_gives_way_to_the_others() -> None:
    book = established("s1", "s2")
    asked(book)
    settle(book)
    book.withdraw("s1")
    book.set_presence(b"{}")
    kinds = []
    for _ in range(5):
        request = book.next_request()
        assert request is not None
        kinds.append(request.kind)
        again = book.in_repetition
        book.repeat(500, "", 3, whole=False)
    assert kinds == ["unsubscribe", "presence"] * 2 + ["unsubscribe"]
    assert again
