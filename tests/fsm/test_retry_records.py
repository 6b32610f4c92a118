"""The records of retries: what the policy allows is conformant and can be replayed, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from realtime_fsm import IdentityUnavailable, ServerError
from realtime_fsm.fsm.commands import OpenLink
from realtime_fsm.fsm.inputs import Acknowledged, DialFailure, GreetingReceived, Reconnect
from realtime_fsm.fsm.policies import RetryPolicy
from realtime_fsm.fsm.subscriptions import GREETING_ACK
from realtime_fsm.protocol.eras import Era
from support.bench import Bench
from support.brokenlogs import Record, Scribe, audited, collected, lines_of
from support.replaying import log_of, replayed
from support.retrying import E, R, S, fail_dials, refuse, refuse_credentials, refuse_dials


def logged(live: Callable[[Bench], object], **options: Any) -> list[Record]:
    with collected() as records:
        bench = Bench(**options)
        Scribe(bench)
        live(bench)
    return records


def an_outage(bench: Bench) -> None:
    bench.to(S).lose()
    fail_dials(bench, 6)
    bench.do(Reconnect(), after=0.01)
    bench.open()
    bench.greet()
    bench.acknowledge()


def given_up(bench: Bench) -> None:
    bench.to(S).lose()
    fail_dials(bench, 6)


def everything_refused(bench: Bench) -> None:
    bench.to(S).subscribe("s2")
    bench.acknowledge()
    bench.lose()
    for _ in range(3):
        refuse(bench)
    assert bench.state is E


def redial_refused(bench: Bench) -> None:
    refuse_dials(bench, 3)


def credentials_refused(bench: Bench) -> None:
    bench.to(S).lose()
    bench.expire()
    refuse_credentials(bench, 401, renewable=True)
    bench.do(DialFailure(bench.generation, ServerError(401, "no")))
    assert bench.state is E


def era_doubted(bench: Bench) -> None:
    refuse_dials(bench, 2)
    bench.open()
    bench.hear(GreetingReceived(bench.generation, channels=("rows",)))
    bench.lose()
    bench.expire()
    bench.open()
    bench.greet()


def era_settled(bench: Bench) -> None:
    """A doubtful E3 hands over to an E2, which can be no E4: the next dial asks by the URL."""
    refuse_dials(bench, 2)
    bench.open()
    bench.greet()
    bench.subscribe("s2")
    bench.expire()
    bench.open()
    bench.hear(GreetingReceived(bench.generation, channels=("rows",), has_subscription_ids=False))
    bench.do(Acknowledged(bench.generation, GREETING_ACK, ()))
    bench.lose()
    bench.expire()
    assert (bench.context.era, [link.plan is None for link in bench.requests(OpenLink)]) == (Era.E2, [False])
    bench.open()
    bench.greet()


LOGS: dict[str, tuple[Callable[[Bench], object], dict[str, Any]]] = {
    "an outage": (an_outage, {}),
    "given up": (given_up, {"retry": RetryPolicy(attempts=None, reconnect_attempts=3)}),
    "everything refused": (everything_refused, {}),
    "redial refused": (redial_refused, {"era": Era.E4}),
    "credentials refused": (credentials_refused, {}),
    "era doubted": (era_doubted, {}),
    "era settled": (era_settled, {}),
}


@pytest.mark.parametrize("name", LOGS)
def test_what_the_policy_allows_is_conformant_and_is_replayed(name: str, tmp_path: Any) -> None:
    live, options = LOGS[name]
    records = logged(live, **options)
    report = audited(lines_of(records))
    assert (report.verdict, report.first) == ("conformant", None)
    assert replayed(log_of(tmp_path / "log.jsonl", records))


def settings(records: list[Record], **retry: Any) -> list[bytes]:
    opened, *rest = records
    return lines_of([{**opened, "retry": {**opened["retry"], **retry}}, *rest])


@pytest.mark.parametrize(
    ("name", "retry", "row"),
    [
        ("given up", {"reconnect_attempts": None}, "rec25"),  # given up, and the policy allows more
        ("given up", {"reconnect_attempts": 2}, "rec24"),  # one dial past the limit
        ("redial refused", {"attempts": 2}, "rec27"),  # a refusal that was fatal
        ("redial refused", {"attempts": 4}, "rec26"),
    ],
)
def test_what_the_policy_does_not_allow_is_violated(name: str, retry: dict[str, Any], row: str) -> None:
    live, options = LOGS[name]
    report = audited(settings(logged(live, **options), **retry))
    assert report.verdict == "violated"
    assert report.first is not None
    assert report.first.rule == "row"
    assert f"rule {row} does not apply" in report.first.text


def test_the_record_of_a_beginning_tells_both_limits() -> None:
    opened = logged(an_outage)[0]
    assert (opened["retry"]["attempts"], opened["retry"]["reconnect_attempts"]) == (3, None)


def test_what_a_callable_raises_is_no_refusal() -> None:
    bench = Bench().to(S)
    bench.lose()
    bench.expire()
    bench.do(DialFailure(bench.generation, IdentityUnavailable("ValueError")))
    assert bench.state is R
