"""No traceback shows an argument in its locals: options, credentials, presences, payloads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
import pytest
from pydantic import BaseModel

from realtime_fsm import Realtime, RetriesExhausted, sync
from realtime_fsm.errors import (
    AuthenticationRejected,
    BadOption,
    Disposed,
    GreetedAsGuest,
    IdentityUnavailable,
    MalformedEvent,
    PresenceRejected,
    UnsupportedByServer,
)
from realtime_fsm.events import Event, PayloadMisfit
from realtime_fsm.testing import RealtimeServer
from support.network import Network
from support.secrets import MARK, ONCE, SECRETS, Marked, assert_silent, failed
from support.virtual import eventually, run

# --- arguments --------------------------------------------------------------------------------------------------------

BAD: dict[str, dict[str, Any]] = {
    "endpoint": {"endpoint": f"https://u:{MARK}@h/v1?key={MARK}"},
    "endpoint of no form": {"endpoint": f"https://{MARK}:{MARK}@[/v1"},
    "project": {"project": 5},
    "two identities": {"jwt": f"{MARK}-jwt"},
    "session": {"session": f"{MARK}\n"},
    "session of another type": {"session": Marked()},
    "jwt": {"session": None, "jwt": f"{MARK}\x00"},
    "headers": {"headers": {"X": f"{MARK}\r\n"}},
    "headers of another type": {"headers": [MARK]},
    "a value of headers": {"headers": {"X": Marked()}},
    "a key": {"headers": {"X-Appwrite-Key": MARK}},
    "an identity among headers": {"headers": {"X-Appwrite-Session": MARK}},
    "cookies": {"cookies": {"a": f"{MARK};"}},
    "cookies of another type": {"cookies": MARK},
    "proxy": {"proxy": f"socks5://u:{MARK}@h:1"},
    "http": {"http": Marked()},
    "retry": {"retry": 3},
    "timeouts": {"timeouts": 3},
    "auto_reconnect": {"auto_reconnect": 3},
    "era": {"era": "E9"},
    "max_frame": {"max_frame": 0},
    "self_signed": {"self_signed": 3},
    "no such option": {"nonsense": True},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("face", [Realtime, sync.Realtime], ids=["async", "sync"])
def test_an_argument_that_cannot_be_used(face: Any, bad: dict[str, Any]) -> None:
    given = {"endpoint": "http://127.0.0.1:1/v1", "project": "demo", **SECRETS, **bad}
    with pytest.raises(TypeError if "nonsense" in bad else BadOption) as caught:
        face(**given)
    assert_silent(caught.value)


@pytest.mark.parametrize("face", [Realtime, sync.Realtime], ids=["async", "sync"])
@pytest.mark.parametrize("headers", [{"x-appwrite-key": MARK}, {"authorization": MARK}, {"x-appwrite-session": MARK}])
def test_a_client_of_the_sdk_that_cannot_be_used(face: Any, headers: dict[str, str]) -> None:
    class Client:
        _endpoint = "http://127.0.0.1:1/v1"
        _global_headers = headers

    with pytest.raises(BadOption) as caught:
        face.from_client(Client(), jwt=MARK)
    assert_silent(caught.value)


QUERIES = ("geheim", '{"method":"geheim"', '{"method":"equal","attribute":"","values":["geheim"]}')


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_that_cannot_be_used(query: str) -> None:
    async def main() -> None:
        network = Network()
        async with network.realtime() as realtime:
            rows = await realtime.subscribe("rows")
            for call in (
                lambda: realtime.subscribe("rows", queries=[query]),
                lambda: realtime.on("rows", print, queries=[query]),
                lambda: rows.update(queries=[query]),
            ):
                with pytest.raises(BadOption) as caught:
                    await call()
                assert_silent(caught.value)

    run(main)
    with sync.Realtime("http://127.0.0.1:1/v1", "demo") as blocking:
        for attempt in (lambda: blocking.subscribe("rows", queries=[query]), lambda: blocking.on("r", print, queries=[query])):
            with pytest.raises(BadOption) as refused:
                attempt()
            assert_silent(refused.value)


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.loopback
async def test_an_update_that_cannot_be_used(query: str) -> None:
    def update(endpoint: str) -> None:
        with sync.Realtime(endpoint, "demo") as blocking:
            rows = blocking.subscribe("rows")
            with pytest.raises(BadOption) as caught:
                rows.update(queries=[query])
            assert_silent(caught.value)

    async with RealtimeServer() as server:
        await asyncio.to_thread(update, server.endpoint)


# --- credentials ------------------------------------------------------------------------------------------------------


async def raising() -> str:
    raise LookupError(MARK)


async def wordless() -> str:
    return f"{MARK}\n"


def secretive() -> Any:
    return Marked()


@pytest.mark.parametrize("give", [raising, wordless, secretive])
@pytest.mark.parametrize("name", ["session", "jwt"])
def test_a_callable_with_a_useless_result(give: Any, name: str) -> None:
    async def main() -> None:
        network = Network()
        async with network.realtime(**{name: give}, retry=ONCE) as realtime:
            failure = await failed(realtime)
            assert isinstance(failure, RetriesExhausted)
            assert isinstance(failure.cause, IdentityUnavailable)
            with pytest.raises(IdentityUnavailable) as caught:
                await realtime.authenticate(give)
            assert_silent(caught.value)

    run(main)
    with sync.Realtime("http://127.0.0.1:1/v1", "demo") as blocking:
        with pytest.raises(IdentityUnavailable) as refused:
            blocking.authenticate(give)
        assert_silent(refused.value)


@pytest.mark.parametrize("session", [f"{MARK}\n", "", Marked()])
def test_a_session_that_cannot_be_sent(session: Any) -> None:
    async def main() -> None:
        async with Network().realtime() as realtime:
            with pytest.raises(BadOption) as caught:
                await realtime.authenticate(session)
            assert_silent(caught.value)

    run(main)
    with sync.Realtime("http://127.0.0.1:1/v1", "demo") as blocking:
        with pytest.raises(BadOption) as refused:
            blocking.authenticate(session)
        assert_silent(refused.value)


@pytest.mark.parametrize("live", [True, False])
async def test_a_session_that_the_server_does_not_know(live: bool) -> None:
    network = Network()
    async with network.realtime() as realtime:
        if live:
            await realtime.subscribe("rows")
        with pytest.raises(AuthenticationRejected if live else GreetedAsGuest) as caught:
            await realtime.authenticate(MARK)
        assert_silent(caught.value)


@pytest.mark.parametrize("secret", [MARK, lambda: asyncio.sleep(60, MARK)])
async def test_an_authentication_that_is_cancelled(secret: Any) -> None:
    network = Network()
    network.otherwise = "hang"
    async with network.realtime() as realtime:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(1):
                await realtime.authenticate(secret)
        assert_silent(caught.value)
        await realtime.dispose()
        with pytest.raises(Disposed) as late:
            await realtime.authenticate(secret)
        assert_silent(late.value)


# --- presences --------------------------------------------------------------------------------------------------------

PRESENCES: dict[str, tuple[Any, Any, Any]] = {
    "status": ("", {"m": MARK}, None),
    "status with half a character": (f"{MARK}\ud800", {"m": MARK}, None),
    "metadata": (MARK, MARK, None),
    "metadata that JSON has no form for": (MARK, {"m": Marked()}, None),
    "metadata with half a character": (MARK, {"m": f"{MARK}\ud800"}, None),
    "a key with half a character": (MARK, {f"{MARK}\ud800": 1}, None),
    "metadata that is too large": (MARK, {"m": MARK * 20_000}, None),
    "permissions": (MARK, {"m": MARK}, [5]),
}


@pytest.mark.parametrize("given", PRESENCES.values(), ids=PRESENCES)
def test_a_presence_that_cannot_be_sent(given: tuple[Any, Any, Any]) -> None:
    async def main() -> None:
        async with Network().realtime() as realtime:
            with pytest.raises(BadOption) as caught:
                await realtime.set_presence(given[0], metadata=given[1], permissions=given[2])
            assert_silent(caught.value)

    run(main)
    with sync.Realtime("http://127.0.0.1:1/v1", "demo") as blocking:
        with pytest.raises(BadOption) as refused:
            blocking.set_presence(given[0], metadata=given[1], permissions=given[2])
        assert_silent(refused.value)


@pytest.mark.parametrize(("era", "kind"), [("E4", PresenceRejected), ("E1", UnsupportedByServer)])
async def test_a_presence_that_the_server_refuses(era: Any, kind: type[Exception]) -> None:
    async with Network(era).realtime() as realtime:
        await realtime.subscribe("rows")
        with pytest.raises(kind) as caught:
            await realtime.set_presence(MARK, metadata={"m": MARK})
        assert_silent(caught.value)


# --- payloads ---------------------------------------------------------------------------------------------------------


class Order(msgspec.Struct):
    price: int
    more: dict[str, int] = {}
    kind: Literal["book"] = "book"


class Bill(BaseModel):
    price: int
    more: dict[str, int] = {}


MALFORMED = {
    "payload that is a text": b'{"payload":"geheim"}',
    "payload without UTF-8": b'{"payload":{"a":"geheim\xff"}}',
    "payload whose id is odd": b'{"payload":{"$id":{"geheim":1},"a":"geheim\xff"}}',
    "events": b'{"payload":{},"events":"geheim"}',
    "events of no text": b'{"payload":{},"events":["geheim",5]}',
    "channels": b'{"payload":{},"channels":{"geheim":1}}',
    "timestamp": b'{"payload":{},"timestamp":"geheim"}',
    "timestamp that is an object": b'{"payload":{},"timestamp":{"geheim":1}}',
}


PARTS = ("payload", "id", "version", "events", "action", "channels", "timestamp")


@pytest.mark.parametrize("frame", MALFORMED.values(), ids=MALFORMED)
def test_a_part_of_an_event_that_cannot_be_understood(frame: bytes) -> None:
    event = msgspec.json.decode(frame, type=Event)
    parts: list[Callable[[], object]] = [
        *(lambda part=part: getattr(event, part) for part in PARTS),
        lambda: event.matches("x.*"),
        *(lambda wanted=wanted: event.payload_as(wanted) for wanted in (Order, Bill, dict[str, int])),
    ]
    failures = []
    for part in parts:
        try:
            part()
        except (MalformedEvent, PayloadMisfit) as failure:
            failures.append(failure)
    assert [failure for failure in failures if isinstance(failure, MalformedEvent)] != []
    assert_silent(*failures)


@pytest.mark.parametrize("wanted", [Order, Bill])
@pytest.mark.parametrize(
    "payload", [b'{"more":[],"price":"geheim"}', b'{"price":"geheim"}', b'{"price":[]}', b'{"price":1.5,"kind":"geheim"}', b"[]"]
)
def test_a_payload_that_does_not_fit(wanted: Any, payload: bytes) -> None:
    event = msgspec.json.decode(b'{"payload":%b,"events":["geheim"]}' % payload, type=Event)
    with pytest.raises(PayloadMisfit) as caught:
        event.payload_as(wanted)
    assert_silent(caught.value)


def test_a_payload_that_cannot_be_encoded() -> None:
    with pytest.raises(TypeError) as caught:
        Event.from_payload({"$id": MARK, "value": Marked()})
    assert_silent(caught.value)


async def test_a_caught_up_row_that_cannot_be_encoded() -> None:
    network, told = Network(), list[BaseException]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))

    async def catch_up(gap: object) -> list[Mapping[str, Any]]:
        return [{"$id": MARK, "value": Marked()}]

    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", catch_up=catch_up)
        network.socket.cut()
        await eventually(lambda: rows.failures == 1)
    assert_silent(*told)
    assert len(told) == 1
