"""Presences: what users say about themselves while they are connected. A user has at most one, and it ends with the link."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from realtime_fsm.testing.messages import bad_message
from realtime_fsm.testing.wire import Refusal, format_timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from realtime_fsm.testing.identity import Account

Document: TypeAlias = "Mapping[str, object]"

_UNAUTHORIZED = 401
_LIFETIME = 30 * 24 * 3_600.0  # seconds
_LONGEST, _LONGEST_ID = 2_048, 36  # characters of a status, and of an id
_PERMISSION = re.compile(r'(?P<what>read|update|delete|write)\("(?P<role>[^"]+)"\)')


@dataclass(frozen=True, slots=True)
class PresenceRequest:
    """A ``presence`` message.

    Attributes:
        status: what the user is doing.
        identifier: the id for a new presence; None for one that the server chooses.
        metadata: what comes with it; None to keep what was there.
        permissions: who may do what with it; None for the user alone, everything.
    """

    status: str
    identifier: str | None
    metadata: object
    permissions: list[str] | None


def read(data: object) -> PresenceRequest:
    """Read a ``presence`` message.

    Args:
        data: its data.

    Returns:
        What it asks for.

    Raises:
        Refusal: with 1003 when it is malformed.
    """
    given = data if isinstance(data, dict) else {}
    status, identifier, permissions = given.get("status"), given.get("presenceId", "unique()"), given.get("permissions")
    if "status" not in given:
        raise bad_message("Payload is not valid. Status is required")
    if not isinstance(status, str) or not 0 < len(status) <= _LONGEST:
        raise bad_message("status: Value must be a valid string")
    if not isinstance(identifier, str) or not 0 < len(identifier) <= _LONGEST_ID:
        raise bad_message("presenceId: Value must be a valid string")
    if permissions is not None:
        listed = permissions if isinstance(permissions, list) else [None]
        permissions = [item for item in listed if isinstance(item, str) and _PERMISSION.fullmatch(item)]
        if len(permissions) < len(listed):
            raise bad_message("permissions: Value must be a valid list of permissions")
    return PresenceRequest(status, None if identifier == "unique()" else identifier, given.get("metadata"), permissions)


class Presences:
    """The presences of one project."""

    def __init__(self) -> None:
        self._stored: dict[str, Document] = {}  # by user
        self._count = 0

    def store(self, account: Account | None, spec: PresenceRequest, now: float, ids: Iterator[str]) -> Document:
        """Store a user's presence, or change it.

        Args:
            account: whose; None for a guest.
            spec: what is asked for.
            now: seconds since the epoch.
            ids: where an id comes from.

        Returns:
            What is stored. A presence that was there keeps its id, and its metadata when no new ones are given.

        Raises:
            Refusal: with 401 for a guest, for a permission that the user cannot give, and when the presence that is stored
                does not let its user change it.
        """
        if account is None:
            raise Refusal(_UNAUTHORIZED, "User must be authorized")
        default = [f'{what}("user:{account.user_id}")' for what in ("read", "update", "delete", "write")]
        permissions = sorted(default if spec.permissions is None else spec.permissions)
        if not {_role(permission) for permission in permissions} <= account.roles:
            raise Refusal(_UNAUTHORIZED, f"Permissions must be one of: ({', '.join(sorted(account.roles))})")
        before = self._stored.get(account.user_id, {})
        if before and account.roles.isdisjoint(_holders(before, "update") | _holders(before, "write")):
            raise Refusal(_UNAUTHORIZED, "The current user is not authorized to perform the requested action.")
        self._count += not before
        moment = format_timestamp(now)
        document: dict[str, object] = {
            "userId": account.user_id,
            "source": "realtime",
            "status": spec.status,
            "expiresAt": format_timestamp(now + _LIFETIME),
            **({} if spec.metadata is None else {"metadata": spec.metadata}),
            "$permissions": permissions,
            "$id": before.get("$id") or spec.identifier or next(ids),
            "$updatedAt": moment,
            "$createdAt": before.get("$createdAt", moment),
        }
        if "metadata" in before:
            document.setdefault("metadata", before["metadata"])
        document["$sequence"] = before.get("$sequence", str(self._count))
        self._stored[account.user_id] = document
        return document

    def remove(self, identifier: object) -> bool:
        """Remove a presence.

        Args:
            identifier: its id.

        Returns:
            Whether there was one.
        """
        users = [user for user, document in self._stored.items() if document["$id"] == identifier]
        for user in users:
            del self._stored[user]
        return bool(users)


def events(document: Document, action: str) -> tuple[list[str], list[str], frozenset[str]]:
    """Say what an event about a presence is called, where it happens, and who may see it.

    Args:
        document: the presence.
        action: ``upsert`` or ``delete``.

    Returns:
        The event's names, channels and roles.
    """
    one = f"presences.{document['$id']}"
    names = [f"{one}.{action}", f"presences.*.{action}", one, "presences.*"]
    return names, ["presences", one, f"presences.{action}", f"{one}.{action}"], _holders(document, "read")


def _holders(document: Document, what: str) -> frozenset[str]:
    permissions = document["$permissions"]
    assert isinstance(permissions, list)
    return frozenset(_role(permission) for permission in permissions if permission.startswith(f"{what}("))


def _role(permission: str) -> str:
    matched = _PERMISSION.fullmatch(permission)
    assert matched is not None  # others are refused when they come in
    return matched["role"]
