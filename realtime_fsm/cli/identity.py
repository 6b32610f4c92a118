"""The identity of commands that connect: from the environment, so that no list of processes shows it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from realtime_fsm.errors import BadOption
from realtime_fsm.identity import as_user
from realtime_fsm.protocol.options import realtime_url

if TYPE_CHECKING:
    import argparse


def add_as_user(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--as-user``."""
    parser.add_argument(
        "--as-user", metavar="USER",
        help="connect as the user with this id, by tokens that the API key in APPWRITE_API_KEY issues (scope users.write)",
    )  # fmt: skip


def identity_from_environment() -> dict[str, Any]:
    """Return the session and JWT of the environment as arguments of `Realtime`."""
    return {name: os.environ.get(f"APPWRITE_{name.upper()}") or None for name in ("session", "jwt")}


def identity(options: argparse.Namespace) -> dict[str, Any]:
    """Return the identity as arguments of `Realtime`.

    Raises:
        BadOption: for ``--as-user`` without an API key, or without the official SDK.
    """
    if options.as_user is None:
        return identity_from_environment()
    client = appwrite_client(options, "--as-user", "an API key must issue the tokens of the user")
    return {"jwt": as_user(client, options.as_user)}


def appwrite_client(options: argparse.Namespace, option: str, need: str) -> Any:
    """Make a client of the official SDK with the API key of the environment.

    Raises:
        BadOption: for ``option``, without an API key (``need`` tells its use), or without the official SDK.
    """
    realtime_url(options.endpoint, options.project)  # its errors come before those of the SDK
    key = os.environ.get("APPWRITE_API_KEY")
    if not key:
        raise BadOption(option, f"{need}; put it into APPWRITE_API_KEY")
    try:
        from appwrite.client import Client
    except ImportError:
        raise BadOption(option, "the official SDK is missing; install realtime-fsm[appwrite]") from None
    endpoint = re.sub("^ws(?=s?:)", "http", options.endpoint.rstrip("/"), flags=re.IGNORECASE)
    return Client().set_endpoint(endpoint).set_project(options.project).set_key(key)
