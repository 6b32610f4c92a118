"""The link to the broker, with a stand-in for nats-py in virtual time: its dial, waits, chunks, and the codes of the broker."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import pytest
from nats.errors import Error, NoServersError
from nats.js.api import RawStreamMsg, StreamConfig, StreamInfo, StreamState
from nats.js.errors import APIError, NotFoundError

from realtime_fsm.errors import RealtimeError
from realtime_fsm.relay import BrokerRefused, BrokerUnavailable, InsecureBroker, Message, MessageTooLarge, StreamFull, StreamUnfit
from realtime_fsm.relay.broker_link import BrokerLink
from support.some import some

SUBJECT = "appwrite.demo.rows.create"
MIB = 1024 * 1024


class Client:
    """The part of the client of nats-py that the link uses. Each message gets the next of the answers, or else a plain one."""

    def __init__(self) -> None:
        self.max_payload = MIB
        self.is_connected = self.is_connecting = False
        self.hanging = ""
        self.window: Any = 600.0
        self.subjects: list[str] | None = ["appwrite.>"]
        self.headers: dict[str, str] | None = None
        self.failures: list[Exception] = []
        self.answers: list[dict[str, Any] | None] = []
        self.published: list[tuple[str, bytes, dict[str, str]]] = []
        self.options: dict[str, Any] = {}

    async def _hang(self, call: str) -> None:
        if call == self.hanging:
            await asyncio.Event().wait()

    def jetstream(self, timeout: float) -> Client:
        self.request_timeout = timeout
        return self

    async def connect(self, **options: Any) -> None:
        self.options = options
        await self._hang("connect")
        for failure in self.failures[:-1]:
            await options["error_cb"](failure)
        if self.failures:
            raise self.failures[-1]
        self.is_connected = True

    async def stream_info(self, name: str) -> StreamInfo:
        if self.failures:
            raise self.failures[0]
        config = StreamConfig(name=name, subjects=self.subjects, duplicate_window=self.window)
        return StreamInfo(config, StreamState(0, 0, 0, 0, 0))

    async def get_last_msg(self, stream: str, subject: str) -> RawStreamMsg:
        assert (stream, subject) == ("APPWRITE", "appwrite.demo.>")
        if self.failures:
            raise self.failures[0]
        return RawStreamMsg(headers=self.headers)

    def new_inbox(self) -> str:
        return "_INBOX.a"

    async def subscribe(self, subject: str, cb: Callable[[Any], Any]) -> None:
        assert subject == "_INBOX.a.>"
        self.on_answer = cb

    async def publish(self, subject: str, data: bytes, reply: str, headers: dict[str, str]) -> None:
        await self._hang("publish")
        if self.failures:
            raise self.failures[0]
        self.published.append((subject, data, headers))
        answer = self.answers.pop(0) if self.answers else {"seq": 1}
        if answer is not None:
            await self.answer(reply, answer)

    async def answer(self, reply: str, answer: dict[str, Any]) -> None:
        message = type("Msg", (), {"subject": reply, "data": json.dumps(answer).encode()})
        await self.on_answer(message)

    async def close(self) -> None:
        await self._hang("close")


@pytest.fixture
def client() -> Iterator[Client]:
    made = Client()
    with patch("realtime_fsm.relay.broker_link.Client", lambda: made):
        yield made


def message(number: int, data: bytes = b"{}") -> Message:
    return Message(f"e{number}", SUBJECT, {"ce-id": f"e{number}"}, data)


async def opened(**options: Any) -> BrokerLink:
    link = BrokerLink("host:4222", "APPWRITE", "appwrite.demo.>")
    assert await link.open(options, tls_required=False, window=60.0) == 600.0
    return link


async def failure_of(call: Any) -> tuple[RealtimeError, float]:
    """The error of a call, and the seconds that it took."""
    began = asyncio.get_running_loop().time()
    with pytest.raises(RealtimeError) as caught:
        await call
    return caught.value, asyncio.get_running_loop().time() - began


# --- the dial ---------------------------------------------------------------------------------------------------------


async def test_the_dial_has_no_retries_and_short_waits(client: Client) -> None:
    link = await opened(servers=["nats://host"], user="writer")
    assert {name: value for name, value in client.options.items() if not name.endswith("_cb")} == {
        "servers": ["nats://host"],
        "user": "writer",
        "name": "realtime-fsm relay",
        "allow_reconnect": False,
        "max_reconnect_attempts": 1,  # with 0 nats-py would try without an end
        "reconnect_time_wait": 0,
        "connect_timeout": 5,  # so that a frozen server leaves time for another one
        "ping_interval": 5,
    }
    assert client.request_timeout == 5.0
    await link.close()


async def test_a_dial_that_hangs_ends_after_the_patience(client: Client) -> None:
    client.hanging = "connect"
    failure, took = await failure_of(opened())
    assert (type(failure), took) == (BrokerUnavailable, 10.0)
    assert str(failure).startswith("the broker host:4222 does not answer: TimeoutError; ")


@pytest.mark.parametrize("subjects", [[">"], ["appwrite.demo.>"], ["appwrite.*.>"], ["*.demo.>"], ["orders.>", "appwrite.>"]])
async def test_a_stream_with_more_than_our_subjects_is_used(client: Client, subjects: list[str]) -> None:
    client.subjects = subjects
    link = BrokerLink("host:4222", "APPWRITE", "appwrite.demo.>")
    assert await link.open({}, tls_required=False, window=60.0) == 600.0


@pytest.mark.parametrize(
    ("subjects", "told"),
    [
        (None, "no subjects"),
        (["appwrite.demo.*"], "appwrite.demo.*"),
        (["appwrite.demo.rows.>", "*.other.>"], "appwrite.demo.rows.>, *.other.>"),
    ],
)
async def test_a_stream_with_less_than_our_subjects_is_refused(client: Client, subjects: list[str] | None, told: str) -> None:
    client.subjects = subjects
    failure, _ = await failure_of(opened())
    assert isinstance(failure, StreamUnfit)
    assert f": it takes {told}, and not appwrite.demo.>; " in str(failure)


async def test_a_stream_without_a_window_knows_ids_for_no_time(client: Client) -> None:
    client.window = None
    link = BrokerLink("host:4222", "APPWRITE", "appwrite.demo.>")
    assert await link.open({}, tls_required=False, window=60.0) == 0.0


async def test_the_headers_of_the_newest_message_may_be_missing(client: Client) -> None:
    link = await opened()
    assert await link.newest_headers() == {}
    client.headers = {"ce-id": "e1"}
    assert await link.newest_headers() == {"ce-id": "e1"}
    client.failures = [NotFoundError()]
    assert await link.newest_headers() == {}


@pytest.mark.parametrize("problem", [Error("of nats-py"), OSError("of the system")])
async def test_a_problem_of_a_request_or_a_message_is_named(client: Client, problem: Exception) -> None:
    link = await opened()
    client.failures = [problem]
    for call in (link.newest_headers(), link.store_chunk(deque([message(1)]))):
        failure, _ = await failure_of(call)
        assert isinstance(failure, BrokerUnavailable)
        assert failure.reason == str(problem)


async def test_a_broker_that_hangs_is_left_within_a_second(client: Client) -> None:
    link = await opened()
    client.hanging = "close"
    began = asyncio.get_running_loop().time()
    await link.close()
    assert asyncio.get_running_loop().time() - began == 1.0


@pytest.mark.parametrize(
    ("failures", "told"),
    [
        ([OSError("first"), OSError("newest"), NoServersError()], "newest"),
        ([NoServersError()], "nats: no servers available for connection"),
        ([OSError("first"), Error("of the request")], "of the request"),
    ],
)
async def test_a_dial_without_a_server_tells_the_newest_problem(client: Client, failures: list[Exception], told: str) -> None:
    client.failures = failures
    failure, _ = await failure_of(opened())
    assert isinstance(failure, BrokerUnavailable)
    assert failure.reason == told


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (Error("secure connection required"), InsecureBroker),
        (Error("nats: Authorization Violation"), BrokerRefused),
        (Error("user authentication expired"), BrokerRefused),
        (OSError("refused"), BrokerUnavailable),
        (APIError(code=503, err_code=10008, description="system temporarily unavailable"), BrokerUnavailable),
        (APIError(code=None, err_code=None, description=None), BrokerUnavailable),
        (APIError(code=500, err_code=10049, description="store failed"), BrokerUnavailable),
        (APIError(code=400, err_code=10052, description="invalid stream"), StreamUnfit),
        (APIError(code=503, err_code=10039, description="off for the account"), StreamUnfit),
        (APIError(code=500, err_code=10047, description="insufficient storage"), StreamUnfit),
    ],
)
async def test_a_problem_of_the_dial_has_its_error(client: Client, problem: Exception, kind: type[RealtimeError]) -> None:
    client.failures = [problem]
    failure, _ = await failure_of(opened())
    assert type(failure) is kind


# --- the chunks -------------------------------------------------------------------------------------------------------


async def lengths_of_chunks(link: BrokerLink, messages: list[Message]) -> list[int]:
    left, lengths = deque(messages), []
    while left:
        before = len(left)
        assert await link.store_chunk(left) == 0
        lengths.append(before - len(left))
    return lengths


@pytest.mark.parametrize(
    ("sizes", "lengths"),
    [
        ([1] * 1024, [1024]),
        ([1] * 1025, [1024, 1]),
        ([MIB // 2] * 8, [8]),
        ([MIB // 2] * 8 + [1], [8, 1]),
    ],
)
async def test_a_chunk_holds_1024_messages_and_4_mib(client: Client, sizes: list[int], lengths: list[int]) -> None:
    link = await opened()
    assert await lengths_of_chunks(link, [message(1, b"x" * size) for size in sizes]) == lengths


async def test_one_message_may_be_larger_than_a_chunk(client: Client) -> None:
    client.max_payload = 8 * MIB
    assert await lengths_of_chunks(await opened(), [message(number, b"x" * 5 * MIB) for number in range(2)]) == [1, 1]


async def test_a_message_may_fill_the_limit_of_the_broker_with_its_headers(client: Client) -> None:
    link = await opened()
    await link.store_chunk(deque([message(1)]))
    lines = [f"{name}: {value}\r\n" for name, value in some(client.published[0][2].items())]
    room = MIB - len("".join(["NATS/1.0\r\n", *lines, "\r\n"]))
    assert await lengths_of_chunks(link, [message(1, b"x" * room)]) == [1]
    left = deque([message(1), message(2, b"x" * (room + 1)), message(3)])
    assert await link.store_chunk(left) == 0
    failure, _ = await failure_of(link.store_chunk(left))
    assert isinstance(failure, MessageTooLarge)
    assert (failure.size, [each.id for each in left], len(client.published)) == (room + 1, ["e2", "e3"], 3)
    assert "the broker takes 1048576 bytes with headers" in str(failure)


# --- the answers ------------------------------------------------------------------------------------------------------


async def test_the_answers_count_duplicates_in_any_order(client: Client) -> None:
    link = await opened()
    client.answers = [None, None, None]
    storing = asyncio.create_task(link.store_chunk(left := deque([message(1), message(2), message(3)])))
    await asyncio.sleep(1)
    for number, answer in ((2, {"duplicate": True}), (0, {}), (0, {}), (1, {"duplicate": True})):
        assert not storing.done()
        await client.answer(f"_INBOX.a.{number}", answer)
    await client.answer("_INBOX.a.1", {"duplicate": True})  # a second answer after the last
    assert await storing == 2
    assert not left


async def test_a_missing_answer_ends_the_patience_and_keeps_what_is_stored(client: Client) -> None:
    link = await opened()
    client.answers = [{}, None, {}]
    left = deque([message(1), message(2), message(3)])
    failure, took = await failure_of(link.store_chunk(left))
    assert ([each.id for each in left], took) == (["e2", "e3"], 10.0)
    assert isinstance(failure, BrokerUnavailable)
    assert failure.reason == "no acknowledgement within 10 seconds"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        *(({"code": 503, "err_code": code, "description": "full"}, StreamFull) for code in (10023, 10047, 10077)),
        ({"code": 400, "err_code": 10054, "description": "too large"}, MessageTooLarge),
        ({"code": 503, "err_code": 10039, "description": "off"}, StreamUnfit),
        ({"code": 404, "err_code": 10059, "description": "stream not found"}, StreamUnfit),
        ({"code": 500, "err_code": 10001, "description": "else"}, BrokerUnavailable),
        ({}, BrokerUnavailable),
    ],
)
async def test_each_code_of_the_broker_has_its_error(client: Client, error: dict[str, Any], kind: type[RealtimeError]) -> None:
    link = await opened()
    client.answers = [{}, {"error": error}]
    left = deque([message(1), message(2, b"123")])
    failure, took = await failure_of(link.store_chunk(left))
    assert (type(failure), took, len(left)) == (kind, 0.0, 1)
    assert error.get("description", "JetStream is off, or still starts") in str(failure)
    assert getattr(failure, "size", 3) == 3


async def test_only_the_first_missing_permission_ends_a_chunk(client: Client) -> None:
    link = await opened()
    client.answers = [None]
    storing = asyncio.create_task(link.store_chunk(deque([message(1)])))
    await asyncio.sleep(1)
    await client.options["error_cb"](Error("nats: slow consumer"))
    await asyncio.sleep(1)
    assert not storing.done()
    for subject in ("first", "second"):
        await client.options["error_cb"](Error(f'nats: Permissions Violation for Publish to "{subject}"'))
    await client.options["closed_cb"]()
    failure, _ = await failure_of(storing)
    assert isinstance(failure, BrokerRefused)
    assert failure.reason == 'nats: Permissions Violation for Publish to "first"'


@pytest.mark.parametrize(
    ("problems", "told"),
    [([], "nats: connection closed"), ([Error("before"), Error("nats: stale connection")], "nats: stale connection")],
)
async def test_a_closed_link_tells_its_newest_problem(client: Client, problems: list[Exception], told: str) -> None:
    link = await opened()
    client.answers = [None]
    storing = asyncio.create_task(link.store_chunk(deque([message(1)])))
    await asyncio.sleep(1)
    for problem in problems:
        await client.options["error_cb"](problem)
    await client.options["closed_cb"]()
    failure, took = await failure_of(storing)
    assert isinstance(failure, BrokerUnavailable)
    assert (failure.reason, took) == (told, 0.0)
