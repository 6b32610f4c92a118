"""The values that describe a user: the account, its roles, and the document that the server shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

GUEST = frozenset({"any", "guests"})
"""The roles of a connection without an account."""

_CREATED = "2026-01-01T00:00:00.000+00:00"  # the protocol core reads no clock


@dataclass(frozen=True, slots=True)
class Account:
    """A user of a project."""

    user_id: str
    document: Mapping[str, object] = field(repr=False)  # the user document, as the server shows it
    roles: frozenset[str]  # the roles of the user's connections
    secret: str = field(repr=False)  # the secret of the user's session; no repr shows it


def usual_document(user_id: str) -> dict[str, object]:
    """Build the user document of the newest era."""
    return {
        "$id": user_id, "$createdAt": _CREATED, "$updatedAt": _CREATED, "name": user_id, "registration": _CREATED,
        "status": True, "labels": [], "passwordUpdate": "", "email": f"{user_id}@example.com", "phone": "",
        "emailVerification": True, "emailCanonical": None, "emailIsFree": None, "emailIsDisposable": None,
        "emailIsCorporate": None, "emailIsCanonical": None, "phoneVerification": False, "mfa": False, "prefs": {},
        "targets": [], "accessedAt": _CREATED, "impersonator": False, "impersonatorUserId": None,
    }  # fmt: skip
