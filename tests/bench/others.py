"""Other clients of WebSockets, and of other servers. None of their types is relied upon: `make lint types` does without them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec

from bench.meter import Meter, Push
from bench.raw import MAX_SIZE, address, decode_event, subscribe_message


async def with_websockets(meter: Meter) -> None:
    """websockets, with the standard library's JSON."""
    from websockets.asyncio.client import connect

    async with connect(address(meter.port), max_size=MAX_SIZE) as link:
        await link.recv()
        await link.send(subscribe_message(meter.load.channel))
        await link.recv()

        async def consume(count: int) -> Any:
            async for message in link:
                event = json.loads(message)
                count -= 1
                if not count:
                    break
            return event

        await meter.run(consume, lambda event: event["data"]["payload"])


async def with_picows(meter: Meter) -> None:
    """picows with msgspec: the limit in CPython. The decoder's answer is all that is kept of the message's bytes."""
    from picows import WSListener, WSMsgType, ws_connect

    push = Push(meter)
    hear, text = push.hear, WSMsgType.TEXT
    answers: asyncio.Queue[None] = asyncio.Queue()

    class Listener(WSListener):  # type: ignore[misc]  # its types are not relied upon
        answered = 0

        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            if frame.msg_type is text:
                if self.answered == 2:
                    hear(decode_event(frame.get_payload_as_bytes()))
                else:
                    self.answered += 1
                    answers.put_nowait(None)

    transport, _ = await ws_connect(Listener, address(meter.port))
    await answers.get()
    transport.send(text, subscribe_message(meter.load.channel).encode())
    await answers.get()
    await meter.run(push.consume, lambda event: msgspec.json.decode(event.data.payload))
    transport.disconnect()
    await transport.wait_disconnected()


async def with_supabase(meter: Meter) -> None:
    """supabase's `realtime`: the same events as broadcasts."""
    from realtime import AsyncRealtimeClient

    push = Push(meter)
    client = AsyncRealtimeClient(f"ws://127.0.0.1:{meter.port}/socket")
    await client.connect()
    await client.channel(meter.load.channel).on_broadcast("event", push.hear).subscribe()
    await meter.run(push.consume, lambda event: event["payload"]["payload"])
    await client.close()


async def with_centrifuge(meter: Meter) -> None:
    """centrifuge-python: the same events as publications, in its JSON protocol."""
    from centrifuge import Client, SubscriptionEventHandler

    push = Push(meter)
    hear = push.hear

    class Handler(SubscriptionEventHandler):  # type: ignore[misc]  # its types are not relied upon
        async def on_publication(self, ctx: Any) -> None:
            hear(ctx.pub.data)

    client = Client(f"ws://127.0.0.1:{meter.port}/connection/websocket", proxy=None)
    await client.connect()
    await client.new_subscription(meter.load.channel, Handler()).subscribe()
    await meter.run(push.consume, lambda event: event["payload"])
    await client.disconnect()
