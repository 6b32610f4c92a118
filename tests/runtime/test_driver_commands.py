"""The driver executes each command of the machine: it calls the parts of the connection in the right order."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY, Mock, call

import pytest

from realtime_fsm import Disconnected, Disposed, PresenceRejected, State
from realtime_fsm.errors import AuthenticationRejected, LinkLost, StreamEnded, UnsupportedByServer
from realtime_fsm.fsm import commands
from realtime_fsm.protocol.eras import Era
from realtime_fsm.runtime.driver import Driver
from support.network import Network

LOST = LinkLost(StreamEnded())
GONE = Disconnected()
REJECTED = PresenceRejected(1003, "no")


class Like:
    """Equals each error of the same type and text."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __eq__(self, other: object) -> bool:
        return (type(self.error), str(self.error)) == (type(other), str(other))

    __hash__ = None  # type: ignore[assignment]


class Executing:
    """A driver with mocks for its parts."""

    def __init__(self, *, state: State = State.SUBSCRIBED) -> None:
        self.parts = parts = Mock()
        parts.links.current_of.return_value = parts.links.create.return_value = parts.link
        parts.links.draining = parts.identity.user = None
        driver: Any = Network().realtime()._driver
        driver._machine = SimpleNamespace(state=state)
        driver.context.state_entered_at = 3.0
        driver.context.link = "the state of a link"
        driver.registry, driver.links, driver.identity = parts.registry, parts.links, parts.identity
        driver.outages, driver.audit, driver.prober = parts.outages, parts.audit, parts.prober
        driver._waiters, driver._state_streams, driver.report = parts.waiters, [parts.stream], parts.report
        self.driver: Driver = driver

    def __call__(self, command: commands.Command) -> list[Any]:
        """Execute a command, and return the calls."""
        self.driver._execute(command, 10.0)
        return self.parts.mock_calls


@pytest.mark.parametrize(
    ("command", "calls"),
    [
        (commands.SendFrame(2, b"x"), [call.links.current_of(2), call.link.send(b"x")]),
        (commands.RetireLink(2), [call.links.begin_handover(2)]),
        (commands.ReleaseLink(1), [call.outages.end_fault(10.0), call.links.complete_handover(at_fault=True)]),
        (
            commands.ResumeLink(2, LOST, ("s2",)),
            [
                call.identity.end_trial(), call.links.resume(2), call.outages.end_fault(10.0),
                call.registry.withdraw(("s2",), LOST), call.waiters.fail_change(LOST),
            ],
        ),
        (commands.CloseLink(2, graceful=True), [call.links.drop(2, graceful=True)]),
        (
            commands.SubscriptionUnsupported("s1", Era.E1),
            [call.registry.reject("s1", Like(UnsupportedByServer("queries", Era.E1, Era.E1.releases)))],
        ),
        (commands.UserIdentified(b'{"$id":"a"}'), [call.identity.confirm({"$id": "a"}), call.waiters.resolve_identity()]),
        (commands.PresenceStored(b'{"$id":"p"}'), [call.audit.presence("stored"), call.waiters.resolve_presence({"$id": "p"})]),
        (commands.Restore(LOST), [call.identity.end_trial(), call.waiters.reject_identity(LOST)]),
        (
            commands.AuthenticationRefused(401, "no"),
            [call.identity.end_trial(), call.waiters.reject_identity(Like(AuthenticationRejected(401, "no")))],
        ),
        (commands.CanaryOut(), [call.prober.out()]),
        (commands.CanaryRefused(1003), [call.prober.refused(1003)]),
        (commands.SubscriptionRemoved("s1"), [call.registry.remove("s1")]),
        (commands.EndFault(4.0, lost=True), [call.outages.reach_back(4.0)]),
        (commands.EndFault(4.0, lost=False), [call.registry.gaps.recover(4.0)]),
        (
            commands.FailWaiters(LOST, ("s2",), streams=True),
            [
                call.identity.end_trial(), call.registry.withdraw(("s2",), LOST), call.registry.fail_streams(LOST),
                call.waiters.fail(LOST, everyone=True),
            ],
        ),
        (
            commands.FailWaiters(GONE, (), streams=False),
            [call.identity.end_trial(), call.registry.withdraw((), GONE), call.waiters.fail(GONE, everyone=False)],
        ),
        (commands.EndStreams(), [call.registry.end(), call.waiters.fail(Like(Disposed()), everyone=True), call.stream.close()]),
    ],
    ids=lambda each: "" if isinstance(each, list) else type(each).__name__,
)  # fmt: skip
async def test_the_driver_executes_a_command_by_calls_of_its_parts(command: commands.Command, calls: list[Any]) -> None:
    assert Executing()(command) == calls


async def test_a_drained_link_without_a_fault_may_be_trusted() -> None:
    one = Executing()
    one.parts.outages.end_fault.return_value = None
    assert one(commands.ReleaseLink(1))[-1] == call.links.complete_handover(at_fault=False)


async def test_a_dial_opens_a_link_and_lets_iterators_wait_again() -> None:
    one = Executing()
    assert one(commands.OpenLink(2)) == [
        call.links.create("the state of a link", None),
        call.link.open(ANY, one.driver._url, ANY),
        call.registry.clear_errors(),
        call.outages.dial(),
    ]


async def test_without_a_prober_the_driver_ignores_a_canary() -> None:
    one = Executing()
    one.driver.prober = None
    for command in (commands.CanaryOut(), commands.CanaryRefused(1003)):
        assert one(command) == []


@pytest.mark.parametrize("state", [State.RECONNECTING, State.DISPOSING])
@pytest.mark.parametrize("graceful", [False, True])
async def test_the_end_of_the_old_link_is_a_loss_unless_the_connection_ends(state: State, graceful: bool) -> None:
    one = Executing(state=state)
    one.parts.links.draining = SimpleNamespace(generation=2)
    assert one(commands.CloseLink(2, graceful=graceful)) == [
        *([] if graceful else [call.audit.retired(2, 7.0)]),
        call.links.close_draining(with_current=graceful),
        *([] if state is State.DISPOSING else [call.outages.lose(retired=not graceful), call.registry.gaps.note_loss()]),
    ]
    one = Executing(state=state)
    one.parts.links.draining = SimpleNamespace(generation=1)
    assert one(commands.CloseLink(2, graceful=graceful)) == [call.links.drop(2, graceful=graceful)]


async def test_an_acknowledgement_counts_in_the_handover_too() -> None:
    command, acknowledged = commands.SubscriptionAcknowledged("s1", ("rows",)), call.registry.acknowledge("s1", ("rows",), 10.0)
    one = Executing()
    one.parts.registry.acknowledge.return_value = "the delivery"
    assert one(command) == [acknowledged, call.links.handover.acknowledged("the delivery")]
    one = Executing()
    one.parts.links.handover = None
    assert one(command) == [acknowledged]
    one = Executing()
    one.parts.registry.acknowledge.return_value = None
    assert one(command) == [acknowledged], "another id has taken its place"


@pytest.mark.parametrize("user", [None, {"$id": "a"}])
async def test_a_refusal_tells_whether_the_user_is_a_guest(user: Any) -> None:
    one = Executing()
    one.parts.identity.user = user
    refused = call.registry.refuse("s1", 1008, "no", guest=user is None)
    assert one(commands.SubscriptionRefused("s1", 1008, "no")) == [refused]


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize(("error", "code"), [(REJECTED, 1003), (LOST, None)])
async def test_a_refused_presence_is_reported_where_no_call_waits_for_it(awaited: bool, error: Any, code: int | None) -> None:
    one = Executing()
    one.parts.waiters.reject_presence.return_value = awaited
    assert one(commands.PresenceRefused(error)) == [
        call.audit.presence("rejected", code),
        call.waiters.reject_presence(error),
        *([] if awaited else [call.report(error, "the presence could not be restored")]),
    ]
