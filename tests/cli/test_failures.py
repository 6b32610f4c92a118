"""The end of a command that keeps a connection: one sentence in the words of the commands, and the remedy."""

from __future__ import annotations

import argparse

import pytest

from realtime_fsm.cli.failures import run_connection
from realtime_fsm.errors import (
    CertificateRefused,
    DialFailed,
    GreetedAsGuest,
    IdentityUnavailable,
    NameNotResolved,
    Overdue,
    RefusedByServer,
    RetriesExhausted,
    ServerError,
    StreamEnded,
    SubscriptionRejected,
    UpgradeRefused,
)
from realtime_fsm.relay import BrokerUnavailable, InsecureBroker
from realtime_fsm.remedies import CHECKS, OVERDUE, REMEDIES, UPGRADES
from realtime_fsm.runtime.transport import _untrusted

ARGUMENTS = argparse.Namespace(endpoint="https://host/v1", project="demo")


async def raising(failure: Exception) -> None:
    raise failure


@pytest.mark.parametrize(
    ("failure", "remedy"),
    [
        (RetriesExhausted(3, UpgradeRefused(404)), UPGRADES[404]),
        (RetriesExhausted(3, DialFailed("Connection refused")), REMEDIES["DialFailed"]),
        (RetriesExhausted(3, NameNotResolved("nowhere")), REMEDIES["NameNotResolved"]),
        (RetriesExhausted(3, Overdue("greeting", 10)), OVERDUE["greeting"]),
        (RetriesExhausted(3, StreamEnded(1011)), CHECKS["ended"]),
        (RetriesExhausted(3, ServerError(1013, "too many")), CHECKS["dials"]),
        (RetriesExhausted(3, ServerError(500, "")), CHECKS["fault"]),
        (CertificateRefused("self-signed"), CHECKS["tls_refused"]),
        (GreetedAsGuest(), CHECKS["guest_despite"]),
        (RefusedByServer(401, "no"), CHECKS["refused"]),
        (RefusedByServer(1008, "no"), CHECKS["project"]),
    ],
    ids=lambda value: type(getattr(value, "cause", value)).__name__ if isinstance(value, Exception) else "",
)
def test_a_failed_link_comes_with_its_remedy(failure: Exception, remedy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_connection(ARGUMENTS, raising(failure)) == 1
    _, last = capsys.readouterr().err.splitlines()
    doctor = "realtime-fsm doctor https://host/v1 --project demo"
    assert last == f"realtime-fsm: {remedy.replace('``', '`')} To check each step, run: {doctor}"


@pytest.mark.parametrize(
    "failure",
    [
        BrokerUnavailable("host:4222", "refused"),
        RetriesExhausted(3, IdentityUnavailable("KeyError")),
        SubscriptionRejected(("rows",), (), 401, "no", guest=True),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_an_error_that_names_its_remedy_gets_no_second_one(failure: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_connection(ARGUMENTS, raising(failure)) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (RetriesExhausted(3, StreamEnded()), "; --attempts allows"),
        (RetriesExhausted(3, StreamEnded(), "reconnect_attempts"), "; --reconnect-attempts allows"),
        (_untrusted("self-signed"), "not trusted: self-signed\n"),
        (SubscriptionRejected(("rows",), (), 401, "no", guest=True), ": set APPWRITE_SESSION or APPWRITE_JWT\n"),
        (InsecureBroker("host:4222", "expired"), "trust its authority by SSL_CERT_FILE\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_names_no_option_of_the_api(failure: Exception, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_connection(ARGUMENTS, raising(failure)) == 1
    assert words in capsys.readouterr().err
