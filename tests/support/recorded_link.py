"""One link of a recording, played to the client: our server acts like the real one, and the client must act as it should."""

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
from support.faultproxy import until
from support.recorded_client import full_text
from support.recorded_server import ClientUnderTest, RecordedServer, ServerLink, SkippingLoop, soon
from support.recording import RecordedLink, RecordedStep, secrets

QUICK = RetryPolicy(attempts=5, base=0.01, cap=0.05)
TIMEOUTS = Timeouts(close=0.2)  # the server answers no closing handshake after the last step
PINGS = PingPolicy(interval=30, timeout=10)  # on a loop that skips time
Records = list[MutableMapping[str, Any]]


class LinkReplay(ClientUnderTest):
    """One link, with its server and its client; a subclass adds the requests of the client.

    Attributes:
        last_error: the data of the last frame, if it was an error.
        greeted: whether the server has sent the greeting.
        close_call: the call that closes the link, once the client has made it.
        unsubscribing: the subscriptions that the client is removing.
    """

    def __init__(
        self,
        link: RecordedLink,
        server: RecordedServer,
        clock: SkippingLoop,
        records: Records,
        era: EraName | None,
        **identity: Any,
    ) -> None:
        self.link, self.server, self.clock, self.records = link, server, clock, records
        project = link.query["project"][0]
        options: dict[str, Any] = {"retry": QUICK, "ping": PINGS, "timeouts": TIMEOUTS, "era": era, **identity}
        with drawing(lambda: 0.0):  # the first ping comes as late as the others
            super().__init__(Realtime(server.endpoint, project, **options))
        self.server_link: ServerLink
        self.unsubscribing: list[Subscription] = []
        self.last_error: dict[str, Any] | None = None
        self.greeted = False
        self.close_call: asyncio.Future[None] | None = None

    # --- for subclasses ---------------------------------------------------------------------------------------------------

    async def dial(self) -> None:
        """Connect the client, and accept its link."""
        raise NotImplementedError

    async def accept_reconnect(self) -> None:
        """Accept the link that replaces the lost one, check that the client asks for everything again, and greet."""
        raise NotImplementedError

    @property
    def all_subscriptions(self) -> list[Subscription]:
        """All subscriptions that were ever acknowledged."""
        raise NotImplementedError

    def close(self) -> Any:
        """Close the link."""
        return self.realtime.dispose()

    # --- the steps ------------------------------------------------------------------------------------------------------

    async def play(self, steps: list[RecordedStep]) -> None:
        for step in steps:
            await getattr(self, "on_" + step.dir)(step)

    async def ping(self) -> None:
        due = self.realtime._driver.context.ping_at
        assert due is not None
        self.clock.skip(max(0.0, due - self.clock.time()))
        await self.server_link.message("ping")
        assert self.realtime.state is State.PING

    async def on_open(self, step: RecordedStep) -> None:
        if step.status:
            assert step.status.startswith("HTTP/1.1 101 ")
            return
        await self.dial()
        self.server_link.upgrade()

    async def on_recv(self, step: RecordedStep) -> None:
        text = full_text(self.link.recording, step)
        assert step.length in (None, len(text))
        if step.type == "CLOSED":
            await self.on_eof(step)
        elif step.op == "pong":
            self.server_link.send(text, wire.PONG)
        else:
            self.last_error = None
            frame = json.loads(text)
            await getattr(self, "send_" + frame["type"])(text, frame.get("data"))

    async def on_timeout(self, step: RecordedStep) -> None:
        assert self.server.unexpected == 0

    async def on_close(self, step: RecordedStep) -> None:
        if step.by == "client":
            self.close_call = asyncio.ensure_future(self.close())
            assert await self.server_link.close_frame() == (1000, "")
        else:  # as recorded, also where it is the echo of another code than ours
            payload = b"" if step.code is None else struct.pack("!H", step.code) + step.reason.encode()
            self.server_link.send(payload or bytes(step.length or 0), wire.CLOSE)

    async def on_eof(self, step: RecordedStep) -> None:
        overdue = step.note.startswith("client drops TCP")
        if overdue:  # ours does so when its ping is not answered
            await self.ping()
            self.clock.skip(PINGS.timeout)
            await self.server_link.ended()
        if self.link.next_dial_refused:
            self.server.stop()
        await self.server_link.finish()
        if self.close_call is not None:
            await soon(self.close_call, within=2)
        elif self.greeted:
            await self.expect_loss("pong_overdue" if overdue else "stream_ended" if self.last_error is None else "error_frame")
        elif self.last_error is None:  # no frame came: the client tries again
            await self.accept_reconnect()
            await self.next_change(dest=State.CONNECTED)

    on_exception = on_eof  # as another client library reports it

    async def on_reset(self, step: RecordedStep) -> None:
        await self.server_link.reset()
        if self.close_call is None:
            await self.expect_loss("stream_ended")
        else:
            await soon(self.close_call, within=2)

    async def send_pong(self, text: str, data: None) -> None:
        self.server_link.send(text)
        assert (await self.next_change(source=State.PING)).dest.is_live

    # --- ends ----------------------------------------------------------------------------------------------------

    async def expect_loss(self, kind: str) -> None:
        """Check the cause that the client names for the loss of a live link, and that the client reconnects."""
        self.check_loss(await self.next_change(dest=State.RECONNECTING), kind)
        if self.link.next_dial_refused:
            await until(lambda: any(record.get("cause") == "dial_failed" for record in self.records))
            await self.server.start()
        await self.accept_reconnect()
        await self.next_change(dest=State.SUBSCRIBED if self.realtime._driver.context.subscriptions.desired else State.CONNECTED)

    def check_loss(self, change: Any, kind: str) -> None:
        assert (change.cause.kind, change.source.is_live) == (kind, True)
        assert kind != "stream_ended" or change.cause.close_code == 1006
        assert kind != "error_frame" or {"code": change.cause.code, "message": change.cause.message} == self.last_error

    def check_refusal(self, fault: dict[str, Any] | None) -> None:
        error = self.realtime.error
        assert isinstance(error, RefusedByServer)
        assert ({"code": error.code, "message": error.message}, self.realtime.state) == (fault, State.ERROR)

    async def finish(self) -> None:
        """Dispose; check that no event is left over, and that no output shows a secret."""
        await soon(self.realtime.dispose())
        for subscription in self.all_subscriptions:
            assert [event async for event in subscription] == []
        assert self.server.unexpected == 0
        self.outputs += [change async for change in self.states]
        self.outputs += [self.realtime, *self.all_subscriptions, *self.records]
        assert self.records
        shown = " ".join(f"{value!r} {value} {getattr(value, '__dict__', '')}" for value in self.outputs)
        assert not [secret for secret in secrets(self.link.recording) if secret in shown]
