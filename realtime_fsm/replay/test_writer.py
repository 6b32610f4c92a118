"""Emitting: a path that was replayed, written down as a test module that needs nothing but this library.

The law: what is written has been run. The moments are rounded as far as the machine still takes the same path with them, so that
people can read them; the test holds the machine to each row, state and count, and to what it asks to be done.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from realtime_fsm import errors
from realtime_fsm.audit.formats.text_utils import pluralize
from realtime_fsm.audit.secret_scan import looks_secret
from realtime_fsm.fsm import inputs
from realtime_fsm.fsm.canary import CANARY
from realtime_fsm.fsm.policies import CARRIED
from realtime_fsm.fsm.table import TABLE
from realtime_fsm.protocol.frames import MAX_CLIENT_PAYLOAD, subscribe_item
from realtime_fsm.replay.harness import DEFAULT_DRAW, MachineHarness, ReplayInput, asks
from realtime_fsm.replay.inference import PLACEHOLDER
from realtime_fsm.replay.inputs import CHANNEL, spec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from realtime_fsm.audit.tracking import Policies
    from realtime_fsm.fsm.canary_policy import Canary
    from realtime_fsm.fsm.commands import StepResult
    from realtime_fsm.fsm.policies import PingPolicy
    from realtime_fsm.replay.replayer import ReplayedStep

_DIGITS = (3, 6, 9)
_CODE, _LINE = 60, 130
"""The longest input that others are aligned with, and the longest line of a module that linters are not told of."""
_PLAIN = re.compile(r"[A-Za-z0-9 _.-]*")

_HEAD = '''\
"""The path of {connection}, as its audit log tells it: {steps}, {seconds} seconds.

Written by `realtime-fsm replay --emit-test`; the table was {table}.{doubt}
The log names no channels and holds no payloads, sessions or texts of the server: placeholders stand for them. The machine is
stepped with what happened, at the moments of the log, and must take the same rows and ask for the same things again.
"""

{noqa}from __future__ import annotations
{warnings}
from realtime_fsm import {public}
from realtime_fsm.testing.replay import (
{names}
)

RETRY = {retry}
{ping}
TIMEOUTS = {timeouts}

# fmt: off
STEPS = (
'''
_TAIL = """\
)
# fmt: on


def test_the_connection_takes_the_path_that_was_logged() -> None:
    check_path(
        STEPS, retry=RETRY, ping=PING, timeouts=TIMEOUTS, auto_reconnect={auto}, max_link_age={age}, era={era}{more}
    )
"""


def write_test(policies: Policies, played: Sequence[ReplayedStep], connection: str, doubt: str | None) -> Iterator[str]:
    """The lines of a test module that takes the same path.

    Args:
        policies: the settings.
        played: the steps.
        connection: the connection's id.
        doubt: why the log tells no more; None if it tells all.
    """
    replay_inputs, digits = _shortest_moments(policies, played)
    too_fast = policies.ping.interval < CARRIED
    codes = [_code(replay_input.input_) for replay_input in replay_inputs]
    names = {name for code in codes for name in re.findall(r"\b[A-Z]\w+(?=\()", code)}
    used = {"Step", "check_path"} | {name for name in names if not hasattr(errors, name)}
    used |= {"granted"} if any("granted(" in code for code in codes) else set()
    public = {
        "PingPolicy",
        "RetryPolicy",
        "Timeouts",
        *(() if policies.era is None else ("Era",)),
        *(() if policies.canary is None else ("Canary",)),
        *(("PingPolicyWarning",) if too_fast else ()),
    } | {name for name in names if hasattr(errors, name)}
    steps = list(_steps(played, replay_inputs, codes, digits))
    yield _HEAD.format(
        connection=_named(connection),
        steps=pluralize(len(replay_inputs), "step"),
        noqa="# ruff: noqa: E501\n\n" if max(map(len, steps)) > _LINE else "",
        seconds=f"{replay_inputs[-1].at:.1f}",
        table=TABLE.fingerprint,
        doubt="" if doubt is None else " The log tells no more, because something is missing in it.",
        public=", ".join(sorted(public)),
        names="\n".join(f"    {name}," for name in sorted(used)),
        retry=policies.retry,
        warnings="\nfrom warnings import catch_warnings, simplefilter\n" if too_fast else "",
        ping=_ping(policies.ping, too_fast=too_fast),
        timeouts=policies.timeouts,
    ).rstrip("\n")
    yield from steps
    protocol = None if policies.era is None else f"Era.{policies.era.value}"
    more = _canary(policies.canary)
    tail = _TAIL.format(auto=policies.auto_reconnect, age=policies.max_link_age, era=protocol, more=more)
    yield tail.rstrip("\n")


def _ping(ping: PingPolicy, *, too_fast: bool) -> str:
    """A ping policy, as a statement that does not warn again of one that is too fast."""
    if not too_fast:
        return f"PING = {ping}"
    return f'with catch_warnings():\n    simplefilter("ignore", PingPolicyWarning)\n    PING = {ping}'


def _canary(canary: Canary | None) -> str:
    """A canary policy, as a further argument; a canary that writes has something in its place that nothing calls."""
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
            f"{_quoted(asks(step.result))}{''.join(_more(replay_input, digits))}),"
        )


def _named(connection: str) -> str:
    plain = _PLAIN.fullmatch(connection) and not looks_secret(connection)
    return f"connection {connection}" if plain else "a connection"


def _more(replay_input: ReplayInput, digits: int | None) -> Iterator[str]:
    if replay_input.draw != DEFAULT_DRAW:
        yield f", draw={replay_input.draw!r}"
    if replay_input.place is not None:
        yield f", dial_slot={_at(replay_input.place, digits)}"
    if replay_input.heard:
        yield ", heard=True"
    if replay_input.pauses:
        yield f", pauses=({' '.join(f'({_at(at, digits)}, {paused}),' for at, paused in replay_input.pauses)})"


def _at(moment: float, digits: int | None) -> str:
    return repr(moment) if digits is None else f"{moment:.{digits}f}"


# --- moments that people can read -------------------------------------------------------------------------------------


def _shortest_moments(policies: Policies, played: Sequence[ReplayedStep]) -> tuple[list[ReplayInput], int | None]:
    """The inputs with moments of as few digits as lead along the same path; and how many these are, None for all."""
    replay_inputs = [step.input_ for step in played]
    specs = [replay_input.input_.spec for replay_input in replay_inputs if isinstance(replay_input.input_, inputs.Subscribe)]
    if sum(len(subscribe_item(each.id, each.channels, ())) for each in specs) < MAX_CLIENT_PAYLOAD / 2:
        replay_inputs = [
            _without_padding(replay_input) for replay_input in replay_inputs
        ]  # all of them fit into one frame, whatever their sizes
    for digits in _DIGITS:
        rounded = _rounded(policies, played, replay_inputs, digits)
        if rounded is not None:
            return rounded, digits
    return replay_inputs, None


def _without_padding(replay_input: ReplayInput) -> ReplayInput:
    input_ = replay_input.input_
    if not isinstance(input_, inputs.Subscribe) or input_.spec.queries:
        return replay_input
    return replace(replay_input, input_=inputs.Subscribe(spec(input_.spec.id)))


def _rounded(
    policies: Policies, played: Sequence[ReplayedStep], replay_inputs: Sequence[ReplayInput], digits: int
) -> list[ReplayInput] | None:
    """The inputs, rounded; None if the machine takes another path with them.

    An input at the very moment at which something falls due may be rounded to the wrong side of it: then the next one will do.
    """
    harness, rounded, unit = MachineHarness(policies), list[ReplayInput](), 10.0**-digits
    for step, replay_input in zip(played, replay_inputs, strict=True):
        for nudge in (0.0, unit, -unit):
            if nudge:
                harness = MachineHarness(policies, rounded)
            near = _near(harness, replay_input, rounded[-1].at if rounded else 0.0, digits, nudge)
            if _is_as_played(step, harness.feed(near), harness):
                rounded.append(near)
                break
        else:
            return None
    return rounded


def _near(harness: MachineHarness, replay_input: ReplayInput, now: float, digits: int, nudge: float) -> ReplayInput:
    """An input, rounded, and not before a moment; the stage reads and pauses as it says."""
    pauses = tuple((max(now, round(at, digits)), paused) for at, paused in replay_input.pauses)
    for at, paused in pauses:
        harness.read(at, paused=paused)
    now, due = max(now, round(round(replay_input.at, digits) + nudge, digits)), harness.context.deadline
    if isinstance(replay_input.input_, inputs.Deadline) and due is not None:
        now = max(now, _round_up(due, digits))
    place = None if replay_input.place is None else max(_round_up(replay_input.place, digits), now + 10.0**-digits)
    return replace(replay_input, at=now, draw=round(replay_input.draw, 6), place=place, pauses=pauses)


def _is_as_played(step: ReplayedStep, result: StepResult, harness: MachineHarness) -> bool:
    context = harness.context
    return (
        (result.transition and result.transition.row) == (step.result.transition and step.result.transition.row)
        and (harness.state, context.generation, context.attempt, context.frames_sent)
        == (step.state, step.link, step.attempt, step.sends)
        and list(map(type, result.commands)) == list(map(type, step.result.commands))
    )


def _round_up(moment: float, digits: int) -> float:
    up = math.ceil(moment * 10.0**digits) / 10.0**digits
    return up if up >= moment else round(up + 10.0**-digits, digits)


# --- code -------------------------------------------------------------------------------------------------------------


def _code(input_: inputs.Input) -> str:
    """An input, as Python says it."""
    name = type(input_).__name__
    match input_:
        case inputs.Subscribe(spec=wanted) if wanted.queries:
            channel, query = _channel(wanted.channels[0]), _quoted(wanted.queries[0])
            return f"{name}(SubscriptionSpec({_quoted(wanted.id)}, ({channel},), ({query},)))"
        case inputs.Subscribe(spec=wanted):
            return f"{name}(SubscriptionSpec({_quoted(wanted.id)}, ({_channel(wanted.channels[0])},)))"
        case inputs.Unsubscribe(id=identifier):
            return f"{name}({_quoted(identifier)})"
        case inputs.Authenticate(session=session):
            return f"{name}({None if session is None else _quoted(PLACEHOLDER)})"
        case inputs.SetPresence(message=message, id=identifier):
            return f"{name}({message!r}, {_quoted(identifier)})"
        case inputs.Probe(presence=None):
            return f"{name}(SubscriptionSpec({_quoted(CANARY)}, ({_quoted(CHANNEL)},)))"
        case inputs.Probe(presence=presence, id=identifier):
            return f"{name}(SubscriptionSpec({_quoted(CANARY)}, ({_quoted(CHANNEL)},)), {presence!r}, {_quoted(identifier)})"
        case inputs.PingEnabledChanged(enabled=enabled):
            return f"{name}(enabled={enabled})"
        case inputs.GreetingReceived(
            generation=link, unexpected_guest=stranger, has_subscription_ids=has_ids, user_changed=other
        ):
            words = (
                ", unexpected_guest=True" * stranger,
                ", has_subscription_ids=False" * (not has_ids),
                ", user_changed=True" * other,
            )
            return f"{name}({link}{''.join(words)})"
        case inputs.Acknowledged(generation=link, to=to, acknowledged=granted):
            return f"{name}({link}, {_quoted(to)}, granted({', '.join(_quoted(g.subscription_id) for g in granted)}))"
        case inputs.ErrorReceived(generation=link, code=code, message=message, renewable=renewable):
            return f"{name}({link}, {_literal(code)}, {_quoted(message)}{', renewable=True' * renewable})"
        case inputs.LinkClosed(generation=link, close_code=code, cause=None):
            return f"{name}({link}, {code})"
        case inputs.LinkClosed(generation=link, cause=cause) if cause is not None:
            return f"{name}({link}, cause={_failure(cause)})"
        case inputs.DialFailure(generation=link, cause=cause):
            return f"{name}({link}, {_failure(cause)})"
        case inputs.SocketInput(generation=link):
            return f"{name}({link})"
        case _:
            return f"{name}()"


def _failure(cause: errors.LinkFailure) -> str:
    name = type(cause).__name__
    match cause:
        case errors.UpgradeRefused(status=number, retry_after=seconds) if seconds is not None:
            return f"{name}({number}, retry_after={seconds!r})"
        case errors.UpgradeRefused(status=number) | errors.StreamEnded(close_code=number) | errors.FrameTooLarge(limit=number):
            return f"{name}({number})"
        case errors.ServerError(code=code):
            return f"{name}({_literal(code)}, {_quoted(PLACEHOLDER)})"
        case _:
            return f"{name}({_quoted(PLACEHOLDER)})"


def _channel(channel: str) -> str:
    return _quoted(channel) if channel == CHANNEL else f'{_quoted(channel.rstrip("-"))}.ljust({len(channel)}, "-")'


def _literal(code: int | str) -> str:
    return _quoted(code) if isinstance(code, str) else repr(code)


def _quoted(text: str) -> str:
    return f'"{text}"' if _PLAIN.fullmatch(text) else ascii(text)
