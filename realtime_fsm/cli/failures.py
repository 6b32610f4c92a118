"""Run a command that keeps a connection, and print its end: the failure in the words of the commands, and the remedy."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from realtime_fsm.cli.loop import run_until_interrupted
from realtime_fsm.cli.output import print_problem, warnings_printed
from realtime_fsm.errors import IDENTITY_REMEDY, IdentityUnavailable, LinkFailure, Misuse, RealtimeError, RefusedByServer
from realtime_fsm.relay.errors import TRUST_OPTIONS
from realtime_fsm.remedies import finding_of, remedy_of
from realtime_fsm.runtime.transport import TRUST_REMEDY

if TYPE_CHECKING:
    import argparse
    from collections.abc import Coroutine

WORDS = {
    "RetryPolicy.attempts": "--attempts",
    "RetryPolicy.reconnect_attempts": "--reconnect-attempts",
    IDENTITY_REMEDY: "set APPWRITE_SESSION or APPWRITE_JWT",
    TRUST_OPTIONS: "SSL_CERT_FILE",
    TRUST_REMEDY: "",
}
"""Words of the API in the texts of errors, and those of the commands in their place."""


def run_connection(options: argparse.Namespace, work: Coroutine[None, None, None]) -> int:
    """Run the work of a command that listens until Ctrl-C, and print its warnings and its failure; return the exit code."""
    try:
        with warnings_printed():
            return run_until_interrupted(work)
    except Misuse:
        raise
    except RealtimeError as failure:
        print_problem(f"project {options.project!r} at {options.endpoint}: {_in_words_of_commands(str(failure))}")
        _print_remedy(getattr(failure, "cause", failure), options)
        return 1


def _in_words_of_commands(text: str) -> str:
    for word, ours in WORDS.items():
        text = text.replace(word, ours)
    return text


def _print_remedy(cause: Exception, options: argparse.Namespace) -> None:
    """Print the remedy for the end of a dial, and the command that finds out more."""
    if isinstance(cause, LinkFailure | RefusedByServer) and not isinstance(cause, IdentityUnavailable):
        doctor = shlex.join(["realtime-fsm", "doctor", options.endpoint, "--project", options.project])
        print_problem(f"{remedy_of(finding_of(cause))} To check each step, run: {doctor}")
