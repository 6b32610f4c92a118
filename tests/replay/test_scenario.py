"""The scenario of a log: the faults of the server in its script, with the begin and end of each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from realtime_fsm.errors import CertificateRefused, IdentityUnavailable, UpgradeRefused
from realtime_fsm.fsm.canary_policy import Canary
from realtime_fsm.fsm.inputs import Deaf, DialFailure, Disconnect, LinkClosed, Probe, Reconnect, Recovered
from realtime_fsm.fsm.policies import PingPolicy, RetryPolicy
from realtime_fsm.fsm.table import State
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.spec import SubscriptionSpec
from realtime_fsm.replay.scenario import Scenario, scenario_of
from realtime_fsm.testing.script import parse
from support.bench import Bench
from support.replay_cases import lived
from support.replaying import log_of, replayed


def scenario(path: Path, live: Callable[[Bench], object], **options: Any) -> Scenario:
    log = log_of(path / "log", lived(live, **options))
    made = scenario_of(log.policies, replayed(log))
    assert not made.script or parse(made.script)
    return made


def back(bench: Bench) -> None:
    """The next dial leads to a link that serves everything."""
    bench.expire()
    bench.now += 0.5
    bench.open()
    bench.greet()
    bench.acknowledge()


def dropped(bench: Bench) -> None:
    bench.now += 5.0
    bench.lose()
    back(bench)


def refused(bench: Bench) -> None:
    bench.now += 5.0
    bench.lose()
    bench.expire()
    bench.do(DialFailure(bench.generation, UpgradeRefused(502)))
    back(bench)


def refused_and_silent(bench: Bench) -> None:
    bench.now += 5.0
    bench.lose()
    bench.expire()
    bench.do(DialFailure(bench.generation, UpgradeRefused(502)))
    bench.expire()
    bench.expire()
    back(bench)


def silent_and_refused(bench: Bench) -> None:
    bench.now += 5.0
    bench.hear_something()
    bench.expire_until("sub64")
    bench.expire()
    bench.expire()
    bench.do(DialFailure(bench.generation, UpgradeRefused(502)))
    back(bench)


def without_credentials(bench: Bench) -> None:
    bench.now += 5.0
    bench.lose()
    bench.expire()
    bench.do(DialFailure(bench.generation, IdentityUnavailable("ValueError")))
    back(bench)


def silent(bench: Bench) -> None:
    bench.now += 5.0
    bench.hear_something()
    bench.expire_until("sub64")
    bench.expire()
    back(bench)


def lost_for_good(bench: Bench) -> None:
    bench.now += 5.0
    bench.lose()
    bench.expire()
    bench.fail_dial()
    bench.now += 2.0
    bench.do(Disconnect())


def at_fault(bench: Bench) -> None:
    bench.now += 5.0
    bench.subscribe("s2")
    bench.now += 0.25
    bench.err(0)
    bench.expire_until("sub115")
    bench.now += 0.25
    bench.acknowledge()


def recovered(bench: Bench) -> None:
    bench.now += 5.0
    bench.subscribe("s2")
    bench.err(0)
    bench.now += 1.0
    bench.hear(Recovered(bench.generation))


def lost_at_fault(bench: Bench) -> None:
    bench.now += 5.0
    bench.subscribe("s2")
    bench.err(0)
    bench.now += 1.0
    bench.lose()


def deaf(bench: Bench) -> None:
    bench.do(Probe(SubscriptionSpec("canary", ("rows",))), after=5.0)
    bench.acknowledge()
    bench.do(Deaf(bench.generation), after=4.0)


def planned(bench: Bench) -> None:
    bench.do(Disconnect(), after=5.0)


@pytest.mark.parametrize(
    ("live", "script"),
    [
        (planned, ""),
        (dropped, "5s drop"),
        (refused, "5s drop; 5.001s refuse 7.998s"),
        (refused_and_silent, "5s drop; 5.001s refuse 1.498s; 6.501s freeze 38.998s"),
        (without_credentials, "5s drop"),
        (silent, "0.001s freeze 41.998s"),
        (silent_and_refused, "0.001s freeze 41s; 40.001s refuse 7.998s"),
        (lost_for_good, "5s drop; 5.001s refuse 3.498s"),
        (at_fault, "4.999s fault 1.25s"),
        (recovered, "4.999s fault 1.001s"),
        (lost_at_fault, "4.999s fault 1.001s; 6s drop"),
        (deaf, "5.001s deaf 4s"),
    ],
)
def test_the_script_has_the_faults_of_the_server(live: Callable[[Bench], object], script: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"canary": Canary(60.0, 4.0, write=print, channel="rows")} if live is deaf else {}
    made = scenario(tmp_path, lambda bench: live(bench.to(State.SUBSCRIBED)), **options)
    assert (made.script, made.era) == (script, "E4")


def test_a_server_that_is_away_at_first_refuses_from_the_beginning(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.RECONNECTING).fail_dial()
        bench.expire()
        bench.open()
        bench.greet()

    assert scenario(tmp_path, live).script == "0.001s refuse 1.498s"


def test_two_silences_are_two_freezes_that_do_not_overlap(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        silent(bench.to(State.SUBSCRIBED))
        silent(bench)

    steps = parse(scenario(tmp_path, live, ping=PingPolicy(interval=5.0, timeout=1.0), retry=RetryPolicy(base=0.1)).script)
    assert [step.fault for step in steps] == ["freeze", "freeze"]


def test_the_end_of_a_draining_link_is_a_drop_in_the_era_of_the_server(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED).ask_anew("s2", up=False)
        bench.do(LinkClosed(2), after=0.25)
        bench.greet()

    made = scenario(tmp_path, live, era=Era.E2)
    assert (made.script, made.era) == (f"{made.seconds:g}s drop", "E2")


def test_a_renewal_is_no_fault(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED).do(Reconnect())
        bench.open()
        bench.greet()
        bench.acknowledge()

    assert scenario(tmp_path, live).script == ""


def test_a_fault_at_once_begins_with_the_log_and_lasts_a_tenth_of_a_second(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.CONNECTED).subscribe("s1")
        bench.err(0)
        bench.now += 0.05
        bench.hear(Recovered(bench.generation))

    assert scenario(tmp_path, live).script == "0s fault 0.1s"


def test_the_answer_to_a_later_request_ends_a_fault_before_the_request(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED).now += 5.0
        bench.subscribe("s2")
        bench.err(0)
        bench.expire_until("sub115")
        bench.now += 3.0
        bench.acknowledge()

    assert scenario(tmp_path, live).script == "4.999s fault 1s"


def test_a_deaf_link_is_deaf_for_a_tenth_of_a_second_at_least(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED).do(Probe(SubscriptionSpec("canary", ("rows",))), after=5.0)
        bench.acknowledge()
        bench.do(Deaf(bench.generation), after=0.05)

    canary = Canary(60.0, 4.0, write=print, channel="rows")
    assert scenario(tmp_path, live, canary=canary).script == "5.001s deaf 0.1s"


def test_a_second_loss_at_the_same_moment_waits_for_the_first(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED).ask_anew("s2", up=False)
        bench.do(LinkClosed(2), after=0.25)
        bench.greet()
        bench.lose()

    first, second = parse(scenario(tmp_path, live, era=Era.E2).script)
    assert (first.fault, second.fault) == ("drop", "drop")
    assert second.at - first.at == pytest.approx(0.001)


def test_a_scenario_lasts_as_long_as_its_log_to_the_millisecond(tmp_path: Path) -> None:
    assert scenario(tmp_path, lambda bench: bench.to(State.SUBSCRIBED).do(Disconnect(), after=1.23456)).seconds == 1.235


def test_a_certificate_that_the_client_refuses_is_no_fault(tmp_path: Path) -> None:
    def live(bench: Bench) -> None:
        bench.to(State.RECONNECTING).do(DialFailure(1, CertificateRefused("x")))

    assert scenario(tmp_path, live).script == ""
