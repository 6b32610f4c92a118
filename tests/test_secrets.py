"""No traceback shows a secret in its locals: each test marks the secrets, and causes an error in its own way."""

from __future__ import annotations

import asyncio
import json
import traceback
from typing import Any

import aiohttp
import pytest

from realtime_fsm import Realtime, RetriesExhausted
from realtime_fsm.errors import (
    BadOption,
)
from realtime_fsm.runtime.transport import AiohttpTransport
from realtime_fsm.sealing import sealed
from realtime_fsm.testing import RealtimeServer
from support.faultproxy import FaultProxy, HttpProxy
from support.secrets import MARK, ONCE, SECRETS, assert_silent, failed, leaks


def test_the_walk_finds_what_leaks() -> None:
    def hide() -> None:
        try:
            int(MARK)
        except ValueError:
            raise KeyError("harmless") from None

    with pytest.raises(KeyError) as caught:
        hide()
    assert leaks(caught.value) == ["ValueError itself"], "hidden is not gone"
    with pytest.raises(json.JSONDecodeError) as foreign:
        json.loads(f"{MARK}!")
    assert [leak for leak in leaks(foreign.value) if "s in JSONDecoder.decode" in leak]


# --- dials ------------------------------------------------------------------------------------------------------------


ANSWERS = {
    "it hangs up": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "refused": b"HTTP/1.1 403 Forbidden\r\nSet-Cookie: a=geheim\r\nX: geheim\r\nContent-Length: 0\r\n\r\n",
    "redirected": b"HTTP/1.1 302 Found\r\nLocation: https://u:geheim@h/?jwt=geheim\r\nContent-Length: 0\r\n\r\n",
    "another upgrade": b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nX: geheim\r\n\r\n",
    "a wrong key": b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: geheim\r\n\r\n",
    "a long header": b"HTTP/1.1 101 X\r\nX: " + b"geheim" * 2000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("way", ["own session", "caller's session", "proxy"])
@pytest.mark.loopback
async def test_a_dial_with_another_answer(answer: bytes, way: str) -> None:
    async with HttpProxy(answer).open() as server, aiohttp.ClientSession(headers={"X": MARK}) as session:
        given = {**SECRETS, "proxy": server.with_login(f"user:{MARK}")} if way == "proxy" else {**SECRETS, "proxy": None}
        given["http"] = session if way == "caller's session" else None
        async with Realtime(server.url + "/v1", "demo", retry=ONCE, **given) as realtime:
            assert isinstance(await failed(realtime), RetriesExhausted)


@pytest.mark.parametrize("identity", ["session", "jwt"])
@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:1/v1", "https://127.0.0.1:1/v1", "http://nowhere.invalid/v1", "http://[::1]:1/v1"]
)
@pytest.mark.parametrize("proxied", [True, False], ids=["proxied", "direct"])
@pytest.mark.loopback
async def test_a_dial_without_a_server(endpoint: str, identity: str, proxied: bool) -> None:
    given = {**SECRETS, "session": None, identity: f"{MARK}-{identity}"} | ({} if proxied else {"proxy": None})
    async with Realtime(endpoint, "demo", retry=ONCE, **given) as realtime:
        assert isinstance(await failed(realtime), RetriesExhausted)


@pytest.mark.loopback
async def test_a_proxy_of_the_environment_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, f"socks5://user:{MARK}@127.0.0.1:1" if name.upper() == "HTTP_PROXY" else "")
    async with Realtime("http://127.0.0.1:1/v1", "demo", retry=ONCE, session=MARK, trust_env=True) as realtime:
        assert "environment's proxy" in str(await failed(realtime))


@pytest.mark.parametrize(
    ("raised", "named"),
    [
        (KeyError(MARK), "KeyError, raised within the aiohttp session"),
        (RuntimeError(MARK), "RuntimeError, raised within the aiohttp session"),
        (aiohttp.ClientError(MARK), "ClientError"),
        (OSError(MARK), "ClientOSError"),
    ],
)
@pytest.mark.loopback
async def test_a_dial_that_a_middleware_breaks(raised: Exception, named: str) -> None:
    async def broken(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        raise raised

    async with (
        aiohttp.ClientSession(middlewares=(broken,)) as session,
        Realtime("http://127.0.0.1:1/v1", "demo", http=session, retry=ONCE, **SECRETS) as realtime,
    ):
        assert f"the dial failed: {named}" in str(await failed(realtime))


@pytest.mark.loopback
async def test_a_session_that_is_closed() -> None:
    session = aiohttp.ClientSession()
    async with Realtime("http://127.0.0.1:1/v1", "demo", http=session, retry=ONCE, **SECRETS) as realtime:
        await session.close()
        assert "the given aiohttp session is closed" in str(await failed(realtime))


@pytest.mark.loopback
async def test_a_dial_that_is_cancelled_shows_nothing_either() -> None:
    async with FaultProxy("http://127.0.0.1:1/v1") as silent:
        silent.mute = True
        transport = AiohttpTransport(cookies=SECRETS["cookies"], proxy=f"http://user:{MARK}@127.0.0.1:{silent.port}")
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.05):
                await transport.dial("ws://127.0.0.1:1/", {"X-Appwrite-Session": MARK})
        await transport.close()
        assert_silent(caught.value)


@pytest.mark.loopback
async def test_a_frame_that_a_defect_stops() -> None:
    async with RealtimeServer() as server, Realtime(server.endpoint, "demo", retry=ONCE, **without_proxy()) as realtime:
        told: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))

        def defect(data: bytes) -> None:
            raise AssertionError("a defect")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("realtime_fsm.runtime.dispatch.decode_event", defect)
            with pytest.raises(RetriesExhausted, match="the stream ended"):
                await realtime.authenticate(server.add_user(MARK))
        assert [type(defects) for defects in told] == [AssertionError]
        assert_silent(*told)


def without_proxy() -> dict[str, Any]:
    return {**SECRETS, "proxy": None, "session": None}


# --- the mechanism ----------------------------------------------------------------------------------------------------


def test_lines_stay_and_arguments_go() -> None:
    @sealed
    def outer(secret: str) -> None:
        inner = secret.upper()
        raise ValueError(len(inner))

    with pytest.raises(ValueError, match="6") as caught:
        outer(MARK)
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    assert [frame.f_code.co_name for frame in frames][1:] == ["call", "outer"]
    assert [MARK in repr(frame.f_locals) or MARK.upper() in repr(frame.f_locals) for frame in frames[1:]] == [False, False]


def test_the_context_of_the_caller_stays() -> None:
    @sealed
    def refuse() -> None:
        raise BadOption("x", "bad")

    def call() -> None:
        try:
            int("the caller's own")
        except ValueError:
            refuse()

    with pytest.raises(BadOption) as caught:
        call()
    assert isinstance(caught.value.__context__, ValueError)
