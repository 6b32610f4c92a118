"""Bare aiohttp, which the library stands on, with one JSON decoder or another."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec

from bench.meter import Meter

TEXT = aiohttp.WSMsgType.TEXT
MAX_SIZE = 64 * 1024 * 1024
Link = aiohttp.ClientWebSocketResponse[bool]


class Happening(msgspec.Struct):
    """What stands under ``data``: the ids are read, the rest stays bytes, as it does in the library."""

    events: msgspec.Raw
    channels: msgspec.Raw
    timestamp: msgspec.Raw
    payload: msgspec.Raw
    subscriptions: list[str]


class Message(msgspec.Struct):
    """An event's message."""

    type: str
    data: Happening


decode_event: Callable[[bytes], Message] = msgspec.json.Decoder(Message).decode


def subscribe_message(*channels: str) -> str:
    """A subscription to each channel."""
    items = [{"subscriptionId": f"s{n}", "channels": [channel]} for n, channel in enumerate(channels, 1)]
    return json.dumps({"type": "subscribe", "data": items})


def address(port: int) -> str:
    """Where to dial."""
    return f"ws://127.0.0.1:{port}/v1/realtime?project=bench"


async def dial(session: aiohttp.ClientSession, port: int) -> Link:
    """A link that has been greeted, with the options that the library dials with."""
    link = await session.ws_connect(address(port), autoping=False, max_msg_size=MAX_SIZE, decode_text=False)
    await link.receive()
    return link


async def b(meter: Meter) -> None:
    """The limit of our stack: one `receive()` and one typed decode an event."""
    async with aiohttp.ClientSession() as session, await dial(session, meter.port) as link:
        await link.send_str(subscribe_message(meter.load.channel))
        await link.receive()
        receive = link.receive

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
        session.ws_connect(address(meter.port), max_msg_size=MAX_SIZE, decode_text=text) as link,
    ):
        await link.receive()
        await link.send_str(subscribe_message(meter.load.channel))
        await link.receive()
        receive = link.receive

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
    """What most people would write."""
    await _decoded(meter, json.loads, text=True)


async def with_orjson(meter: Meter) -> None:
    """What people in a hurry would write."""
    import orjson

    await _decoded(meter, orjson.loads, text=False)
