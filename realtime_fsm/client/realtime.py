"""The client: check the arguments, step the machine through the driver, and wait for its answer."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from ssl import SSLContext  # noqa: TC003  (for tools that read annotations, as are those below)
from threading import Lock
from types import TracebackType  # noqa: TC003
from typing import Any, Self

from realtime_fsm.client.appwrite_sdk import options_from_client
from realtime_fsm.client.identity import IdentityMixin
from realtime_fsm.client.subscribing import SubscribingMixin
from realtime_fsm.client.subscription import OwningIterator
from realtime_fsm.errors import BadOption
from realtime_fsm.fsm.canary_policy import Canary
from realtime_fsm.fsm.change import Change  # noqa: TC001
from realtime_fsm.fsm.context import ConnectionContext
from realtime_fsm.fsm.inputs import Connect, Disconnect, Dispose, PingEnabledChanged, Reconnect
from realtime_fsm.fsm.pacer import pacer_for
from realtime_fsm.fsm.policies import PingPolicy, RetryPolicy
from realtime_fsm.protocol.channel_checks import refuse_console
from realtime_fsm.protocol.eras import Era, parse_era
from realtime_fsm.protocol.options import Timeouts, check_seconds, host_and_port, realtime_url
from realtime_fsm.runtime.callbacks import calling_task
from realtime_fsm.runtime.credentials import Credentials, Secret
from realtime_fsm.runtime.driver import Driver
from realtime_fsm.runtime.sockets import Transport  # noqa: TC001
from realtime_fsm.runtime.transport import DEFAULT_MAX_FRAME, AiohttpTransport, ClientSession
from realtime_fsm.sealing import sealed


class Realtime(SubscribingMixin, IdentityMixin):
    """One connection to Appwrite Realtime. A new link replaces a lost one, and restores every subscription.

    The constructor and ``async with`` do not dial. The first ``subscribe()`` or ``connect()`` opens the link, and all
    subscriptions share it. The end of ``async with`` disposes of the connection. Without that, the connection ends with a
    ``ResourceWarning`` when no listener runs, and your program holds neither the connection nor a subscription or stream of it.

    Args:
        endpoint: the Appwrite endpoint, such as ``"https://cloud.appwrite.io/v1"``.
        project: the project's id.
        session: a session secret, or a callable (async or not) that gives one before each dial. Give ``session`` or ``jwt``,
            not both.
        jwt: a JSON Web Token, or a callable (async or not) that gives one before each dial. The server reads the token at the
            dial, so a token that expires later does not end the link. A backend with an API key uses
            `realtime_fsm.identity.as_user`.
        headers: further headers for each dial, such as ``X-Appwrite-Dev-Key`` (which Appwrite 2.3 no longer has).
        http: your own aiohttp session to dial with; the connection never closes it. The limit of the session's connector,
            100 by default, counts links, too.
        retry: when to dial again, and how often.
        ping: when to send a ping, and how long to wait for its answer.
        timeouts: how long to wait for each other answer, in seconds.
        auto_reconnect: whether a new link replaces a lost one. With False a loss leads to ``disconnected``, and waiting calls
            raise ``LinkLost``. A first dial that fails follows ``retry`` all the same.
        max_link_age: the age in seconds at which a new link replaces a healthy one, or up to a tenth less; None for no such
            age. The old link delivers until the new one serves everything. The age limits the harm of a *deaf* link, whose
            server answers pings, and has lost its own event bus.
        ssl: the certificates to trust and to show; None trusts the system's authorities. A server with another certificate
            leads to ``error``, with `CertificateRefused`.
        self_signed: whether to trust any certificate. Warns with `InsecureWarning`.
        proxy: the URL of an HTTP proxy.
        trust_env: whether the environment names the proxy (``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY``, ...).
        cookies: cookies for each dial.
        era: the server's `Era`; None lets the first dial detect it. Servers before Appwrite 1.9.5 take channels in the URL, so
            each new subscription needs a new link there. The old link delivers until the new one serves everything.
        max_frame: the largest message that the connection reads, in bytes; 64 MiB by default. A larger one ends the link, with
            `FrameTooLarge` as its cause.
        canary: how to detect a deaf link; None for no detection.

    Raises:
        BadOption: for an argument that cannot be used. Its text names the argument and the remedy.
    """

    @sealed
    def __init__(
        self,
        endpoint: str,
        project: str,
        *,
        session: Secret | None = None,
        jwt: Secret | None = None,
        headers: Mapping[str, str] | None = None,
        http: ClientSession | None = None,
        retry: RetryPolicy | None = None,
        ping: PingPolicy | None = None,
        timeouts: Timeouts | None = None,
        auto_reconnect: bool = True,
        max_link_age: float | None = None,
        ssl: SSLContext | None = None,
        self_signed: bool = False,
        proxy: str | None = None,
        trust_env: bool = False,
        cookies: Mapping[str, str] | None = None,
        max_frame: int = DEFAULT_MAX_FRAME,
        era: Era | str | None = None,
        canary: Canary | None = None,
    ) -> None:
        for name, value, kind in (
            ("retry", retry, RetryPolicy),
            ("ping", ping, PingPolicy),
            ("timeouts", timeouts, Timeouts),
            ("canary", canary, Canary),
        ):
            if value is not None and not isinstance(value, kind):
                raise BadOption(name, f"{type(value).__name__} is not a {kind.__name__}")
        check_seconds("max_link_age", max_link_age, none=True)
        url = realtime_url(endpoint, project)
        if canary is not None and canary.channel is not None:
            refuse_console((canary.channel,), project, "Canary.channel")
        if not isinstance(auto_reconnect, bool):
            raise BadOption("auto_reconnect", f"{auto_reconnect!r:.40} is not True or False")
        if headers is not None and not isinstance(headers, Mapping):
            raise BadOption("headers", f"{type(headers).__name__} is not a mapping of names to values")
        context = ConnectionContext(
            retry=retry,
            ping=ping,
            timeouts=timeouts,
            auto_reconnect=auto_reconnect,
            max_link_age=max_link_age,
            pacer=pacer_for(url, (retry or RetryPolicy()).dials_per_minute, Lock()),
            era=None if era is None else parse_era(era),
            canary=canary,
            server=host_and_port(url),
        )
        connection_id = uuid.uuid4().hex
        driver = Driver(
            context,
            self._transport(
                http, ssl=ssl, self_signed=self_signed, proxy=proxy, trust_env=trust_env, cookies=cookies, max_frame=max_frame
            ),
            connection_id=connection_id,
            url=url,
            project=project,
            credentials=Credentials(session, jwt, dict(headers or {})),
        )
        super().__init__(driver, connection_id)
        self._endpoint = endpoint
        self._listener_tasks = []
        self._identity_lock = asyncio.Lock()
        self._presence_id = uuid.uuid4().hex  # other users see it, so it differs from the id in the log
        self._dispose_future: asyncio.Future[None] | None = None
        self._disposing_task: asyncio.Task[Any] | None = None  # of a callable that called dispose()

    @classmethod
    @sealed
    def from_client(cls, client: object, *, as_user: str | None = None, **options: Any) -> Self:
        """Make a connection from a client of the official SDK, to the same server and with the same identity.

        Args:
            client: an ``appwrite.client.Client`` (extra ``appwrite``). The call copies its endpoint, project, session or JWT,
                impersonation, and whether it trusts self-signed certificates.
            as_user: for a client with an API key: the id of the user as whom to connect, with tokens that the key issues and
                that renew; see `realtime_fsm.identity.as_user`.
            options: further arguments of `Realtime`, which take precedence.

        Raises:
            BadOption: for another object, or a client without a project. Also for a client with an API key or a bearer token
                and no other identity: they give none in realtime (PROTOCOL: "Connecting").
        """
        return cls(**options_from_client(client, as_user, options))

    def _transport(self, http: ClientSession | None, **options: Any) -> Transport:
        return AiohttpTransport(http, **options)

    def states(self) -> AsyncIterator[Change]:
        """Iterate over the changes of state from now on. Each call makes its own stream, which ends after ``dispose()``.

        A stream keeps the newest 1,024 changes for a slow consumer.
        """
        return OwningIterator(self._driver.watch_states(), self)

    async def connect(self) -> None:
        """Open the link, and return when it is up.

        Raises:
            RefusedByServer, RetriesExhausted, CertificateRefused: when the connection gets no link.
            Disconnected: when ``disconnect()`` is called during the call.
            Disposed: after ``dispose()``.
        """
        self._check_not_disposed()
        await self._driver.act(Connect())
        await self._driver.calls.wait_connected(survives_disconnect=False)

    async def reconnect(self) -> None:
        """Open a new link at once, whatever the state, and return when the server has acknowledged everything desired.

        A live link delivers until the new one serves everything. During an outage the call dials now, and keeps the count of
        failed attempts. In ``disconnected`` and ``error`` the count begins again.

        Raises:
            As ``connect()``.
        """
        self._check_not_disposed()
        await self._driver.act(Reconnect())
        await self._driver.calls.wait_subscribed(survives_disconnect=False)

    async def wait_connected(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  (the public signature)
        """Wait until the link is up. The call opens no link.

        Args:
            timeout: the longest wait in seconds; None waits without end.

        Raises:
            TimeoutError: when the time is over.
            RealtimeError: the stored error, in state ``error``.
            BadOption: for a timeout that is not a number of seconds.
            Disposed: after ``dispose()``.
        """
        await self._wait(self._driver.calls.wait_connected, timeout)

    async def wait_subscribed(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  (the public signature)
        """Wait until the server has acknowledged everything desired now, or the link is up with nothing desired.

        The call opens no link.

        Args:
            timeout: the longest wait in seconds; None waits without end.

        Raises:
            As ``wait_connected()``.
        """
        await self._wait(self._driver.calls.wait_subscribed, timeout)

    async def _wait(self, wait: Callable[..., Awaitable[None]], seconds: float | None) -> None:
        self._check_not_disposed()
        if seconds:  # with 0 it does not wait
            check_seconds("timeout", seconds)
        async with asyncio.timeout(seconds):
            await wait(survives_disconnect=True)

    async def disconnect(self) -> None:
        """Close the link, and return when its socket is closed. The next link restores the subscriptions.

        Pending calls raise ``Disconnected``; iterators wait for the next link.

        Raises:
            Disposed: after ``dispose()``.
        """
        self._check_not_disposed()
        await self._driver.act(Disconnect())
        await self._driver.links.wait_closed()

    def set_ping_enabled(self, enabled: bool) -> None:
        """Switch the heartbeat on or off, also on the current link.

        Raises:
            BadOption: for a value that is not a bool.
            Disposed: after ``dispose()``.
        """
        if not isinstance(enabled, bool):
            raise BadOption("enabled", f"{enabled!r} is not True or False")
        self._check_not_disposed()
        self._driver.feed(PingEnabledChanged(enabled))

    async def dispose(self) -> None:
        """Close the link within ``Timeouts.close`` seconds, and end every stream for good. A second call is harmless.

        The call cancels your running callables, and waits for them. A callable that makes this call itself goes on; a second
        call, from elsewhere, gives that callable ``Timeouts.close`` seconds and then cancels it.
        """
        caller = calling_task()
        if self._dispose_future is None:
            self._dispose_future = asyncio.ensure_future(self._release(caller))
        await asyncio.shield(self._dispose_future)
        if (first := self._disposing_task) is not None and first is not caller:
            await asyncio.wait([first], timeout=self._driver.context.timeouts.close)
            first.cancel()
            await asyncio.wait([first])

    async def _release(self, caller: asyncio.Task[Any] | None) -> None:
        await asyncio.sleep(0)  # an eager task would run before `_dispose_future` is set
        if self._driver.spare(caller) or caller in self._listener_tasks:
            self._disposing_task = caller
        await self._driver.act(Dispose())
        listening = [task for task in self._listener_tasks if task is not caller]
        for task in listening:
            task.cancel()
        await self._driver.aclose(caller)
        if listening:
            await asyncio.wait(listening)

    async def __aenter__(self) -> Self:
        self._check_not_disposed()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.dispose()

    def __del__(self) -> None:
        driver = getattr(self, "_driver", None)  # __init__ may have failed
        if driver is not None:
            driver.forsake()

    def __repr__(self) -> str:
        return f"<Realtime {self._driver.project} at {self._endpoint}: {self.state}>"
