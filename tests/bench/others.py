"""Run other WebSocket clients, and clients of other servers. Their types are unknown: `make lint types` runs without them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec

from bench.meter import Meter, Push
from bench.raw import MAX_SIZE, decode_event, subscribe_message, url


async def with_websockets(meter: Meter) -> None:
    """Run websockets with the standard library's JSON."""
    from websockets.asyncio.client import connect

    async with connect(url(meter.port), max_size=MAX_SIZE) as websocket:
        await websocket.recv()
        await websocket.send(subscribe_message(meter.load.channel))
        await websocket.recv()

        async def consume(count: int) -> Any:
            async for message in websocket:
                event = json.loads(message)
                count -= 1
                if not count:
                    break
            return event

        await meter.run(consume, lambda event: event["data"]["payload"])


async def with_picows(meter: Meter) -> None:
    """Run picows with msgspec, the limit in CPython. The decoded answer holds no bytes of the frame."""
    from picows import WSListener, WSMsgType, ws_connect

    push = Push(meter)
    on_event, text = push.on_event, WSMsgType.TEXT
    replies: asyncio.Queue[None] = asyncio.Queue()

    class FrameListener(WSListener):  # type: ignore[misc]  # without its types
        answered = 0

        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            if frame.msg_type is text:
                if self.answered == 2:
                    on_event(decode_event(frame.get_payload_as_bytes()))
                else:
                    self.answered += 1
                    replies.put_nowait(None)

    transport, _ = await ws_connect(FrameListener, url(meter.port))
    await replies.get()
    transport.send(text, subscribe_message(meter.load.channel).encode())
    await replies.get()
    await meter.run(push.consume, lambda event: msgspec.json.decode(event.data.payload))
    transport.disconnect()
    await transport.wait_disconnected()


async def with_supabase(meter: Meter) -> None:
    """Run supabase's `realtime`, with the same events as broadcasts."""
    from realtime import AsyncRealtimeClient

    push = Push(meter)
    client = AsyncRealtimeClient(f"ws://127.0.0.1:{meter.port}/socket")
    await client.connect()
    await client.channel(meter.load.channel).on_broadcast("event", push.on_event).subscribe()
    await meter.run(push.consume, lambda event: event["payload"]["payload"])
    await client.close()


async def with_centrifuge(meter: Meter) -> None:
    """Run centrifuge-python, with the same events as publications in its JSON protocol."""
    from centrifuge import Client, SubscriptionEventHandler

    push = Push(meter)
    on_event = push.on_event

    class Handler(SubscriptionEventHandler):  # type: ignore[misc]  # without its types
        async def on_publication(self, ctx: Any) -> None:
            on_event(ctx.pub.data)

    client = Client(f"ws://127.0.0.1:{meter.port}/connection/websocket", proxy=None)
    await client.connect()
    await client.new_subscription(meter.load.channel, Handler()).subscribe()
    await meter.run(push.consume, lambda event: event["payload"])
    await client.disconnect()
