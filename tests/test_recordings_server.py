"""The embedded server against recordings of a real one: the client's side is played, the server's side must be the same."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from rawclient import OPCODES, RawClient, upgrade
from realtime_fsm.testing import RealtimeServer
from recording import Ids, Step, load, rebuild

PLAYED = (
    "01-message-subscribe",
    "03-ping-and-malformed",
    "04-project-errors",
    "05-events-real-emitter",
    "05b-large-unicode",
    "06-authentication",
    "10-server-restart",
    "11-close-handshake",
)


@dataclass(frozen=True)
class Excluded:
    """Steps of a recording whose `field` has the `value` are not played."""

    recording: str
    field: str
    value: str
    reason: str

    def covers(self, recording: str, step: Step) -> bool:
        return recording == self.recording and getattr(step, self.field) == self.value


PARSER = "the real server tolerates it; aiohttp's frame parser refuses it, and the link ends"
EXCLUDED = (
    Excluded("03-ping-and-malformed", "conn", "x8", f"bad UTF-8 in a text frame: {PARSER}"),
    Excluded("03-ping-and-malformed", "conn", "x11", f"RSV1 without an extension: {PARSER}"),
    Excluded("03-ping-and-malformed", "conn", "x12", f"a reserved opcode: {PARSER}"),
    Excluded("04-project-errors", "note", "wrong Sec-WebSocket-Version 12", "aiohttp refuses the upgrade"),
    Excluded("10-server-restart", "dir", "state", "what another client library says about itself"),
    Excluded("11-close-handshake", "conn", "c6", f"close code 1005 on the wire: {PARSER}"),
    Excluded("11-close-handshake", "conn", "c7", f"a close payload of one byte: {PARSER}"),
)

# Who was allowed to see what the real emitter emitted in 05; the notes say it in words.
AUDIENCES = {
    "table read = user:alice only": ("user:alice",),
    "table read = users": ("users",),
    "table read = guests": ("guests",),
    "row read = user:alice, table read none (rowSecurity)": ("user:alice",),
    "account event for alice: users.alice.update.name and nested sessions event": ("user:alice",),
}
# Nobody got the last event of 05, so what it said is not recorded; this is what such an event says.
UNSEEN = "teams membership -> permissionsChanged for alice"

PLAIN = ["GET /v1/realtime?project=p1 HTTP/1.1", "Host: localhost"]
NO_KEY = [line for line in upgrade("/v1/realtime?project=p1") if not line.startswith("Sec-WebSocket-Key")]
RAW_REQUESTS = {"plain HTTP GET (no upgrade)": PLAIN, "no key": NO_KEY}


class Player:
    def __init__(self, server: RealtimeServer, recording: str, steps: tuple[Step, ...]) -> None:
        self.server = server
        self.played = 0
        self._recording = recording
        self._steps = steps
        self._clients: dict[str, RawClient] = {}
        self._ids = Ids()

    @property
    def port(self) -> int:
        return urlsplit(self.server.endpoint).port or 0

    async def play(self) -> None:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._hang_up)
            for step in self._steps:
                if not any(excluded.covers(self._recording, step) for excluded in EXCLUDED):
                    await getattr(self, "on_" + step.dir.replace("-", "_"))(step)
                    self.played += 1

    async def _hang_up(self) -> None:
        for client in self._clients.values():
            await client.hang_up()

    async def on_open(self, step: Step) -> None:
        if step.status:
            assert self._clients[step.conn].head.startswith(step.status.removesuffix("Switching Protocols"))
            return
        if step.conn in self._clients:
            await self._clients[step.conn].hang_up()
        request = list(step.request) or upgrade("/v1/realtime?project=p1&channels[]=rows")
        self._clients[step.conn] = await RawClient.dial(self.port, request)

    async def on_send(self, step: Step) -> None:
        masked = step.note != "unmasked client frame"
        text = self._ids.renewed(step.data)
        assert step.length in (None, len(text))
        self._clients[step.conn].send(text, step.op, fin=step.fin, rsv=step.rsv, masked=masked)

    async def on_recv(self, step: Step) -> None:
        if step.op == "http":
            client = await RawClient.dial(self.port, RAW_REQUESTS[step.note])
            assert client.head.split()[:2] == step.data.split()[:2]
            await client.hang_up()
        elif step.type == "CLOSED":
            assert await self._clients[step.conn].ending() == "eof"
        else:
            if self._recording == "04-project-errors" and step.data.startswith('{"type":"event"'):
                self._publish(step.data, ("any",), "console")  # it publishes this by itself, from time to time
            frame = await self._clients[step.conn].frame()
            assert (frame.opcode, frame.fin, frame.rsv, frame.masked) == (OPCODES[str(step.op)], True, 0, False)
            expected, received = rebuild(step.data), frame.payload.decode()
            assert step.length in (None, len(expected))
            assert self._ids.same(expected, received), (step.index, expected[:2000], received[:2000])

    async def on_timeout(self, step: Step) -> None:
        client = self._clients[step.conn]
        if client.ended:
            await client.ending()
        else:
            await client.quiet()

    async def on_close(self, step: Step) -> None:
        client = self._clients[step.conn]
        if step.by == "client":
            client.close_frame(step.code, step.reason)
            return
        frame = await client.frame()
        assert frame.opcode == OPCODES["close"]
        assert len(frame.payload) == step.length
        assert (int.from_bytes(frame.payload[:2]) or None, frame.payload[2:].decode()) == (step.code, step.reason)

    async def on_eof(self, step: Step) -> None:
        client = self._clients[step.conn]
        if step.note.startswith("client drops TCP"):
            client.finish()
        assert await client.ending() == "eof"

    async def on_reset(self, step: Step) -> None:
        # What was sent behind our own close frame finds the stream closed, or about to be: RST, or FIN before it.
        assert await self._clients[step.conn].ending() in ("eof", "reset")

    async def on_exception(self, step: Step) -> None:
        if step.lib:
            assert await self._clients[step.conn].ending() == "eof"
            return
        with pytest.raises(ConnectionRefusedError):
            await RawClient.connect(self.port, [])

    async def on_redis_publish(self, step: Step) -> None:
        self._publish_raw(json.loads(rebuild(step.data, '"}}}')))

    async def on_emit(self, step: Step) -> None:
        if step.note == UNSEEN:
            got = self.server.publish(
                "teams.t1.memberships.m1.create", ["memberships", "teams.t1"], {"$id": "m1"}, roles=("team:t1",)
            )
            assert got == 0
            return
        seen = {}
        for later in self._steps[step.index + 1 :]:
            if later.dir != "recv":
                break
            seen[later.data.partition(',"subscriptions"')[0]] = later.data
        assert seen
        for text in seen.values():
            self._publish(text, AUDIENCES.get(step.note, ("any",)))

    async def on_note(self, step: Step) -> None:
        match step.data.split(" (")[0]:
            case text if text.startswith("start.sh: up") and step.index:  # at index 0, it is up already
                await self.server.stop()
                await self.server.start()
            case "SIGTERM to the master" | "SIGKILL master and all workers":
                await self.server.stop()
            case "SIGKILL one worker":
                self.server.drop()

    def _publish(self, frame: str, roles: tuple[str, ...], project: str | None = None) -> None:
        data = json.loads(frame)["data"]
        self._publish_raw({"data": data, "roles": roles, "project": project})

    def _publish_raw(self, happening: dict[str, Any]) -> None:
        data = happening["data"]
        self.server.publish(
            data["events"],
            data["channels"],
            data["payload"],
            roles=happening["roles"],
            timestamp=data["timestamp"],
            project=happening["project"],
        )


def users(steps: tuple[Step, ...]) -> dict[str, tuple[str, dict[str, object]]]:
    """The users that a session was accepted from: the session's secret, and the user document."""
    found = {}
    for position, step in enumerate(steps):
        session = ""
        for line in step.request:
            session = line.partition("a_session_p1=")[2] or session
        if step.dir == "send" and '"authentication"' in step.data:
            session = str((json.loads(step.data).get("data") or {}).get("session", ""))
        answers = (later for later in steps[position + 1 :] if later.conn == step.conn and later.dir == "recv")
        user = json.loads(next(answers).data)["data"].get("user") if session else None
        if user:
            found[user["$id"]] = json.loads(base64.b64decode(session))["secret"], user
    return found


@pytest.mark.parametrize("recording", PLAYED)
def test_it_answers_as_recorded(recording: str) -> None:
    steps = load(recording)

    async def run() -> int:
        async with RealtimeServer(projects=("p1", "p2")) as server:
            for user_id, (secret, document) in users(steps).items():
                server.add_user(user_id, session_secret=secret, attributes=document)
            for step in steps:
                if step.note.startswith("session of another project (p2)") and step.dir == "send":
                    held = json.loads(base64.b64decode(json.loads(step.data)["data"]["session"]))
                    server.add_user(held["id"], session_secret=held["secret"], project="p2")
            player = Player(server, recording, steps)
            await player.play()
            return player.played

    excluded = sum(any(entry.covers(recording, step) for entry in EXCLUDED) for step in steps)
    assert asyncio.run(run()) == len(steps) - excluded


@pytest.mark.parametrize("entry", EXCLUDED, ids=lambda entry: f"{entry.recording}-{entry.value}")
def test_what_is_excluded_is_in_the_recordings(entry: Excluded) -> None:
    assert any(entry.covers(entry.recording, step) for step in load(entry.recording))


def test_who_may_see_what_is_in_the_recordings() -> None:
    notes = {step.note for step in load("05-events-real-emitter") if step.dir == "emit"}
    assert {*AUDIENCES, UNSEEN} <= notes
    assert set(RAW_REQUESTS) <= {step.note for step in load("04-project-errors") if step.op == "http"}
