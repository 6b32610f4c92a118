"""The test writer: write a replayed path as a test module that needs only this library.

Invariant: the machine has taken the written path. The test checks each transition rule, state, count and command.

Design: the writer rounds moments for readers, as far as the machine still takes the same path.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from realtime_fsm import errors
from realtime_fsm.audit.formats.text_utils import pluralize
from realtime_fsm.audit.secret_scan import looks_secret
from realtime_fsm.fsm import inputs
from realtime_fsm.fsm.policies import CARRIED
from realtime_fsm.fsm.table import TABLE
from realtime_fsm.protocol.spec import SubscriptionSpec
from realtime_fsm.replay.harness import DEFAULT_DRAW, MachineHarness, ReplayInput, command_words
from realtime_fsm.replay.inputs import CHANNEL, PLACEHOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from realtime_fsm.audit.policies import Policies
    from realtime_fsm.fsm.canary_policy import Canary
    from realtime_fsm.fsm.commands import StepResult
    from realtime_fsm.fsm.policies import PingPolicy
    from realtime_fsm.replay.replayer import ReplayedStep
    from realtime_fsm.replay.scenario import Outcome, Scenario

_DIGITS = (3, 6, 9, 12)
_CODE, _LINE = 60, 130
"""The longest input that sets the width of its column, and the longest line of a module without a note for linters."""
_PLAIN = re.compile(r"[A-Za-z0-9 _.;-]*")

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
    replay_inputs, digits = _shortest_moments(policies, played)
    too_fast = policies.ping.interval < CARRIED
    own_inputs = [replay_input.input_ for replay_input in replay_inputs]
    codes = [_code(input_) for input_ in own_inputs]
    failures = {type(cause).__name__ for input_ in own_inputs if (cause := getattr(input_, "cause", None)) is not None}
    names = {"Step", "check_path", *(type(input_).__name__ for input_ in own_inputs)}
    names |= {"SubscriptionSpec"} if any(hasattr(input_, "spec") for input_ in own_inputs) else set()
    names |= {"granted"} if any(isinstance(input_, inputs.Acknowledged) for input_ in own_inputs) else set()
    public = {
        "PingPolicy",
        "RetryPolicy",
        "Timeouts",
        *(() if policies.era is None else ("Era",)),
        *(() if policies.canary is None else ("Canary",)),
        *(("PingPolicyWarning",) if too_fast else ()),
        *failures,
        *(() if scenario is None else ("Realtime",)),
    }
    names |= set() if scenario is None else {"Outcome", "play"}
    steps = list(_steps(played, replay_inputs, codes, digits))
    yield _HEAD.format(
        connection=_describe_connection(connection),
        steps=pluralize(len(replay_inputs), "step"),
        noqa="# ruff: noqa: E501, RUF100\n\n" if max(map(len, steps)) > _LINE else "",
        seconds=f"{played[-1].seconds:.1f}",
        table=TABLE.fingerprint,
        incomplete="" if incomplete_reason is None else " The log tells no more, because something is missing in it.",
        public=_listed(public),
        names=_listed(names),
        server="" if scenario is None else "from realtime_fsm.testing import RealtimeServer\n",
        scenario="" if scenario is None else _SCENARIO_NOTE,
        retry=policies.retry,
        warnings="\nfrom warnings import catch_warnings, simplefilter\n" if too_fast else "",
        ping=_ping(policies.ping, too_fast=too_fast),
        timeouts=policies.timeouts,
    ).rstrip("\n")
    yield from steps
    era = None if policies.era is None else f"Era.{policies.era.value}"
    tail = _TAIL.format(auto=policies.auto_reconnect, age=policies.max_link_age, era=era, more=_canary(policies.canary))
    yield tail.rstrip("\n")
    if scenario is not None:
        yield _scenario(policies, *scenario)


def _listed(names: Iterable[str]) -> str:
    return "\n".join(f"    {name}," for name in sorted(names))


def _scenario(policies: Policies, scenario: Scenario, outcome: Outcome) -> str:
    """Write the test that runs the user's code."""
    steps = [f"    {_quoted(f'{step};')}" for step in scenario.script.split("; ")] if scenario.script else []
    outages = "".join(f"{_quoted(cause)}, " for cause in outcome.outages)
    return _SCENARIO.format(
        script=_quoted(scenario.script) if len(steps) < 2 else "\n".join(["(", *steps, ")"]),
        seconds=scenario.seconds,
        era=scenario.era,
        auto=policies.auto_reconnect,
        age=policies.max_link_age,
        outages=f"({outages.rstrip() if len(outcome.outages) == 1 else outages.rstrip(', ')})",
        is_live=outcome.is_live,
        error=None if outcome.error is None else _quoted(outcome.error),
    ).rstrip("\n")


def _ping(ping: PingPolicy, *, too_fast: bool) -> str:
    """Write a statement that makes a ping policy, without a second warning of a policy that is too fast."""
    if not too_fast:
        return f"PING = {ping}"
    return f'with catch_warnings():\n    simplefilter("ignore", PingPolicyWarning)\n    PING = {ping}'


def _canary(canary: Canary | None) -> str:
    """Write a canary policy as a further argument. The test never calls its `write`."""
    if canary is None:
        return ""
    write = "" if canary.write is None else f", write=print, channel={_quoted(CHANNEL)}"
    return f",\n        canary=Canary({canary.every!r}, {canary.within!r}{write}),"


def _steps(
    played: Sequence[ReplayedStep], replay_inputs: Sequence[ReplayInput], codes: Sequence[str], digits: int | None
) -> Iterator[str]:
    width = min(_CODE, max(map(len, codes)))
    last = len(_at(replay_inputs[-1].at, digits))
    for step, replay_input, code in zip(played, replay_inputs, codes, strict=True):
        row = "None" if step.result.transition is None else _quoted(step.result.transition.row.id)
        yield (
            f"    Step({_at(replay_input.at, digits):>{last}}, {f'{code},':<{width + 1}} {f'{row},':<8} "
            f"{f'{_quoted(step.state)},':<15} {step.link}, {step.attempt}, {step.sends}, "
            f"{_quoted(command_words(step.result))}{''.join(_optional_arguments(replay_input, digits))}),"
        )


def _describe_connection(connection: str) -> str:
    plain = _PLAIN.fullmatch(connection) and not looks_secret(connection)
    return f"connection {connection}" if plain else "a connection"


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


# --- readable moments -------------------------------------------------------------------------------------------------


def _shortest_moments(policies: Policies, played: Sequence[ReplayedStep]) -> tuple[list[ReplayInput], int | None]:
    """Round the moments, counted from the first step, to the fewest digits that keep the path.

    Returns:
        The inputs and the number of digits; the inputs of the log and None if every rounding changes the path.
    """
    for digits in _DIGITS:
        rounded = _rounded(policies, played, digits)
        if rounded is not None:
            return rounded, digits
    return [step.input_ for step in played], None


def _rounded(policies: Policies, played: Sequence[ReplayedStep], digits: int) -> list[ReplayInput] | None:
    """Round the moments of inputs; return None if the machine then takes another path."""
    harness, began, rounded = MachineHarness(policies), played[0].input_.at, list[ReplayInput]()
    for step in played:
        near = _near(harness, step.input_, began, rounded[-1].at if rounded else 0.0, digits)
        if not _is_as_played(step, harness.feed(near), harness):
            return None
        rounded.append(near)
    return rounded


def _near(harness: MachineHarness, replay_input: ReplayInput, began: float, now: float, digits: int) -> ReplayInput:
    """Round the moments of an input. No moment precedes `now`, and a passed deadline stays passed. Pause the harness."""
    pauses = tuple((max(now, round(at - began, digits)), paused) for at, paused in replay_input.pauses)
    harness.pause(pauses)
    now, due = max(now, round(replay_input.at - began, digits)), harness.context.deadline
    if isinstance(replay_input.input_, inputs.Deadline) and due is not None:
        now = max(now, _round_up(due, digits))
    dial_slot = replay_input.dial_slot
    if dial_slot is not None:
        dial_slot = max(_round_up(dial_slot - began, digits), now + 10.0**-digits)
    return replace(replay_input, at=now, draw=round(replay_input.draw, 6), dial_slot=dial_slot, pauses=pauses)


def _is_as_played(step: ReplayedStep, result: StepResult, harness: MachineHarness) -> bool:
    context, own, logged = harness.context, result.transition, step.result.transition
    counts = (context.generation, context.attempt, context.frames_sent)
    return (
        (own and own.row) == (logged and logged.row)
        and (harness.state, *counts) == (step.state, step.link, step.attempt, step.sends)
        and command_words(result) == command_words(step.result)
    )


def _round_up(moment: float, digits: int) -> float:
    up = math.ceil(moment * 10.0**digits) / 10.0**digits
    return up if up >= moment else round(up + 10.0**-digits, digits)


# --- code -------------------------------------------------------------------------------------------------------------


def _code(input_: inputs.Input) -> str:
    """Write an input as Python, without arguments that equal their defaults."""
    if isinstance(input_, inputs.LinkClosed) and input_.cause is None:
        return f"LinkClosed({input_.generation}, {input_.close_code})"
    arguments: list[str] = []
    skipped = False
    names, defaults = input_.__struct_fields__, input_.__struct_defaults__
    default_of = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
    for name in names:
        value = getattr(input_, name)
        if name in default_of and value == default_of[name]:
            skipped = True
        else:
            arguments.append(f"{name}=" * (skipped or isinstance(value, bool)) + _value(value))
    return f"{type(input_).__name__}({', '.join(arguments)})"


def _value(value: Any) -> str:
    match value:
        case str():
            return _quoted(value)
        case errors.LinkFailure():
            return _failure(value)
        case SubscriptionSpec(id=identifier, channels=channels, queries=queries):
            filtered = f", ({_quoted(queries[0])},)" if queries else ""
            return f"SubscriptionSpec({_quoted(identifier)}, ({_channel(channels[0])},){filtered})"
        case tuple():
            return f"granted({', '.join(_quoted(each.subscription_id) for each in value)})"
        case _:
            return repr(value)


def _failure(cause: errors.LinkFailure) -> str:
    name = type(cause).__name__
    match cause:
        case errors.UpgradeRefused(status=number, retry_after=seconds) if seconds is not None:
            return f"{name}({number}, retry_after={seconds!r})"
        case errors.UpgradeRefused(status=number) | errors.StreamEnded(close_code=number) | errors.FrameTooLarge(limit=number):
            return f"{name}({number})"
        case errors.ServerError(code=code):
            return f"{name}({_value(code)}, {_quoted(PLACEHOLDER)})"
        case _:
            return f"{name}({_quoted(PLACEHOLDER)})"


def _channel(channel: str) -> str:
    return _quoted(channel) if channel == CHANNEL else f'{_quoted(channel.rstrip("-"))}.ljust({len(channel)}, "-")'


def _quoted(text: str) -> str:
    return f'"{text}"' if _PLAIN.fullmatch(text) else ascii(text)
