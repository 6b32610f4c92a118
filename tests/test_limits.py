"""The documented numbers of the package. A test that reads one of them follows it wherever it goes, so they stand here again."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

LIMITS: dict[str, dict[str, Any]] = {
    "audit.collector": {"KEPT": 1000, "DRAWN": 10_000},
    "audit.connections": {"MAX_ENDED_TRACKED": 256, "MAX_EARLY": 128, "MAX_EARLY_TOGETHER": 16_384},
    "audit.downtime": {"MOST_MISSED": 100},
    "audit.facts": {"LIMIT": 32, "WINDOW": 60.0},
    "audit.formats.page_heat": {"GROUPS": 25, "COLUMNS": 120, "LEVELS": (0.0, 0.002, 0.01, 0.05, 0.25)},
    "audit.formats.page_connections": {"OUTAGES": 20},
    "audit.formats.page_time": {"LISTED": 200},
    "audit.framing": {"LONGEST": 1_048_576},
    "audit.guard_inference": {"TOO_MANY_REQUESTS": 429},
    "audit.progress": {"LONG": 8_388_608},
    "audit.rules": {"ROUNDING": 0.002, "LATE": 1.0},
    "audit.sources": {"LONGEST": 1_048_576},
    "audit.stats": {"KEPT": 100},
    "audit.stays": {"MOST": 100},
    "audit.tail": {"PAUSE": 0.25},
    "audit.tracking": {"CONTEXT": 5},
    "auditlog.records": {"SCHEMA": 1},
    "cli.main": {"OK": 0, "FAILED": 1, "USAGE": 2},
    "cli.output": {"STDOUT": 1},
    "diagram.canvas": {"LEADING": 1.28},
    "diagram.json_": {"FORMAT": 1},
    "diagram.overview": {"WIDTH": 900, "HEIGHT": 774, "LABEL_SIZE": 11.0},
    "diagram.timeline": {"HEIGHT": 24},
    "errors": {"RETRY_AFTER_LIMIT": 3600.0},
    "fsm.budget": {"MESSAGES_PER_MINUTE": 32},
    "fsm.context": {"HANDOVER_DEBOUNCE": 0.05},
    "fsm.fault": {"QUICK": 4, "STEADY": 10.0},
    "fsm.link": {"DRAIN_SECONDS": 1.0},
    "fsm.pacer": {"BURST": 8},
    "fsm.policies": {"RATE_LIMIT_WINDOW": 60.0, "MOST_PINGS": 16, "QUICK_PINGS": 4, "SLOW_PING": 5.0, "POLICY": 1008},
    "protocol.eras": {"UNFILTERED_SLOT": 0},
    "protocol.frames": {"MAX_CLIENT_FRAME": 65_536},
    "replay.harness": {"DEFAULT_DRAW": 0.5},
    "replay.replayer": {"MICROSECOND": 1e-06},
    "runtime.deduplication": {"CAUGHT_UP_AFTER": 100, "MOST_LEADS": 100_000},
    "runtime.delivery": {"BUFFER_BYTES": 67_108_864},
    "runtime.readahead": {"LIMIT": 1_048_576, "OVERHEAD": 128},
    "runtime.suspend": {"POLL_INTERVAL": 2.0, "CLOCK_JUMP": 10.0},
    "runtime.transport": {"DEFAULT_MAX_FRAME": 67_108_864},
    "testing.backend": {"FAULT_DELAY": 2.0},
    "testing.connection": {"MAX_CLIENT_FRAME": 65_536, "HISTORY": 1000},
    "testing.listener": {"PING_LIMIT": 120},
    "testing.memory": {"LATENCY": 0.01},
    "testing.quick": {"JITTER": 0.5},
    "testing.users": {"EXPIRES": 4_102_444_800.0},
    "testing.virtual": {"LIMIT": 86_400.0},
}
"""The constants with a public name, by their module: counts, bytes, seconds and codes, as their docstrings say."""


@pytest.mark.parametrize("module", LIMITS)
def test_each_documented_number_is_what_it_was(module: str) -> None:
    names = vars(importlib.import_module(f"realtime_fsm.{module}"))
    assert {name: names[name] for name in LIMITS[module]} == LIMITS[module]
