"""Presences: the status that a connected user shows to others.

Invariant: a user has at most one presence, which keeps its id until the end of a link that has sent it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from realtime_fsm.testing.wire import Refusal, bad_message, format_timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from realtime_fsm.testing.accounts import Account

Document: TypeAlias = "Mapping[str, object]"

_UNAUTHORIZED = 401
_LIFETIME = 30 * 24 * 3_600.0  # seconds
_MAX_STATUS, _MAX_ID = 2_048, 36  # characters
_PERMISSION = re.compile(r'(?P<action>read|update|delete|write)\("(?P<role>[^"]+)"\)')


@dataclass(frozen=True, slots=True)
class PresenceRequest:
    """A ``presence`` message."""

    status: str
    identifier: str | None  # the id for a new presence; None if the server chooses
    metadata: object  # the metadata; None to keep the stored ones
    permissions: list[str] | None  # the allowed actions, by role; None allows the user alone every action


def read(data: object) -> PresenceRequest:
    """Read the data of a ``presence`` message; refuse malformed data with 1003."""
    fields = data if isinstance(data, dict) else {}
    status, identifier, permissions = fields.get("status"), fields.get("presenceId", "unique()"), fields.get("permissions")
    if "status" not in fields:
        raise bad_message("Payload is not valid. Status is required")
    if not isinstance(status, str) or not 0 < len(status) <= _MAX_STATUS:
        raise bad_message("status: Value must be a valid string")
    if not isinstance(identifier, str) or not 0 < len(identifier) <= _MAX_ID:
        raise bad_message("presenceId: Value must be a valid string")
    if permissions is not None:
        listed = permissions if isinstance(permissions, list) else [None]
        permissions = [item for item in listed if isinstance(item, str) and _PERMISSION.fullmatch(item)]
        if len(permissions) < len(listed):
            raise bad_message("permissions: Value must be a valid list of permissions")
    return PresenceRequest(status, None if identifier == "unique()" else identifier, fields.get("metadata"), permissions)


class Presences:
    """The presences of one project."""

    def __init__(self) -> None:
        self._stored: dict[str, Document] = {}  # by user
        self._count = 0

    def store(self, account: Account | None, request: PresenceRequest, now: float, ids: Iterator[str]) -> Document:
        """Store a user's presence, or change the stored one, at `now`, in seconds since the epoch, and return its document.

        A changed presence keeps its id, and its metadata if the request has none. The server refuses with 401 a guest, a
        permission that the user cannot give, and a change that the stored presence does not let its user make.
        """
        if account is None:
            raise Refusal(_UNAUTHORIZED, "User must be authorized")
        default = [f'{action}("user:{account.user_id}")' for action in ("read", "update", "delete", "write")]
        permissions = sorted(default if request.permissions is None else request.permissions)
        if not {_role(permission) for permission in permissions} <= account.roles:
            raise Refusal(_UNAUTHORIZED, f"Permissions must be one of: ({', '.join(sorted(account.roles))})")
        before = self._stored.get(account.user_id, {})
        if before and account.roles.isdisjoint(_permitted(before, "update") | _permitted(before, "write")):
            raise Refusal(_UNAUTHORIZED, "The current user is not authorized to perform the requested action.")
        self._count += not before
        moment = format_timestamp(now)
        document: dict[str, object] = {
            "userId": account.user_id,
            "source": "realtime",
            "status": request.status,
            "expiresAt": format_timestamp(now + _LIFETIME),
            **({} if request.metadata is None else {"metadata": request.metadata}),
            "$permissions": permissions,
            "$id": before.get("$id") or request.identifier or next(ids),
            "$updatedAt": moment,
            "$createdAt": before.get("$createdAt", moment),
        }
        if "metadata" in before:
            document.setdefault("metadata", before["metadata"])
        document["$sequence"] = before.get("$sequence", str(self._count))
        self._stored[account.user_id] = document
        return document

    def remove(self, identifier: object) -> bool:
        """Remove the presence with an id, and return whether there was one."""
        users = [user for user, document in self._stored.items() if document["$id"] == identifier]
        for user in users:
            del self._stored[user]
        return bool(users)


def event_of(document: Document, action: str) -> tuple[list[str], list[str], frozenset[str]]:
    """Return the names, the channels and the roles of the event about a presence; the action is ``upsert`` or ``delete``."""
    one = f"presences.{document['$id']}"
    names = [f"{one}.{action}", f"presences.*.{action}", one, "presences.*"]
    return names, ["presences", one, f"presences.{action}", f"{one}.{action}"], _permitted(document, "read")


def _permitted(document: Document, action: str) -> frozenset[str]:
    permissions = document["$permissions"]
    assert isinstance(permissions, list)
    return frozenset(_role(permission) for permission in permissions if permission.startswith(f"{action}("))


def _role(permission: str) -> str:
    matched = _PERMISSION.fullmatch(permission)
    assert matched is not None  # `read` refuses others
    return matched["role"]
