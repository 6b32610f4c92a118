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
    UpgradeRefused,
)
from realtime_fsm.fsm.inputs import (
    Authenticate,
    Connect,
    DialFailure,
    Dispose,
    ErrorReceived,
    GreetingReceived,
    LinkClosed,
)
from realtime_fsm.fsm.policies import RetryPolicy
from realtime_fsm.fsm.table import State
from realtime_fsm.identity import TokenUnavailable
from support.bench import Bench
from support.replay_cases import lived
from support.replaying import emitted, log_of, run_emitted


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
