"""``realtime-fsm --print-completion SHELL``: print the completion of the command for a shell, by the package shtab."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from realtime_fsm.cli.explain import WORD
from realtime_fsm.cli.words import glossary
from realtime_fsm.errors import BadOption

if TYPE_CHECKING:
    from collections.abc import Iterator

SHELLS = ("bash", "zsh")


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option to the command line."""
    parser.add_argument(
        "--print-completion", action=_PrintCompletion, choices=SHELLS,
        help="print the completion for a shell, to be sourced there; needs the package shtab",
    )  # fmt: skip


class _PrintCompletion(argparse.Action):
    """Prints the completion, and ends the command."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: object, shell: Any, option: str | None = None) -> None:
        try:
            import shtab
        except ImportError:
            raise BadOption("--print-completion", "it needs the package shtab; install it with: pip install shtab") from None
        for argument in _arguments(parser):
            if argument.metavar in ("FILE", "OLD.json"):
                argument.complete = shtab.FILE  # type: ignore[attr-defined]  # the way to tell shtab
            elif argument.metavar == WORD:
                argument.choices = sorted(meaning[0].word for meaning in glossary().values())
        print(shtab.complete(parser, shell))
        parser.exit()


def _arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:  # noqa: SLF001  (argparse has no public way to list them)
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for command in action.choices.values():
                yield from _arguments(command)
