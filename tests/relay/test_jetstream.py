"""JetStream as a sink, on a real broker: streams, acknowledgements, losses, and each error with its remedy."""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
import traceback
import warnings
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from nats.js.api import DiscardPolicy, StreamConfig

import realtime_fsm.relay
from realtime_fsm import BadOption, Event
from realtime_fsm.relay import (
    BrokerRefused,
    BrokerUnavailable,
    InsecureBroker,
    JetStream,
    Message,
    MessageTooLarge,
    OtherChannelsWarning,
    RelayError,
    ShortWindowWarning,
    StreamFull,
    StreamUnfit,
)
from realtime_fsm.relay.broker_link import BrokerLink
from realtime_fsm.relay.message import MessageMaker
from support.broker import Broker, client_of, needs_broker, running_broker, stored
from support.virtual import eventually

DATA = Path(__file__).parents[1] / "data"
SUBJECT = "appwrite.demo.rows.create"
PASSWORD = "s3cr3t"  # noqa: S105
_USERS = f"""
authorization {{ users = [
  {{user: writer, password: {PASSWORD}, permissions: {{publish: ["$JS.API.>", "$JS.ACK.>"], subscribe: ["_INBOX.>"]}}}}
  {{user: opener, password: {PASSWORD}, permissions: {{publish: ["$JS.API.STREAM.*.*"], subscribe: ["_INBOX.>"]}}}}
  {{user: reader, password: {PASSWORD}, permissions: {{publish: ["appwrite.>"], subscribe: ["_INBOX.>"]}}}}
] }}
jetstream: {{max_file_store: 2GB}}
"""
_TLS = f"""
tls {{ cert_file: "{DATA / "localhost.pem"}", key_file: "{DATA / "localhost.pem"}" }}
"""


def message(number: int, data: bytes = b"{}") -> Message:
    return Message(f"e{number}", SUBJECT, {"ce-id": f"e{number}", "ce-time": "2026-11-27T12:00:00.000+00:00"}, data)


def messages(*numbers: int) -> list[Message]:
    return [message(number) for number in numbers]


@asynccontextmanager
async def opened(broker: Broker, **options: Any) -> AsyncIterator[JetStream]:
    sink = JetStream(options.pop("url", broker.url), **options)
    async with sink.open("demo"):
        yield sink


async def made(broker: Broker, **options: Any) -> None:
    """Make a stream, as its operator does."""
    async with client_of(broker) as js:
        await js.add_stream(StreamConfig(name="APPWRITE", subjects=["appwrite.>"], duplicate_window=600, **options))


async def ids(broker: Broker) -> list[str]:
    async with client_of(broker) as js:
        return [each.headers["ce-id"] for each in await stored(js)]


async def failed(kind: type[RelayError], url: str, **options: Any) -> str:
    """Open a sink that must fail; neither the text nor the locals of the traceback show the login."""
    with pytest.raises(kind) as caught:
        async with JetStream(url, **options).open("demo"):
            pass
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    shown.stack = traceback.StackSummary.from_list(shown.stack[1:])  # without the frame of this function
    assert PASSWORD not in "".join(shown.format())
    return str(caught.value)


# --- the stream -------------------------------------------------------------------------------------------------------


@needs_broker
@pytest.mark.loopback
async def test_a_missing_stream_is_created_with_limits() -> None:
    with running_broker() as broker:
        async with opened(broker, outage=300) as sink:
            assert sink.duplicate_window == 300
        async with client_of(broker) as js:
            config = (await js.stream_info("APPWRITE")).config
    assert (config.subjects, config.storage, config.discard) == (["appwrite.>"], "file", "new")
    assert (config.max_age, config.max_bytes, config.duplicate_window) == (7 * 86_400, 1024**3, 300)


@needs_broker
@pytest.mark.loopback
async def test_a_stream_is_never_changed_and_a_short_window_is_told() -> None:
    with running_broker() as broker:
        async with client_of(broker) as js:
            await js.add_stream(StreamConfig(name="OTHER", subjects=["appwrite.demo.>"], duplicate_window=60, max_msgs=9))
            before = (await js.stream_info("OTHER")).config
            with pytest.warns(ShortWindowWarning, match="knows ids for 60 s, .* run: nats stream edit OTHER --dupe-window=600s"):
                async with opened(broker, stream="OTHER") as sink:
                    assert await sink.publish(messages(1)) == 0
            assert (await js.stream_info("OTHER")).config == before


@needs_broker
@pytest.mark.loopback
async def test_a_relay_of_other_channels_is_told_once() -> None:
    def event(*channels: str) -> Message:
        maker = MessageMaker("appwrite.test:443", "demo", channels)
        return maker.of_event(Event.from_payload({"n": 1}, channels=["rows"], timestamp=datetime.now(UTC)))

    with running_broker() as broker, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for channels in (("rows", "files"), ("files", "rows")):
            async with opened(broker) as sink:
                await sink.publish([event(*channels)])
        assert told == []
        async with opened(broker) as sink:
            await sink.publish([event("rows")])
            await sink.publish([event("rows")])
    (warning,) = told
    assert warning.category is OtherChannelsWarning
    assert warning.filename == __file__
    assert str(warning.message).startswith(
        "the newest message on appwrite.demo.> in the stream APPWRITE is of a relay with other channels"
    )


@needs_broker
@pytest.mark.parametrize("subjects", [["appwrite.other.>"], ["appwrite.*.rows.>"], ["appwrite.demo"], ["orders.>"]])
@pytest.mark.loopback
async def test_a_stream_without_our_subjects_is_refused(subjects: list[str]) -> None:
    with running_broker() as broker:
        async with client_of(broker) as js:
            await js.add_stream(StreamConfig(name="APPWRITE", subjects=subjects))
        text = await failed(StreamUnfit, broker.url)
    assert f"it takes {subjects[0]}, and not appwrite.demo.>; change it with the nats command" in text


@needs_broker
@pytest.mark.loopback
async def test_a_stream_that_cannot_be_created_says_why() -> None:
    with running_broker() as broker:
        async with client_of(broker) as js:
            await js.add_stream(StreamConfig(name="TAKEN", subjects=["appwrite.>"]))
        text = await failed(StreamUnfit, broker.url)
        assert text.endswith(": the stream TAKEN already takes appwrite.>; name the stream TAKEN instead")
    with running_broker() as broker:
        async with client_of(broker) as js:
            await js.add_stream(StreamConfig(name="TAKEN", subjects=["appwrite.other.>"]))
        text = await failed(StreamUnfit, broker.url)
        assert text.endswith("; add appwrite.demo.> to the stream TAKEN with the nats command, and name that one")
    with running_broker(config="jetstream: {max_file_store: 1MB}") as broker:
        assert "insufficient storage resources available" in await failed(StreamUnfit, broker.url)


@needs_broker
@pytest.mark.loopback
async def test_the_time_of_the_newest_message_of_the_project_is_given() -> None:
    with running_broker() as broker:
        async with opened(broker) as sink:
            await sink.publish([message(1), Message("x", "appwrite.other.rows.create", {"ce-time": "2027-01-01T00:00:00Z"}, b"")])
        async with sink.open("demo") as since:
            assert since is not None
            assert since.isoformat() == "2026-11-27T12:00:00+00:00"
            await sink.publish([Message("y", SUBJECT, {}, b"")])
        async with sink.open("demo") as since:
            assert since is None


# --- acknowledgements -------------------------------------------------------------------------------------------------


@needs_broker
@pytest.mark.loopback
async def test_a_message_is_stored_once() -> None:
    with running_broker() as broker:
        async with opened(broker) as sink:
            assert await sink.publish(messages(1, 2)) == 0
            assert await sink.publish(messages(1, 2, 3)) == 2
            assert await sink.publish([]) == 0
        assert await ids(broker) == ["e1", "e2", "e3"]
        async with client_of(broker) as js:
            headers = (await js.get_msg("APPWRITE", 1)).headers
    assert headers == {**message(1).headers, "Nats-Msg-Id": "e1", "Nats-Expected-Stream": "APPWRITE"}


@needs_broker
@pytest.mark.loopback
async def test_many_and_large_messages_go_in_chunks() -> None:
    large = [message(number, b"x" * 900_000) for number in range(12)]
    with running_broker() as broker:
        async with opened(broker) as sink:
            await sink.publish([*large, *messages(*range(100, 1400))])
        assert await ids(broker) == [f"e{number}" for number in (*range(12), *range(100, 1400))]


@needs_broker
@pytest.mark.loopback
async def test_a_lost_broker_is_told_once_and_gets_the_rest() -> None:
    troubles: list[RelayError] = []
    with running_broker() as broker, patch("realtime_fsm.relay.jetstream.BrokerLink", wraps=BrokerLink) as dialed:
        async with opened(broker, on_trouble=troubles.append) as sink:
            await sink.publish(messages(1))
            broker.kill()
            publishing = asyncio.create_task(sink.publish(messages(1, 2, 3)))
            await eventually(lambda: dialed.call_count > 3)  # so two of them have failed
            broker.start()
            assert await publishing == 1
        assert await ids(broker) == ["e1", "e2", "e3"]
    assert len(troubles) == 1
    assert isinstance(troubles[0], BrokerUnavailable)


@needs_broker
@pytest.mark.loopback
async def test_a_broker_that_is_away_for_longer_than_the_outage_ends_the_relay() -> None:
    with running_broker() as broker:
        async with opened(broker, outage=0.5) as sink:
            broker.kill()
            with pytest.raises(BrokerUnavailable, match=r"does not answer: .*; check that nats-server -js runs there"):
                await sink.publish(messages(1))


@needs_broker
@pytest.mark.loopback
async def test_a_frozen_broker_is_left_after_the_patience() -> None:
    troubles: list[RelayError] = []
    with running_broker() as broker, patch("realtime_fsm.relay.broker_link._PATIENCE", 2):
        async with opened(broker, on_trouble=troubles.append) as sink:
            broker.freeze()
            publishing = asyncio.create_task(sink.publish(messages(1, 2)))
            await eventually(lambda: bool(troubles))
            broker.process.send_signal(signal.SIGCONT)
            await publishing
        assert await ids(broker) == ["e1", "e2"]
    assert "no acknowledgement within 2 seconds" in str(troubles[0])


@needs_broker
@pytest.mark.loopback
async def test_a_full_stream_waits_for_room() -> None:
    troubles: list[RelayError] = []
    with running_broker() as broker:
        await made(broker, max_msgs=2, discard=DiscardPolicy.NEW)
        async with opened(broker, on_trouble=troubles.append) as sink, client_of(broker) as js:
            publishing = asyncio.create_task(sink.publish(messages(1, 2, 3)))
            await eventually(lambda: bool(troubles))
            await js.delete_msg("APPWRITE", 1)
            assert await publishing == 0
        assert await ids(broker) == ["e2", "e3"]
    assert str(troubles[0]).startswith("the stream APPWRITE takes no more messages: maximum messages exceeded; raise its limits")


@needs_broker
@pytest.mark.loopback
async def test_a_stream_that_stays_full_ends_the_relay() -> None:
    with running_broker() as broker:
        await made(broker, max_msgs=2, discard=DiscardPolicy.NEW)
        async with opened(broker, outage=0.3) as sink:
            with pytest.raises(StreamFull):
                await sink.publish(messages(1, 2, 3))
        assert await ids(broker) == ["e1", "e2"]


@needs_broker
@pytest.mark.loopback
async def test_a_removed_stream_is_created_again() -> None:
    with running_broker() as broker:
        async with opened(broker) as sink:
            async with client_of(broker) as js:
                await js.delete_stream("APPWRITE")
            await sink.publish(messages(1))
        assert await ids(broker) == ["e1"]


@needs_broker
@pytest.mark.parametrize(
    ("limit", "size", "problem"),
    [({}, 1024 * 1024 - 50, "the broker takes 1048576 bytes with headers"), ({"max_msg_size": 500}, 501, "message size exceeds")],
)
@pytest.mark.loopback
async def test_a_too_large_message_is_named_and_those_before_are_stored(limit: dict[str, int], size: int, problem: str) -> None:
    with running_broker() as broker:
        await made(broker, **limit)
        async with opened(broker) as sink:
            with pytest.raises(MessageTooLarge) as caught:
                await sink.publish([message(1), message(2, b"x" * size), message(3)])
        assert (await ids(broker))[0] == "e1"
    assert (caught.value.subject, caught.value.size) == (SUBJECT, size)
    assert problem in str(caught.value)
    assert "raise max_payload of the broker" in str(caught.value)


# --- errors of the broker ---------------------------------------------------------------------------------------------


@pytest.mark.loopback
async def test_a_missing_broker_is_named() -> None:
    text = await failed(BrokerUnavailable, f"nats://writer:{PASSWORD}@127.0.0.1:1")
    assert text.startswith("the broker 127.0.0.1:1 does not answer: ")


@needs_broker
@pytest.mark.loopback
async def test_a_broker_without_jetstream_is_named() -> None:
    with running_broker("--plain") as broker:
        assert "JetStream is off, or still starts" in await failed(BrokerUnavailable, broker.url)


@needs_broker
@pytest.mark.loopback
async def test_a_wrong_login_is_refused() -> None:
    with running_broker(config=_USERS) as broker:
        assert "Authorization Violation" in await failed(BrokerRefused, broker.url, user="writer", password=PASSWORD[:-1])
        assert "Authorization Violation" in await failed(BrokerRefused, broker.url.replace("//", f"//writer:x{PASSWORD}@"))
        text = await failed(BrokerRefused, broker.url, user="reader", password=PASSWORD)
        assert "permissions violation for publish" in text.lower()
        with patch("realtime_fsm.relay.broker_link._PATIENCE", 2):
            text = await failed(BrokerRefused, broker.url, user="opener", password=PASSWORD)
        assert 'publish to "$js.api.stream.msg.get.appwrite"' in text.lower()
        async with opened(broker, user="writer", password=PASSWORD) as sink:
            with pytest.raises(BrokerRefused, match=r"and its permissions to publish to appwrite\.>"):
                await sink.publish(messages(1))


@needs_broker
@pytest.mark.loopback
async def test_tls_is_checked_and_required(monkeypatch: pytest.MonkeyPatch) -> None:
    trust = ssl.create_default_context(cafile=DATA / "authority.pem")
    with running_broker(config=_TLS) as broker:
        url = broker.url.replace("127.0.0.1", "localhost").replace("nats:", "tls:")
        assert "certificate verify failed" in await failed(InsecureBroker, url)
        monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/a.pem")
        assert "; SSL_CERT_FILE=/nowhere/a.pem cannot be read" in await failed(InsecureBroker, url)
        async with opened(broker, url=url, tls=trust) as sink:
            assert await sink.publish(messages(1)) == 0
    with running_broker() as broker:
        text = await failed(InsecureBroker, broker.url.replace("nats:", "tls:"))
    assert text.endswith("the broker has no TLS, and the URL requires it; give a nats:// URL, or let the broker serve TLS")


# --- the waits, with a stand-in for the link in virtual time ----------------------------------------------------------


class Link:
    """The part of the link that the sink uses. Each call of `store_chunk` takes an outcome: messages to store, and a trouble."""

    def __init__(self, *outcomes: tuple[int, RelayError | None], window: float = 600.0) -> None:
        self._outcomes = list(outcomes)
        self._window = window
        self.tries: list[float] = []
        self.refusal: RelayError | None = None
        self.dials = self.ends = 0

    def __call__(self, server: str, stream: str, subjects: str) -> Link:
        assert (server, stream, subjects) == ("host:4222", "APPWRITE", "appwrite.demo.>")
        return self

    async def open(self, options: dict[str, Any], *, tls_required: bool, window: float) -> float:
        self.dials += 1
        if self.dials > 1 and self.refusal is not None:
            raise self.refusal
        return self._window

    async def newest_headers(self) -> dict[str, str]:
        return {}

    async def store_chunk(self, left: deque[Message]) -> int:
        self.tries.append(round(asyncio.get_running_loop().time() - self.began, 6))
        count, trouble = self._outcomes.pop(0)
        for _ in range(count):
            left.popleft()
        if trouble is not None:
            raise trouble
        return 1

    async def close(self) -> None:
        self.ends += 1

    async def stored(self, *numbers: int, **options: Any) -> int:
        """Store messages through a sink with this link."""
        self.began = asyncio.get_running_loop().time()
        with patch("realtime_fsm.relay.jetstream.BrokerLink", self):
            sink = JetStream("nats://host", **options)
            assert sink.duplicate_window == 0
            async with sink.open("demo"):
                return await sink.publish(messages(*numbers))


AWAY = BrokerUnavailable("host:4222", "refused")
FULL = StreamFull("APPWRITE", "maximum bytes exceeded")


@pytest.mark.parametrize(("trouble", "links"), [(AWAY, 10), (FULL, 1)])  # a full stream keeps its link
async def test_the_waits_double_up_to_two_seconds_until_the_outage_is_over(trouble: RelayError, links: int) -> None:
    troubles: list[RelayError] = []
    link = Link(*[(0, trouble)] * 10)
    with pytest.raises(type(trouble)):
        await link.stored(1, outage=10.0, on_trouble=troubles.append)
    assert link.tries == [0, 0.1, 0.3, 0.7, 1.5, 3.1, 5.1, 7.1, 9.1, 11.1]
    assert troubles == [trouble]
    assert (link.dials, link.ends) == (links, links)


async def test_the_outage_is_over_at_its_last_moment() -> None:
    link = Link((0, FULL), (0, FULL))
    with pytest.raises(StreamFull):
        await link.stored(1, outage=0.1)
    assert link.tries == [0, 0.1]


async def test_each_stored_message_and_each_success_begins_the_outage_anew() -> None:
    troubles: list[RelayError] = []
    link = Link((0, AWAY), (0, AWAY), (1, FULL), (0, FULL), (1, None), (0, AWAY), (1, None))
    assert await link.stored(1, 2, 3, outage=0.35, on_trouble=troubles.append) == 2
    assert link.tries == [0, 0.1, 0.3, 0.4, 0.6, 0.6, 0.7]
    assert troubles == [AWAY, FULL, AWAY]


async def test_a_link_that_could_not_be_opened_is_closed_and_another_one_serves_the_next_call() -> None:
    link = Link((0, AWAY), (1, None))
    link.began = asyncio.get_running_loop().time()
    link.refusal = StreamUnfit("APPWRITE", "it is sealed")
    with patch("realtime_fsm.relay.jetstream.BrokerLink", link):
        sink = JetStream("nats://host")
        async with sink.open("demo"):
            with pytest.raises(StreamUnfit):
                await sink.publish(messages(1))
            assert (link.dials, link.ends) == (2, 2)
            link.refusal = None
            assert await sink.publish(messages(1)) == 1
    assert (link.dials, link.ends) == (3, 3)


async def test_a_short_window_is_told_once_for_all_links() -> None:
    with pytest.warns(ShortWindowWarning, match="knows ids for 60 s, less than the outage of 600 s") as told:
        assert await Link((0, AWAY), (0, AWAY), (1, None), window=60.0).stored(1) == 1
    assert len(told) == 1
    assert await Link((1, None), window=600.0).stored(1) == 1


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: JetStream(f"writer:{PASSWORD}@host"), "servers: it is not the URL of a NATS server"),
        (lambda: JetStream(f"nats://writer:{PASSWORD}@host:port"), "servers: it is not the URL of a NATS server"),
        (lambda: JetStream("http://host"), "servers: it is not the URL of a NATS server"),
        (lambda: JetStream("nats://"), "servers: it is not the URL of a NATS server"),
        (lambda: JetStream([]), "servers: '' is not the URL of a NATS server"),
        (lambda: JetStream("foo"), "servers: it is not the URL of a NATS server; give one such as nats://127.0.0.1:4222"),
        (lambda: JetStream("nats://h", user_credentials="/nowhere/c"), "user_credentials: "),
        (lambda: JetStream("nats://h", stream="a.b"), "stream: 'a.b' is not a name of a stream"),
        (lambda: JetStream("nats://h", outage=0), "outage: 0 is not a number of seconds"),
    ],
)
def test_an_argument_that_cannot_be_used_is_named(make: Callable[[], JetStream], text: str) -> None:
    with pytest.raises(BadOption) as caught:
        make()
    assert str(caught.value).startswith(text)
    assert PASSWORD not in str(caught.value)


def test_no_repr_shows_a_login() -> None:
    sink = JetStream([f"nats://writer:{PASSWORD}@one", f"tls://writer:{PASSWORD}@[::1]:4333"], password=PASSWORD)
    assert repr(sink) == "<JetStream APPWRITE at one:4222, [::1]:4333>"


def test_without_nats_py_the_error_names_the_extra() -> None:
    with patch.dict(sys.modules, {"nats.aio.client": None}):
        for module in ("jetstream", "broker_link"):
            sys.modules.pop(f"realtime_fsm.relay.{module}", None)
        with pytest.raises(BadOption, match=r'run pip install "realtime-fsm\[nats\]"'):
            _ = realtime_fsm.relay.JetStream
    with pytest.raises(AttributeError, match="Kafka"):
        _ = realtime_fsm.relay.Kafka  # type: ignore[attr-defined]
