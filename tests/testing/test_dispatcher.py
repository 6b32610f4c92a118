"""The dispatcher of the embedded server, with stubs for the links."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref

import pytest

from realtime_fsm.testing.backend import Backend
from realtime_fsm.testing.connection import HISTORY, MAX_CLIENT_FRAME
from realtime_fsm.testing.dispatcher import ConnectionDispatcher, Greeting
from realtime_fsm.testing.request import HttpRequest
from support.server_core import NOON, TARGET
from support.virtual import Stopwatch

DEMO = HttpRequest(f"{TARGET}&channels[]=rows")


class Link:
    """Stands for the server's side of a link; `seen` has the calls of the dispatcher."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def send(self, text: bytes) -> None:
        self.seen.append(json.loads(text)["type"])

    def close(self) -> None:
        self.seen.append("close")

    def reset(self) -> None:
        self.seen.append("reset")

    def freeze(self) -> None:
        self.seen.append("freeze")

    def thaw(self) -> None:
        self.seen.append("thaw")


@pytest.fixture
def dispatcher() -> ConnectionDispatcher:
    return ConnectionDispatcher(Backend(), lambda: NOON)


def test_a_refused_dial_and_an_oversized_message_leave_no_connection_at_once(dispatcher: ConnectionDispatcher) -> None:
    refused, oversized = Link(), Link()
    dispatcher.opened(refused, HttpRequest("/?project=nope"))
    assert (refused.seen, len(dispatcher.connections)) == (["error", "close"], 0)
    dispatcher.opened(oversized, DEMO)
    assert len(dispatcher.connections) == 1
    dispatcher.message(oversized, b"x" * MAX_CLIENT_FRAME)
    assert (oversized.seen, len(dispatcher.connections)) == (["connected", "reset"], 0)


@pytest.mark.parametrize("greeting", [True, False, "late"])
def test_a_link_that_has_ended_leaves_nothing_but_its_messages(dispatcher: ConnectionDispatcher, greeting: Greeting) -> None:
    dispatcher.greeting, link = greeting, Link()
    dispatcher.opened(link, DEMO)
    dispatcher.closed(link)
    dispatcher.closed(link)
    ended = weakref.ref(link)
    del link
    gc.collect()
    assert ended() is None
    assert [list(messages) for messages in dispatcher.received] == [[]]


@pytest.mark.parametrize("greeting", [True, False, "late"])
async def test_a_wait_ends_with_the_link_that_it_waits_for(dispatcher: ConnectionDispatcher, greeting: Greeting) -> None:
    dispatcher.greeting = greeting
    waiting = asyncio.create_task(dispatcher.wait(lambda: len(dispatcher.connections) == 1, 5.0))
    await asyncio.sleep(0)
    watch = Stopwatch()
    dispatcher.opened(Link(), DEMO)
    await waiting
    assert watch.now == 0


def test_the_messages_of_the_last_thousand_connections_are_kept(dispatcher: ConnectionDispatcher) -> None:
    for number in range(HISTORY + 1):
        link = Link()
        dispatcher.opened(link, DEMO)
        dispatcher.message(link, str(number))
        dispatcher.closed(link)
    assert [list(messages) for messages in dispatcher.received] == [[number] for number in range(1, HISTORY + 1)]
