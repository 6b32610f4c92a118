"""The deliveries of subscriptions, and events for them, without a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from realtime_fsm.events import Event
from realtime_fsm.protocol.spec import SubscriptionSpec
from realtime_fsm.runtime.delivery import DeliveryOptions, SubscriptionDelivery
from realtime_fsm.runtime.overflow import ReadGate
from realtime_fsm.runtime.registry import DeliveryRegistry


def event_for(*identifiers: str, channels: tuple[str, ...] = ("rows",), timestamp: str | None = None, **payload: Any) -> Event:
    """Make an event as a link brings it to subscriptions."""
    return Event(msgspec.Raw(msgspec.json.encode(payload)), (), channels, timestamp, list(identifiers))


def spec_of(identifier: str) -> SubscriptionSpec:
    """Make a subscription to the channel `rows`."""
    return SubscriptionSpec(identifier, ("rows",))


def refuse(failure: BaseException, heading: str) -> None:
    """Fail the test: no callable of the user may fail."""
    pytest.fail(f"{heading}: {failure!r}")


def new_delivery(report: Callable[[BaseException, str], None] = refuse, **options: Any) -> SubscriptionDelivery:
    """Make the delivery of subscription `s1`."""
    audit: Any = SimpleNamespace(gap=lambda *_, **__: None)
    return SubscriptionDelivery(
        spec_of("s1"), DeliveryOptions(**options), asyncio.get_running_loop(), report, audit, ReadGate()
    )  # fmt: skip


class Registered:
    """A registry with the deliveries `s1` and `s2`, which the server has acknowledged, and `s3`, which it has not.

    Attributes:
        told: the records about subscriptions.
        gaps: the records about gaps.
        planned: whether the gap is planned, for each of those records.
        strays: the numbers of ids that belong to no subscription.
        canaries: the events of the hidden subscription.
        outages: stands for the tracker of outages. Its `current` outage is set by a test.
        fault: the seconds of a server fault that the next event ends.
    """

    def __init__(self, **options: Any) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.gaps: list[tuple[str, Any]] = []
        self.planned: list[bool] = []
        self.strays: list[int] = []
        self.canaries: list[Event] = []
        self.fault: float | None = None
        outages: Any = SimpleNamespace(current=None, end_fault=lambda now: self.fault)
        self.outages = outages
        audit: Any = SimpleNamespace(subscription=lambda *given: self.told.append(given), gap=self._note_gap)
        self.registry = DeliveryRegistry(refuse, audit, outages)
        self.registry.on_strays, self.registry.on_canary = self.strays.append, self.canaries.append
        self.one, self.two, self.new = (self.register(f"s{number}", **options) for number in (1, 2, 3))
        for identifier in ("s1", "s2"):
            self.acknowledge(identifier)
        self.told.clear()

    def _note_gap(self, identifier: str, gap: Any, *, planned: bool) -> None:
        self.gaps.append((identifier, gap))
        self.planned.append(planned)

    def register(self, identifier: str, **options: Any) -> SubscriptionDelivery:
        return self.registry.register(spec_of(identifier), DeliveryOptions(**options), asyncio.get_running_loop())

    def update(self, delivery: SubscriptionDelivery, identifier: str) -> asyncio.Future[None]:
        return self.registry.begin_update(delivery, spec_of(identifier), asyncio.get_running_loop())

    def acknowledge(self, identifier: str, now: float = 0.0) -> SubscriptionDelivery | None:
        return self.registry.acknowledge(identifier, ("rows",), now)
