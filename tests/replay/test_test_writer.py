"""The test writer: a test takes the path of a log, and fails on another path."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import pytest

from realtime_fsm.errors import (
    CertificateRefused,
    FrameTooLarge,
    IdentityUnavailable,
    NameNotResolved,
    UpgradeRefused,
)
from realtime_fsm.fsm.canary_policy import Canary
from realtime_fsm.fsm.inputs import (
    Authenticate,
    Connect,
    DialFailure,
    Dispose,
    ErrorReceived,
    GreetingReceived,
    LinkClosed,
)
from realtime_fsm.fsm.policies import CARRIED, PingPolicy, PingPolicyWarning, RetryPolicy
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


def test_only_a_module_with_a_line_of_more_than_130_has_a_note_for_linters(tmp_path: Path) -> None:
    for length, longest in ((11, 130), (12, 131)):
        records = lived(lambda bench, name="s" * length: bench.to(State.CONNECTED).subscribe(name))  # type: ignore[misc]
        text = emitted(log_of(tmp_path / "log", records))
        assert max(len(line) for line in text.splitlines() if "Step(" in line) == longest
        assert ("# ruff: noqa" in text) == (longest > 130)


def test_a_column_of_inputs_is_at_most_60_wide(tmp_path: Path) -> None:
    text = emitted(log_of(tmp_path / "log", lived(lambda bench: bench.to(State.CONNECTED).subscribe("s" * 40))))
    (connect,) = re.findall(r"Step\([ .0-9]+, (Connect\(\),.*)\"dis1\"", text)
    assert len(connect) == 60 + 2, "the column, its comma, and a blank"


@pytest.mark.parametrize(("faster", "warned"), [(0.0, False), (0.001, True)])
def test_a_policy_that_warns_is_made_without_a_second_warning(faster: float, warned: bool, tmp_path: Path) -> None:
    with catch_warnings():
        simplefilter("ignore", PingPolicyWarning)
        ping = PingPolicy(interval=CARRIED - faster, timeout=1.0)
    text = emitted(log_of(tmp_path / "log", lived(lambda bench: bench.to(State.CONNECTED), ping=ping)))
    assert ("simplefilter" in text) is warned
    run_emitted(text)


@pytest.mark.parametrize("write", [None, print])
def test_a_canary_is_written_without_the_callable_of_its_user(write: Any, tmp_path: Path) -> None:
    canary = Canary(60.0, 4.0, write=write, channel="rows") if write else Canary(60.0, 4.0)
    text = emitted(log_of(tmp_path / "log", lived(lambda bench: bench.to(State.SUBSCRIBED), canary=canary)))
    told = ', write=print, channel="channel"' if write else ""
    assert f"canary=Canary(60.0, 4.0{told})," in text
    run_emitted(text)


@pytest.mark.parametrize("name", ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "c\u00e91"])
def test_an_id_that_is_a_secret_or_no_plain_text_is_hidden(name: str, tmp_path: Path) -> None:
    records = [{**record, "connection_id": name} for record in lived(lambda bench: bench.to(State.CONNECTED))]
    text = emitted(log_of(tmp_path / "log", records))
    assert text.startswith('"""The path of a connection, as its audit log tells it: ')
    assert name not in text
