"""Each note of each trigger leaves its fact before a guard is asked; a note that finishes the step lets nothing follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from realtime_fsm.errors import GreetedAsGuest, Overdue, RealtimeError, ServerError, StreamEnded
from realtime_fsm.fsm.canary_policy import Canary
from realtime_fsm.fsm.commands import CloseLink, SubscriptionRefused, SubscriptionRemoved, UserIdentified
from realtime_fsm.fsm.context import ConnectionContext
from realtime_fsm.fsm.guards import GUARDS
from realtime_fsm.fsm.inputs import (
    Acknowledged,
    Authenticate,
    Closed,
    Deadline,
    Deaf,
    Disconnect,
    ErrorReceived,
    GreetingReceived,
    Input,
    LinkClosed,
    LogOut,
    PingEnabledChanged,
    Pong,
    Recovered,
    SetPresence,
    Subscribe,
    Unsubscribe,
)
from realtime_fsm.fsm.names import Note
from realtime_fsm.fsm.notes import NOTES, apply_notes
from realtime_fsm.fsm.table import TABLE, State, Trigger
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.frames import AcknowledgedSubscription
from realtime_fsm.protocol.spec import SubscriptionSpec
from support.bench import Bench, any_input

D, R, C, S, U, P, E, X = State
T = Trigger
Scene = Callable[[Bench], object]


@dataclass(frozen=True)
class Case:
    """Where a note runs, on which input, and the fact before and after it."""

    trigger: Trigger
    note: Note
    state: State
    input_of: Callable[[Bench], Input]
    fact: Callable[[ConnectionContext], Any]
    before: Any
    after: Any
    scene: Scene = lambda bench: None
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.trigger}-{self.note}"


def error_of(context: ConnectionContext) -> type[RealtimeError] | None:
    return None if context.step.failure is None else type(context.step.failure)


def commands_of(kind: type) -> Callable[[ConnectionContext], int]:
    return lambda context: sum(type(command) is kind for command in context.step.commands)


def at_fault(context: ConnectionContext) -> bool:
    return context.require_link.at_fault


def meet_fault(bench: Bench) -> None:
    """A ping is refused for a server fault, and the next one is out."""
    bench.err(0)
    bench.expire_until("sub64")
    assert at_fault(bench.context)


def ask_for_more(bench: Bench) -> None:
    bench.subscribe("s2")


def drain(bench: Bench) -> None:
    """Another URL is wanted: the link before drains, and the next one waits for the greeting."""
    bench.open()
    bench.greet()
    bench.ask_anew("s1")
    bench.ask_anew("s2", up=False)
    assert bench.context.draining_generation is not None


def error(code: int) -> Callable[[Bench], Input]:
    return lambda bench: ErrorReceived(bench.generation, code, "Error: Server Error")


def reply(bench: Bench) -> Input:
    return Acknowledged(bench.generation, "subscribe", (AcknowledgedSubscription("s2", ("rows",)),))


CASES = [
    Case(T.SUBSCRIBE, Note.ADD_SUBSCRIPTION, D, lambda b: Subscribe(SubscriptionSpec("s1", ("rows",))),
         lambda c: list(c.subscriptions.desired), [], ["s1"]),
    Case(T.SUBSCRIBE, Note.UPDATE_TIMERS, S, lambda b: Subscribe(SubscriptionSpec("s2", ("rows",))),
         lambda c: c.require_link.handover_wanted_since is None, True, False, options={"era": Era.E2}),
    Case(T.UNSUBSCRIBE, Note.REMOVE_SUBSCRIPTION, S, lambda b: Unsubscribe("s1"),
         lambda c: list(c.subscriptions.desired), ["s1"], []),
    Case(T.UNSUBSCRIBE, Note.UPDATE_TIMERS, S, lambda b: Unsubscribe("s1"),
         lambda c: c.require_link.idle_since is None, True, False),
    Case(T.AUTHENTICATE, Note.BEGIN_IDENTITY_TRIAL, S, lambda b: Authenticate("session"),
         lambda c: (c.session, c.trial), (None, False), ("session", True)),
    Case(T.LOG_OUT, Note.END_IDENTITY_TRIAL, R, lambda b: LogOut(),
         lambda c: c.trial, True, False, scene=lambda b: b.do(Authenticate("session"))),
    Case(T.PRESENCE, Note.SET_PRESENCE, S, lambda b: SetPresence(b"{}", "one"),
         lambda c: c.subscriptions.presence.message, None, b"{}"),
    Case(T.PING_SWITCHED, Note.SWITCH_PING, S, lambda b: PingEnabledChanged(enabled=False),
         lambda c: c.ping_enabled, True, False),
    Case(T.GREETED, Note.RECORD_GREETING, R, lambda b: GreetingReceived(b.generation, b'{"$id":"u1"}'),
         commands_of(UserIdentified), 0, 1, scene=Bench.open),
    Case(T.ACKNOWLEDGED, Note.ACCEPT_REPLY, S, reply,
         lambda c: list(c.subscriptions.acknowledged), ["s1"], ["s1", "s2"], scene=ask_for_more),
    Case(T.ACKNOWLEDGED, Note.UPDATE_TIMERS, C, reply,
         lambda c: c.require_link.stable_since is None, True, False, scene=ask_for_more),
    Case(T.PONG, Note.RECORD_PONG, P, lambda b: Pong(b.generation), lambda c: c.step.round_trip, None, 0.0),
    Case(T.SERVER_ERROR, Note.SKIP_REPEATED_ERROR, S, error(1008),
         lambda c: c.step.finished, False, True, scene=lambda b: b.err(1008)),
    Case(T.SERVER_ERROR, Note.RECORD_ERROR, S, error(1003), error_of, None, ServerError),
    Case(T.SERVER_ERROR, Note.ACCEPT_ERROR_AS_PONG, P, error(1003), lambda c: c.step.round_trip, None, 0.0),
    Case(T.SERVER_ERROR, Note.REJECT_NEW_IN_URL, R, error(1003), commands_of(SubscriptionRefused), 0, 1, scene=drain,
         options={"era": Era.E2}),
    Case(T.SERVER_ERROR, Note.ANSWER_REQUEST, S, error(1003),
         lambda c: list(c.subscriptions.desired), ["s1", "s2"], ["s1"], scene=ask_for_more),
    Case(T.SERVER_ERROR, Note.UPDATE_TIMERS, C, error(1003),
         lambda c: c.require_link.idle_since is None, True, False, scene=ask_for_more),
    Case(T.RECOVERED, Note.PROVE_SERVER, P, lambda b: Recovered(b.generation), at_fault, True, False, scene=meet_fault),
    Case(T.LOST, Note.END_DRAINING, R, lambda b: LinkClosed(b.generation - 1),
         lambda c: (c.draining_generation, commands_of(CloseLink)(c)), (2, 0), (None, 1), scene=drain, options={"era": Era.E2}),
    Case(T.LOST, Note.RECORD_END, S, lambda b: LinkClosed(b.generation), error_of, None, StreamEnded),
    Case(T.DIAL_FAILED, Note.RECORD_END, R, lambda b: any_input(T.DIAL_FAILED, b.generation),
         lambda c: c.step.failure is None, True, False),
    Case(T.CLOSED, Note.FORGET_CLOSED, R, lambda b: Closed(b.generation),
         lambda c: c.awaited, (1,), (), scene=lambda b: b.do(LogOut())),
    Case(T.DEAF, Note.RECORD_DEAFNESS, S, lambda b: Deaf(b.generation),
         lambda c: (c.deaf, error_of(c)), (False, None), (True, Overdue), options={"canary": Canary()}),
    Case(T.DEADLINE, Note.RECORD_OVERDUE, P, lambda b: Deadline(),
         error_of, None, Overdue, scene=lambda b: setattr(b, "now", b.context.deadline)),
    Case(T.CANARY, Note.PROBE_LINK, S, lambda b: any_input(T.CANARY, 1),
         lambda c: c.require_link.probed, False, True),
]  # fmt: skip


def prepare(case: Case) -> tuple[Bench, Input]:
    bench = Bench(**case.options).to(case.state)
    case.scene(bench)
    assert bench.state is case.state
    bench.context.begin_step(bench.now, 0.5)
    return bench, case.input_of(bench)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_note_of_a_trigger_leaves_its_fact(case: Case) -> None:
    bench, input_ = prepare(case)
    assert input_.trigger is case.trigger
    assert case.fact(bench.context) == case.before
    apply_notes(bench.context, input_)
    assert case.fact(bench.context) == case.after


@pytest.mark.parametrize("case", CASES, ids=str)
def test_without_its_note_a_fact_is_missing(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    bench, input_ = prepare(case)
    monkeypatch.setitem(NOTES, case.note, lambda context, input_: None)
    apply_notes(bench.context, input_)
    assert case.fact(bench.context) == case.before


def test_each_note_of_each_trigger_has_a_case() -> None:
    assert {(case.trigger, case.note) for case in CASES} == {
        (trigger, note) for trigger, names in TABLE.notes.items() for note in names
    }


@pytest.mark.parametrize("trigger", Trigger)
@pytest.mark.parametrize("state", State)
def test_the_notes_of_a_trigger_run_in_order_in_each_state(
    state: State, trigger: Trigger, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench().to(state)
    ran: list[str] = []

    def recording(name: str) -> Callable[[ConnectionContext, Input], None]:
        return lambda context, input_: ran.append(name)

    for name in Note:
        monkeypatch.setitem(NOTES, name, recording(name))
    apply_notes(bench.context, any_input(trigger, bench.generation))
    assert tuple(ran) == TABLE.notes[trigger]


@pytest.mark.parametrize("case", [case for case in CASES if case.note in (Note.SKIP_REPEATED_ERROR, Note.END_DRAINING)], ids=str)
def test_nothing_follows_a_note_that_finishes_the_step(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    bench, input_ = prepare(case)
    names = TABLE.notes[case.trigger]
    for name in names[names.index(case.note) + 1 :]:
        monkeypatch.delitem(NOTES, name)
    for name in list(GUARDS):
        monkeypatch.delitem(GUARDS, name)
    before = bench.context.deadline
    result = bench.do(input_)
    assert (result.transition, result.deadline, bench.state) == (None, before, case.state)
    assert tuple(type(command) for command in result.commands) == (CloseLink,) * (case.note is Note.END_DRAINING)


def test_a_rule_without_effects_tells_the_fact_that_its_trigger_notes() -> None:
    bench = Bench().to(S)
    bench.do(Disconnect())
    removed = bench.do(Unsubscribe("s1"))
    assert removed.transition is not None
    assert (removed.transition.row.id, removed.transition.row.effects) == ("dis9", ())
    assert removed.commands == (SubscriptionRemoved("s1"),)


def test_an_ignored_cell_keeps_its_notes() -> None:
    bench = Bench().to(P)
    result = bench.do(Unsubscribe("s1"))
    assert result.transition is None
    assert (P, T.UNSUBSCRIBE) in TABLE.ignored
    assert not bench.context.subscriptions.desired


@pytest.mark.parametrize("state", [C, S, U, P])
def test_a_second_greeting_and_a_second_canary_out_of_place_leave_nothing(state: State) -> None:
    bench = Bench().to(state)
    acknowledged = list(bench.context.subscriptions.acknowledged)
    bench.do(GreetingReceived(bench.generation))
    assert list(bench.context.subscriptions.acknowledged) == acknowledged
    assert bench.last.commands == ()


@pytest.mark.parametrize("state", [D, R, E])
def test_a_canary_without_a_link_leaves_nothing(state: State) -> None:
    bench = Bench().to(state)
    assert bench.do(any_input(T.CANARY, 1)).commands == ()
    assert bench.context.subscriptions.presence.canary is None


def test_a_greeting_confirms_the_identity_on_trial() -> None:
    bench = Bench().to(R)
    bench.do(Authenticate("secret"))
    assert bench.context.trial
    bench.open()
    bench.greet()
    assert not bench.context.trial


def test_a_greeting_by_url_shows_that_not_all_is_refused() -> None:
    bench = Bench(era=Era.E2).to(S)
    bench.lose()
    bench.expire()
    bench.open()
    bench.err(1008)
    assert (bench.state, bench.context.refusals) == (R, 1)
    bench.expire()
    bench.subscribe("s2")  # the URL of this dial does not ask for it
    bench.open()
    bench.greet()
    assert (bench.state, bench.context.refusals) == (C, 0)


def test_an_unexpected_guest_is_a_failure_and_no_user() -> None:
    bench = Bench().to(R)
    bench.open()
    bench.context.begin_step(bench.now, 0.5)
    apply_notes(bench.context, GreetingReceived(bench.generation, unexpected_guest=True))
    assert (error_of(bench.context), bench.context.step.commands) == (GreetedAsGuest, [])


@pytest.mark.parametrize(
    ("code", "rejects"),
    [
        (400, True),
        (401, False),
        (402, True),
        (403, False),
        (404, True),
        (429, False),
        ("429", False),
        (1003, True),
        (1013, False),
    ],
)
def test_a_refused_url_rejects_no_subscription_where_the_identity_or_the_number_of_messages_is_to_blame(
    code: int | str, rejects: bool
) -> None:
    bench = Bench(era=Era.E2).to(R)
    drain(bench)
    bench.err(code)
    assert [refused.id for refused in bench.requests(SubscriptionRefused)] == (["s2"] if rejects else [])


@pytest.mark.parametrize(("attempt", "after"), [(3, 2), (1, 0), (0, 0)])
def test_a_refused_request_that_ends_a_link_counts_as_no_failed_dial(attempt: int, after: int) -> None:
    bench = Bench().to(S)
    bench.subscribe("s2")
    bench.context.attempt = attempt
    bench.err(1008)
    bench.lose()
    assert bench.context.attempt == after


def test_a_second_canary_on_a_link_ends_the_deafness() -> None:
    bench = Bench(canary=Canary()).to(S)
    bench.do(Deaf(bench.generation))
    bench.expire()
    bench.open()
    bench.greet()
    seen = [bench.context.deaf]
    for _ in range(2):
        bench.do(any_input(T.CANARY, bench.generation))
        seen.append(bench.context.deaf)
    assert seen == [True, True, False]


@pytest.mark.parametrize("heard", [False, True])
def test_an_overdue_pong_tells_whether_a_frame_came_since_the_ping(heard: bool) -> None:
    bench = Bench().to(P)
    if heard:
        bench.hear_something()
    transition = bench.expire().transition
    assert transition is not None
    assert (transition.row.id, transition.heard) == (("pin67", True) if heard else ("pin71", False))


@pytest.mark.parametrize(("scene", "heard"), [([], None), (["error"], False), (["error", "frame"], True)])
def test_the_end_of_a_link_tells_whether_a_frame_came_since_the_error_frame(scene: list[str], heard: bool | None) -> None:
    bench = Bench().to(S)
    for what in scene:
        bench.err(1008) if what == "error" else bench.hear_something()
    transition = bench.lose(1001).transition
    assert transition is not None
    assert transition.heard is heard
    assert type(transition.cause) is (ServerError if heard is False else StreamEnded)
    assert bench.expire().transition.heard is None  # type: ignore[union-attr]
