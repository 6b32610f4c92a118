"""HTTP on the way: proxies, redirects, cookies, headers, and sessions of the caller's. No secret shows itself on it."""

from __future__ import annotations

import asyncio
import base64
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from realtime_fsm import BadOption, DialFailed, LinkFailure, NameNotResolved, UpgradeRefused
from realtime_fsm.runtime.proxies import proxy_from_env
from realtime_fsm.runtime.transport import AiohttpTransport
from realtime_fsm.testing import RealtimeServer
from support.faultproxy import FaultProxy, HttpProxy, descriptors, header, until

pytestmark = pytest.mark.loops

DATA = Path(__file__).parents[1] / "data"
USER, PASSWORD = "mallory", "p@ss/geheim"
LOGIN = f"{USER}:p%40ss%2Fgeheim"
SECRETS = ("geheim", base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())
HEADERS = {"X-Appwrite-Session": "geheim"}


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=DATA / "authority.pem")


def showing() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(DATA / "localhost.pem")
    return context


@asynccontextmanager
async def services(*, login: bytes | None = None, tls: bool = False) -> AsyncIterator[tuple[FaultProxy, HttpProxy]]:
    """A server that speaks TLS, or one that does not, and a proxy."""
    async with (
        asyncio.timeout(10),
        RealtimeServer() as server,
        FaultProxy(server.endpoint, showing() if tls else None) as entry,
        HttpProxy(login=login).open() as proxy,
    ):
        held = descriptors()
        yield entry, proxy
        await until(lambda: not server.connections and not entry.links)
        await until(lambda: descriptors() == held)


async def greeting(endpoint: str, **options: Any) -> bytes:
    """Dial, and give the first message."""
    transport = AiohttpTransport(**options)
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    try:
        socket = await transport.dial(endpoint.replace("http", "ws") + "/realtime?project=demo", HEADERS)
        pump = asyncio.create_task(socket.pump(heard.put_nowait))
        try:
            return await heard.get()
        finally:
            pump.cancel()
            await asyncio.wait([pump])
            await socket.close(1)
    finally:
        await transport.close()


async def refused(endpoint: str, **options: Any) -> LinkFailure:
    with pytest.raises(LinkFailure) as caught:
        await greeting(endpoint, **options)
    shown = repr((caught.value, vars(caught.value), caught.value.__cause__, caught.value.__context__)) + str(caught.value)
    assert [secret for secret in (*SECRETS, USER) if secret in shown] == []
    return caught.value


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("login", [None, LOGIN])
@pytest.mark.parametrize("own", [True, False], ids=["own session", "caller's session"])
def test_a_link_through_a_proxy(tls: bool, login: str | None, own: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        expected = None if login is None else f"{USER}:{PASSWORD}".encode()
        async with services(login=expected, tls=tls) as (entry, proxy), aiohttp.ClientSession() as session:
            via = proxy.url if login is None else proxy.with_login(login)
            options = {"session": None if own else session, "proxy": via, "ssl": trusting() if tls else None}
            assert b'"connected"' in await greeting(entry.endpoint, **options)
            line = f"CONNECT 127.0.0.1:{entry.port} " if tls else f"GET {entry.endpoint}/realtime?project=demo "
            assert [head.startswith(line) for head in proxy.asked] == [True]
            assert ("geheim" in proxy.asked[0]) is not tls, "the session is for the server, not for the proxy"

    caplog.set_level(logging.DEBUG)
    asyncio.run(main(), debug=True)
    assert [secret for secret in SECRETS if secret in caplog.text] == []


@pytest.mark.loopback
async def test_a_proxy_that_speaks_tls_itself() -> None:
    async with services(tls=True) as (entry, _), HttpProxy(context=showing()).open() as proxy:
        assert await greeting(entry.endpoint, proxy=proxy.url, ssl=trusting())
        assert len(proxy.asked) == 1


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_a_proxy_that_refuses_the_password_does_not_spread_it(tls: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with services(login=b"other:login", tls=tls) as (entry, proxy):
            failure = await refused(entry.endpoint, proxy=proxy.with_login(LOGIN), ssl=trusting() if tls else None)
            assert isinstance(failure, DialFailed)
            assert "HTTP 407" in str(failure)
            assert ("the proxy answered" in str(failure)) is tls

    caplog.set_level(logging.DEBUG)
    asyncio.run(main(), debug=True)
    assert [secret for secret in SECRETS if secret in caplog.text] == []


@pytest.mark.loopback
async def test_a_proxy_that_is_not_there() -> None:
    async with services() as (entry, proxy):
        async with HttpProxy(b"").open() as gone:
            pass
        failure = await refused(entry.endpoint, proxy=gone.with_login(LOGIN))
        assert str(failure) == "the dial failed: the proxy cannot be reached: Connection refused"
        unknown = await refused(entry.endpoint, proxy=f"http://{LOGIN}@nowhere.invalid:1")
        assert isinstance(unknown, NameNotResolved)
        assert unknown.reason == "the proxy's name does not resolve"
        assert proxy.asked == []


ENVIRONMENT = ("WS_PROXY", "WSS_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD")


@pytest.mark.parametrize(
    ("tls", "environment", "proxied"),
    [
        (True, {"HTTPS_PROXY": "{url}"}, True),
        (True, {"https_proxy": "{bare}"}, True),
        (True, {"WSS_PROXY": "{url}", "HTTPS_PROXY": "http://127.0.0.1:1"}, True),
        (True, {"HTTP_PROXY": "{url}"}, False),
        (False, {"HTTP_PROXY": "{url}"}, True),
        (False, {"WS_PROXY": "{url}"}, True),
        (False, {"HTTPS_PROXY": "{url}"}, False),
        (True, {"HTTPS_PROXY": "{url}", "NO_PROXY": "127.0.0.1"}, False),
        (True, {"HTTPS_PROXY": "{url}", "NO_PROXY": "127.0.0.1:{port}"}, False),
        (True, {"HTTPS_PROXY": "{url}", "NO_PROXY": "127.0.0.1:1,example.org"}, True),
        (True, {"HTTPS_PROXY": ""}, False),
        (True, {"ALL_PROXY": "{url}"}, True),
        (False, {"all_proxy": "{bare}"}, True),
        (False, {"HTTP_PROXY": "{url}", "ALL_PROXY": "http://127.0.0.1:1"}, True),
        (True, {"HTTPS_PROXY": "{url}", "ALL_PROXY": "socks5://127.0.0.1:1"}, True),
        (True, {"ALL_PROXY": "{url}", "NO_PROXY": "example.org, 127.0.0.0/8"}, False),
        (False, {"HTTP_PROXY": "{url}", "NO_PROXY": "10.0.0.0/8,::/0,127.0.0.1/33"}, True),
        (True, {}, False),
    ],
)
@pytest.mark.parametrize("own", [True, False], ids=["own session", "caller's session"])
@pytest.mark.loopback
async def test_the_proxy_of_the_environment(
    tls: bool, environment: dict[str, str], proxied: bool, own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with services(tls=tls) as (entry, proxy), aiohttp.ClientSession() as session:
        for name in ENVIRONMENT:
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.lower(), raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value.format(url=proxy.url, bare=proxy.url[7:], port=entry.port))
        options = {"session": None if own else session, "ssl": trusting() if tls else None}
        assert await greeting(entry.endpoint, trust_env=True, **options)
        assert len(proxy.asked) == proxied
        assert await greeting(entry.endpoint, **options)
        assert len(proxy.asked) == proxied, "only when asked for"


@pytest.mark.parametrize("value", [f"socks5://{LOGIN}@127.0.0.1:1", f"http://{LOGIN}@127.0.0.1:port", f"{LOGIN}@:"])
def test_a_proxy_of_the_environment_that_is_of_no_use_is_a_typed_failure(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("no_proxy", "")
    failure = asyncio.run(refused("http://127.0.0.1:1/v1", trust_env=True))
    assert "the environment's proxy is not an http:// or https:// URL" in str(failure)


@pytest.mark.loopback
async def test_a_proxy_of_the_callers_session_counts_and_ours_wins() -> None:
    async with (
        services() as (entry, ours),
        HttpProxy().open() as theirs,
        aiohttp.ClientSession(proxy=theirs.url) as session,
    ):
        assert await greeting(entry.endpoint, session=session)
        assert (len(theirs.asked), len(ours.asked)) == (1, 0)
        assert await greeting(entry.endpoint, session=session, proxy=ours.url)
        assert (len(theirs.asked), len(ours.asked)) == (1, 1)


@pytest.mark.parametrize(
    ("host", "exceptions", "direct"),
    [
        ("192.168.7.9", "192.168.0.0/16", True),
        ("192.168.7.9", "192.168.7.1/16", True),
        ("192.168.7.9", "192.168.7.0/29,10.0.0.0/8", False),
        ("[2001:db8::7]", "2001:db8::/32", True),
        ("[2001:db8::7]", "[2001:db8::7]", True),
        ("[2001:db8::7]", "192.168.0.0/16,[2001:db8::8]", False),
        ("appwrite.example", "0.0.0.0/0", False),
        ("appwrite.example", "0.0.0.0/0,.example", True),
        ("appwrite.example", "*", True),
    ],
)
def test_exceptions_of_the_environment(host: str, exceptions: str, direct: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", exceptions)
    assert proxy_from_env(f"wss://{host}/v1/realtime?project=demo") == (None if direct else "http://127.0.0.1:1")


REDIRECTS = [300, 301, 302, 303, 304, 305, 307, 308]


@pytest.mark.parametrize("status", REDIRECTS)
@pytest.mark.parametrize("own", [True, False], ids=["own session", "caller's session"])
@pytest.mark.loopback
async def test_a_redirect_is_not_followed(status: int, own: bool) -> None:
    async with HttpProxy(b"").open() as target, aiohttp.ClientSession() as session:
        answer = f"HTTP/1.1 {status} Elsewhere\r\nLocation: {target.url}/v1\r\nContent-Length: 0\r\n\r\n"
        async with HttpProxy(answer.encode()).open() as server:
            held = descriptors()
            failure = await refused(server.url, session=None if own else session)
            assert isinstance(failure, UpgradeRefused)
            assert failure.status == status
            assert [len(listener.asked) for listener in (server, target)] == [1, 0]
            await until(lambda: descriptors() == held)


NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nSet-Cookie: a=stale\r\nContent-Length: 0\r\n\r\n"
THEIRS = {"User-Agent": "theirs", "Accept": "a/b", "Accept-Encoding": "br", "X": "1"}
COOKIES = {"a": "eyJ/+==", "b": '"quoted"'}


@pytest.mark.loopback
async def test_cookies_are_sent_as_they_stand_beside_those_of_the_headers_and_none_is_kept() -> None:
    async with HttpProxy(NOT_FOUND).open() as server:
        transport = AiohttpTransport(cookies=COOKIES)
        for headers in ({}, {"cookie": "c=1"}, {"User-Agent": "mine", **HEADERS}):
            with pytest.raises(UpgradeRefused):
                await transport.dial(server.url.replace("http", "ws"), headers)
        await transport.close()
        ours = 'a=eyJ/+==; b="quoted"'
        assert [header(head, "Cookie") for head in server.asked] == [[ours], [f"c=1; {ours}"], [ours]]
        assert [header(server.asked[2], name) for name in ("User-Agent", "X-Appwrite-Session")] == [["mine"], ["geheim"]]


@pytest.mark.loopback
async def test_a_callers_session_adds_its_own_cookies_and_headers_and_ours_win() -> None:
    jar = aiohttp.CookieJar(unsafe=True)
    theirs: dict[str, Any] = {"cookies": {"j": "1"}, "headers": THEIRS, "raise_for_status": True}
    async with HttpProxy(NOT_FOUND).open() as server, aiohttp.ClientSession(cookie_jar=jar, **theirs) as session:
        for cookies in ({"b": "1=="}, {"a": "ours"}):
            assert isinstance(await refused(server.url, session=session, cookies=cookies), UpgradeRefused)
        assert [set(header(head, "Cookie")[0].split("; ")) for head in server.asked] == [{"j=1", "b=1=="}, {"j=1", "a=ours"}]
        assert {name: header(server.asked[0], name) for name in (*THEIRS, "Host")} == {
            **{name: [value] for name, value in THEIRS.items()}, "Host": [server.url[7:]],
        }  # fmt: skip
        assert {cookie.key: cookie.value for cookie in jar} == {"j": "1", "a": "stale"}, "it keeps what it is sent"


@pytest.mark.loopback
async def test_a_callers_session_that_is_closed_is_a_typed_failure() -> None:
    session = aiohttp.ClientSession()
    transport = AiohttpTransport(session)
    await session.close()
    with pytest.raises(DialFailed, match="session is closed"):
        await transport.dial("ws://127.0.0.1:1/", {})
    with pytest.raises(BadOption, match="http: no open aiohttp session"):
        AiohttpTransport(session)


@pytest.mark.parametrize(
    ("options", "option"),
    [
        *(({"proxy": proxy}, "proxy") for proxy in ("", "geheim", "socks5://u:geheim@h:1", "http://", "http://u:geheim@h:x")),
        *(({"proxy": proxy}, "proxy") for proxy in ("http://h:0", "http://u%3Ageheim:x@h", "http://u:\u4eba@h", "http://a b", 1)),
        ({"proxy": "http://h", "trust_env": True}, "trust_env"),
        ({"trust_env": "geheim"}, "trust_env"),
        *(({"cookies": cookies}, "cookies") for cookies in ("geheim", {"a b": "1"}, {"a": "geheim;"}, {"a": 1}, {1: "geheim,"})),
        *(({"max_frame": limit}, "max_frame") for limit in (0, -1, True, 1.5, None, "1")),
        ({"session": object()}, "http"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_by_name_and_shows_no_secret(options: dict[str, Any], option: str) -> None:
    with pytest.raises(BadOption) as caught:
        AiohttpTransport(**options)
    assert caught.value.option == option
    assert "geheim" not in repr(caught.value)
