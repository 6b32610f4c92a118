"""Types of arguments that several subcommands use."""

from __future__ import annotations

import argparse
from typing import TypeVar

N = TypeVar("N", int, float)


def number(word: str, kind: type[N], least: float, most: float, rule: str) -> N:
    """Read a number within bounds; ``rule`` describes it in the error."""
    try:
        value = kind(word)
    except ValueError:
        value = kind(-1)  # out of all bounds here
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{word!r} is not {rule}")
    return value


def host_and_port(word: str) -> tuple[str, int]:
    """Read a host and a port to listen on; brackets hold an IPv6 host."""
    host, _, port = word.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not host:
        raise argparse.ArgumentTypeError(f"{word!r} is not HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080")
    return host, number(port, int, 0, 65_535, "a port from 0 to 65535")
