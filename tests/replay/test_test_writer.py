"""The test writer: a test takes the path of a log, and fails on another path."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from realtime_fsm.errors import (
    CertificateRefused,
    FrameTooLarge,
    IdentityUnavailable,
    NameNotResolved,
    ServerError,
    StreamEnded,
    UpgradeRefused,
)
from realtime_fsm.fsm.commands import SendFrame
from realtime_fsm.fsm.inputs import (
    Authenticate,
    Connect,
    DialFailure,
    Dispose,
    ErrorReceived,
    GreetingReceived,
    Input,
    LinkClosed,
    Pong,
    Unsubscribe,
)
from realtime_fsm.fsm.policies import RetryPolicy
from realtime_fsm.fsm.table import State
from realtime_fsm.identity import TokenUnavailable
from realtime_fsm.replay.source_code import source_of
from support.bench import Bench
from support.replay_cases import lived, rows
from support.replaying import emitted, log_of, replayed, run_emitted


@pytest.mark.parametrize(
    "cause",
    [
        NameNotResolved("x"),
        UpgradeRefused(429),
        UpgradeRefused(503),
        CertificateRefused("x"),
        IdentityUnavailable("ValueError"),
        TokenUnavailable("worker", "missing_scope", 401),
    ],
)
def test_every_kind_of_failed_dial_is_reproduced(cause: Any, tmp_path: Path) -> None:
    records = lived(lambda bench: bench.to(State.RECONNECTING).do(DialFailure(1, cause)))
    log = log_of(tmp_path / "log", records)
    run_emitted(emitted(log))
    assert type(cause).__name__ in emitted(log)


def test_an_emitted_test_imports_nothing_but_the_facade_and_public_names(tmp_path: Path) -> None:
    text = emitted(log_of(tmp_path / "log", lived(lambda bench: bench.to(State.SUBSCRIBED))))
    modules = re.findall(r"^from (realtime_fsm[\w.]*) import", text, re.MULTILINE)
    assert modules == ["realtime_fsm", "realtime_fsm.testing.replay"]


def test_an_emitted_test_fails_on_another_path_and_names_the_step(tmp_path: Path) -> None:
    text = emitted(log_of(tmp_path / "log", lived(lambda bench: bench.to(State.SUBSCRIBED))))
    assert text.count('"rec22"') == 1
    with pytest.raises(AssertionError, match=r"step \d+ at .*GreetingReceived.*'rec22'.* instead of .*'rec23'"):
        run_emitted(text.replace('"rec22"', '"rec23"'))


def test_every_kind_of_end_is_reproduced(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED)
        for input_ in (LinkClosed(1, cause=FrameTooLarge(5)), ErrorReceived(2, 500, "")):
            bench.hear(input_)
            bench.expire()
            bench.open()
            bench.greet()
            bench.acknowledge()
        bench.do(Authenticate("secret"))
        bench.err(401)
        bench.do(Authenticate(None))
        bench.open()
        bench.hear(GreetingReceived(bench.generation, unexpected_guest=True))
        bench.do(Connect())
        bench.err(1008)
        bench.do(Dispose())

    records = lived(live, retry=RetryPolicy(attempts=None))
    text = emitted(log_of(tmp_path / "log", records))
    run_emitted(text)
    for part in ("FrameTooLarge(0)", "unexpected_guest=True", 'Authenticate("not in the log")', "Authenticate(None)"):
        assert part in text
    assert "secret" not in text


def test_a_moment_a_microsecond_before_the_budget_has_room_is_exact(tmp_path: Path) -> None:
    """Rounded dwells put the pong before that moment; the exact clock puts it after."""

    def live(bench: Bench) -> None:
        begin = bench.to(State.CONNECTED).now
        bench.expire_until("con64")
        bench.now += 0.2000006
        bench.hear(Pong(1))
        bench.now += 0.1000006
        for number in range(30):
            bench.subscribe(f"s{number}")
            if number < 29:
                bench.acknowledge()
        while bench.now < begin + 90:
            bench.expire_until("sub64")
        bench.now = begin + 90.3000013
        bench.hear(Pong(1))
        assert bench.requests(SendFrame)

    log = log_of(tmp_path / "log", lived(live))
    played = replayed(log)
    assert rows(played)[-1] == "pin42"
    run_emitted(emitted(log, played))


@pytest.mark.parametrize(("stable_after", "moment"), [(29.0, "29.000"), (29.9998, "29.999800"), (30 - 1e-10, "29.999999999900")])
def test_moments_have_the_fewest_digits_that_keep_the_path(stable_after: float, moment: str, tmp_path: Path) -> None:
    """At the next rounded moment the ping would be due, and the client would send it first."""
    policy = RetryPolicy(stable_after=stable_after)
    records = lived(lambda bench: bench.to(State.CONNECTED).expire_until("con65"), retry=policy)
    text = emitted(log_of(tmp_path / "log", records))
    assert f"Step({moment}, Deadline()" in text
    run_emitted(text)


def test_moments_stay_exact_if_every_rounding_changes_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_fsm.replay.rounding._DIGITS", (0, 1))
    records = lived(lambda bench: bench.to(State.CONNECTED).expire_until("con65"), retry=RetryPolicy(stable_after=29.9998))
    text = emitted(log_of(tmp_path / "log", records))
    assert "Step(1029.9998, Deadline()" in text
    run_emitted(text)


@pytest.mark.parametrize(
    ("input_", "code"),
    [
        (ErrorReceived(2, "it's", ""), """ErrorReceived(2, "it's", "")"""),
        (ErrorReceived(2, 401, "", renewable=True), 'ErrorReceived(2, 401, "", renewable=True)'),
        (DialFailure(1, ServerError(1008, "text")), 'DialFailure(1, ServerError(1008, "not in the log"))'),
        (DialFailure(1, StreamEnded(1002)), "DialFailure(1, StreamEnded(1002))"),
        (Unsubscribe('"'), "Unsubscribe('\"')"),
    ],
)
def test_inputs_are_written_as_python(input_: Input, code: str) -> None:
    assert source_of(input_) == code
