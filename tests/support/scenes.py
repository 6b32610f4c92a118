"""The scenes: for each rule of the table, the steps that take it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from realtime_fsm.errors import CertificateRefused
from realtime_fsm.fsm.canary_policy import Canary
from realtime_fsm.fsm.inputs import (
    Authenticate,
    Closed,
    Connect,
    Deadline,
    Deaf,
    DialFailure,
    Disconnect,
    Dispose,
    ErrorReceived,
    GreetingReceived,
    LogOut,
    PingEnabledChanged,
    Pong,
    Reconnect,
    Recovered,
    ResumedFromSuspend,
    SetPresence,
    Unsubscribe,
)
from realtime_fsm.fsm.policies import PingPolicy
from realtime_fsm.fsm.table import TABLE, State, Trigger
from realtime_fsm.fsm.tablespec import Row
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.options import Timeouts
from support.bench import ONCE, Bench, any_input

D, R, C, S, U, P, E, X = State
OLD = {"era": Era.E2}
LOGIN, LOGOUT = Authenticate("session"), LogOut()
Scene = Callable[[Bench], object]
AnyRow = Row[State, Trigger]

LOSS: dict[int, dict[str, Any]] = {0: {"auto_reconnect": False}, 1: {}, 2: {"retry": ONCE}}


def _second_pending(bench: Bench) -> None:
    """Something is in flight beside what is acknowledged; from `unsubscribed`, a removal is."""
    if bench.state is U:
        bench.subscribe("s2")
        bench.acknowledge()
        bench.do(Unsubscribe("s2"))
    else:
        bench.subscribe("s2")


def _only_pending(bench: Bench) -> None:
    """Something is in flight, and nothing else is desired."""
    bench.subscribe("s2")
    bench.do(Unsubscribe("s1"))


def _then(*scenes: Scene) -> Scene:
    def in_turn(bench: Bench) -> None:
        for scene in scenes:
            scene(bench)

    return in_turn


def _nothing(_: Bench) -> None:
    pass


def _in_ping(after: State) -> Scene:
    """Arrange that the answer to the ping leads to a state."""

    def arrange(bench: Bench) -> None:
        if after is U:
            bench.do(Unsubscribe("s1"))
        elif after is C:
            bench.do(Unsubscribe("s1"))
            bench.subscribe("s2")

    return arrange


def _returns(number: int, take: Scene) -> dict[int, tuple[dict[str, Any], Scene, Scene]]:
    return {number + i: ({}, _in_ping(after), take) for i, after in enumerate((S, U, C))}


def _losses(number: int, before: Scene, take: Scene) -> dict[int, tuple[dict[str, Any], Scene, Scene]]:
    return {number + i: (options, before, take) for i, options in LOSS.items()}


def _hear_event(bench: Bench) -> None:
    bench.hear_something()


def _at_fault(bench: Bench) -> None:
    """A server fault is under way; in `ping`, another ping is out."""
    if bench.state is P:
        bench.err(0)
        bench.expire_until("sub64")
    else:
        _second_pending(bench)
        bench.err(500)
        assert bench.context.require_link.at_fault


def _ignore_reply(bench: Bench) -> None:
    _second_pending(bench)
    assert bench.context.reply_by is not None
    bench.now = bench.context.reply_by


def _shown(bench: Bench) -> None:
    """A presence is stored on the link."""
    pings = bench.state is P
    if pings:
        bench.hear(Pong(bench.generation))
    bench.do(SetPresence(b"{}", "one"))
    bench.acknowledge()
    if pings:
        bench.expire_until(_id(S, 64))


def _never_proven(bench: Bench) -> None:
    """The link is up, not everything was ever acknowledged on it, and the server refuses us, not a request."""
    state = bench.state
    bench.do(Reconnect())
    bench.do(Disconnect())
    bench.subscribe("s2")
    bench.open()
    bench.greet()
    bench.err(1013)
    if state is P:
        bench.expire()
    bench.err(1008)
    assert bench.state is state


def _back_without_greeting(bench: Bench) -> None:
    """A link has been up, and the next one is not greeted yet."""
    bench.open()
    bench.greet()
    bench.lose()
    bench.expire()
    bench.open()


def _hand_over(bench: Bench) -> None:
    """Let another link take the place of the one that is up; it is complete, and the old one not closed yet."""
    state = bench.state
    if state is P:
        bench.hear(Pong(bench.generation))
    bench.do(Reconnect())
    bench.open()
    bench.greet()
    if state in (S, P):
        bench.acknowledge()
    if state is U:
        bench.subscribe("s2")
        bench.acknowledge()
        bench.do(Unsubscribe("s2"))
        bench.acknowledge()
    if state is P:
        bench.expire_until(_id(S, 64))


def _draining(after: State) -> Scene:
    """Arrange that the old link of a handover, which is under way, leads back to a state."""

    def arrange(bench: Bench) -> None:
        state = bench.state
        if state is R:
            bench.open()
            bench.greet()
        if state is P:
            bench.hear(Pong(bench.generation))
        else:
            bench.subscribe("s1")
            bench.acknowledge()
        bench.do(Reconnect())
        if after is U:
            bench.do(Unsubscribe("s1"))
        if after is C:
            bench.subscribe("s2")
        if state is not R:
            bench.open()
            bench.greet()
            bench.err(1013)
        if state is P:
            bench.expire()

    return arrange


def _resumes(number: int, take: Scene, *, empty: bool = True) -> dict[int, tuple[dict[str, Any], Scene, Scene]]:
    states = (S, U, C) if empty else (S, None, C)
    return {number + i: ({"retry": ONCE}, _draining(after), take) for i, after in enumerate(states) if after is not None}


def _ignore_subscribe(bench: Bench) -> object:
    bench.expire_until(_id(C, 66))
    assert bench.context.reply_by is not None
    bench.now = bench.context.reply_by
    return bench.do(Deadline())


def _overdue(bench: Bench) -> object:
    return bench.do(Deadline())


SCENES: dict[int, tuple[dict[str, Any], Scene, Scene]] = {
    1: ({}, _nothing, lambda b: b.do(Connect())),
    2: ({}, _nothing, lambda b: b.subscribe("s2")),
    3: ({}, _nothing, lambda b: b.subscribe("s2")),
    4: ({}, _nothing, lambda b: b.subscribe("s2")),
    5: ({}, _nothing, lambda b: b.subscribe("s2")),
    6: ({}, lambda b: (b.subscribe("s1"), b.subscribe("s2"), b.acknowledge()), lambda b: b.do(Unsubscribe("s2"))),
    7: ({}, lambda b: b.state is C and b.subscribe("s1"), lambda b: b.do(Unsubscribe("s1"))),
    8: ({}, lambda b: (b.subscribe("s2"), b.subscribe("s3")), lambda b: b.do(Unsubscribe("s3"))),
    9: ({}, _nothing, lambda b: b.do(Unsubscribe("s1"))),
    10: ({}, _nothing, lambda b: b.do(Reconnect())),
    11: ({}, _nothing, lambda b: b.do(Reconnect())),
    12: ({}, _nothing, lambda b: b.do(Reconnect())),
    13: ({}, _nothing, lambda b: b.do(Disconnect())),
    14: ({}, _nothing, lambda b: b.do(Dispose())),
    15: ({}, _nothing, lambda b: b.do(PingEnabledChanged(enabled=False))),
    16: ({}, _nothing, lambda b: b.do(PingEnabledChanged(enabled=False))),
    17: ({}, _nothing, lambda b: b.do(PingEnabledChanged(enabled=True))),
    **_returns(18, lambda b: b.do(PingEnabledChanged(enabled=False))),
    98: ({}, _nothing, lambda b: b.do(SetPresence(b"{}"))),
    99: ({}, _nothing, lambda b: b.do(SetPresence(None))),
    100: ({}, _nothing, lambda b: b.do(SetPresence(b"{}"))),
    101: ({}, _nothing, lambda b: b.do(SetPresence(b"{}"))),
    90: ({}, _nothing, lambda b: b.do(Authenticate("session"))),
    91: ({}, _nothing, lambda b: b.do(Authenticate("session"))),
    92: ({}, _nothing, lambda b: b.do(Authenticate("session"))),
    93: ({}, _nothing, lambda b: b.do(Authenticate(None))),
    21: ({}, _nothing, lambda b: b.open()),
    35: ({}, lambda b: b.open(), lambda b: b.hear(GreetingReceived(b.generation, unexpected_guest=True))),
    22: ({}, lambda b: b.open(), lambda b: b.greet()),
    23: ({}, _nothing, lambda b: b.do(_bad_certificate(b))),
    24: ({}, _nothing, lambda b: b.fail_dial()),
    25: ({"retry": ONCE}, _nothing, lambda b: b.fail_dial()),
    94: ({}, lambda b: b.open(), lambda b: b.err(1008)),
    96: (OLD, lambda b: b.subscribe("s2"), lambda b: b.expire()),
    97: (OLD, lambda b: (b.open(), b.greet(), b.ask_anew("s1"), b.ask_anew("s2", up=False)), lambda b: b.err(1003)),
    26: ({"era": Era.E4}, lambda b: b.open(), lambda b: b.err(1008)),
    27: ({}, lambda b: b.open(), lambda b: b.err(500)),
    28: ({"retry": ONCE}, lambda b: b.open(), lambda b: b.err(500)),
    29: ({}, lambda b: b.open(), lambda b: b.lose(1008)),
    30: ({}, lambda b: b.open(), lambda b: b.lose()),
    31: ({"retry": ONCE}, lambda b: b.open(), lambda b: b.lose()),
    32: ({}, lambda b: b.fail_dial(), lambda b: b.expire()),
    33: ({}, _nothing, lambda b: b.expire()),
    34: ({"retry": ONCE}, lambda b: b.open(), lambda b: b.expire()),
    40: ({}, lambda b: b.subscribe("s1"), lambda b: b.acknowledge()),
    41: ({}, _then(_second_pending, lambda b: b.state is C and b.subscribe("s3")), lambda b: b.acknowledge()),
    **_returns(42, lambda b: b.hear(Pong(b.generation))),
    45: ({}, _second_pending, lambda b: b.err(1013)),
    46: ({}, lambda b: (b.subscribe("s1"), b.subscribe("s2"), b.acknowledge()), lambda b: b.err(1003)),
    47: ({}, _only_pending, lambda b: b.err(1003)),
    48: ({}, _then(_second_pending, lambda b: b.state is C and b.subscribe("s3")), lambda b: b.err(1003)),
    **_returns(49, lambda b: b.err(1003)),
    52: ({}, _nothing, lambda b: b.err(1008)),
    110: ({}, _second_pending, lambda b: b.err(500)),
    **_returns(111, lambda b: b.err(0)),
    114: ({}, _at_fault, lambda b: b.hear(Recovered(b.generation))),
    115: ({"ping": PingPolicy(interval=300.0)}, _then(_second_pending, lambda b: b.err(500)),
          lambda b: b.expire_until(_id(b.state, 115))),
    **_losses(53, _nothing, lambda b: b.err(500)),
    56: ({}, _never_proven, lambda b: b.lose()),
    130: ({}, _back_without_greeting, lambda b: b.hear(ErrorReceived(b.generation, 401, "", renewable=True))),
    **_losses(57, _nothing, lambda b: b.lose()),
    **_losses(60, _ignore_reply, _overdue),
    63: ({"timeouts": Timeouts(idle=20)}, _nothing, lambda b: b.expire()),
    73: ({"max_link_age": 20.0}, _nothing, lambda b: b.expire()),
    74: ({}, _nothing, lambda b: b.do(ResumedFromSuspend())),
    75: ({"ping": PingPolicy(enabled=False)}, _nothing, lambda b: b.do(ResumedFromSuspend())),
    76: ({}, lambda b: b.fail_dial(), lambda b: b.do(ResumedFromSuspend())),
    77: ({}, _nothing, lambda b: b.do(ResumedFromSuspend())),
    64: ({}, _nothing, lambda b: b.expire_until(_id(b.state, 64))),
    65: ({}, _nothing, lambda b: b.expire_until(_id(b.state, 65))),
    66: ({"ping": PingPolicy(interval=300.0)}, _then(_second_pending, lambda b: b.err(1013)),
         lambda b: b.expire_until(_id(b.state, 66))),
    **{number: (options, _then(arrange, _hear_event), take)
       for number, (options, arrange, take) in _returns(67, lambda b: b.expire()).items()},
    **_losses(70, _nothing, lambda b: b.expire()),
    **{number: ({**options, "canary": Canary()}, before, take)
       for number, (options, before, take) in _losses(162, _nothing, lambda b: b.do(Deaf(b.generation))).items()},
    80: ({}, _nothing, lambda b: b.do(Closed(b.generation))),
    170: ({}, _then(_draining(S), lambda b: b.open()), lambda b: b.hear(GreetingReceived(b.generation, user_changed=True))),
    171: ({}, _hand_over, lambda b: b.do(Closed(b.generation - 1))),
    172: ({}, _hand_over, lambda b: b.do(Closed(b.generation - 1))),
    **_resumes(173, lambda b: (b.open(), b.hear(GreetingReceived(b.generation, unexpected_guest=True)))),
    **_resumes(176, lambda b: b.fail_dial()),
    **_resumes(179, lambda b: (b.open(), b.err(500))),
    **_resumes(182, lambda b: (b.open(), b.lose())),
    **_resumes(185, lambda b: b.expire()),
    **_resumes(188, lambda b: b.err(500), empty=False),
    **_resumes(191, lambda b: b.lose(), empty=False),
    **{number: ({**options, "ping": PingPolicy(interval=300.0)}, before, take)
       for number, (options, before, take) in _resumes(194, _ignore_subscribe, empty=False).items()},
    **_resumes(197, lambda b: b.expire(), empty=False),
    160: ({}, _nothing, lambda b: b.do(any_input(Trigger.CANARY, 1))),
    161: ({}, _nothing, lambda b: b.do(any_input(Trigger.CANARY, 1))),
    150: ({}, _shown, lambda b: b.do(SetPresence(b"{}", "other"))),
    151: ({}, _nothing, lambda b: b.do(SetPresence(b"{}"))),
    152: ({}, _nothing, lambda b: b.do(LOGOUT)),
    153: ({}, lambda b: b.do(LOGOUT), lambda b: b.do(Closed(b.generation))),
    154: (OLD, lambda b: (b.open(), b.greet(), b.ask_anew("s1"), b.subscribe("s2"), b.expire(), b.do(LOGOUT)),
          lambda b: b.do(Closed(b.generation - 1))),
    155: ({}, lambda b: (b.do(LOGIN), b.open()), lambda b: b.hear(GreetingReceived(b.generation, unexpected_guest=True))),
    156: ({}, lambda b: b.do(LOGIN), lambda b: b.do(_bad_certificate(b))),
    157: ({"era": Era.E4}, lambda b: (b.do(LOGIN), b.open()), lambda b: b.err(1008)),
    158: ({}, lambda b: (b.do(LOGIN), b.open()), lambda b: b.lose(1008)),
    159: ({"retry": ONCE}, lambda b: b.do(LOGIN), lambda b: b.expire()),
}  # fmt: skip
"""For the number of each rule: the options of the bench, the steps before the rule from its source state, and the step that
takes the rule."""


def _id(state: State, number: int) -> str:
    return next(row.id for row in TABLE.rows if row.source is state and row.id[3:] == str(number))


def _bad_certificate(bench: Bench) -> DialFailure:
    return DialFailure(bench.generation, CertificateRefused("self-signed"))


def play(row: AnyRow) -> Bench:
    """Bring a rule about from its source state, and return the bench after the step."""
    options, before, take = SCENES[int(row.id[3:])]
    if int(row.id[3:]) == 75 and row.source is P:  # pings are on, and one is out
        options = {}
    bench = Bench(**options).to(row.source)
    before(bench)
    assert bench.state is row.source
    take(bench)
    return bench


def row_of(bench: Bench) -> str:
    """Return the id of the rule that the last step took; an empty text without one."""
    return bench.last.transition.row.id if bench.last.transition else ""
