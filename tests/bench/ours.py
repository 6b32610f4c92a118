"""Run this library as an application does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from bench.meter import Meter
from realtime_fsm import Event, Realtime, Subscription


def client(port: int) -> Realtime:
    """Build a client with default settings."""
    return Realtime(f"http://127.0.0.1:{port}/v1", project="bench")


def _payload(event: Event) -> dict[str, Any]:
    return event.payload


async def take_events(subscription: Subscription, count: int) -> Event:
    """Take so many events, and read no part of them."""
    async for event in subscription:  # noqa: B007  (the last one is returned)
        count -= 1
        if not count:
            break
    return event


async def _take_payloads(subscription: Subscription, count: int) -> dict[str, Any]:
    async for event in subscription:
        payload = event.payload
        count -= 1
        if not count:
            break
    return payload


async def untouched(meter: Meter) -> None:
    """Iterate with `async for`."""
    async with client(meter.port) as realtime:
        subscription = await realtime.subscribe(meter.load.channel)
        await meter.run(lambda count: take_events(subscription, count), _payload)
        assert not subscription.dropped


async def as_dict(meter: Meter) -> None:
    """Iterate with `async for`, and read each payload."""
    async with client(meter.port) as realtime:
        subscription = await realtime.subscribe(meter.load.channel)
        await meter.run(lambda count: _take_payloads(subscription, count), lambda payload: payload)
        assert not subscription.dropped


async def batches(meter: Meter) -> None:
    """Iterate over batches of the buffered events."""
    async with client(meter.port) as realtime:
        subscription: Any = await realtime.subscribe(meter.load.channel)
        stream: AsyncIterator[list[Event]] = aiter(subscription.batches())
        batch: list[Event] = []

        async def consume(count: int) -> Event:
            nonlocal batch
            while len(batch) < count:
                count -= len(batch)
                batch = list(await anext(stream))
            event = batch[count - 1]
            batch = batch[count:]
            return event

        await meter.run(consume, _payload)


async def fan_out(meter: Meter) -> None:
    """Iterate over several subscriptions that match every event, each in its own task."""
    async with client(meter.port) as realtime:
        calls = (realtime.subscribe(meter.load.channel) for _ in range(meter.load.subscriptions))
        subscriptions = await asyncio.gather(*calls)

        async def consume(count: int) -> Event:
            return (await asyncio.gather(*(take_events(one, count) for one in subscriptions)))[-1]

        await meter.run(consume, _payload)
        assert not any(one.dropped for one in subscriptions)
