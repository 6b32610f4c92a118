"""The test writer: write a replayed path as a test module that needs only this library.

Invariant: the machine has taken the written path. The test checks each transition rule, state, count and command.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from realtime_fsm.audit.formats.text_utils import pluralize
from realtime_fsm.audit.secret_scan import looks_secret
from realtime_fsm.fsm.policies import CARRIED
from realtime_fsm.fsm.table import TABLE
from realtime_fsm.replay.harness import DEFAULT_DRAW
from realtime_fsm.replay.inputs import CHANNEL
from realtime_fsm.replay.rounding import shortest_moments
from realtime_fsm.replay.source_code import PLAIN, quoted, source_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from realtime_fsm.audit.policies import Policies
    from realtime_fsm.fsm.canary_policy import Canary
    from realtime_fsm.replay.harness import ReplayInput
    from realtime_fsm.replay.replayer import ReplayedStep
    from realtime_fsm.replay.scenario import Outcome, Scenario

_CODE, _LINE = 60, 130
"""The longest input that sets the width of its column, and the longest line of a module without a note for linters."""
_PUBLIC = {"Canary", "Era", "PingPolicy", "PingPolicyWarning", "Realtime"}
_FACADE = {"Outcome", "Step", "SubscriptionSpec", "check_path", "granted", "play"}
"""The names that a test imports if its code uses them."""

_HEAD = '''\
"""The path of {connection}, as its audit log tells it: {steps}, {seconds} seconds.

Written by `realtime-fsm replay --emit-test`; the table was {table}.{incomplete}
The log names no channels and holds no payloads, sessions or texts of the server: placeholders stand for them. The test feeds
the machine the inputs of the log at their moments. The machine must take the same rules and give the same commands.{scenario}
"""

{noqa}from __future__ import annotations
{warnings}
from realtime_fsm import (
{public}
)
{server}from realtime_fsm.testing.replay import (
{names}
)

RETRY = {retry}
{ping}
TIMEOUTS = {timeouts}

# fmt: off
STEPS = (
'''
_SCENARIO_NOTE = """

A second test runs your code, in virtual time, with a client of an embedded server that fails as the server of the log did."""
_SCENARIO = '''

SCRIPT = {script}
"""The faults of the server, from the log, as `RealtimeServer.script` takes them. The log holds no events."""


async def your_code(realtime: Realtime, server: RealtimeServer) -> None:
    """PUT YOUR CODE HERE, in place of these lines. The test cancels it {seconds:g} s after the first dial, or later."""
    subscription = await realtime.subscribe("rows")
    server.publish("rows.r1.create", "rows", {{"$id": "r1"}})
    async for event in subscription:
        assert event.action == "create"


def test_your_code_meets_the_faults_of_the_log() -> None:
    outcome = play(
        SCRIPT,
        your_code,
        seconds={seconds!r},
        era="{era}",
        retry=RETRY,
        ping=PING,
        timeouts=TIMEOUTS,
        auto_reconnect={auto},
        max_link_age={age},
    )
    assert outcome == Outcome(outages={outages}, is_live={is_live}, error={error})
'''
_TAIL = """\
)
# fmt: on


def test_the_connection_takes_the_path_that_was_logged() -> None:
    check_path(
        STEPS, retry=RETRY, ping=PING, timeouts=TIMEOUTS, auto_reconnect={auto}, max_link_age={age}, era={era}{more}
    )
"""


def write_test(
    policies: Policies,
    played: Sequence[ReplayedStep],
    connection: str,
    incomplete_reason: str | None,
    scenario: tuple[Scenario, Outcome] | None = None,
) -> Iterator[str]:
    """Write the lines of a test module that takes the same path.

    Args:
        policies: the settings of the connection.
        played: the steps.
        connection: the id of the connection.
        incomplete_reason: the reason for which the log holds no more records; None for a complete log.
        scenario: the scenario for a second test, and its outcome for a connection with one subscription; None for no second test.
    """
    replay_inputs, digits = shortest_moments(policies, played)
    steps = list(_steps(played, replay_inputs, digits))
    ping, too_fast = f"PING = {policies.ping}", policies.ping.interval < CARRIED
    if too_fast:  # the program was warned
        ping = f'with catch_warnings():\n    simplefilter("ignore", PingPolicyWarning)\n    {ping}'
    era = None if policies.era is None else f"Era.{policies.era.value}"
    tail = _TAIL.format(auto=policies.auto_reconnect, age=policies.max_link_age, era=era, more=_canary(policies.canary))
    second = "" if scenario is None else _scenario(policies, *scenario)
    words = set(re.findall(r"\w+", "\n".join([ping, *steps, tail, second])))
    kinds = {type(each.input_).__name__ for each in replay_inputs}
    failures = {type(cause).__name__ for each in replay_inputs if (cause := getattr(each.input_, "cause", None)) is not None}
    is_plain = PLAIN.fullmatch(connection) and not looks_secret(connection)
    yield _HEAD.format(
        connection=f"connection {connection}" if is_plain else "a connection",
        steps=pluralize(len(replay_inputs), "step"),
        noqa="# ruff: noqa: E501, RUF100\n\n" if max(map(len, steps)) > _LINE else "",
        seconds=f"{played[-1].seconds:.1f}",
        table=TABLE.fingerprint,
        incomplete="" if incomplete_reason is None else " The log tells no more, because something is missing in it.",
        public=_listed(words & _PUBLIC | failures | {"RetryPolicy", "Timeouts"}),
        names=_listed(words & _FACADE | kinds),
        server="" if scenario is None else "from realtime_fsm.testing import RealtimeServer\n",
        scenario="" if scenario is None else _SCENARIO_NOTE,
        retry=policies.retry,
        warnings="\nfrom warnings import catch_warnings, simplefilter\n" if too_fast else "",
        ping=ping,
        timeouts=policies.timeouts,
    ).rstrip("\n")
    yield from steps
    yield tail.rstrip("\n")
    if second:
        yield second


def _listed(names: Iterable[str]) -> str:
    return "\n".join(f"    {name}," for name in sorted(names))


def _scenario(policies: Policies, scenario: Scenario, outcome: Outcome) -> str:
    """Write the test that runs the user's code."""
    steps = [f"    {quoted(f'{step};')}" for step in scenario.script.split("; ")] if scenario.script else []
    outages = "".join(f"{quoted(cause)}, " for cause in outcome.outages)
    return _SCENARIO.format(
        script=quoted(scenario.script) if len(steps) < 2 else "\n".join(["(", *steps, ")"]),
        seconds=scenario.seconds,
        era=scenario.era,
        auto=policies.auto_reconnect,
        age=policies.max_link_age,
        outages=f"({outages.rstrip() if len(outcome.outages) == 1 else outages.rstrip(', ')})",
        is_live=outcome.is_live,
        error=None if outcome.error is None else quoted(outcome.error),
    ).rstrip("\n")


def _canary(canary: Canary | None) -> str:
    """Write a canary policy as a further argument. The test never calls its `write`."""
    if canary is None:
        return ""
    write = "" if canary.write is None else f", write=print, channel={quoted(CHANNEL)}"
    return f",\n        canary=Canary({canary.every!r}, {canary.within!r}{write}),"


def _steps(played: Sequence[ReplayedStep], replay_inputs: Sequence[ReplayInput], digits: int | None) -> Iterator[str]:
    codes = [source_of(replay_input.input_) for replay_input in replay_inputs]
    width = min(_CODE, max(map(len, codes)))
    last = len(_at(replay_inputs[-1].at, digits))
    for step, replay_input, code in zip(played, replay_inputs, codes, strict=True):
        rule, state, link, attempt, sends, asks = step.reached
        yield (
            f"    Step({_at(replay_input.at, digits):>{last}}, {f'{code},':<{width + 1}} "
            f"{f'{rule and quoted(rule)},':<8} {f'{quoted(state)},':<15} {link}, {attempt}, {sends}, "
            f"{quoted(asks)}{''.join(_optional_arguments(replay_input, digits))}),"
        )


def _optional_arguments(replay_input: ReplayInput, digits: int | None) -> Iterator[str]:
    if replay_input.draw != DEFAULT_DRAW:
        yield f", draw={replay_input.draw!r}"
    if replay_input.dial_slot is not None:
        yield f", dial_slot={_at(replay_input.dial_slot, digits)}"
    if replay_input.heard:
        yield ", heard=True"
    if replay_input.pauses:
        yield f", pauses=({' '.join(f'({_at(at, digits)}, {paused}),' for at, paused in replay_input.pauses)})"


def _at(moment: float, digits: int | None) -> str:
    return repr(moment) if digits is None else f"{moment:.{digits}f}"
