"""The client: what people import. It checks what it is given, steps the machine through the driver, and waits."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any, Self, overload

from realtime_fsm.client.appwrite_sdk import options_from_client
from realtime_fsm.client.requests import Asking
from realtime_fsm.client.subscription import Kept
from realtime_fsm.diagram import NotebookDisplay
from realtime_fsm.errors import AuthenticationRejected, BadOption, Disposed, GreetedAsGuest
from realtime_fsm.fsm.canary_policy import Canary
from realtime_fsm.fsm.context import ConnectionContext
from realtime_fsm.fsm.inputs import (
    Authenticate,
    Connect,
    Disconnect,
    Dispose,
    LogOut,
    PingEnabledChanged,
    Reconnect,
)
from realtime_fsm.fsm.pacer import pacer_for
from realtime_fsm.fsm.policies import PingPolicy, RetryPolicy
from realtime_fsm.fsm.table import State
from realtime_fsm.protocol.channel_checks import refuse_console
from realtime_fsm.protocol.eras import Era, parse_era
from realtime_fsm.protocol.options import Timeouts, check_seconds, host_and_port, realtime_url
from realtime_fsm.protocol.spec import presence_identifier, presence_message
from realtime_fsm.runtime.callbacks import calling_task
from realtime_fsm.runtime.credentials import Credentials
from realtime_fsm.runtime.driver import Driver
from realtime_fsm.runtime.transport import DEFAULT_MAX_FRAME, AiohttpTransport
from realtime_fsm.sealing import sealed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from ssl import SSLContext
    from types import TracebackType

    from realtime_fsm.errors import RealtimeError
    from realtime_fsm.fsm.change import Change, Failure
    from realtime_fsm.runtime.credentials import Secret
    from realtime_fsm.runtime.sockets import Transport
    from realtime_fsm.runtime.transport import ClientSession

_TOO_MANY = 1013


class Realtime(Asking, NotebookDisplay):
    """One connection to Appwrite Realtime, living through many links.

    Building one does not dial; ``async with`` does not either, it only disposes at the end. The first ``subscribe()`` or
    ``connect()`` opens the link, and every subscription shares it. One that is not disposed of ends when neither it, nor a
    subscription or stream of it, is held any more, and no listener works; that warns with ``ResourceWarning``.

    Args:
        endpoint: the Appwrite endpoint, such as ``"https://cloud.appwrite.io/v1"``.
        project: the project's id.
        session: a session secret, sent as a header at each dial, or a callable (async or not) that is asked for one before
            each; not together with ``jwt``.
        jwt: a JSON Web Token, or a callable that is asked for one before each dial.
        headers: further headers for each dial, such as ``X-Appwrite-Dev-Key`` (which Appwrite 2.3 no longer has).
        http: your own aiohttp session to dial with; it is never closed here. Its connector's limit (100 by default) counts.
        retry: when to dial again.
        ping: when to ask for a sign of life.
        timeouts: how long to wait for what, in seconds.
        auto_reconnect: whether a lost link is replaced. If not, a loss leads to ``disconnected`` and whoever waits gets
            ``LinkLost``. A first dial that fails follows ``retry`` all the same.
        max_link_age: after how many seconds, or up to a tenth less, a link is replaced on purpose, tidily; None never does.
            It is for those who cannot live with a *deaf* link: a server that has lost its own event bus still answers pings,
            and nothing on the wire shows that its events are lost. What is published during the change is a `Gap`.
        ssl: which certificates to trust, and which to show; None trusts the system's authorities. A certificate that is not
            trusted is fatal and names itself.
        self_signed: whether to trust any certificate. Warns with `InsecureWarning`.
        proxy: the URL of an HTTP proxy.
        trust_env: whether the environment names the proxy (``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY``, ...).
        cookies: cookies for each dial.
        era: the `Era` that the server speaks; by default it is found out with the first dial and remembered. Servers before
            Appwrite 1.9.5 take channels in the address, so each new subscription needs another link there: it is opened beside
            the old one, which delivers until then.
        max_frame: bytes of the largest message that is taken from the server (64 MiB); a larger one ends the link, with
            `FrameTooLarge` as its cause.
        canary: how to find a deaf link; None looks for none. See `Canary`.

    Raises:
        BadOption: when an argument cannot be used; it names the argument and the remedy.
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
        limit = (retry or RetryPolicy()).dials_per_minute
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
            pacer=pacer_for(url, limit, Lock()),
            era=None if era is None else parse_era(era),
            canary=canary,
            server=host_and_port(url),
        )
        self._endpoint, self._project = endpoint, project
        self._connection_id = uuid.uuid4().hex
        self._presence_id = uuid.uuid4().hex  # others see it, so it is not the one of the log
        self._driver = Driver(
            context,
            self._transport(
                http, ssl=ssl, self_signed=self_signed, proxy=proxy, trust_env=trust_env, cookies=cookies, max_frame=max_frame
            ),
            connection_id=self._connection_id,
            url=url,
            project=project,
            credentials=Credentials(session, jwt, dict(headers or {})),
        )
        self._identity_lock = asyncio.Lock()
        self._listener_tasks: list[asyncio.Task[None]] = []
        self._dispose_future: asyncio.Future[None] | None = None
        self._spared: asyncio.Task[Any] | None = None
        self._close_timeout = context.timeouts.close

    @classmethod
    @sealed
    def from_client(cls, client: object, **options: Any) -> Self:
        """A connection that goes where a client of the official SDK goes, as who it is.

        Args:
            client: an ``appwrite.client.Client`` (extra ``appwrite``): its endpoint, project, session or JWT, impersonation and
                whether it trusts self-signed certificates are taken as they are now.
            options: further arguments of `Realtime`; they win.

        Raises:
            BadOption: for something that is no such client, one without a project, or with an API key or a bearer token, which
                have no realtime identity (PROTOCOL: "Connecting").
        """
        return cls(**(options_from_client(client) | options))

    def _transport(self, http: ClientSession | None, **options: Any) -> Transport:
        return AiohttpTransport(http, **options)

    # --- looking ------------------------------------------------------------------------------------------------------

    @property
    def connection_id(self) -> str:
        """The name of this connection in the audit log."""
        return self._connection_id

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return self._driver.state

    @property
    def is_live(self) -> bool:
        """Whether the link is up: in ``connected``, ``subscribed``, ``unsubscribed`` and ``ping``."""
        return self.state.is_live

    @property
    def error(self) -> RealtimeError | None:
        """Why there is no link and no attempt will be made, in ``error``; None in every other state."""
        return self._driver.error

    @property
    def last_failure(self) -> Failure | None:
        """Why the newest failed attempt failed, or the newest link was lost, and when the next dial is due.

        None before the first. A later success does not clear it: compare its moment.
        """
        return self._driver.last_failure

    @property
    def era(self) -> Era | None:
        """What the server speaks, as far as it is known: what was said by ``era=``, or what its greeting shows."""
        return self._driver.era

    @property
    def user(self) -> dict[str, Any] | None:
        """The account that the server named on the newest link; None for a guest, and before the first link."""
        return self._driver.user

    @property
    def malformed(self) -> dict[str, int]:
        """How many messages of the server could not be used, by kind; each kind is in the log once.

        The kinds are ``not_json``, ``too_deep``, ``unknown_type``, ``wrong_shape``, and ``unknown_subscription`` for an event
        of a subscription that is not (or, for a moment, no longer) ours.
        """
        return dict(self._driver.malformed)

    def states(self) -> AsyncIterator[Change]:
        """The changes of state from now on. Each call gives a stream of its own; it ends after ``dispose()``.

        A stream keeps the newest 1,024 changes for a consumer that is slow.
        """
        return Kept(self._driver.watch_states(), self)

    # --- acting -------------------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Open the link. Returns when it is up, at once if it is.

        Raises:
            RefusedByServer, RetriesExhausted, CertificateRefused: when no link can be had.
            Disconnected: when ``disconnect()`` is called meanwhile.
            Disposed: after ``dispose()``.
        """
        self._check_not_disposed()
        await self._driver.act(Connect())
        await self._driver.wait_connected(survives_disconnect=False)

    async def reconnect(self) -> None:
        """Open a new link at once, whatever the state.

        During an outage it dials now and keeps the count of failed attempts; without a link wanted it starts afresh. Returns when
        the server has acknowledged everything on the link that is desired now; at once when nothing is.

        Raises:
            As ``connect()``.
        """
        self._check_not_disposed()
        await self._driver.act(Reconnect())
        await self._driver.wait_subscribed(survives_disconnect=False)

    async def wait_connected(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  (the public signature)
        """Wait until the link is up; at once if it is. It opens nothing itself.

        Args:
            timeout: for how many seconds at most; None for no end.

        Raises:
            TimeoutError: when the time is over.
            RealtimeError: the stored error, in ``error``.
            BadOption: for a timeout that is no number.
            Disposed: after ``dispose()``.
        """
        self._check_not_disposed()
        if timeout:  # with 0 it does not wait
            check_seconds("timeout", timeout)
        async with asyncio.timeout(timeout):
            await self._driver.wait_connected(survives_disconnect=True)

    async def wait_subscribed(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  (the public signature)
        """Wait until the server has acknowledged everything that is desired now on the link that is up; at once if it has.

        With nothing desired it returns when the link is up. It opens nothing itself.

        Args:
            timeout: for how many seconds at most; None for no end.

        Raises:
            As ``wait_connected()``.
        """
        self._check_not_disposed()
        if timeout:  # with 0 it does not wait
            check_seconds("timeout", timeout)
        async with asyncio.timeout(timeout):
            await self._driver.wait_subscribed(survives_disconnect=True)

    @overload
    async def authenticate(self, session: Secret) -> dict[str, Any]: ...
    @overload
    async def authenticate(self, session: None) -> None: ...
    @sealed
    async def authenticate(self, session: Secret | None) -> dict[str, Any] | None:
        """Become another user, or a user at all; with None, log out. Opens the link if there is none.

        On a live link a message changes the identity where that is safe: something is acknowledged, nothing is in flight, no
        subscription is to plain ``account``, and the link has no presence (PROTOCOL: "Messages", rules 3 and 11). Everywhere
        else a new link is opened, as the new user. The session or JWT of before counts until the server names the new user;
        when the server does not, this call raises, and the old identity dials again. Subscriptions and iterators go on.

        ``None`` closes the link, then connects as a guest. An identity in ``cookies=``, or in a header other than
        ``X-Appwrite-Session`` and ``X-Appwrite-JWT``, stays as it was given.

        A caller that stops waiting, by ``asyncio.timeout`` say, does not take the change back: the server may name the new user
        later, and then the identity changes. Read ``user``, or call again, to be sure.

        Args:
            session: a session secret, a callable that gives one, or None. The call asks the callable once, and then each dial
                asks again, that of this change included. So a secret that works only once is not enough.

        Returns:
            The account as the server names it, or None after a logout; once everything desired is acknowledged again.

        Raises:
            BadOption: when it is no secret.
            AuthenticationRejected: when the server refuses the message; the link and its old identity live on.
            IdentityUnavailable: when the callable raises.
            GreetedAsGuest: when the server does not know the session; the old identity dials again.
            RefusedByServer, RetriesExhausted, CertificateRefused, LinkLost: when no link can be had.
            Disconnected, Disposed: as ``connect()``.
        """
        self._check_not_disposed()
        async with self._identity_lock:  # one change of identity at a time, so that each call returns its own
            after = self._driver.credentials.with_session(session)
            if session is None:
                await self._driver.change_identity(LogOut(), after)
            else:
                await self._become(after, session)
            user = None if session is None else self.user
        await self._driver.wait_subscribed(survives_disconnect=False)
        return user

    async def _become(self, after: Credentials, session: Secret) -> None:
        secret = await Credentials.resolve_secret(session)
        self._check_not_disposed()  # it may have been disposed of while the call waited for its turn, or for the secret
        try:
            await self._driver.change_identity(Authenticate(secret), after)
        except AuthenticationRejected as rejected:
            if rejected.code != _TOO_MANY:
                raise
            await self._driver.change_identity(Authenticate(None), after)  # the window is spent: the next dial tells who we are
        if self.user is None:
            raise GreetedAsGuest

    @sealed
    async def set_presence(
        self,
        status: str | None,
        *,
        metadata: Mapping[str, Any] | None = None,
        permissions: Iterable[str] | None = None,
        presence_id: str | None = None,
    ) -> dict[str, Any] | None:
        """Be shown as present to other users. Opens the link if there is none.

        It is set again on every later link, the latest one only. ``None`` ends that: the protocol has no message that clears a
        presence, so on the server it ends with the link that is up.

        When the call fails, also by ``disconnect()``, the presence that the server stored last is wanted as before.

        The presence keeps its id on every link, so ``presences.{id}`` can be watched. A link takes one id only: another one
        needs a new link, which is opened when the old one is closed. A user has one presence at a time: while another
        connection of the same user shows one, the server keeps the id of that.

        Args:
            status: what is shown, such as ``"online"``.
            metadata: what else is stored with it. What is left out is kept as the server has it.
            permissions: who may see and change it, as strings of the official SDK's ``Permission`` helpers; by default only
                yourself. Without an ``update`` for yourself among them, the server refuses the next presence.
            presence_id: the id, at most 36 of ``a-z A-Z 0-9 . _ -``, not starting with a special character; None for the one of
                the call before, and at first for a random one of this connection.

        Returns:
            The presence as the server stored it; None where none is wanted (any more).

        Raises:
            BadOption: for something that cannot be sent.
            PresenceRejected: when the server refuses it, as it does for guests.
            UnsupportedByServer: when the server is older than Appwrite 1.9.5.
            RefusedByServer, RetriesExhausted, CertificateRefused, LinkLost: when no link can be had.
            Disconnected, Disposed: as ``connect()``.
        """
        identifier = self._presence_id if presence_id is None else presence_identifier(presence_id)
        if permissions is not None and not isinstance(permissions, str):
            permissions = tuple(permissions)
        message = None if status is None else presence_message(status, metadata, permissions, identifier)
        self._heard_by_its_setter(permissions)
        self._check_not_disposed()
        if message is not None:
            self._driver.require_feature("presence")
            self._presence_id = identifier
        return await self._driver.set_presence(message, identifier)

    def _heard_by_its_setter(self, permissions: Iterable[str] | None) -> None:
        """Refuse a presence that a canary could not hear.

        Raises:
            BadOption: where a canary sends it, and no role may read it.
        """
        canary = self._driver.canary
        if canary is None or canary.write is not None or permissions is None:
            return
        if not any(permission.startswith("read(") for permission in permissions):
            raise BadOption("permissions", "no read(...) among them, so no canary is heard; add one, or give Canary(write=...)")

    async def disconnect(self) -> None:
        """Close the link and keep the subscriptions for the next one. Returns when the socket is closed.

        Pending calls raise ``Disconnected``; iterators wait for the next link.

        Raises:
            Disposed: after ``dispose()``.
        """
        self._check_not_disposed()
        await self._driver.act(Disconnect())
        await self._driver.wait_closed()

    def set_ping_enabled(self, enabled: bool) -> None:
        """Switch the heartbeat on or off, also on the link that is up.

        Raises:
            BadOption: for something that is no bool.
            Disposed: after ``dispose()``.
        """
        if not isinstance(enabled, bool):
            raise BadOption("enabled", f"{enabled!r} is not True or False")
        self._check_not_disposed()
        self._driver.feed(PingEnabledChanged(enabled))

    async def dispose(self) -> None:
        """The end: close the link within ``Timeouts.close`` seconds, end every stream. A second call is harmless.

        Callables that run are cancelled and waited for, but for one that calls this itself: it goes on. A second call from
        elsewhere waits for it, for as many seconds, and then cancels it.
        """
        caller = calling_task()
        if self._dispose_future is None:
            self._dispose_future = asyncio.ensure_future(self._release(caller))
        await asyncio.shield(self._dispose_future)
        if (spared := self._spared) is not None and spared is not caller:
            await asyncio.wait([spared], timeout=self._close_timeout)
            spared.cancel()
            await asyncio.wait([spared])

    async def _release(self, caller: asyncio.Task[Any] | None) -> None:
        await asyncio.sleep(0)  # a task that starts eagerly would be asked for again before it is known
        if self._driver.spare(caller) or caller in self._listener_tasks:
            self._spared = caller
        await self._driver.act(Dispose())
        listening = [task for task in self._listener_tasks if task is not caller]
        for task in listening:
            task.cancel()
        await self._driver.aclose(caller)
        if listening:
            await asyncio.wait(listening)

    def _check_not_disposed(self) -> None:
        if self.state is State.DISPOSING:
            raise Disposed
        self._driver.check_loop()

    async def __aenter__(self) -> Self:
        self._check_not_disposed()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.dispose()

    def __del__(self) -> None:
        driver = getattr(self, "_driver", None)  # building one may have failed
        if driver is not None:
            driver.forsake()

    def __repr__(self) -> str:
        return f"<Realtime {self._project} at {self._endpoint}: {self.state}>"
