"""Run bare aiohttp, the base of the library, with different JSON decoders."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec

from bench.meter import Meter

TEXT = aiohttp.WSMsgType.TEXT
MAX_SIZE = 64 * 1024 * 1024
WebSocket = aiohttp.ClientWebSocketResponse[bool]


class EventData(msgspec.Struct):
    """The value under ``data``: the decoder reads the ids and leaves the rest as bytes, as the library does."""

    events: msgspec.Raw
    channels: msgspec.Raw
    timestamp: msgspec.Raw
    payload: msgspec.Raw
    subscriptions: list[str]


class Message(msgspec.Struct):
    """An event's message."""

    type: str
    data: EventData


decode_event: Callable[[bytes], Message] = msgspec.json.Decoder(Message).decode


def subscribe_message(*channels: str) -> str:
    """Return a message that subscribes to each channel."""
    items = [{"subscriptionId": f"s{n}", "channels": [channel]} for n, channel in enumerate(channels, 1)]
    return json.dumps({"type": "subscribe", "data": items})


def url(port: int) -> str:
    """Return the URL of the server."""
    return f"ws://127.0.0.1:{port}/v1/realtime?project=bench"


async def dial(session: aiohttp.ClientSession, port: int) -> WebSocket:
    """Open a websocket with the library's options, and receive the greeting."""
    websocket = await session.ws_connect(url(port), autoping=False, max_msg_size=MAX_SIZE, decode_text=False)
    await websocket.receive()
    return websocket


async def typed(meter: Meter) -> None:
    """Run the limit of our stack: one `receive()` and one typed decode an event."""
    async with aiohttp.ClientSession() as session, await dial(session, meter.port) as websocket:
        await websocket.send_str(subscribe_message(meter.load.channel))
        await websocket.receive()
        receive = websocket.receive

        async def consume(count: int) -> Message:
            while True:
                message = await receive()
                if message.type is TEXT:
                    event = decode_event(message.data)
                    count -= 1
                    if not count:
                        return event

        await meter.run(consume, lambda event: msgspec.json.decode(event.data.payload))


async def _decoded(meter: Meter, decode: Callable[[str | bytes], Any], *, text: bool) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url(meter.port), max_msg_size=MAX_SIZE, decode_text=text) as websocket,
    ):
        await websocket.receive()
        await websocket.send_str(subscribe_message(meter.load.channel))
        await websocket.receive()
        receive = websocket.receive

        async def consume(count: int) -> Any:
            while True:
                message = await receive()
                if message.type is TEXT:
                    event = decode(message.data)
                    count -= 1
                    if not count:
                        return event

        await meter.run(consume, lambda event: event["data"]["payload"])


async def with_json(meter: Meter) -> None:
    """Run the standard library's JSON decoder."""
    await _decoded(meter, json.loads, text=True)


async def with_orjson(meter: Meter) -> None:
    """Run orjson, a fast decoder."""
    import orjson

    await _decoded(meter, orjson.loads, text=False)
