"""The arguments that several subcommands have, and the types of their values."""

from __future__ import annotations

import argparse
import re
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from realtime_fsm.auditlog.schema import FIELDS
from realtime_fsm.cli.output import fold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

N = TypeVar("N", int, float)
_LABEL = re.compile(r"[^:]{1,30}: +")


class LineFormatter(argparse.HelpFormatter):
    """Folds each line of a description or an epilog on its own."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(fold_lines(text, width, indent))


def fold_lines(text: str, width: int, indent: str = "") -> Iterator[str]:
    """Fold each line of a text on its own; a folded line goes on behind its label, which ends with a colon."""
    for line in text.splitlines():
        label = _LABEL.match(line)
        behind = 0 if label is None or 2 * label.end() > width else label.end()
        yield from fold(line, width, indent, indent + " " * behind) or [""]


def number(kind: type[N], least: float, most: float, rule: str) -> Callable[[str], N]:
    """Make the type of an argument that takes a number within bounds; ``rule`` describes it in the error."""

    def read(word: str) -> N:
        with suppress(ValueError):
            value = kind(word)
            if least <= value <= most:
                return value
        raise argparse.ArgumentTypeError(f"{word!r} is not {rule}")

    return read


def seconds(least: float, most: float) -> Callable[[str], float]:
    """Make the type of an argument that takes seconds within bounds."""
    return number(float, least, most, f"a number of seconds from {least:g} to {most:g}")


port: Callable[[str], int] = number(int, 0, 65_535, "a port from 0 to 65535")
"""The type of an argument that takes a port to listen on."""


def host_and_port(word: str) -> tuple[str, int]:
    """Read a host and a port to listen on; brackets hold an IPv6 host."""
    host, _, number_of_port = word.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not host:
        raise argparse.ArgumentTypeError(f"{word!r} is not HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080")
    return host, port(number_of_port)


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add the server and the project of a command that connects."""
    parser.add_argument("endpoint", metavar="ENDPOINT", help="the Appwrite endpoint, such as https://cloud.appwrite.io/v1")
    parser.add_argument("--project", required=True, metavar="ID", help="the project's id")


def add_connections(parser: argparse.ArgumentParser, meaning: str) -> None:
    """Add the option that chooses connections of a log by the beginnings of their ids."""
    parser.add_argument("--connection", metavar="PREFIX", action="append", default=[], help=meaning)


def add_renamed_fields(parser: argparse.ArgumentParser) -> None:
    """Add the option for a log that has other keys."""
    parser.add_argument(
        "--map", metavar="FIELD=KEY", action="append", default=[], type=_renamed_field,
        help="the log has this field of a record under that key, as in event=message; may be repeated",
    )  # fmt: skip


def _renamed_field(word: str) -> tuple[str, str]:
    field, _, key = word.partition("=")
    if not key or field not in (*FIELDS, "event"):
        raise argparse.ArgumentTypeError(f"{word!r} is not FIELD=KEY, with a field of a record such as event=message")
    return field, key
