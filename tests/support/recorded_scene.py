"""One link of a recording, played to the client: what the real server did is done, what the client does must fit to it."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import MutableMapping
from typing import Any

from realtime_fsm import PingPolicy, Realtime, RefusedByServer, RetryPolicy, State, Subscription, Timeouts
from realtime_fsm.runtime.jitter import drawing
from realtime_fsm.testing.eras import EraName
from support import recorded_server as wire
from support.recorded_client import whole
from support.recorded_server import Clock, Guest, Peer, RecordedServer, soon
from support.recording import Recorded, Step, secrets

QUICK = RetryPolicy(attempts=5, base=0.01, cap=0.05)
TIMEOUTS = Timeouts(close=0.2)  # the server of a scene that is over answers no closing handshake
PINGS = PingPolicy(interval=30, timeout=10)  # on a clock that is put forward
Records = list[MutableMapping[str, Any]]


class Scene(Guest):
    """One link, with its server, its client and the client's user.

    Attributes:
        fault: the error frame, if it was the last one.
        greeted: whether the greeting was sent.
        closing: the call that closes the link, once there was one.
    """

    def __init__(
        self, link: Recorded, server: RecordedServer, clock: Clock, records: Records, protocol: EraName | None, **identity: Any
    ) -> None:
        self.link, self.server, self.clock, self.records = link, server, clock, records
        project = link.query["project"][0]
        options: dict[str, Any] = {"retry": QUICK, "ping": PINGS, "timeouts": TIMEOUTS, "era": protocol, **identity}
        with drawing(lambda: 0.0):  # the first ping comes as late as the others
            super().__init__(Realtime(server.endpoint, project, **options))
        self.peer: Peer
        self.leaving: list[Subscription] = []
        self.fault: dict[str, Any] | None = None
        self.greeted = False
        self.closing: asyncio.Future[None] | None = None

    # --- what differs ---------------------------------------------------------------------------------------------------

    async def dial(self) -> None:
        """Let the user call, and accept the link that is dialed."""
        raise NotImplementedError

    async def come_back(self) -> None:
        """Accept a link that takes the place of the lost one, see that everything is asked for on it, and greet."""
        raise NotImplementedError

    @property
    def everyone(self) -> list[Subscription]:
        """All subscriptions that there ever were."""
        raise NotImplementedError

    def close(self) -> Any:
        """How the user closes the link."""
        return self.realtime.dispose()

    # --- the steps ------------------------------------------------------------------------------------------------------

    async def play(self, steps: list[Step]) -> None:
        for step in steps:
            await getattr(self, "on_" + step.dir)(step)

    async def ping(self) -> None:
        due = self.realtime._driver._context.ping_at
        assert due is not None
        self.clock.forward(max(0.0, due - self.clock.time()))
        await self.peer.message("ping")
        assert self.realtime.state is State.PING

    async def on_open(self, step: Step) -> None:
        if step.status:
            assert step.status.startswith("HTTP/1.1 101 ")
            return
        await self.dial()
        self.peer.upgrade()

    async def on_recv(self, step: Step) -> None:
        text = whole(self.link.recording, step)
        assert step.length in (None, len(text))
        if step.type == "CLOSED":
            await self.on_eof(step)
        elif step.op == "pong":
            self.peer.send(text, wire.PONG)
        else:
            self.fault = None
            frame = json.loads(text)
            await getattr(self, "say_" + frame["type"])(text, frame.get("data"))

    async def on_timeout(self, step: Step) -> None:
        assert self.server.unexpected == 0

    async def on_close(self, step: Step) -> None:
        if step.by == "client":
            self.closing = asyncio.ensure_future(self.close())
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
        elif self.fault is None:  # nothing was said: the next attempt may fare better
            await self.come_back()
            await self.change(dest=State.CONNECTED)

    on_exception = on_eof  # in the words of another client library

    async def on_reset(self, step: Step) -> None:
        await self.peer.reset()
        if self.closing is None:
            await self.lost("stream_ended")
        else:
            await soon(self.closing, within=2)

    async def say_pong(self, text: str, data: None) -> None:
        self.peer.send(text)
        assert (await self.change(source=State.PING)).dest.is_live

    # --- the endings ----------------------------------------------------------------------------------------------------

    async def lost(self, kind: str) -> None:
        """A live link ended: see why the client thinks so, and that it comes back."""
        self.check_loss(await self.change(dest=State.RECONNECTING), kind)
        if self.link.refused_afterwards:
            await wire.until(lambda: any(record.get("cause") == "dial_failed" for record in self.records))
            await self.server.start()
        await self.come_back()
        await self.change(dest=State.SUBSCRIBED if self.realtime._driver._context.subscriptions.desired else State.CONNECTED)

    def check_loss(self, change: Any, kind: str) -> None:
        assert (change.cause.kind, change.source.is_live) == (kind, True)
        assert kind != "stream_ended" or change.cause.close_code == 1006
        assert kind != "error_frame" or {"code": change.cause.code, "message": change.cause.message} == self.fault

    def check_refusal(self, fault: dict[str, Any] | None) -> None:
        error = self.realtime.error
        assert isinstance(error, RefusedByServer)
        assert ({"code": error.code, "message": error.message}, self.realtime.state) == (fault, State.ERROR)

    async def leave(self) -> None:
        """Dispose, and see that nobody got more than was looked at, and that no secret was told."""
        await soon(self.realtime.dispose())
        assert [[event async for event in subscription] for subscription in self.everyone] == [[]] * len(self.everyone)
        assert self.server.unexpected == 0
        self.told += [change async for change in self.states]
        self.told += [self.realtime, *self.everyone, *self.records]
        assert self.records
        told = " ".join(f"{thing!r} {thing} {getattr(thing, '__dict__', '')}" for thing in self.told)
        assert not [secret for secret in secrets(self.link.recording) if secret in told]
