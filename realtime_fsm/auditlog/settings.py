"""The settings of a connection, as `realtime.open` holds them."""

from __future__ import annotations

import platform
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_fsm.fsm.context import ConnectionContext


def settings_of(context: ConnectionContext) -> dict[str, Any]:
    """Make the fields of the record."""
    canary = context.canary
    return {
        "retry": asdict(context.retry),
        "ping": asdict(context.ping),
        "timeouts": asdict(context.timeouts),
        "auto_reconnect": context.auto_reconnect,
        "max_link_age": context.max_link_age,
        "versions": _versions(),
        "protocol": context.configured_era,
        "canary": canary and {"every": canary.every, "within": canary.within, "write": canary.write is not None},
    }


@cache
def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version  # an import of some weight, which the first log needs

    found = {"python": platform.python_version()}
    for name in ("realtime-fsm", "transitions", "aiohttp", "structlog", "msgspec"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a tree that was never installed
            found[name] = "unknown"
    return found
