"""The way below WebSocket, without sockets: ports, clocks, addresses, and the texts of failures."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from realtime_fsm.ops.doctor import path as module
from realtime_fsm.ops.doctor.path import (
    Path,
    _check_clock,
    _check_name,
    _check_plain,
    _clock_offset,
    _connect,
    _end_untrusted,
    _start_tls,
    _text,
)
from realtime_fsm.ops.doctor.report import Checks, ExaminationEnded
from support.doctoring import made, remedy
from support.virtual import Stopwatch

CONTEXT = ssl.create_default_context()
DATE = b"HTTP/1.1 404 Not Found\r\nServer: none\r\ndate: \tThu, 01 Jan 1970 00:16:40 GMT\r\nX: y\r\n\r\n"
"""An answer at 1000 seconds since 1970."""


def told(check: Callable[[Checks], object]) -> tuple[str, str, str]:
    """The status, the text and the remedy of the only check."""
    checks = Checks(None)
    check(checks)
    (found,) = made(checks)
    return found.status.value, found.text, found.remedy


@pytest.mark.parametrize(
    ("url", "proxy", "first", "is_secure"),
    [
        ("ws://host/v1", None, ("host", 80), False),
        ("wss://host/v1", None, ("host", 443), True),
        ("wss://host:8443/v1", None, ("host", 8443), True),
        ("wss://host/v1", "http://bob:geheim@proxy", ("proxy", 80), True),
        ("ws://host/v1", "https://proxy", ("proxy", 443), False),
        ("ws://host/v1", "http://proxy:3128", ("proxy", 3128), False),
    ],
)
def test_the_first_hop_is_the_proxy_or_the_server(url: str, proxy: str | None, first: tuple[str, int], is_secure: bool) -> None:
    path = Path(url, proxy, CONTEXT)
    assert (path.first, path.is_secure) == (first, is_secure)


# --- the clock --------------------------------------------------------------------------------------------------------


async def offset_of(answer: bytes, url: str, proxy: str | None, times: list[float]) -> tuple[float | None, bytes]:
    """Return the offset of the clock, and the request, where this machine shows the given times."""
    sent: list[bytes] = []
    reader = asyncio.StreamReader()
    reader.feed_data(answer)
    reader.feed_eof()
    clock = iter(times)
    writer: Any = SimpleNamespace(write=sent.append)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "time", SimpleNamespace(time=lambda: next(clock)))
        offset = await _clock_offset(Path(url, proxy, CONTEXT), reader, writer)
    return offset, b"".join(sent)


async def test_the_clocks_are_compared_in_the_middle_of_the_request_and_of_the_second() -> None:
    offset, request = await offset_of(DATE, "ws://host:80/v1/realtime?project=p", None, [1002.0, 1006.0])
    assert offset == 3.5
    assert request == b"HEAD /v1/realtime HTTP/1.1\r\nHost: host:80\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("url", "proxy", "target"),
    [
        ("ws://host/v1", "http://proxy", b"HEAD http://host/v1 "),
        ("wss://host/v1", "http://proxy", b"HEAD /v1 "),
        ("wss://host/v1", None, b"HEAD /v1 "),
    ],
)
async def test_a_proxy_without_a_tunnel_gets_the_whole_url(url: str, proxy: str | None, target: bytes) -> None:
    offset, request = await offset_of(DATE, url, proxy, [1000.5, 1000.5])
    assert (offset, request[: len(target)]) == (0.0, target)


async def test_an_answer_that_is_cut_tells_no_time() -> None:
    assert (await offset_of(DATE[:-2], "ws://host/v1", None, [1000.0, 1000.0]))[0] is None


@pytest.mark.parametrize(
    ("offset", "status", "text"),
    [
        (None, "ok", "unknown; the server names no date"),
        (30.0, "ok", "this machine and the server agree"),
        (-30.0, "ok", "this machine and the server agree"),
        (30.5, "warning", "this machine is 30.5 s ahead of the server"),
        (-31.0, "warning", "this machine is 31 s behind the server"),
    ],
)
def test_half_a_minute_between_the_clocks_does_no_harm(offset: float | None, status: str, text: str) -> None:
    assert told(lambda checks: _check_clock(checks, offset))[:2] == (status, text)


async def test_the_doctor_waits_a_second_and_a_half_for_the_time_of_a_server() -> None:
    watch = Stopwatch()
    writer: Any = SimpleNamespace(write=lambda _: None)
    assert await _clock_offset(Path("ws://host/v1", None, CONTEXT), asyncio.StreamReader(), writer) is None
    assert watch.now == 1.5


# --- connections and certificates -------------------------------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The steps of a connection: its address, "aborted", and "closed". It opens within a quarter of a second."""
    steps: list[object] = []

    async def open_connection(*address: object) -> tuple[None, Any]:
        steps.append(address)
        await asyncio.sleep(0.25)
        return None, SimpleNamespace(transport=SimpleNamespace(abort=abort))

    def abort() -> None:
        steps.append("aborted")
        asyncio.get_running_loop().call_soon(steps.append, "closed")

    monkeypatch.setattr(asyncio, "open_connection", open_connection)
    return steps


async def test_a_stream_is_closed_when_its_block_ends(opened: list[object]) -> None:
    async with Path("ws://host/v1", None, CONTEXT).open("192.0.2.1"):
        assert opened == [("192.0.2.1", 80)]
        watch = Stopwatch()
    assert opened[1:] == ["aborted", "closed"]
    assert watch.now == 0


async def test_a_connect_is_timed_and_closed(opened: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=asyncio.get_running_loop().time))
    assert await _connect("192.0.2.1", 80) == 0.25
    assert opened == [("192.0.2.1", 80), "aborted"]


class Certified:
    """A stream to a server with a certificate."""

    def __init__(self, certificate: dict[str, Any]) -> None:
        self.facts = {"peercert": certificate, "ssl_object": SimpleNamespace(version=lambda: "TLSv1.3")}

    async def start_tls(self, _: object, *, server_hostname: str, ssl_handshake_timeout: float = 0.0) -> None:
        assert (server_hostname, ssl_handshake_timeout) in (("host", 3.0), ("host", 0.0))

    def get_extra_info(self, name: str) -> object:
        return self.facts[name]


@pytest.mark.parametrize(("now", "status"), [(0.0, "ok"), (1.0, "warning")])
async def test_a_certificate_should_live_for_two_weeks(now: float, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: now))
    issuer = ((("countryName", "DE"),), (("commonName", "Root"),))
    writer: Any = Certified({"notAfter": "Jan 15 00:00:00 1970 GMT", "issuer": issuer})
    checks = Checks(None)
    assert await _start_tls(checks, Path("wss://host/v1", None, CONTEXT), writer) is None
    (found,) = made(checks)
    assert (found.status.value, found.text) == (status, "TLSv1.3; issued by Root; ends 1970-01-15")
    assert found.remedy == (remedy("tls_expires") if status == "warning" else "")


@pytest.mark.parametrize(
    ("code", "offset", "text", "key"),
    [
        (9, 0.0, "bad", "tls_clock"),
        (9, 60.0, "bad; this machine is 60 s ahead of the server", "tls_clock"),
        (10, 30.0, "bad", "tls_expired"),
        (10, -60.0, "bad; this machine is 60 s behind the server", "tls_clock"),
        (62, 60.0, "bad", "tls_host"),
        (64, 60.0, "bad", "tls_host"),
        (18, 60.0, "bad", "tls_untrusted"),
    ],
    ids=["not yet valid", "not yet valid, clock", "expired", "expired, clock", "host", "address", "self-signed"],
)
async def test_an_untrusted_certificate_has_a_remedy_by_the_code_of_openssl(
    code: int, offset: float, text: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def open_(_: Path, address: str) -> AsyncIterator[tuple[None, Certified]]:
        assert address == "192.0.2.1"
        yield None, Certified({})

    async def clock(*_: object) -> float:
        return offset

    monkeypatch.setattr(Path, "open", open_)
    monkeypatch.setattr(module, "_clock_offset", clock)
    problem = ssl.SSLCertVerificationError()
    problem.verify_code, problem.verify_message = code, "bad"
    checks = Checks(None)
    with pytest.raises(ExaminationEnded):
        await _end_untrusted(checks, Path("wss://host/v1", None, CONTEXT), "192.0.2.1", problem)
    (found,) = made(checks)
    assert (found.name, found.text, found.remedy) == ("tls", text, remedy(key))


async def test_an_untrusted_certificate_tells_of_a_useless_cert_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/a.pem")
    problem = ssl.SSLCertVerificationError()
    problem.verify_code, problem.verify_message = 18, "self-signed"
    checks = Checks(None)
    with pytest.raises(ExaminationEnded):
        await _end_untrusted(checks, Path("wss://host/v1", None, CONTEXT), "192.0.2.1", problem)
    assert made(checks)[0].text == "self-signed; SSL_CERT_FILE=/nowhere/a.pem cannot be read: No such file or directory"


# --- names, addresses and failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "proxy", "status"),
    [("127.0.0.1", None, "ok"), ("::1%lo", None, "ok"), ("192.0.2.1", None, "warning"), ("127.0.0.1", "http://p", "warning")],
)
def test_plain_http_is_harmless_on_this_machine_alone(address: str, proxy: str | None, status: str) -> None:
    found = told(lambda checks: _check_plain(checks, Path("ws://host/v1", proxy, CONTEXT), address))
    assert found[0] == status
    assert found[2] == (remedy("tls_plain") if status == "warning" else "")


async def resolved(proxy: str | None, *addresses: str) -> tuple[list[str], str]:
    """Return what the check of a name gives, and its text."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]
    checks = Checks(None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        given = await _check_name(checks, Path("wss://192.0.2.1/v1", proxy, CONTEXT))
    return given, made(checks)[0].text


@pytest.mark.loopback
async def test_each_address_of_a_name_counts_once_and_eight_at_most() -> None:
    assert await resolved(None, "192.0.2.1", "192.0.2.1") == (["192.0.2.1"], "192.0.2.1 needs no resolver")
    many = [f"192.0.2.{number}" for number in range(1, 12)]
    assert await resolved(None, *many) == (many[:8], f"192.0.2.1 is {', '.join(many[:8])}")
    assert (await resolved("http://proxy", "192.0.2.9"))[1] == "the proxy proxy is 192.0.2.9"


def of_tls(reason: str | None) -> ssl.SSLError:
    failure = ssl.SSLError(1, "[SSL] (_ssl.c:1)")
    failure.reason = reason  # type: ignore[assignment]  # OpenSSL may give none
    return failure


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (TimeoutError(errno.ETIMEDOUT, "timed out"), "no answer within 3 s"),
        (OSError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)"), "Connection refused"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (OSError("Multiple exceptions: ..."), "Multiple exceptions: ..."),
        (UnicodeError("label too long"), "label too long"),
        (ConnectionResetError(), "the stream ended"),
        (of_tls("WRONG_VERSION_NUMBER"), "wrong version number"),
        (of_tls(None), "sslerror"),
    ],
)
def test_a_failure_is_told_without_host_and_port(failure: Exception, text: str) -> None:
    assert _text(failure) == text
