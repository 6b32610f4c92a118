"""Answers that refuse the upgrade: a redirect says where to, and `Retry-After` says when to come again."""

from __future__ import annotations

from copy import copy
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from realtime_fsm import RetryPolicy, UpgradeRefused
from realtime_fsm.fsm.inputs import Connect, DialFailure, ResumedFromSuspend
from realtime_fsm.fsm.table import State
from realtime_fsm.replay.source_code import source_of
from realtime_fsm.runtime.transport import AiohttpTransport
from realtime_fsm.runtime.upgrade_refusals import refusal
from support.bench import Bench
from support.brokenlogs import Record, Scribe, audited, collected, lines_of
from support.faultproxy import HttpProxy
from support.network import Network
from support.replaying import log_of, replayed
from support.verdicts import altered, found

ASKED = "http://appwrite.example:8080/v1/realtime?project=demo&jwt=geheim"
DATE = "Fri, 27 Nov 2026 02:00:00 GMT"


@pytest.mark.parametrize(
    ("location", "shown", "remedy"),
    [
        ("https://appwrite.example/v1/realtime?jwt=geheim", "https://appwrite.example/v1/realtime", "use https"),
        ("https://u:geheim@[::1]:8443/v1#geheim", "https://[::1]:8443/v1", "use https"),
        ("//other.example/", "http://other.example/", "give that endpoint"),
        ("/login", "http://appwrite.example:8080/login", "give that endpoint"),
    ],
)
def test_a_redirect_says_where_to_and_what_to_do(location: str, shown: str, remedy: str) -> None:
    refused = refusal(301, {"Location": location}, ASKED)
    assert refused.location == shown
    assert f"it redirects to {shown}, which the client does not follow: {remedy}" in str(refused)
    assert "geheim" not in str(refused)


@pytest.mark.parametrize("location", [None, "ftp://h/", "http://[", "http://h:port/", "https:///x", "http://h/\x1b"])
def test_a_redirect_to_nowhere_is_told_by_its_status_alone(location: str | None) -> None:
    headers = {} if location is None else {"Location": location}
    refused = refusal(302, headers, ASKED)
    assert (refused.location, str(refused)) == (None, "the dial failed: HTTP 302 instead of an upgrade to WebSocket")


@pytest.mark.parametrize(("status", "redirects"), [(299, False), (300, True), (399, True), (400, False)])
def test_a_status_from_300_to_399_is_a_redirect(status: int, redirects: bool) -> None:
    assert refusal(status, {"Location": "https://h/"}, ASKED).location == ("https://h/" if redirects else None)


def test_only_a_redirect_has_a_target_and_a_long_one_is_cut() -> None:
    assert refusal(404, {"Location": "https://h/"}, ASKED).location is None
    target = refusal(308, {"Location": "https://h/" + "x" * 1000}, ASKED).location
    assert target is not None
    assert len(target) == 200


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("9" * 400, 3600.0),
        ("Fri, 27 Nov 2026 02:01:30 GMT", 90.0),
        ("Fri, 27 Nov 2026 01:00:00 -0100", 0.0),
        ("Fri, 27 Nov 2026 02:01:30 -0000", 90.0),
        ("Thu, 26 Nov 2026 02:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_as_seen_from_the_answer(status: int, said: str, seconds: float | None) -> None:
    refused = refusal(status, {"Retry-After": said, "Date": DATE}, ASKED)
    assert refused.retry_after == seconds
    assert ("asks to wait" in str(refused)) is (seconds is not None)


def test_retry_after_without_a_date_of_the_answer_is_seen_from_here() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=1000))
    seconds = refusal(503, {"Retry-After": later}, ASKED).retry_after
    assert seconds is not None
    assert 990 < seconds <= 1000


@pytest.mark.parametrize("status", [200, 301, 500, 502])
def test_retry_after_counts_where_it_is_defined_for_a_refusal(status: int) -> None:
    assert refusal(status, {"Retry-After": "120"}, ASKED).retry_after is None


@pytest.mark.loopback
async def test_the_transport_reads_both_from_the_wire() -> None:
    async def answered(head: str) -> Any:
        async with HttpProxy(f"HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n".encode()).open() as server:
            transport = AiohttpTransport()
            with pytest.raises(UpgradeRefused) as caught:
                await transport.dial(server.url.replace("http", "ws") + "/v1/realtime?project=demo", {})
            await transport.close()
            return caught.value

    refused = await answered("301 Moved\r\nlocation: https://h/v1/realtime?project=demo")
    assert refused.location == "https://h/v1/realtime"
    assert (await answered("503 Busy\r\nretry-after: 7")).retry_after == 7.0


# --- the next dial ----------------------------------------------------------------------------------------------------


def refused(status: int, seconds: float | None, *, woken: bool = False) -> tuple[Bench, list[Record]]:
    """A dial that is refused, and the next one."""
    with collected() as records:
        bench = Bench(retry=RetryPolicy(attempts=None))
        Scribe(bench)
        bench.do(Connect())
        bench.do(DialFailure(bench.generation, UpgradeRefused(status, retry_after=seconds)))
        if woken:
            bench.do(ResumedFromSuspend(), after=1.0)
        bench.expire()
    return bench, records


@pytest.mark.parametrize(
    ("status", "seconds", "least"),
    [(503, 120.0, 120.0), (503, 1e9, 3600.0), (503, 0.5, 0.5), (503, 0.0, 0.0), (429, 5.0, 60.0), (429, 300.0, 300.0)],
)
def test_the_next_dial_waits_as_long_as_the_answer_asks(status: int, seconds: float, least: float) -> None:
    policy = RetryPolicy(attempts=None)
    bench, records = refused(status, seconds)
    waited = records[3]["dwell"]
    assert max(least, policy.delay(1, 0.0)) <= waited <= max(least, policy.delay(1, 1.0)) + policy.base
    assert audited(lines_of(records)).verdict == "conformant"
    assert bench.state is State.RECONNECTING


def test_a_dial_that_comes_earlier_than_asked_is_violated() -> None:
    _, records = refused(503, 120.0)
    assert found(audited(altered(records, 2, retry_after=400.0))) == ("violated", "delay")
    assert found(audited(altered(records, 2, retry_after=None))) == ("violated", "delay"), "nor may it come later"


@pytest.mark.parametrize(("seconds", "row"), [(120.0, "rec77"), (None, "rec76")])
def test_a_sleep_does_not_shorten_the_wait(seconds: float | None, row: str) -> None:
    _, records = refused(503, seconds, woken=True)
    assert records[3]["row"] == row
    assert audited(lines_of(records)).verdict == "conformant"
    other = {"rec76": "rec77", "rec77": "rec76"}[row]
    assert audited(altered(records, 3, row=other)).verdict == "violated"


def test_a_replay_waits_as_long(tmp_path: Path) -> None:
    _, records = refused(503, 120.0)
    played = replayed(log_of(tmp_path / "log", records))
    assert len(played) == len([record for record in records if record["event"] == "realtime.transition"])
    failure = DialFailure(1, UpgradeRefused(503, retry_after=120.0))
    assert source_of(failure) == "DialFailure(1, UpgradeRefused(503, retry_after=120.0))"


async def test_a_client_waits_as_long() -> None:
    network = Network()
    network.script.append(UpgradeRefused(503, retry_after=90.0))
    async with network.realtime() as realtime:
        await realtime.connect()
        first, second = network.dials
        assert 90.0 <= second - first <= 95.0


def test_an_error_that_is_raised_again_keeps_its_facts() -> None:
    copied = copy(UpgradeRefused(503, retry_after=9.0))
    assert (copied.status, copied.retry_after, copied.location) == (503, 9.0, None)
