"""The command ``realtime-fsm``: parse the arguments, run the subcommand, and turn its errors into a sentence and an exit code."""

from __future__ import annotations

import argparse
import logging
from typing import TYPE_CHECKING, Any

from realtime_fsm import __version__
from realtime_fsm.cli import audit, completion, demo, diagram, doctor, explain, inspect, listen, relay, replay, serve
from realtime_fsm.cli.output import discard_stdout, discard_unwritable, fail, os_error_text, reopen_standard_streams
from realtime_fsm.errors import Misuse, RealtimeError

if TYPE_CHECKING:
    from collections.abc import Sequence

OK, FAILED, USAGE = 0, 1, 2
_SILENT = logging.NullHandler()
"""The commands tell what happens in their own words."""


class _CommandParser(argparse.ArgumentParser):
    """The parser of a subcommand, which names an unknown argument with the usage of its own command."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return options, unknown


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: the words after the command's name; None for those of the process.

    Returns:
        The exit code: 0 for a regular end, 1 for a failure (with one sentence on stderr; after a failed dial of ``listen`` or
        ``relay`` a second line has the remedy), 2 for a misuse. After a signal, 128 and its number: 130 after Ctrl-C, 143 after
        SIGTERM, 129 after SIGHUP. ``audit`` and ``replay`` have codes of their own.
    """
    reopen_standard_streams()
    logging.getLogger("realtime_fsm").addHandler(_SILENT)
    try:
        options = _parser().parse_args(arguments)
        return int(options.run(options))
    except Misuse as misuse:
        return fail(str(misuse), USAGE)
    except RealtimeError as failure:
        return fail(str(failure), FAILED)
    except BrokenPipeError:  # `realtime-fsm listen ... | head`: the reader has gone
        discard_stdout()
        return OK
    except OSError as failure:
        return fail(os_error_text(failure), FAILED)
    finally:
        discard_unwritable()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="realtime-fsm", description="Appwrite Realtime, as a formal state machine.")
    parser.add_argument("--version", action="version", version=f"realtime-fsm {__version__}")
    completion.add_argument(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_CommandParser)
    for command in (listen, relay, doctor, serve, diagram, audit, inspect, explain, replay, demo):
        command.add_parser(commands)
    return parser
