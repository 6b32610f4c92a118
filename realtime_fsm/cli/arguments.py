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
