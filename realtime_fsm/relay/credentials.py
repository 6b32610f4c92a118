"""Check the credentials for NATS before nats-py uses them: nats-py never ends on a file without a JWT, or raises a TypeError."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_CREDENTIALS = re.compile(rb"BEGIN NATS USER JWT.*\n\S+\n(.*\n)*.*BEGIN USER NKEY SEED.*\nSU[A-D][A-Z2-7]{55}\n")
_OPTIONS = ("user_credentials", "nkeys_seed", "nkeys_seed_str")
"""The options of ``nats.connect`` that sign with a key: a file with JWT and seed, or a pair of files; a file; a seed."""
_MOST_BYTES = 65_536


def credentials_problem(options: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the option whose credentials nats-py cannot use, and why; no text holds a part of a file."""
    for option in _OPTIONS:
        if (given := options.get(option)) is None:
            continue
        if find_spec("nkeys") is None:
            return option, "the package nkeys is missing; install realtime-fsm[nats]"
        paths = given if isinstance(given, tuple) else (given,) if isinstance(given, str | Path) else ()
        for path in () if option == "nkeys_seed_str" else paths:
            try:
                with Path(path).open("rb") as file:
                    content = file.read(_MOST_BYTES)
            except OSError as failure:
                return option, f"{path} cannot be read: {failure.strerror}"
            if option == "user_credentials" and given is path and not _CREDENTIALS.search(content):
                return option, f"{path} holds no credentials; give a file that `nsc generate creds` writes"
    return None
