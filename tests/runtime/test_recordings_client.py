"""The client against recordings of a real server: the server's side is played to it, frame by frame, on a real socket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime_fsm import (
    BadOption,
    PresenceRejected,
    Realtime,
    RefusedByServer,
    RetriesExhausted,
    RetryPolicy,
    State,
    Subscription,
)
from realtime_fsm.errors import SubscriptionRejected, UpgradeRefused
from realtime_fsm.protocol.faults import is_server_fault
from support import recorded_server as wire
from support.recorded_link import QUICK, LinkReplay, Records
from support.recorded_server import RecordedServer, SkippingLoop, run, soon
from support.recording import NO_CONNECTION, Excluded, RecordedLink, RecordedStep, RecordedSubscriptions, links, load
from support.recording import RECORDINGS as FOLDER
from support.some import some

MESSAGES, MISUSE, GARBAGE = "01-message-subscribe", "01b-subscribe-invalid-payloads", "03-ping-and-malformed"
SIZES, DIALS, IDENTITY = "03b-oversize", "04-project-errors", "06-authentication"
BUDGETS, HASTE, PRESENCE = "07-message-rate-limit", "08-send-before-connected", "09-presence"
RESTARTS, CLOSINGS, PIPELINE = "10-server-restart", "11-close-handshake", "14-pipelining-and-ordering"
RECORDINGS = (
    "00-smoke", MESSAGES, MISUSE, f"{MISUSE}-devenv", "02-url-mode", GARBAGE, SIZES, DIALS, "05-events-real-emitter", IDENTITY,
    BUDGETS, HASTE, PRESENCE, RESTARTS, CLOSINGS, PIPELINE,
)  # fmt: skip
LINKS = [link for recording in RECORDINGS for link in links(recording) if not link.channels_in_url]  # the rest has its own file

NEVER, LATE, ONE = "our client never sends it", "sent to a stream at its end", "our client asks for one thing at a time"
AUTH = "our client dials anew where this message is unsafe: nothing is acknowledged, or plain account is"
ASKS, TELLS = '{"type": "authentication"', '{"type":"response","data":{"to":"authentication"'
# Misuse that our client never sends: the notes of what was refused, and of what was answered all the same.
REFUSED = (
    "data is object", "data missing", "data null", "channels missing", "channels string", "channel not string", "bad id chars",
    "id leading underscore", "id 37 chars", "id empty", "id null", "id int", "queries string", "queries null", "bad query json",
    "unsupported query limit", "select title", "second of two bad", "unsubscribe empty id", "unsubscribe strings",
    "unsubscribe object", "unsubscribe missing data", "nested array query", "channels as JSON object",
)  # fmt: skip
TAKEN = ("empty list", "channels empty", "empty channel", "id unique()", "was good1 added", "unsubscribe empty list")
EXCLUDED = (
    *(
        Excluded(name, NEVER, {"note": note} | what)
        for name in (MISUSE, f"{MISUSE}-devenv")
        for kind, notes in (("error", REFUSED), ("response", TAKEN))
        for note in notes
        for what in ({"dir": "send"}, {"dir": "recv", "data": f'{{"type":"{kind}"'})
    ),
    Excluded(GARBAGE, f"a WebSocket-level ping: {NEVER}", {"dir": "send", "op": "ping"}),
    Excluded(GARBAGE, f"a pong without a ping: {NEVER}", {"dir": "send", "op": "pong"}),
    Excluded(GARBAGE, f"a reserved bit, left unanswered: {NEVER}", {"dir": "send", "rsv": "4"}),
    Excluded(GARBAGE, f"a reserved opcode, left unanswered: {NEVER}", {"dir": "send", "op": "3"}),
    Excluded(GARBAGE, LATE, {"dir": "send", "conn": "a", "note": "still alive?"}),
    *(Excluded(IDENTITY, AUTH, {"data": data}) for data in (ASKS, TELLS)),
    Excluded(IDENTITY, AUTH, {"dir": "recv", "data": '{"type":"error","data":{"code":1003'}),
    Excluded(IDENTITY, LATE, {"dir": "send", "note": "ping after"}),
    Excluded(HASTE, "nothing is asked on a link that ends like this", {"dir": "send", "conn": "b2"}),
    Excluded(PRESENCE, f"no status: {NEVER}", {"data": '{"type": "presence", "data": {}'}),
    Excluded(PRESENCE, f"no status: {NEVER}", {"conn": "guest", "data": '{"type":"error","data":{"code":1003'}),
    Excluded(PRESENCE, f"metadata that are not an object: {NEVER}", {"dir": "send", "note": "bad metadata"}),
    Excluded(PRESENCE, f"metadata that are not an object: {NEVER}", {"dir": "recv", "note": "bad metadata"}),
    Excluded(RESTARTS, "what another client library says about itself", {"dir": "state"}),
    Excluded(CLOSINGS, LATE, {"dir": "send", "conn": "after"}),
    *(Excluded(PIPELINE, ONE, {"conn": "d", "dir": "send", "data": f'{{"type": "{kind}"'}) for kind in ("ping", "unsubscribe")),
    Excluded(PIPELINE, ONE, {"conn": "d", "data": '{"type":"pong"}'}),
    Excluded(PIPELINE, ONE, {"conn": "d", "data": '{"type":"response","data":{"to":"unsubscribe"'}),
    *(Excluded(PIPELINE, AUTH, {"data": data}) for data in (ASKS, TELLS)),
)
TAILED = {"dir": "send", "data": '{"type": "subscribe", "data": [{"channels": ["console.tail.'}
# Steps that are played, but not to the letter.
ADAPTED = (
    Excluded(MESSAGES, f"an unknown id, and one twice: {NEVER}", {"dir": "send", "note": "unsubscribe known + unknown"}),
    Excluded(MESSAGES, f"an id once more: {NEVER}; a fresh one is", {"dir": "send", "note": "same subscriptionId"}),
    Excluded(MISUSE, f"a channel twice: {NEVER}; once it is", {"dir": "send", "note": "duplicate channels"}),
    Excluded(GARBAGE, f"{NEVER}; a ping or a subscribe stands for such things", {"dir": "send", "data": "{not json"}),
    Excluded(SIZES, f"such a large ping: {NEVER}; a small one is", {"dir": "send", "data": '{"type":"ping","data":"xx'}),
    Excluded(BUDGETS, f"{NEVER}; a ping stands for it", {"dir": "send", "data": "{bad"}),
    Excluded(BUDGETS, "our client keeps the budget: each ping is sent in its time", {"dir": "send", "data": '{"type": "ping"}'}),
    Excluded(HASTE, "before the greeting; our client waits for it", {"dir": "send", "note": "subscribe written right after"}),
    Excluded(PRESENCE, f"an id: {NEVER}; all the rest is", {"dir": "send", "note": "presence readable by users"}),
    Excluded(PIPELINE, f"{ONE}: these go in two messages", {"dir": "send", "note": "20 subscribes written in one go"}),
    Excluded(DIALS, "a path of its own; our client adds /realtime to the endpoint's", {"request": "('GET /?project"}),
    Excluded("02-url-mode", "the same", {"request": "('GET /anything/else?project"}),
    *(
        Excluded(name, f"the live tail outside the console: {NEVER}; another channel stands for it", {"note": note} | TAILED)
        for name, note in (
            (MISUSE, "console tail channel"),
            (f"{MISUSE}-devenv", "console tail channel"),
            (CLOSINGS, "server-initiated: 1008 policy violation in onMessage"),
        )
    ),
    Excluded(CLOSINGS, "our client closes with 1000; the echo is as recorded", {"by": "client", "note": "client closes with"}),
)
# Dials that our client refuses when it is built, by what its user would have to give as the project.
REFUSED_WHEN_BUILT: dict[str, Any] = {"no project": None, "empty project": "", "project array": ["p1"]}


def _sendable(channel: str) -> str:
    """Our client refuses the live tail itself: another channel that the server refuses stands for it."""
    return "refused" if channel.startswith("console.tail.") else channel


class MessageLinkReplay(LinkReplay):
    """One link on which messages ask."""

    def __init__(self, link: RecordedLink, server: RecordedServer, clock: SkippingLoop, records: Records, variant: str) -> None:
        self.variant = variant
        self.headers, jwt, session = link.headers, next(iter(link.query.get("jwt", ())), None), None
        if variant == "session":
            session = self.headers.pop("Cookie").partition("=")[2]
        super().__init__(link, server, clock, records, "E4", headers=dict(self.headers), jwt=jwt, session=session)
        self.headers |= {"X-Appwrite-JWT": jwt} if jwt else {"X-Appwrite-Session": session} if session else {}
        self.subscriptions = RecordedSubscriptions()
        self.connecting: asyncio.Future[None]
        self.answers: list[dict[str, Any]] = []  # to what was asked at once, so far

    @property
    def all_subscriptions(self) -> list[Subscription]:
        return self.subscriptions.all_subscriptions

    def close(self) -> Any:
        return self.realtime.disconnect() if self.variant == "disconnect" else super().close()

    async def dial(self) -> None:
        self.connecting = asyncio.ensure_future(self.realtime.connect())
        await self.next_change(dest=State.RECONNECTING)
        self.server_link = await self.server.accept()
        assert "channels" not in self.server_link.target
        assert self.headers.items() <= self.server_link.headers.items()

    async def accept_reconnect(self) -> None:
        self.server_link = await self.server.accept()
        await wire.greet_again(self.server_link, self.subscriptions.current, self.realtime.user)

    async def on_send(self, step: RecordedStep) -> None:
        if not step.fin or self.variant == "unasked":
            return
        answer = self.link.steps[self.link.steps.index(step) + 1].frame.get("type")
        match step.frame:
            case {"type": "subscribe", "data": list(items)}:
                self.subscribe([item | {"channels": [_sendable(channel) for channel in item["channels"]]} for item in items])
            case {"type": "unsubscribe", "data": list(items)}:
                self.unsubscribing = self.subscriptions.remove(item["subscriptionId"] for item in items)
                self.call(*(subscription.unsubscribe() for subscription in self.unsubscribing))
            case {"type": "presence", "data": dict(shown)}:
                self.call(
                    self.realtime.set_presence(
                        shown["status"], **{k: v for k, v in shown.items() if k in ("metadata", "permissions")}
                    )
                )
                sent = (await self.server_link.message("presence"))["data"]
                assert sent.pop("presenceId"), "ours always has an id, which stays the same on each link"
                assert sent == {name: value for name, value in shown.items() if name != "presenceId"}
            case _ if self.variant == "subscribe" and answer == "error":
                self.subscribe([{"channels": ["rows"]}])
            case _:
                await self.ping()

    # --- the frames ---------------------------------------------------------------------------------------------------

    async def send_connected(self, text: str, data: dict[str, Any]) -> None:
        self.server_link.send(text)
        self.greeted = True
        await self.next_change(dest=State.CONNECTED)
        await soon(self.connecting)
        assert self.realtime.user == data["user"]

    async def send_response(self, text: str, data: dict[str, Any]) -> None:
        if data["to"] == "unsubscribe":
            await wire.confirm(self.server_link, self.unsubscribing, data)
            await soon(asyncio.gather(*self.calls))
        elif data["to"] == "presence":
            self.server_link.send(text)
            assert await soon(asyncio.gather(*self.calls)) == [data["presence"]]
        else:
            self.answers += data["subscriptions"]
            if len(self.answers) == len(self.requested):
                await self.acknowledge(data)

    async def acknowledge(self, data: dict[str, Any]) -> None:
        answers, self.answers = self.answers, []
        await wire.acknowledge(self.server_link, self.requested, data | {"subscriptions": answers})
        subscriptions = await soon(asyncio.gather(*self.calls))
        for subscription, item, answer in some(zip(subscriptions, self.requested, answers, strict=True)):
            assert subscription.channels == tuple(item["channels"])
            assert subscription.acknowledged_channels == tuple(answer["channels"])
            self.subscriptions.add(answer["subscriptionId"], subscription)

    async def send_event(self, text: str, data: dict[str, Any]) -> None:
        audience = self.subscriptions.receivers(data["subscriptions"], data["channels"])
        assert audience
        self.outputs += await wire.publish(self.server_link, text, data, audience)

    async def send_error(self, text: str, data: dict[str, Any]) -> None:
        self.last_error = data
        pinged = self.realtime.state is State.PING
        pending = [call for call in (self.connecting, *self.calls) if not call.done()]
        kind: Any = RefusedByServer
        if pending and self.greeted:
            kind = PresenceRejected if data["code"] == 401 else SubscriptionRejected
        if kind is SubscriptionRejected:
            for _ in some(range(QUICK.attempts or 0 if is_server_fault(data["code"]) else 1)):
                assert (await self.server_link.message("subscribe"))["data"][0]["channels"] == self.requested[0]["channels"]
                self.server_link.send(text)
        else:
            self.server_link.send(text)
        errors: list[Any] = await soon(asyncio.gather(*pending, return_exceptions=True))
        self.outputs += errors
        said = [(type(error), {"code": error.code, "message": error.message}) for error in errors]
        assert said == [(kind, data)] * len(pending)
        if not self.greeted:
            self.check_refusal(self.last_error)
        elif pinged:
            assert (await self.next_change(source=State.PING)).dest.is_live
        assert data["message"] not in str(self.records), "a text of the server's is kept out of the log"

    # --- the endings --------------------------------------------------------------------------------------------------


ANSWERS = [link for link in LINKS if link.steps[0].op == "http"]
UNDIALED = [link for link in LINKS if link.steps[0].note in REFUSED_WHEN_BUILT]
REPLAYS = [(link, variant) for link in LINKS if link not in ANSWERS + UNDIALED for variant in link.variants]


@pytest.mark.parametrize(("link", "variant"), REPLAYS, ids=lambda part: part if isinstance(part, str) else part.title)
def test_it_understands_what_is_recorded(link: RecordedLink, variant: str, records: Records) -> None:
    async def main(clock: SkippingLoop) -> None:
        async with RecordedServer() as server:
            replay = MessageLinkReplay(link, server, clock, records, variant)
            await replay.play(link.played(variant, EXCLUDED))
            assert variant != "disconnect" or replay.realtime.state is State.DISCONNECTED
            await replay.finish()

    run(main)


@pytest.mark.parametrize("link", ANSWERS, ids=lambda link: link.title)
def test_an_answer_that_is_no_upgrade_is_typed(link: RecordedLink) -> None:
    async def main(_: SkippingLoop) -> None:
        answer = link.steps[0].data
        async with (
            RecordedServer() as server,
            Realtime(server.endpoint, "p1", retry=RetryPolicy(attempts=1), era="E4") as realtime,
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
def test_a_dial_to_the_servers_own_project_is_refused_before_it_is_made(link: RecordedLink) -> None:
    with pytest.raises(BadOption) as caught:
        Realtime("http://127.0.0.1/v1", REFUSED_WHEN_BUILT[link.steps[0].note])
    assert caught.value.option == "project"


def test_every_recording_is_played_here_or_by_address() -> None:
    messages = {path.stem for path in FOLDER.glob("*.jsonl") if not all(link.channels_in_url for link in links(path.stem))}
    assert messages == set(RECORDINGS)


def test_every_step_of_every_link_is_played_or_excluded() -> None:
    for recording in RECORDINGS:
        own = [step for step in load(recording) if step.conn != NO_CONNECTION or step.op == "http"]
        assert sum(len(link.steps) for link in links(recording)) == len(own)
    for link, _ in REPLAYS:
        seen = {step for variant in link.variants for step in link.played(variant, EXCLUDED)}
        assert all(step in seen or any(entry.covers(link.recording, step) for entry in EXCLUDED) for step in link.steps)


@pytest.mark.parametrize("entry", EXCLUDED + ADAPTED, ids=lambda entry: f"{entry.recording}-{entry.reason}")
def test_what_is_excluded_or_adapted_is_in_the_recordings(entry: Excluded) -> None:
    assert any(entry.covers(entry.recording, step) for step in load(entry.recording))
