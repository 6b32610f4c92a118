"""The board: which connections it keeps, and what a browser gets."""

from __future__ import annotations

import pytest

from realtime_fsm.audit.secret_scan import REDACTED
from realtime_fsm.ops.inspector import board as module
from realtime_fsm.ops.inspector.board import Board
from support.brokenlogs import Record
from support.corpus import WALKS, later
from support.inspecting import board_of, browsing, content_of, flat
from support.virtual import Stopwatch


def named(walk: str, name: str) -> list[Record]:
    return later(WALKS[walk], 0.0, name)


async def test_a_browser_gets_all_views_and_then_those_that_change() -> None:
    board = board_of(WALKS["healed"], WALKS["healthy"][:9])
    messages = board.messages()
    assert await anext(messages) == b"retry: 1000\n\n"
    first = content_of(await anext(messages))
    assert [view["id"] for view in first["views"]] == ["healed", "healthy"]
    assert first["numbers"] == [1, 2]
    assert first["end"] == max(view.last for view in board.views)
    board.take(flat(WALKS["healthy"])[9])
    second = content_of(await anext(messages))
    assert [(view["id"], view["seq"]) for view in second["views"]] == [("healthy", 10)]
    assert second["numbers"] == [1, 2]
    await messages.aclose()
    assert board.browsers == 0


async def test_a_slow_browser_gets_the_present_and_not_each_step() -> None:
    board, records = Board("log"), flat(WALKS["healthy"])
    async with browsing(board) as messages:
        for record in records:
            board.take(record)
        (view,) = content_of(await anext(messages))["views"]
        assert view["seq"] == len(records)
        board.close()
        assert [rest async for rest in messages] == []


async def test_two_browsers_get_the_same() -> None:
    board = board_of(WALKS["healed"])
    one, other = board.messages(), board.messages()
    assert [await anext(one), await anext(one)] == [await anext(other), await anext(other)]
    assert board.browsers == 2
    watch = Stopwatch()
    board.close()
    assert [[rest async for rest in each] for each in (one, other)] == [[], []]
    assert watch.now < 1


async def test_a_quiet_board_sends_a_sign_of_life() -> None:
    board = board_of(WALKS["healed"])
    async with browsing(board) as messages:
        watch = Stopwatch()
        assert content_of(await anext(messages))["views"] == []
        assert 10 <= watch.now < 11


async def test_an_empty_board_ends_at_the_beginning_of_time() -> None:
    messages = Board("log").messages()
    await anext(messages)
    told = content_of(await anext(messages))
    await messages.aclose()
    assert told == {
        "title": "log", "live": True, "problem": "", "end": 0.0, "numbers": [], "left_out": 0, "more": False, "views": [],
    }  # fmt: skip


async def test_changes_within_a_tenth_of_a_second_are_one_message_and_then_it_is_quiet() -> None:
    board = board_of(WALKS["healed"])
    async with browsing(board) as messages:
        watch = Stopwatch()
        for record in flat(WALKS["healthy"])[:3]:
            board.take(record)
        assert [view["seq"] for view in content_of(await anext(messages))["views"]] == [3]
        assert 0.1 <= watch.now < 0.2
        assert content_of(await anext(messages))["views"] == []
        assert watch.now >= 10


async def test_a_view_that_nothing_has_changed_is_sent_once() -> None:
    board = Board("log")
    board.view("quiet")
    messages = board.messages()
    await anext(messages)
    assert [view["id"] for view in content_of(await anext(messages))["views"]] == ["quiet"]
    board.touch()
    assert content_of(await anext(messages))["views"] == []
    await messages.aclose()


async def test_a_repeated_record_is_no_news() -> None:
    board = board_of(WALKS["healed"])
    async with browsing(board) as messages:
        watch = Stopwatch()
        board.take(flat(WALKS["healed"])[3])
        assert content_of(await anext(messages))["views"] == []
        assert watch.now >= 10


async def test_connections_that_come_and_go_cost_a_slow_browser_no_memory() -> None:
    board = board_of(named("disposed_of", "a"), most=1)
    messages = board.messages()
    await anext(messages)
    for name in "bcd":
        for record in flat(named("disposed_of", name)):
            board.take(record)
    assert [*board._browsers.values()] == [{"d"}]
    await messages.aclose()


def test_a_closed_connection_makes_room_for_a_new_one() -> None:
    board = board_of(named("disposed_of", "a"), named("healthy", "b"), named("healthy", "c"), most=2)
    assert [view.id for view in board.views] == ["b", "c"]
    assert [view.number for view in board.views] == [2, 3]
    assert board._left_out == {"a"}


async def test_without_room_a_new_connection_is_left_out_and_counted() -> None:
    board = board_of(*(named("healthy", name) for name in "abcd"), most=2)
    assert [view.id for view in board.views] == ["a", "b"]
    messages = board.messages()
    await anext(messages)
    told = content_of(await anext(messages))
    assert (told["left_out"], told["more"]) == (2, False)
    await messages.aclose()


async def test_the_count_of_those_left_out_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KNOWN", 3)
    board = board_of(*(named("healthy", f"c{number}") for number in range(9)), most=2)
    messages = board.messages()
    await anext(messages)
    told = content_of(await anext(messages))
    assert (told["left_out"], told["more"]) == (3, True)
    await messages.aclose()


def test_only_the_wanted_connections_are_shown() -> None:
    walks = [named("healthy", name) for name in ("ab", "ac", "b")]
    assert [view.id for view in board_of(*walks, only=["ab", "b"]).views] == ["ab", "b"]
    assert len(board_of(*walks, only=["a"]).views) == 2


def test_a_name_that_looks_like_a_secret_is_hidden() -> None:
    board = Board("log")
    record = flat(WALKS["healthy"])[0]
    record.connection_id = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VySWQiOiJ1In0"
    board.take(record)
    assert [view.id for view in board.views] == [REDACTED]
