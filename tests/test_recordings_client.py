"""The client against recordings of a real server: the server's side is played to it, frame by frame, on a real socket."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from realtime_fsm import BadOption, PingPolicy, Realtime, RefusedByServer, RetriesExhausted, RetryPolicy, State, Subscription
from realtime_fsm.vocabulary.errors import SubscriptionRejected, UpgradeRefused
from recording import NOBODY, Cast, Excluded, Recorded, Step, links, load, rebuild, secrets
from support import recorded_server as wire
from support.recorded_server import Clock, Guest, Peer, RecordedServer, run, soon

MESSAGES, GARBAGE, DIALS = "01-message-subscribe", "03-ping-and-malformed", "04-project-errors"
LARGE, IDENTITY, RESTARTS, CLOSINGS = "05b-large-unicode", "06-authentication", "10-server-restart", "11-close-handshake"
RECORDINGS = (MESSAGES, GARBAGE, DIALS, "05-events-real-emitter", LARGE, IDENTITY, RESTARTS, CLOSINGS)
LINKS = [link for recording in RECORDINGS for link in links(recording)]

NEVER, LATE, AUTH = "our client never sends it", "sent to a stream at its end", "authenticate() is not built yet"
EXCLUDED = (
    Excluded(GARBAGE, f"a WebSocket-level ping: {NEVER}", {"dir": "send", "op": "ping"}),
    Excluded(GARBAGE, f"a pong without a ping: {NEVER}", {"dir": "send", "op": "pong"}),
    Excluded(GARBAGE, f"a reserved bit, left unanswered: {NEVER}", {"dir": "send", "rsv": "4"}),
    Excluded(GARBAGE, f"a reserved opcode, left unanswered: {NEVER}", {"dir": "send", "op": "3"}),
    Excluded(GARBAGE, LATE, {"dir": "send", "conn": "a", "note": "still alive?"}),
    Excluded(IDENTITY, AUTH, {"dir": "send", "data": '{"type": "authentication"'}),
    Excluded(IDENTITY, AUTH, {"dir": "recv", "data": '{"type":"response","data":{"to":"authentication"'}),
    Excluded(IDENTITY, AUTH, {"dir": "recv", "data": '{"type":"error","data":{"code":1003'}),
    Excluded(IDENTITY, LATE, {"dir": "send", "note": "ping after"}),
    Excluded(RESTARTS, "what another client library says about itself", {"dir": "state"}),
    Excluded(CLOSINGS, LATE, {"dir": "send", "conn": "after"}),
)
# Steps that are played, but not to the letter.
IN_URL = {"request": "('GET /v1/realtime?project=p1&channels"}
ADAPTED = (
    Excluded(MESSAGES, f"an unknown id, and one twice: {NEVER}", {"dir": "send", "note": "unsubscribe known + unknown"}),
    Excluded(MESSAGES, f"an id once more: {NEVER}; a fresh one is", {"dir": "send", "note": "same subscriptionId"}),
    Excluded(GARBAGE, f"{NEVER}; a ping or a subscribe stands for such things", {"dir": "send", "data": "{not json"}),
    *(Excluded(name, "channels in the URL are not built yet; a message asks", IN_URL) for name in (DIALS, LARGE, RESTARTS)),
    Excluded(DIALS, "a path of its own; our client adds /realtime to the endpoint's", {"request": "('GET /?project"}),
    Excluded(CLOSINGS, "our client closes with 1000; the echo is as recorded", {"by": "client", "note": "client closes with"}),
)
# Dials that our client refuses when it is built, by what its user would have to give as the project.
REFUSED_WHEN_BUILT: dict[str, Any] = {"no project": None, "empty project": "", "project array": ["p1"]}

QUICK = RetryPolicy(attempts=None, base=0.01, cap=0.05)
PINGS = PingPolicy(interval=30, timeout=10)  # on a clock that is put forward
Records = list[MutableMapping[str, Any]]


class Scene(Guest):
    """One link, with its server, its client and the client's user."""

    def __init__(self, link: Recorded, server: RecordedServer, clock: Clock, records: Records, variant: str) -> None:
        self.link, self.server, self.clock, self.records, self.variant = link, server, clock, records, variant
        self.headers, jwt, session = link.headers, next(iter(link.query.get("jwt", ())), None), None
        if variant == "session":
            session = self.headers.pop("Cookie").partition("=")[2]
        project, shown = link.query["project"][0], dict(self.headers)
        super().__init__(
            Realtime(server.endpoint, project, headers=shown, jwt=jwt, session=session, retry=QUICK, ping=PINGS, protocol="E4")
        )
        self.headers |= {"X-Appwrite-JWT": jwt} if jwt else {"X-Appwrite-Session": session} if session else {}
        self.peer: Peer
        self.cast = Cast()
        self.leaving: list[Subscription] = []
        self.fault: dict[str, Any] | None = None  # the error frame, if it was the last one
        self.greeted = False
        self.closing: asyncio.Future[None] | None = None

    async def ping(self) -> None:
        self.clock.forward(PINGS.interval)
        await self.peer.message("ping")
        assert self.realtime.state is State.PING

    # --- the steps ----------------------------------------------------------------------------------------------------

    async def on_open(self, step: Step) -> None:
        if step.status:
            assert step.status.startswith("HTTP/1.1 101 ")
            return
        self.dial(self.link.channels)
        await self.change(dest=State.RECONNECTING)
        self.peer = await self.server.accept()
        assert self.headers.items() <= self.peer.headers.items()
        self.peer.upgrade()

    async def on_send(self, step: Step) -> None:
        if not step.fin or self.variant == "unasked":
            return
        answer = self.link.steps[self.link.steps.index(step) + 1].frame.get("type")
        match step.frame:
            case {"type": "subscribe", "data": list(items)}:
                self.subscribe(items)
            case {"type": "unsubscribe", "data": list(items)}:
                self.leaving = self.cast.leave(item["subscriptionId"] for item in items)
                self.call(*(subscription.unsubscribe() for subscription in self.leaving))
            case _ if self.variant == "subscribe" and answer == "error":
                self.subscribe([{"channels": ["rows"]}])
            case _:
                await self.ping()

    async def on_recv(self, step: Step) -> None:
        text = rebuild(step.data)
        assert step.length in (None, len(text))
        if step.type == "CLOSED":
            await self.on_eof(step)
        elif step.op == "pong":
            self.peer.send(text, wire.PONG)
        else:
            self.fault = None
            await getattr(self, "say_" + step.frame["type"])(text, step.frame.get("data"))

    async def on_timeout(self, step: Step) -> None:
        assert self.server.unexpected == 0

    async def on_close(self, step: Step) -> None:
        if step.by == "client":
            close = self.realtime.disconnect if self.variant == "disconnect" else self.realtime.dispose
            self.closing = asyncio.ensure_future(close())
            assert await self.peer.close_frame() == (1000, "")
        else:  # as recorded, also where it is the echo of another code than ours
            payload = b"" if step.code is None else struct.pack("!H", step.code) + step.reason.encode()
            self.peer.send(payload or bytes(step.length or 0), wire.CLOSE)

    async def on_eof(self, step: Step) -> None:
        overdue = step.note.startswith("client drops TCP")
        if overdue:  # ours does so when its ping is not answered
            await self.ping()
            self.clock.forward(PINGS.timeout)
            await self.peer.ended()
        if self.link.refused_afterwards:
            self.server.stop()
        await self.peer.finish()
        if self.closing is not None:
            await soon(self.closing, within=2)
        elif self.greeted:
            await self.lost("pong_overdue" if overdue else "stream_ended" if self.fault is None else "error_frame")

    on_exception = on_eof  # in the words of another client library

    async def on_reset(self, step: Step) -> None:
        assert self.closing is not None
        await self.peer.reset()
        await soon(self.closing, within=2)

    # --- the frames ---------------------------------------------------------------------------------------------------

    async def say_connected(self, text: str, data: dict[str, Any]) -> None:
        self.peer.send(text)
        self.greeted = True
        if self.asked:
            reply = {"subscriptionId": data["subscriptions"][0], "channels": data["channels"], "queries": []}
            await self.say_response("", {"to": "subscribe", "success": True, "subscriptions": [reply]})
        await soon(asyncio.gather(*self.calls))
        await self.change(dest=State.SUBSCRIBED if self.asked else State.CONNECTED)

    async def say_response(self, text: str, data: dict[str, Any]) -> None:
        if data["to"] == "unsubscribe":
            await wire.confirm(self.peer, self.leaving, data)
            await soon(asyncio.gather(*self.calls))
            return
        await wire.acknowledge(self.peer, self.asked, data)
        subscriptions = await soon(asyncio.gather(*self.calls))
        for subscription, item, answer in zip(subscriptions, self.asked, data["subscriptions"], strict=True):
            assert subscription.channels == tuple(item["channels"])
            assert subscription.acknowledged_channels == tuple(answer["channels"])
            self.cast.enter(answer["subscriptionId"], subscription)

    async def say_event(self, text: str, data: dict[str, Any]) -> None:
        audience = self.cast.meant(data["subscriptions"], data["channels"])
        assert audience
        self.told += await wire.publish(self.peer, text, data, audience)

    async def say_pong(self, text: str, data: None) -> None:
        self.peer.send(text)
        assert (await self.change(source=State.PING)).dest.is_live

    async def say_error(self, text: str, data: dict[str, Any]) -> None:
        self.fault = data
        pinged = self.realtime.state is State.PING
        pending = [call for call in self.calls if not call.done()]
        if pending and self.greeted:
            assert (await self.peer.message("subscribe"))["data"][0]["channels"] == self.asked[0]["channels"]
        self.peer.send(text)
        for error in await soon(asyncio.gather(*pending, return_exceptions=True)):
            self.told.append(error)
            assert type(error) is (SubscriptionRejected if self.greeted else RefusedByServer)
            assert {"code": error.code, "message": error.message} == data
        if not self.greeted:
            self.check_refusal(self.fault)
        elif pinged and data["code"] == 1003:
            assert (await self.change(source=State.PING)).dest.is_live
        elif pinged:
            await self.lost("error_frame")
        assert data["message"] not in str(self.records), "a text of the server's is kept out of the log"

    # --- the endings --------------------------------------------------------------------------------------------------

    async def lost(self, kind: str) -> None:
        """A live link ended: see why the client thinks so, and what it does."""
        change = await self.change(dest=State.ERROR if self.variant == "unasked" else State.RECONNECTING)
        assert (change.cause.kind, change.source.is_live) == (kind, True)
        assert kind != "stream_ended" or change.cause.close_code == 1006
        assert kind != "error_frame" or {"code": change.cause.code, "message": change.cause.message} == self.fault
        if self.variant == "unasked":
            self.check_refusal(self.fault)
            return
        if self.link.refused_afterwards:
            await wire.until(lambda: any(record.get("cause") == "dial_failed" for record in self.records))
            await self.server.start()
        self.peer = await self.server.accept()
        await wire.welcome_back(self.peer, self.cast.present)
        await self.change(dest=State.SUBSCRIBED if self.cast.present else State.CONNECTED)

    async def leave(self) -> None:
        """Dispose, and see that nobody got more than was looked at, and that no secret was told."""
        await soon(self.realtime.dispose())
        assert [[event async for event in subscription] for subscription in self.cast.everyone] == [[]] * len(self.cast.everyone)
        assert self.server.unexpected == 0
        self.told += [change async for change in self.states]
        self.told += [self.realtime, *self.cast.everyone, *self.records]
        assert self.records
        told = " ".join(f"{thing!r} {thing} {getattr(thing, '__dict__', '')}" for thing in self.told)
        assert not [secret for secret in secrets(*RECORDINGS) if secret in told]


@pytest.fixture
def records() -> Iterator[Records]:
    structlog.configure()
    with capture_logs() as captured:
        yield captured
    structlog.reset_defaults()


ANSWERS = [link for link in LINKS if link.steps[0].op == "http"]
UNDIALED = [link for link in LINKS if link.steps[0].note in REFUSED_WHEN_BUILT]
SCENES = [(link, variant) for link in LINKS if link not in ANSWERS + UNDIALED for variant in link.variants]


@pytest.mark.parametrize(("link", "variant"), SCENES, ids=lambda part: part if isinstance(part, str) else part.title)
def test_it_understands_what_is_recorded(link: Recorded, variant: str, records: Records) -> None:
    async def main(clock: Clock) -> None:
        async with RecordedServer() as server:
            scene = Scene(link, server, clock, records, variant)
            for step in link.played(variant, EXCLUDED):
                await getattr(scene, "on_" + step.dir)(step)
            assert variant != "disconnect" or scene.realtime.state is State.DISCONNECTED
            await scene.leave()

    run(main)


@pytest.mark.parametrize("link", ANSWERS, ids=lambda link: link.title)
def test_an_answer_that_is_no_upgrade_is_typed(link: Recorded) -> None:
    async def main(_: Clock) -> None:
        answer = link.steps[0].data
        async with (
            RecordedServer() as server,
            Realtime(server.endpoint, "p1", retry=RetryPolicy(attempts=1), protocol="E4") as realtime,
        ):
            call = asyncio.ensure_future(realtime.connect())
            peer = await server.accept()
            peer.write(answer.encode())
            await peer.finish()
            with pytest.raises(RetriesExhausted) as caught:
                await soon(call)
            status = int(answer.split()[1])
            if status == 101:  # an upgrade, but with an accept key that is not ours
                assert "challenge" in str(caught.value.cause)
            else:
                assert isinstance(caught.value.cause, UpgradeRefused)
                assert caught.value.cause.status == status

    run(main)


@pytest.mark.parametrize("link", UNDIALED, ids=lambda link: link.title)
def test_a_dial_to_the_servers_own_project_is_refused_before_it_is_made(link: Recorded) -> None:
    with pytest.raises(BadOption) as caught:
        Realtime("http://127.0.0.1/v1", REFUSED_WHEN_BUILT[link.steps[0].note])
    assert caught.value.option == "project"


def test_every_step_of_every_link_is_played_or_excluded() -> None:
    for recording in RECORDINGS:
        own = [step for step in load(recording) if step.conn != NOBODY or step.op == "http"]
        assert sum(len(link.steps) for link in links(recording)) == len(own)
    for link, _ in SCENES:
        seen = {step for variant in link.variants for step in link.played(variant, EXCLUDED)}
        assert all(step in seen or any(entry.covers(link.recording, step) for entry in EXCLUDED) for step in link.steps)


@pytest.mark.parametrize("entry", EXCLUDED + ADAPTED, ids=lambda entry: f"{entry.recording}-{entry.reason}")
def test_what_is_excluded_or_adapted_is_in_the_recordings(entry: Excluded) -> None:
    assert any(entry.covers(entry.recording, step) for step in load(entry.recording))
