"""The clients of the recordings, played to the embedded server, which must answer as the real server did."""

from __future__ import annotations

import base64
import itertools
import json
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest

from realtime_fsm.testing import RealtimeServer
from realtime_fsm.testing.backend import counted_ids
from realtime_fsm.testing.eras import ERAS, EraName
from support.adaptations import (
    AUDIENCES,
    EXCLUDED,
    GREETINGS,
    LONGEST,
    OF_P2,
    PRESENCE,
    PRESENCE_ID,
    RAW_REQUESTS,
    TIME,
    UNPUBLISHED,
    UNSEEN,
    UP_TO_THE_BLOB,
)
from support.raw_client import OPCODES, RawClient, upgrade
from support.recording import Ids, RecordedStep, rebuild
from support.server_core import NOON


class ClientReplay:
    """The clients of one recording, and the embedded server that they dial.

    Attributes:
        played: the number of steps so far.
    """

    def __init__(self, recording: str, steps: tuple[RecordedStep, ...]) -> None:
        self.played = 0
        self.server = RealtimeServer(
            projects=("p1", "p2"),
            era=era_of(recording),
            masked=not recording.endswith("-devenv"),
            clock=lambda: NOON + steps[self._at].t,
            ids=itertools.chain([PRESENCE_ID], counted_ids()) if recording == "09-presence" else None,
            shuffle=self._as_answered if recording == "14-pipelining-and-ordering" else None,
        )
        self._recording = recording
        self._steps = steps
        self._at = 0
        self._clients: dict[str, RawClient] = {}
        self._ids = Ids()

    @property
    def port(self) -> int:
        return urlsplit(self.server.endpoint).port or 0

    async def play(self) -> None:
        self._add_users()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._hang_up)
            for step in self._steps:
                if not any(excluded.covers(self._recording, step) for excluded in EXCLUDED):
                    self._at = step.index
                    await getattr(self, "on_" + step.dir.replace("-", "_"))(step)
                    self.played += 1

    def _add_users(self) -> None:
        for user_id, (secret, document) in users(self._steps).items():
            self.server.add_user(user_id, session_secret=secret, attributes=document)
        for step in self._steps:
            if step.note.startswith(OF_P2) and step.dir == "send":
                held = json.loads(base64.b64decode(json.loads(step.data)["data"]["session"]))
                self.server.add_user(held["id"], session_secret=held["secret"], project="p2")

    async def _hang_up(self) -> None:
        for client in self._clients.values():
            await client.hang_up()

    async def on_open(self, step: RecordedStep) -> None:
        if step.status:
            client = self._clients[step.conn]
            if not client.head:
                await client.answered()
            assert client.head.startswith(step.status.removesuffix("Switching Protocols"))
            return
        if step.conn in self._clients:
            await self._clients[step.conn].hang_up()
        if self._recording == "08-send-before-connected":
            self.server.greet = GREETINGS.get(step.conn, True)
        request = list(step.request) or upgrade("/v1/realtime?project=p1&channels[]=rows")
        sends_at_once = self._steps[step.index + 1].dir == "send"
        make = RawClient.connect if sends_at_once else RawClient.dial
        self._clients[step.conn] = await make(self.port, request)

    async def on_send(self, step: RecordedStep) -> None:
        masked = step.note != "unmasked client frame"
        text = self._ids.renewed(rebuild(step.data, '"}'))
        assert step.length in (None, len(text))
        following = self._steps[step.index + 1]
        more = (following.dir, following.conn) == ("send", step.conn)
        self._clients[step.conn].send(text, step.op, fin=step.fin, rsv=step.rsv, masked=masked, more=more)

    async def on_recv(self, step: RecordedStep) -> None:
        if step.op == "http":
            client = await RawClient.dial(self.port, RAW_REQUESTS[step.note])
            assert client.head.split()[:2] == step.data.split()[:2]
            await client.hang_up()
        elif step.type == "CLOSED":
            assert await self._clients[step.conn].ending() == "eof"
        else:
            expected = full_text(self._recording, step)
            if step.data.startswith('{"type":"event"') and (name := json.loads(expected)["data"]["events"][0]) in UNPUBLISHED:
                self._publish(expected, ("any",), UNPUBLISHED[name])
            frame = await self._clients[step.conn].frame()
            assert (frame.opcode, frame.fin, frame.rsv, frame.masked) == (OPCODES[str(step.op)], True, 0, False)
            received = frame.payload.decode()
            assert step.length in (None, len(expected))
            if self._recording == "09-presence" and PRESENCE.search(expected):
                expected, received = TIME.sub("", expected), TIME.sub("", received)
            assert self._ids.same(expected, received), (step.index, expected[:2000], received[:2000])

    def _as_answered(self, messages: list[str | bytes]) -> None:
        """Order messages that came at once by their recorded answers."""
        if len(messages) == 1:
            return
        waiting = [(request_of(json.loads(message)), message) for message in messages]
        messages.clear()
        for step in self._steps[self._at :]:
            if step.dir == "recv" and waiting:
                found = next(entry for entry in waiting if entry[0] == request_answered_by(json.loads(step.data)))
                waiting.remove(found)
                messages.append(found[1])

    async def on_timeout(self, step: RecordedStep) -> None:
        client = self._clients[step.conn]
        if client.ended:
            await client.ending()
        else:
            await client.quiet()

    async def on_close(self, step: RecordedStep) -> None:
        client = self._clients[step.conn]
        if step.by == "client":
            client.close_frame(step.code or None, step.reason)  # 0 stands for no code
            return
        frame = await client.frame()
        assert frame.opcode == OPCODES["close"]
        assert len(frame.payload) == step.length
        assert (int.from_bytes(frame.payload[:2]) or None, frame.payload[2:].decode()) == (step.code, step.reason)

    async def on_eof(self, step: RecordedStep) -> None:
        client = self._clients[step.conn]
        if step.note.startswith("client drops TCP"):
            client.finish()
        assert await client.ending() == "eof"

    async def on_reset(self, step: RecordedStep) -> None:
        # Data behind the client's close frame finds the stream closed, or almost closed: RST, or FIN before it.
        endings = ("eof", "reset") if self._recording == "11-close-handshake" else ("reset",)
        assert await self._clients[step.conn].ending() in endings

    async def on_exception(self, step: RecordedStep) -> None:
        if step.lib:
            assert await self._clients[step.conn].ending() == "eof"
            return
        with pytest.raises(ConnectionRefusedError):
            await RawClient.connect(self.port, [])

    async def on_redis_publish(self, step: RecordedStep) -> None:
        self._publish_raw(json.loads(rebuild(step.data, '"}}}')))

    async def on_emit(self, step: RecordedStep) -> None:
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

    async def on_note(self, step: RecordedStep) -> None:
        match step.data.split(" (")[0]:
            case text if text.startswith("start.sh: up") and step.index:  # at index 0, it is up already
                await self.server.stop()
                await self.server.start()
            case "SIGTERM to the master" | "SIGKILL master and all workers" | "kill -TERM master":
                await self.server.stop()
            case "SIGKILL one worker":
                self.server.drop()

    def _publish(self, frame: str, roles: tuple[str, ...], project: str | None = None) -> None:
        data = json.loads(frame)["data"]
        self._publish_raw({"data": data, "roles": roles, "project": project})

    def _publish_raw(self, publication: dict[str, Any]) -> None:
        data = publication["data"]
        self.server.publish(
            data["events"],
            data["channels"],
            data["payload"],
            roles=publication["roles"],
            timestamp=data["timestamp"],
            project=publication["project"],
            memberships_of=publication.get("userId") if publication.get("permissionsChanged") else None,
        )


def full_text(recording: str, step: RecordedStep) -> str:
    """The text of a frame, with the elided part."""
    head, gap, tail = step.data.partition(" ...[")
    if recording != LONGEST or not gap:
        return rebuild(step.data)
    tail = tail.partition("]... ")[2]
    before = head.partition('"timestamp"')[0] + UP_TO_THE_BLOB
    assert before.startswith(head)
    return before + "z" * ((step.length or 0) - len(before) - len(tail)) + tail


def era_of(recording: str) -> EraName:
    name = recording.partition("-")[0].upper()
    return ERAS[name].name if name in ERAS else "E4"


def request_of(message: dict[str, Any]) -> tuple[str, str]:
    data = message.get("data")
    return message["type"], data[0]["subscriptionId"] if isinstance(data, list) else ""


def request_answered_by(reply: dict[str, Any]) -> tuple[str, str]:
    if reply["type"] == "pong":
        return "ping", ""
    data = reply["data"]
    return data["to"], data["subscriptions"][0]["subscriptionId"] if "subscriptions" in data else ""


def users(steps: tuple[RecordedStep, ...]) -> dict[str, tuple[str, dict[str, object]]]:
    """The users whose session the server accepted: the secret of the session, and the user document."""
    found = {}
    for position, step in enumerate(steps):
        session = ""
        for line in step.request:
            session = line.partition("a_session_p1=")[2] or session
        if step.dir == "send" and '"authentication"' in step.data:
            data = json.loads(step.data).get("data")
            session = str(data.get("session", "")) if isinstance(data, dict) else ""
        answers = (later for later in steps[position + 1 :] if later.conn == step.conn and later.dir == "recv")
        user = json.loads(next(answers).data)["data"].get("user") if session else None
        if user:
            found[user["$id"]] = json.loads(base64.b64decode(session))["secret"], user
    return found
