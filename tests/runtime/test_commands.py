"""The driver executes each command of the machine by the parts of the connection, in this order and with these arguments."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from realtime_fsm import Disconnected, Disposed, PresenceRejected, State
from realtime_fsm.errors import AuthenticationRejected, LinkLost, StreamEnded, UnsupportedByServer
from realtime_fsm.fsm import commands
from realtime_fsm.protocol.eras import Era
from realtime_fsm.runtime.driver import Driver
from support.network import Network

LOST = LinkLost(StreamEnded())
REJECTED = PresenceRejected(1003, "no")


class Part:
    """A part of a connection: it records the calls that it gets, and has the given answers and attributes."""

    def __init__(self, name: str, calls: list[Any], **has: Any) -> None:
        self._name, self._calls, self._has = name, calls, has

    def __getattr__(self, name: str) -> Any:
        if name in self._has and not callable(self._has[name]):
            return self._has[name]

        def call(*given: Any, **named: Any) -> Any:
            self._calls.append((f"{self._name}.{name}", *given, *named.items()))
            return self._has[name]() if name in self._has else None

        return call


class Executing:
    """A driver whose parts record their calls."""

    def __init__(
        self, *, state: State = State.SUBSCRIBED, draining: int | None = None, prober: bool = True, **facts: Any
    ) -> None:
        self.calls: list[Any] = []
        self.link = self._part("link")
        self.delivery = object()
        self.handover = self._part("handover")
        driver: Any = Network().realtime()._driver
        driver._machine = SimpleNamespace(state=state)
        driver.context.state_entered_at = 3.0
        driver.context.link = "the state of a link"
        gaps = self._part("gaps")
        driver.registry = self._part("registry", acknowledge=lambda: facts.get("delivery", self.delivery), gaps=gaps)
        driver.links = self._part(
            "links", current_of=lambda: self.link, create=lambda: self.link, handover=facts.get("handover", self.handover),
            draining=None if draining is None else SimpleNamespace(generation=draining),
        )  # fmt: skip
        driver.identity = self._part("identity", user=facts.get("user"), dialing=SimpleNamespace(headers=list))
        driver.outages, driver.audit = self._part("outages"), self._part("audit")
        driver._waiters = self._part("waiters", reject_presence=lambda: facts.get("awaited", True))
        driver._state_streams = self._part("states")
        driver.prober = self._part("prober") if prober else None
        driver.report = self._part("driver").report
        self.driver: Driver = driver

    def _part(self, name: str, **has: Any) -> Any:
        return Part(name, self.calls, **has)

    def __call__(self, command: commands.Command) -> list[Any]:
        self.driver._execute(command, 10.0)
        return [
            tuple(
                (type(each), str(each)) if isinstance(each, Exception) and each not in (LOST, REJECTED) else each for each in call
            )
            for call in self.calls
        ]


@pytest.mark.parametrize(
    ("command", "calls"),
    [
        (commands.SendFrame(2, b"x"), [("links.current_of", 2), ("link.send", b"x")]),
        (commands.RetireLink(2), [("links.begin_handover", 2)]),
        (commands.ReleaseLink(1), [("outages.end_handover",), ("links.complete_handover",)]),
        (
            commands.ResumeLink(2, LOST, ("s2",)),
            [
                ("identity.end_trial",), ("links.resume", 2), ("outages.end_handover",),
                ("registry.withdraw", ("s2",), LOST), ("waiters.fail_change", LOST),
            ],
        ),
        (commands.CloseLink(2, graceful=True), [("links.drop", 2, ("graceful", True))]),
        (
            commands.SubscriptionUnsupported("s1", Era.E1),
            [("registry.reject", "s1", (UnsupportedByServer, str(UnsupportedByServer("queries", Era.E1, Era.E1.releases))))],
        ),
        (commands.UserIdentified(b'{"$id":"a"}'), [("identity.confirm", {"$id": "a"}), ("waiters.resolve_identity",)]),
        (commands.PresenceStored(b'{"$id":"p"}'), [("audit.presence", "stored"), ("waiters.resolve_presence", {"$id": "p"})]),
        (commands.Restore(LOST), [("identity.end_trial",), ("waiters.reject_identity", LOST)]),
        (
            commands.AuthenticationRefused(401, "no"),
            [
                ("identity.end_trial",),
                ("waiters.reject_identity", (AuthenticationRejected, str(AuthenticationRejected(401, "no")))),
            ],
        ),
        (commands.CanaryOut(), [("prober.out",)]),
        (commands.CanaryRefused(1003), [("prober.refused", 1003)]),
        (commands.SubscriptionRemoved("s1"), [("registry.remove", "s1")]),
        (commands.EndFault(4.0, lost=True), [("outages.reach_back", 4.0)]),
        (commands.EndFault(4.0, lost=False), [("gaps.recover", 4.0)]),
        (
            commands.FailWaiters(LOST, ("s2",), streams=True),
            [
                ("identity.end_trial",), ("registry.withdraw", ("s2",), LOST), ("registry.fail_streams", LOST),
                ("waiters.fail", LOST, ("everyone", True)),
            ],
        ),
        (
            commands.FailWaiters(Disconnected(), (), streams=False),
            [
                ("identity.end_trial",), ("registry.withdraw", (), (Disconnected, str(Disconnected()))),
                ("waiters.fail", (Disconnected, str(Disconnected())), ("everyone", False)),
            ],
        ),
        (
            commands.EndStreams(),
            [("registry.end",), ("waiters.fail", (Disposed, str(Disposed())), ("everyone", True)), ("states.close",)],
        ),
    ],
    ids=lambda each: "" if isinstance(each, list) else type(each).__name__,
)  # fmt: skip
async def test_what_a_command_does(command: commands.Command, calls: list[Any]) -> None:
    assert Executing()(command) == calls


async def test_without_a_prober_a_canary_is_nobodys() -> None:
    for command in (commands.CanaryOut(), commands.CanaryRefused(1003)):
        assert Executing(prober=False)(command) == []


async def test_a_dial_opens_a_link_and_lets_iterators_wait_again() -> None:
    one = Executing()
    one(commands.OpenLink(2))
    (create, opened, *others) = one.calls
    assert create == ("links.create", "the state of a link", None)
    assert (opened[0], opened[2]) == ("link.open", one.driver._url)
    assert others == [("registry.clear_errors",), ("outages.dial",)]


@pytest.mark.parametrize("state", [State.RECONNECTING, State.DISPOSING])
@pytest.mark.parametrize("graceful", [False, True])
async def test_the_end_of_the_old_link_is_a_loss_unless_the_connection_ends(state: State, graceful: bool) -> None:
    one = Executing(state=state, draining=2)
    assert one(commands.CloseLink(2, graceful=graceful)) == [
        *([] if graceful else [("audit.retired", 2, 7.0)]),
        ("links.close_draining", ("with_current", graceful)),
        *([] if state is State.DISPOSING else [("outages.lose", ("retired", not graceful))]),
    ]
    assert Executing(draining=1)(commands.CloseLink(2, graceful=graceful)) == [("links.drop", 2, ("graceful", graceful))]


async def test_an_acknowledgement_counts_in_the_handover_too() -> None:
    command, acknowledged = commands.SubscriptionAcknowledged("s1", ("rows",)), ("registry.acknowledge", "s1", ("rows",), 10.0)
    one = Executing()
    assert one(command) == [acknowledged, ("handover.acknowledged", one.delivery)]
    assert Executing(handover=None)(command) == [acknowledged]
    assert Executing(delivery=None)(command) == [acknowledged], "another id has taken its place"


@pytest.mark.parametrize("user", [None, {"$id": "a"}])
async def test_a_refusal_tells_whether_the_user_is_a_guest(user: Any) -> None:
    command = commands.SubscriptionRefused("s1", 1008, "no")
    assert Executing(user=user)(command) == [("registry.refuse", "s1", 1008, "no", ("guest", user is None))]


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize(("error", "code"), [(REJECTED, 1003), (LOST, None)])
async def test_a_refused_presence_is_reported_where_no_call_waits_for_it(awaited: bool, error: Any, code: int | None) -> None:
    assert Executing(awaited=awaited)(commands.PresenceRefused(error)) == [
        ("audit.presence", "rejected", code),
        ("waiters.reject_presence", error),
        *([] if awaited else [("driver.report", error, "the presence could not be restored")]),
    ]
