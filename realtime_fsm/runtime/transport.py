"""The transport: the only file of the client that imports aiohttp.

Design: the client calls `receive()` without a timeout. Deadlines belong to the machine, and a timeout of aiohttp leaves a false
close code on a live socket. The client offers no compression, because Appwrite ignores the offer. It sends no ping of WebSocket,
because Appwrite has a ping of its own.

A dial is one HTTP request. The client follows no redirect, because its headers are credentials. It does not repeat a request
that the server hangs up on, because the retry policy decides that. `ws_connect()` has no option for either. So each dial makes a
session of its own, and a middleware around the only request of that session. The middleware forwards the request to the caller's
session, where there is one, and keeps the transport that `close()` aborts.

The exceptions of aiohttp and their frames hold the headers of the request and the password of the proxy. So the client replaces
each exception by one of its own. A caller's session runs code of the application (middlewares, resolvers), which may raise any
exception in `dial`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from copy import copy
from functools import partial
from ssl import CERT_NONE, PROTOCOL_TLS_SERVER, SSLCertVerificationError, SSLContext
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import ClientSession, WSMsgType

from realtime_fsm.callers import warn
from realtime_fsm.errors import (
    BadOption,
    CertificateRefused,
    DialFailed,
    FrameTooLarge,
    LinkFailure,
    NameNotResolved,
    StreamEnded,
    WrongLoop,
)
from realtime_fsm.runtime.authorities import cert_file_problem
from realtime_fsm.runtime.callbacks import is_asked_for
from realtime_fsm.runtime.proxies import is_proxy, proxy_from_env
from realtime_fsm.runtime.upgrade_refusals import refusal
from realtime_fsm.sealing import sealed

if TYPE_CHECKING:
    from realtime_fsm.runtime.sockets import MessageHandler, Socket

__all__ = ["DEFAULT_MAX_FRAME", "AiohttpTransport", "ClientSession", "InsecureWarning"]

DEFAULT_MAX_FRAME = 64 * 1024 * 1024
"""Bytes of the largest frame that the client accepts by default. Servers sent events of 20 MB; aiohttp's default is 4 MiB."""
_NO_STATUS, _LOST = 1005, 1006
_TOO_BIG = 1009
_GOODBYE = (1000).to_bytes(2, "big")
_TURN = 32
"""Frames for no consumer, after which the reader yields to the event loop."""
_FAILURES = (aiohttp.ClientError, OSError)
_COOKIE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+=(\"?)[!#-+\--:<-\[\]-~]*\1")  # RFC 6265
_OPENSSL_ERROR = re.compile(r"(?:\[.*?\] )?(.*?) \(_ssl\.c:\d+\)")
TRUST_REMEDY = "; give ssl= a context that trusts it, or self_signed=True to trust any"
_TOO_LONG = re.compile(r"Got more than (\d+) bytes when reading")
_NOT_WEBSOCKET = "the upgrade was not one to WebSocket: {}"
_LARGER = "; give http= an aiohttp.ClientSession with a larger {}"


class InsecureWarning(UserWarning):
    """An option turns the verification of certificates off: anyone between client and server can read and change the links."""


class AiohttpTransport:
    """WebSockets over aiohttp. The arguments are options of `Realtime`, which calls the session ``http``.

    The cookie jar, proxy, connector and middlewares of a caller's session count; the other options add to them, and win.
    `self_signed` trusts any certificate of an ``https://`` proxy, too. Cookies are sent as they stand.

    With `trust_env` each dial takes the proxy from ``WSS_PROXY`` or ``HTTPS_PROXY`` (for ``ws://`` from ``WS_PROXY`` or
    ``HTTP_PROXY``), or else from ``ALL_PROXY``, with the exceptions of ``NO_PROXY``: names, addresses, CIDR.

    Raises:
        BadOption: when an argument, or two together, cannot be used.
    """

    def __init__(
        self,
        session: ClientSession | None = None,
        *,
        ssl: SSLContext | None = None,
        self_signed: bool = False,
        proxy: str | None = None,
        trust_env: bool = False,
        cookies: Mapping[str, str] | None = None,
        max_frame: int = DEFAULT_MAX_FRAME,
    ) -> None:
        for option, usable, problem in (
            ("http", session is None or (isinstance(session, ClientSession) and not session.closed), "no open aiohttp session"),
            (
                "ssl",
                ssl is None or _is_client_context(ssl),
                "not an SSLContext for clients; ssl.create_default_context() makes one",
            ),
            ("self_signed", isinstance(self_signed, bool), "not True or False"),
            ("self_signed", not (self_signed and ssl), "given together with ssl, which says what to trust; give one of the two"),
            ("proxy", proxy is None or is_proxy(proxy), "not a URL such as 'http://user:password@host:3128'; it is not shown"),
            ("trust_env", isinstance(trust_env, bool), "not True or False"),
            ("trust_env", not (trust_env and proxy), "given together with proxy, which would always win; give one of the two"),
            ("cookies", cookies is None or _are_cookies(cookies), "not a mapping of names to values that HTTP allows"),
            ("max_frame", type(max_frame) is int and max_frame > 0, f"{max_frame!r:.40} is not a whole number of bytes from 1"),
        ):
            if not usable:
                raise BadOption(option, problem)
        self._session, self._proxy, self._trust_env = session, proxy, trust_env
        self._connector: aiohttp.TCPConnector | None = None  # our own, without a session
        self._ssl: SSLContext | bool = not self_signed if ssl is None else ssl
        self._cookies, self._max_frame = dict(cookies or {}), max_frame
        if self_signed or (ssl is not None and ssl.verify_mode is CERT_NONE):
            option = "self_signed=True" if self_signed else "ssl with CERT_NONE"
            text = f"{option}: no certificate is verified, so anyone on the path can read and change everything"
            warn(text, InsecureWarning)

    def check(self, loop: asyncio.AbstractEventLoop) -> None:
        """Raise `WrongLoop` if the caller's session belongs to another event loop."""
        if self._session is not None and getattr(self._session, "_loop", loop) is not loop:  # `loop` itself is deprecated
            raise WrongLoop("the aiohttp session given as http=")

    @sealed
    async def dial(self, url: str, headers: Mapping[str, str]) -> Socket:
        """Open a WebSocket, or raise `LinkFailure`."""
        session = self._session
        if session is None:
            # By default, the 101st connection of a connector waits, and a connection that is used again may be dead.
            self._connector = self._connector or aiohttp.TCPConnector(limit=0, force_close=True)
        elif session.closed:
            raise DialFailed("the given aiohttp session is closed")
        used: list[asyncio.Transport] = []
        try:
            proxy = await asyncio.to_thread(proxy_from_env, url) if self._trust_env else self._proxy
            async with ClientSession(
                connector=self._connector if session is None else session.connector,
                connector_owner=False,
                cookie_jar=aiohttp.DummyCookieJar(),  # the caller decides who the user is, and no earlier answer
                timeout=aiohttp.ClientTimeout(),  # no timeout: the machine has the deadline
                skip_auto_headers=() if session is None else ("Accept", "Accept-Encoding", "User-Agent"),  # those of the session
                middlewares=(partial(self._request_middleware, proxy, used),),
            ) as dialer:
                # Proxies know http:// and no ws://. aiohttp refuses a message as large as its limit.
                http_url, limit = url.replace("ws", "http", 1), self._max_frame + 1
                websocket = await dialer.ws_connect(
                    http_url,
                    headers=headers,
                    proxy=proxy,
                    ssl=self._ssl,
                    autoping=False,
                    autoclose=False,
                    max_msg_size=limit,
                    decode_text=False,
                )
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as failure:  # the application's middlewares and resolvers raise any exception, also `CancelledError`
            if is_asked_for(failure, asyncio.current_task()):
                raise
            why = _classify_failure(failure, by="" if session is None else ", raised within the aiohttp session given as http=")
        else:
            return _AiohttpSocket(websocket, used[0], self._max_frame)
        raise why  # outside of the handler, so that aiohttp's exception is no part of ours

    async def close(self) -> None:
        """Close the connector, if the transport made it."""
        if self._connector is not None:
            await self._connector.close()

    async def _request_middleware(
        self, proxy: str | None, used: list[asyncio.Transport], request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Make the request as a middleware, and return its first answer."""
        if ours := [f"{name}={value}" for name, value in self._cookies.items()]:  # aiohttp would quote a value that ends in "="
            request.headers["Cookie"] = "; ".join([*request.headers.getall("Cookie", ()), *ours])
        try:
            response = await (
                handler(request) if self._session is None else self._forward_to_session(self._session, request, proxy)
            )
        except _FAILURES as failure:  # aiohttp would repeat the request after an exception of its own
            why = _classify_failure(failure, host=request.url.raw_host)
        else:
            if response.status != 101:
                why = refusal(response.status, response.headers, str(request.url))
            elif not _accept_list(response):
                why = DialFailed(_NOT_WEBSOCKET.format("invalid connection header"))
            elif (connection := response.connection) and (transport := connection.transport):
                used.append(transport)
                return response
            else:
                why = DialFailed("the stream ended")
            response.close()
        raise why

    async def _forward_to_session(
        self, session: ClientSession, request: aiohttp.ClientRequest, proxy: str | None
    ) -> aiohttp.ClientResponse:
        # The cookies of the jar win over those of a header, so an argument repeats those of both: it wins over the jar.
        ours = self._cookies
        twice = {morsel.key: ours[morsel.key] for morsel in session.cookie_jar if morsel.key in ours} if ours else {}
        get = partial(session.get, headers=request.headers, allow_redirects=False, raise_for_status=False)
        return await get(request.url, cookies=twice, proxy=proxy, ssl=request.ssl)


class _AiohttpSocket:
    __slots__ = ("_closing", "_ended", "_limit", "_receiving", "_stopped", "_turns", "_websocket", "transport")

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse[bool], transport: asyncio.Transport, limit: int) -> None:
        self._websocket, self.transport, self._limit = websocket, transport, limit
        self._closing = self._ended = False
        self._turns = itertools.count(1)
        self._receiving = False  # whether a `receive` is pending
        self._stopped: asyncio.Event | None = None  # `close` waits for the end of a pending `receive`

    async def send(self, data: bytes) -> None:
        if self._closing:
            raise StreamEnded(_LOST)
        try:
            await self._websocket.send_frame(data, WSMsgType.TEXT)
        except _FAILURES as failure:
            raise StreamEnded(_LOST) from failure

    async def pump(self, deliver: MessageHandler) -> int | LinkFailure:
        receive, text = self._websocket.receive, WSMsgType.TEXT
        self._receiving = True
        try:
            while True:
                message = await receive()
                if message.type is text or message.type is WSMsgType.BINARY:
                    if (pause := deliver(message.data)) is not None:
                        self._stop_receiving()
                        await pause
                        if self._closing and deliver != self._discard:
                            return _LOST  # `close` reads the rest
                        self._receiving = True
                elif (end := await self._control(message.type, message.data)) is not None:
                    self._ended = True
                    return end
        finally:
            self._stop_receiving()

    def _stop_receiving(self) -> None:
        self._receiving = False
        if self._stopped is not None:
            self._stopped.set()

    async def _control(self, kind: WSMsgType, data: Any) -> int | LinkFailure | None:
        """Answer a control frame; return the close code, or the cause, at the end of the stream."""
        if kind is WSMsgType.CLOSE:
            if not self._closing:
                await self._websocket.close()  # the answer
            return data or _NO_STATUS  # `close_code` would be 1006 where the answer could not be sent
        if kind is WSMsgType.ERROR and self._websocket.close_code == _TOO_BIG:
            return FrameTooLarge(self._limit)  # our own 1009; the server's comes as CLOSE, and refuses a message of ours
        if kind in (WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
            return int(self._websocket.close_code or _LOST)
        if kind is WSMsgType.PING:
            with suppress(*_FAILURES):  # the stream may have ended behind the ping, with messages left to read
                await self._websocket.pong(data)
        if (turn := self._discard(data)) is not None:
            await turn
        return None

    def _discard(self, _: object) -> Awaitable[None] | None:
        """Count a frame for no consumer, and yield after some: `receive` never waits while aiohttp holds frames."""
        return None if next(self._turns) % _TURN else asyncio.sleep(0)

    async def close(self, timeout: float) -> None:  # noqa: ASYNC109
        try:
            with suppress(TimeoutError, *_FAILURES):
                async with asyncio.timeout(timeout):
                    await self._shake_hands()
        finally:
            # Without `abort`, a peer that reads nothing would keep the descriptor open.
            self.transport.abort()
            await self._websocket.close()  # sends nothing any more, and returns the connection to its connector
            await asyncio.sleep(0)  # the event loop closes the socket

    async def _shake_hands(self) -> None:
        """Send a close frame, and read to that of the server. The `close` of aiohttp would never yield to the event loop."""
        self._closing = True
        await self._websocket.send_frame(_GOODBYE, WSMsgType.CLOSE)
        if self._receiving:
            self._stopped = asyncio.Event()
            await self._stopped.wait()
        if not self._ended:
            await self.pump(self._discard)


def _accept_list(response: aiohttp.ClientResponse) -> bool:
    """Accept ``Connection: keep-alive, Upgrade``, and tell whether the token ``Upgrade`` is there.

    RFC 6455, 4.1, wants one token of a list, aiohttp before 3.15 no other token.
    """
    connection = ",".join(response.headers.getall("Connection", ()))
    if connection.lower() == "upgrade":
        return True
    if "upgrade" not in (token.strip().lower() for token in connection.split(",")):
        return False
    headers = response.headers.copy()
    headers["Connection"] = "Upgrade"
    response._headers = type(response.headers)(headers)  # noqa: SLF001  (aiohttp has no other way)
    response._cache.pop("headers", None)  # noqa: SLF001
    return True


def _classify_failure(failure: BaseException, by: str = "", host: str | None = None) -> LinkFailure:
    """Give a failed dial to a host its type. The text holds no URL, because the query may hold secrets."""
    match failure:
        case LinkFailure():
            return copy(failure)  # without its traceback
        case aiohttp.ServerDisconnectedError():
            return DialFailed("the server hung up")
        case aiohttp.ClientConnectorCertificateError(certificate_error=SSLCertVerificationError(verify_message=said)):
            return _untrusted(said.rstrip("."))
        case aiohttp.ServerFingerprintMismatch():
            return _untrusted("fingerprint mismatch")
        case aiohttp.ClientConnectorDNSError(host=named) if host not in (None, named):
            return NameNotResolved("the proxy's name does not resolve")
        case aiohttp.ClientConnectorDNSError():
            return NameNotResolved("the host's name does not resolve")
        case aiohttp.ClientHttpProxyError(status=status):
            return DialFailed(f"the proxy answered with HTTP {status}")
        case aiohttp.WSServerHandshakeError(message=said):
            return DialFailed(_NOT_WEBSOCKET.format(said.lower()))
        case aiohttp.ClientResponseError(message=said):
            if found := _TOO_LONG.match(said):
                return DialFailed(f"a header of the answer has more than {found[1]} bytes{_LARGER.format('max_field_size')}")
            if said.startswith("Too many headers"):
                return DialFailed(f"the answer has too many headers{_LARGER.format('max_headers')}")
            return DialFailed("the answer was not HTTP")
        case aiohttp.ClientProxyConnectionError(os_error=error):
            return DialFailed(f"the proxy cannot be reached: {_os_error_text(error)}")
        case aiohttp.ClientConnectorError(os_error=error) | (OSError() as error):
            return DialFailed(_os_error_text(error))
    return DialFailed(type(failure).__name__ + by)


def _untrusted(reason: str) -> CertificateRefused:
    because = f"; {problem}" if (problem := cert_file_problem()) else ""
    return CertificateRefused(f"the server's certificate is not trusted: {reason}{because}{TRUST_REMEDY}")


def _os_error_text(error: OSError) -> str:
    """Return the text of the operating system or OpenSSL, without host and port."""
    if found := _OPENSSL_ERROR.fullmatch(error.strerror or ""):
        return f"TLS: {found[1]}"
    codes = dict.fromkeys(re.findall(r"\[Errno (\d+)\]", str(error)))  # of IPv4 and IPv6, when they differ
    said = "the connection was cut" if isinstance(error, ConnectionError) else type(error).__name__
    return "; ".join(os.strerror(int(code)) for code in codes) or said


def _is_client_context(ssl: object) -> bool:
    return isinstance(ssl, SSLContext) and ssl.protocol is not PROTOCOL_TLS_SERVER


def _are_cookies(cookies: object) -> bool:
    return isinstance(cookies, Mapping) and all(isinstance(v, str) and _COOKIE.fullmatch(f"{k}={v}") for k, v in cookies.items())
