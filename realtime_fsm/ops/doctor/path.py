"""Check the way to a server below WebSocket: name, TCP, proxy, TLS and clock."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import socket
import ssl as tls
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from realtime_fsm.audit.formats.text_utils import format_duration
from realtime_fsm.client.threads import DaemonThreads
from realtime_fsm.protocol.options import host_and_port
from realtime_fsm.runtime.authorities import cert_file_problem
from realtime_fsm.sealing import sealed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from realtime_fsm.ops.doctor.report import Checks

PATIENCE = 3.0
"""Seconds for each step: an examination that meets a silent box still ends soon."""
_MOST_ADDRESSES = 8
_SOON = 14 * 86_400.0  # seconds to the end of a certificate, within which an operator should renew it
_CLOCK_SKEW = 30.0  # seconds; a JSON Web Token lives for 15 minutes
_NOT_YET_VALID, _EXPIRED, _OTHER_HOST, _OTHER_IP = 9, 10, 62, 64
"""The codes of OpenSSL for certificates."""
_UNTRUSTED = {_EXPIRED: "tls_expired", _NOT_YET_VALID: "tls_clock", _OTHER_HOST: "tls_host", _OTHER_IP: "tls_host"}
_DATE = re.compile(rb"(?im)^date:[ \t]*(.+?)\r$")


class _Refused(Exception):
    """The proxy did not open a tunnel."""


@dataclass(frozen=True, slots=True)
class Path:
    """The way from this machine to the server of a ``ws://`` or ``wss://`` URL: directly, or through an HTTP proxy."""

    url: str
    proxy: str | None = field(repr=False)  # it may hold a password
    context: tls.SSLContext

    @property
    def is_secure(self) -> bool:
        """Tell whether the server speaks TLS."""
        return self.url.startswith("wss:")

    @property
    def first(self) -> tuple[str, int]:
        """The host and port of the first hop."""
        parts = urlsplit(self.proxy or self.url)
        return parts.hostname or "", parts.port or (443 if parts.scheme in ("https", "wss") else 80)

    @asynccontextmanager
    async def open(self, address: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Open a stream to the server, before any TLS with it: directly, or through the tunnel of a proxy.

        Raises:
            _Refused: when the proxy refuses the tunnel.
            OSError: when a connection fails, also by a timeout.
        """
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(address, self.first[1])
        try:
            async with asyncio.timeout(PATIENCE):
                if self.proxy is not None and self.proxy.startswith("https:"):
                    await writer.start_tls(self.context, server_hostname=self.first[0])
                if self.proxy is not None and self.is_secure:
                    await _open_tunnel(reader, writer, self.proxy, host_and_port(self.url))
            yield reader, writer
        finally:
            writer.transport.abort()
            await asyncio.sleep(0)  # in which the event loop closes the socket


@sealed
async def _open_tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, proxy: str, server: str) -> None:
    parts = urlsplit(proxy)
    login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}".encode("latin-1")
    header = f"Proxy-Authorization: Basic {base64.b64encode(login).decode()}\r\n" if parts.username else ""
    writer.write(f"CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n{header}\r\n".encode())
    head = await _head(reader)
    found = re.match(rb"HTTP/1\.\d (\d{3})", head)
    if found is None or not found[1].startswith(b"2"):
        raise _Refused(f"answers with HTTP {found[1].decode()}" if found else "gives no answer of HTTP")


async def _head(reader: asyncio.StreamReader) -> bytes:
    """Read the head of an HTTP answer; an empty one where the stream holds none."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return b""


async def examine_path(checks: Checks, path: Path) -> None:
    """Check name, TCP, proxy, TLS and clock; end with a check that fails."""
    address = await _check_tcp(checks, path, await _check_name(checks, path))
    try:
        async with path.open(address) as (reader, writer):
            host, port = path.first
            checks.ok("proxy", "none; the dial is direct" if path.proxy is None else f"dials go through {host}:{port}")
            if not path.is_secure:
                _check_plain(checks, path, address)
            elif (problem := await _start_tls(checks, path, writer)) is not None:
                await _end_untrusted(checks, path, address, problem)
            _check_clock(checks, await _clock_offset(path, reader, writer))
    except _Refused as refused:
        checks.end("proxy", f"{path.first[0]}:{path.first[1]} {refused}", "proxy_refuses")
    except OSError as failure:
        checks.end("proxy" if path.proxy else "tcp", _text(failure), "proxy_refuses" if path.proxy else "tcp")


async def _check_name(checks: Checks, path: Path) -> list[str]:
    host, port = path.first
    of = "" if path.proxy is None else "the proxy "
    resolve = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        with DaemonThreads("realtime_fsm doctor") as threads:  # the end of the loop would wait for a thread of asyncio's pool
            async with asyncio.timeout(PATIENCE):
                found = await asyncio.get_running_loop().run_in_executor(threads, resolve)
    except (OSError, UnicodeError) as failure:  # a name with a label of 64 characters has no encoding
        checks.end("name", f"{of}{host} does not resolve: {_text(failure)}", "proxy_away" if path.proxy else "NameNotResolved")
    addresses = list(dict.fromkeys(str(info[4][0]) for info in found))[:_MOST_ADDRESSES]
    checks.ok("name", f"{of}{host} is {', '.join(addresses)}" if addresses != [host] else f"{of}{host} needs no resolver")
    return addresses


async def _check_tcp(checks: Checks, path: Path, addresses: list[str]) -> str:
    """Connect to each address, and return the first that accepts."""
    connects = [_connect(address, path.first[1]) for address in addresses]
    outcomes = dict(zip(addresses, await asyncio.gather(*connects), strict=True))
    port = f"{path.first[1]}{' of the proxy' if path.proxy else ''}"
    accepting = [address for address, outcome in outcomes.items() if isinstance(outcome, float)]
    failing = "; ".join(f"{address}: {outcome}" for address, outcome in outcomes.items() if address not in accepting)
    if not accepting:
        checks.end("tcp", f"port {port} cannot be reached: {failing}", "proxy_away" if path.proxy else "tcp")
    if failing:
        checks.warn("tcp", f"port {port}: {accepting[0]} accepts; {failing}", "tcp_some")
    else:
        checks.ok("tcp", f"port {port} accepts in {format_duration(float(outcomes[accepting[0]]))}")
    return accepting[0]


async def _connect(address: str, port: int) -> float | str:
    """Return the seconds of a connect, or its problem."""
    began = time.perf_counter()
    try:
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_connection(address, port)
    except OSError as failure:
        return _text(failure)
    writer.transport.abort()
    return time.perf_counter() - began


def _check_plain(checks: Checks, path: Path, address: str) -> None:
    if path.proxy is None and ip_address(address.partition("%")[0]).is_loopback:
        checks.ok("tls", "none; http:// stays on this machine")
    else:
        checks.warn("tls", "none; the endpoint is http://", "tls_plain")


async def _start_tls(checks: Checks, path: Path, writer: asyncio.StreamWriter) -> tls.SSLCertVerificationError | None:
    """Check the server's certificate; return the reason why it is not trusted."""
    try:
        await writer.start_tls(path.context, server_hostname=urlsplit(path.url).hostname, ssl_handshake_timeout=PATIENCE)
    except tls.SSLCertVerificationError as failure:
        return failure
    except OSError as failure:
        checks.end("tls", f"the handshake fails: {_text(failure)}", "tls_handshake")
    certificate = writer.get_extra_info("peercert")
    if not certificate:
        checks.ok("tls", "a certificate that ssl= does not verify")
        return None
    end = tls.cert_time_to_seconds(certificate["notAfter"])
    issuer = dict(pair for part in certificate["issuer"] for pair in part)
    name = issuer.get("organizationName") or issuer.get("commonName")
    text = f"{writer.get_extra_info('ssl_object').version()}; issued by {name}; ends {datetime.fromtimestamp(end, UTC):%Y-%m-%d}"
    if end - time.time() < _SOON:
        checks.warn("tls", text, "tls_expires")
    else:
        checks.ok("tls", text)
    return None


async def _end_untrusted(checks: Checks, path: Path, address: str, problem: tls.SSLCertVerificationError) -> None:
    """End with the untrusted certificate, or with the wrong clock of this machine that makes it invalid.

    The date in an HTTP answer tells the server's time; a connection that trusts any certificate asks for it.
    """
    remedy = _UNTRUSTED.get(problem.verify_code, "tls_untrusted")
    text = problem.verify_message
    if problem.verify_code in (_EXPIRED, _NOT_YET_VALID):
        any_certificate = tls.create_default_context()
        any_certificate.check_hostname, any_certificate.verify_mode = False, tls.CERT_NONE
        async with path.open(address) as (reader, writer):
            await writer.start_tls(any_certificate, server_hostname=urlsplit(path.url).hostname)
            offset = await _clock_offset(path, reader, writer)
        if skew := _skew(offset):
            remedy, text = "tls_clock", f"{text}; {skew}"
    elif remedy == "tls_untrusted" and (doubt := cert_file_problem()):
        text = f"{text}; {doubt}"
    checks.end("tls", text, remedy)


async def _clock_offset(path: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> float | None:
    """Return the seconds by which this machine is ahead of the date of an HTTP answer; None where no answer names a date."""
    parts = urlsplit(path.url)
    target = parts.path if path.proxy is None or path.is_secure else f"http://{parts.netloc}{parts.path}"
    began = time.time()
    writer.write(f"HEAD {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
    head = b""
    with suppress(OSError):
        async with asyncio.timeout(PATIENCE / 2):
            head = await _head(reader)
    found = _DATE.search(head)
    try:
        theirs = parsedate_to_datetime(found[1].decode("latin-1")) if found else None
    except (ValueError, OverflowError):  # a year of twenty digits
        return None
    return None if theirs is None else (began + time.time()) / 2 - theirs.timestamp() - 0.5  # the date has whole seconds


def _check_clock(checks: Checks, offset: float | None) -> None:
    if offset is None:
        checks.ok("clock", "unknown; the server names no date")
    elif skew := _skew(offset):
        checks.warn("clock", skew, "clock")
    else:
        checks.ok("clock", "this machine and the server agree")


def _skew(offset: float | None) -> str:
    """Tell by how much the clocks differ; return an empty text where that does no harm, or is unknown."""
    if offset is None or abs(offset) <= _CLOCK_SKEW:
        return ""
    return f"this machine is {format_duration(abs(offset))} {'ahead of' if offset > 0 else 'behind'} the server"


def _text(failure: Exception) -> str:
    """Return the text of the system, without host and port."""
    if isinstance(failure, TimeoutError):
        return f"no answer within {PATIENCE:g} s"
    if isinstance(failure, tls.SSLError):
        return (failure.reason or type(failure).__name__).replace("_", " ").lower()
    code = getattr(failure, "errno", None)
    if code is not None and code > 0:  # the codes of the resolver are negative
        return os.strerror(code)
    return getattr(failure, "strerror", None) or str(failure) or "the stream ended"
