"""The calls by which a connection changes its user, and shows the user as present."""

from __future__ import annotations

import asyncio  # noqa: TC003  (tools read the annotations of a public class)
from typing import TYPE_CHECKING, Any, overload

from realtime_fsm.client.connection_info import ConnectionInfo
from realtime_fsm.errors import AuthenticationRejected, BadOption, GreetedAsGuest
from realtime_fsm.fsm.inputs import Authenticate, LogOut
from realtime_fsm.protocol.spec import presence_identifier, presence_message
from realtime_fsm.runtime.credentials import Credentials
from realtime_fsm.sealing import sealed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from realtime_fsm.runtime.credentials import Secret

_TOO_MANY = 1013


class IdentityMixin(ConnectionInfo):
    """The part of `Realtime` that changes the identity and the presence."""

    _identity_lock: asyncio.Lock
    _presence_id: str

    @overload
    async def authenticate(self, session: Secret) -> dict[str, Any]: ...
    @overload
    async def authenticate(self, session: None) -> None: ...
    @sealed
    async def authenticate(self, session: Secret | None) -> dict[str, Any] | None:
        """Change the user; with None, log out. Opens the link if it is down. Subscriptions and iterators go on.

        A message on the live link changes the user where that is safe: something is acknowledged, nothing is in flight, no
        subscription is to plain ``account``, and the link has no presence (PROTOCOL: "Messages", rules 3 and 11). Otherwise a
        new link does. The old session or JWT counts until the server names the new user. When the server names none, the call
        raises, and later dials use the old identity.

        ``None`` closes the link, and connects as a guest. An identity in ``cookies=``, or in a header other than
        ``X-Appwrite-Session`` and ``X-Appwrite-JWT``, stays.

        A caller that stops waiting, by ``asyncio.timeout`` for example, does not revoke the change: the server may still name
        the new user. Read ``user``, or call again, to be sure.

        Args:
            session: a session secret, a callable (async or not) that gives one, or None. This call asks the callable once, and
                each dial asks it again, so a secret that works only once is not enough.

        Returns:
            The account of the new user; None after a logout. Returns when everything desired is acknowledged again.

        Raises:
            BadOption: for a session that is not a non-empty string.
            AuthenticationRejected: when the server refuses the message; the link and its old identity stay.
            IdentityUnavailable: when the callable raises.
            GreetedAsGuest: when the server does not know the session; later dials use the old identity.
            RefusedByServer, RetriesExhausted, CertificateRefused, LinkLost: when the connection gets no link.
            Disconnected, Disposed: as ``connect()``.
        """
        self._check_not_disposed()
        async with self._identity_lock:  # one change at a time, so that each call returns its own user
            after = self._driver.identity.credentials.with_session(session)
            if session is None:
                await self._driver.calls.change_identity(LogOut(), after)
            else:
                await self._change_user(after, session)
            user = None if session is None else self.user
        await self._driver.calls.wait_subscribed(survives_disconnect=False)
        return user

    async def _change_user(self, after: Credentials, session: Secret) -> None:
        secret = await Credentials.resolve_secret(session)
        try:
            await self._driver.calls.change_identity(Authenticate(secret), after)
        except AuthenticationRejected as rejected:
            if rejected.code != _TOO_MANY:
                raise
            # The rate limit is used up; the next dial carries the identity.
            await self._driver.calls.change_identity(Authenticate(None), after)
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
        """Show the user as present to other users, or end that. Opens the link if it is down.

        The connection sends the newest presence again on every later link. After ``None`` it sends no more presence. The
        protocol cannot clear a presence, so on the server the present one ends with its link.

        When the call fails, or ``disconnect()`` ends it, later links send the presence that the server stored last.

        The presence keeps its id on every link, so other users can subscribe to ``presences.{id}``. A link takes one id only:
        for another id the connection closes the link and opens a new one. A user has one presence at a time: while another
        connection of the same user shows one, the server keeps the id of that.

        Args:
            status: the text to show, such as ``"online"``; None ends the presence.
            metadata: further values to store; None keeps those that the server has.
            permissions: the roles that may see and change it, as strings of the official SDK's ``Permission`` helpers; None
                lets you alone do both. Without an ``update`` for yourself, the server refuses the next presence.
            presence_id: the id, at most 36 of ``a-z A-Z 0-9 . _ -``, not starting with a special character; None keeps the id
                of the call before, which is random at first.

        Returns:
            The presence as the server stored it; None after ``None``.

        Raises:
            BadOption: for a value that cannot be sent.
            PresenceRejected: when the server refuses it, as it does for guests.
            UnsupportedByServer: when the server is older than Appwrite 1.9.5.
            RefusedByServer, RetriesExhausted, CertificateRefused, LinkLost: when the connection gets no link.
            Disconnected, Disposed: as ``connect()``.
        """
        identifier = self._presence_id if presence_id is None else presence_identifier(presence_id)
        if permissions is not None and not isinstance(permissions, str):
            permissions = tuple(permissions)
        message = None if status is None else presence_message(status, metadata, permissions, identifier)
        self._check_canary_can_read(permissions)
        self._check_not_disposed()
        if message is not None:
            self._driver.calls.require_feature("presence")
            self._presence_id = identifier
        return await self._driver.calls.set_presence(message, identifier)

    def _check_canary_can_read(self, permissions: Iterable[str] | None) -> None:
        """Refuse a presence that the canary sends and cannot read back."""
        canary = self._driver.context.canary
        if canary is None or canary.write is not None or permissions is None:
            return
        if not any(permission.startswith("read(") for permission in permissions):
            raise BadOption("permissions", "no read(...) among them, so no canary is heard; add one, or give Canary(write=...)")
