"""TLS on loopback: what is trusted, what is refused and how it is called, and what goes without verification says so."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from realtime_fsm import BadOption, CertificateRefused, DialFailed, LinkFailure, Realtime, RetriesExhausted, RetryPolicy, State
from realtime_fsm.fsm.policies import Verdict, verdict
from realtime_fsm.runtime.transport import AiohttpTransport, InsecureWarning
from realtime_fsm.testing import RealtimeServer
from support.faultproxy import FaultProxy, descriptors, until

pytestmark = pytest.mark.loops

DATA = Path(__file__).parents[1] / "data"
ONCE = RetryPolicy(attempts=1)


def trusting(name: str = "authority") -> ssl.SSLContext:
    return ssl.create_default_context(cafile=DATA / f"{name}.pem")


def showing(name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(DATA / f"{name}.pem")
    return context


@asynccontextmanager
async def listening(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], context: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A listener on loopback. Its own complaints about handshakes that its clients break off are of no interest."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    async with await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context) as listener:
        yield listener.sockets[0].getsockname()[1]


@asynccontextmanager
async def secured(name: str) -> AsyncIterator[tuple[RealtimeServer, int]]:
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    async with RealtimeServer() as server, FaultProxy(server.endpoint, showing(name)) as proxy, asyncio.timeout(10):
        yield server, proxy.port
        await until(lambda: not server.connections)


async def dial(port: int, *, host: str = "localhost", **options: Any) -> None:
    """Dial, and hang up."""
    transport = AiohttpTransport(**options)
    try:
        socket = await transport.dial(f"wss://{host}:{port}/v1/realtime?project=demo", {"X-Appwrite-Session": "geheim"})
        await socket.close(1)
    finally:
        await transport.close()


async def refused(port: int, **options: Any) -> LinkFailure:
    with pytest.raises(LinkFailure) as caught:
        await dial(port, **options)
    assert "geheim" not in repr((caught.value, caught.value.__cause__, caught.value.__context__))
    return caught.value


@pytest.mark.parametrize(
    ("shown", "options", "reason"),
    [
        ("self-signed", {}, "self-signed certificate"),
        ("localhost", {}, "unable to get local issuer certificate"),
        ("localhost", {"ssl": trusting("self-signed")}, "unable to get local issuer certificate"),
        ("expired", {"ssl": trusting()}, "certificate has expired"),
        ("wrong-host", {"ssl": trusting()}, "Hostname mismatch, certificate is not valid for 'localhost'"),
        ("wrong-host", {"ssl": trusting(), "host": "127.0.0.1"}, "IP address mismatch"),
    ],
)
@pytest.mark.loopback
async def test_a_certificate_that_is_refused_says_why_and_what_to_do(shown: str, options: dict[str, Any], reason: str) -> None:
    async with secured(shown) as (_, port):
        held = descriptors()
        failure = await refused(port, **options)
        assert type(failure) is CertificateRefused
        text = str(failure).replace("self signed", "self-signed")  # OpenSSL 1.1
        assert f"the server's certificate is not trusted: {reason}" in text
        assert "ssl= " in text
        assert "self_signed=True" in text
        assert verdict(failure, live=False) is Verdict.FATAL
        await until(lambda: descriptors() == held)


@pytest.mark.loopback
async def test_a_refused_certificate_tells_of_a_useless_cert_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/a.pem")
    async with secured("self-signed") as (_, port):
        told = "self-signed certificate; SSL_CERT_FILE=/nowhere/a.pem cannot be read: No such file or directory; give ssl="
        assert told in str(await refused(port)).replace("self signed", "self-signed")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("shown", ["localhost", "self-signed"])
@pytest.mark.loopback
async def test_a_context_that_trusts_the_certificate_is_enough(shown: str, host: str) -> None:
    async with secured(shown) as (server, port):
        transport = AiohttpTransport(ssl=trusting("authority" if shown == "localhost" else "self-signed"))
        socket = await transport.dial(f"wss://{host}:{port}/v1/realtime?project=demo", {})
        await server.wait_for_connections(1)
        assert server.connections == 1
        await socket.close(1)
        await transport.close()


@pytest.mark.parametrize("shown", ["self-signed", "expired", "wrong-host"])
@pytest.mark.loopback
async def test_self_signed_trusts_any_certificate_and_warns_once(shown: str) -> None:
    async with secured(shown) as (_, port):
        with pytest.warns(InsecureWarning, match="self_signed=True: no certificate is verified") as caught:
            await dial(port, self_signed=True)
        assert len(caught) == 1
        assert type(await refused(port)) is CertificateRefused, "it holds for one connection, not for the process"


def test_a_context_that_verifies_nothing_warns_too_and_others_do_not() -> None:
    blind = trusting()
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    with pytest.warns(InsecureWarning, match="ssl with CERT_NONE"):
        AiohttpTransport(ssl=blind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AiohttpTransport()
        AiohttpTransport(ssl=trusting())


@pytest.mark.loopback
async def test_a_refused_certificate_ends_the_attempts_of_the_client() -> None:
    async with secured("self-signed") as (_, port), Realtime(f"https://localhost:{port}/v1", "demo") as realtime:
        with pytest.raises(CertificateRefused, match="not trusted"):
            await realtime.subscribe("rows")
        assert realtime.state is State.ERROR


@pytest.mark.loopback
async def test_the_client_over_tls_with_a_session_of_the_callers() -> None:
    async with (
        secured("localhost") as (server, port),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting())) as session,
        Realtime(f"https://localhost:{port}/v1", "demo", http=session) as realtime,
    ):
        rows = await realtime.subscribe("rows")
        server.publish(["e"], ["rows"], {"n": 1, "blob": "z" * 300_000})
        assert (await anext(rows)).payload["n"] == 1


@pytest.mark.loopback
async def test_a_callers_fingerprint_that_does_not_match_is_a_refused_certificate() -> None:
    pinned = aiohttp.Fingerprint(b"0" * 32)
    async with (
        secured("self-signed") as (_, port),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=pinned)) as session,
    ):
        failure = await refused(port, session=session)
        assert isinstance(failure, CertificateRefused)
        assert "fingerprint mismatch" in str(failure)


async def speak_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    writer.close()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.close()


@pytest.mark.parametrize(("handle", "text"), [(speak_http, "TLS: "), (hang_up, "the connection was cut")])
@pytest.mark.loopback
async def test_what_is_no_tls_is_no_certificate_failure(handle: Any, text: str) -> None:
    async with listening(handle) as port:
        held = descriptors()
        failure = await refused(port)
        assert type(failure) is DialFailed
        assert text in str(failure)
        assert verdict(failure, live=False) is Verdict.TRANSIENT
        await until(lambda: descriptors() == held)
        async with Realtime(f"https://127.0.0.1:{port}/v1", "demo", retry=ONCE) as realtime:
            with pytest.raises(RetriesExhausted, match=text):
                await realtime.connect()


@pytest.mark.loopback
async def test_versions_of_tls_that_do_not_meet_are_transient() -> None:
    old, new = showing("localhost"), trusting()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    new.minimum_version = ssl.TLSVersion.TLSv1_3
    async with listening(hang_up, old) as port:
        assert type(await refused(port, ssl=new)) is DialFailed


@pytest.mark.loopback
async def test_a_dial_that_is_cancelled_in_its_handshake_holds_nothing() -> None:
    heard = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        heard.set()
        await reader.read()
        writer.close()

    async with listening(listen) as port:
        held = descriptors()
        dialing = asyncio.create_task(dial(port))
        await heard.wait()
        dialing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialing
        await until(lambda: descriptors() == held)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ssl": True}, "ssl: not an SSLContext for clients"),
        ({"ssl": showing("localhost")}, "ssl: not an SSLContext for clients"),
        ({"self_signed": 1}, "self_signed: not True or False"),
        ({"self_signed": True, "ssl": trusting()}, "self_signed: given together with ssl"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(BadOption, match=text):
        AiohttpTransport(**options)
