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
    "cli.audit_follow": {"_PATIENCE": 8},
    "cli.demo": {"_PATIENCE": 30.0},
    "cli.doctor": {"_LEAST_WIDTH": 50},
    "cli.main": {"OK": 0, "FAILED": 1, "USAGE": 2},
    "cli.output": {"STDOUT": 1, "WIDTH": 100, "_NARROWEST": 40, "_GRACE": 1.0},
    "cli.replay": {"_INTERRUPTED": 130, "_CONTEXT": 5},
    "cli.screen": {"_SHOWN": 10, "_BORDERS": 13, "_PERIOD": 0.25},
    "cli.words": {"_NEAR": 5},
    "diagram.canvas": {"LEADING": 1.28},
    "diagram.graphviz": {"_HEADER": 33, "_DPI": 144},
    "diagram.json_": {"FORMAT": 1},
    "diagram.overview": {"WIDTH": 900, "HEIGHT": 774, "LABEL_SIZE": 11.0},
    "diagram.timeline": {"HEIGHT": 24, "_TICKS": 1_000_000, "_MARK": 3},
    "errors": {"RETRY_AFTER_LIMIT": 3600.0},
    "fsm.budget": {"MESSAGES_PER_MINUTE": 32},
    "fsm.context": {"HANDOVER_DEBOUNCE": 0.05},
    "fsm.fault": {"QUICK": 4, "STEADY": 10.0},
    "fsm.link": {"DRAIN_SECONDS": 1.0},
    "fsm.pacer": {"BURST": 8, "_ROUNDING": 1e-06},
    "fsm.policies": {"RATE_LIMIT_WINDOW": 60.0, "MOST_PINGS": 16, "QUICK_PINGS": 4, "SLOW_PING": 5.0},
    "identity": {"_PATIENCE": 9.0, "_ABANDON_AFTER": 60.0},
    "ops.doctor.examination": {"_QUICK": 1.0, "_PATIENT": 2.5},
    "ops.doctor.link": {"_SLOW": 1.0, "_SUBSCRIBED_WITHIN": 5.0, "_ECHO_WITHIN": 10.0, "_DIALS": 128},
    "ops.doctor.observed": {"PATIENCE": 5.0, "MOST_PINGS": 12, "MOST_CHANNELS": 12},
    "ops.doctor.path": {"PATIENCE": 3.0, "_MOST_ADDRESSES": 8, "_SOON": 1_209_600.0, "_CLOCK_SKEW": 30.0},
    "ops.inspector.board": {"MOST": 24, "_KNOWN": 10_000, "_PACE": 0.1, "_HEARTBEAT": 10.0},
    "ops.inspector.live": {"_LOOK": 0.5},
    "ops.inspector.logs": {"_LINES": 200},
    "ops.inspector.server": {"BROWSERS": 8},
    "ops.inspector.views": {"STAYS": 240, "STEPS": 24, "CAUSES": 8, "MARKS": 60, "SUBSCRIPTIONS": 50, "KINDS": 8},
    "ops.telemetry_names": {
        "_SHORT": (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
        "_LONG": (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600),
    },
    "ops.web": {"_CLOSE": 1.0},
    "protocol.eras": {"UNFILTERED_SLOT": 0},
    "protocol.faults": {"POLICY": 1008},
    "protocol.frames": {"MAX_CLIENT_FRAME": 65_536},
    "replay.harness": {"DEFAULT_DRAW": 0.5},
    "replay.replayer": {"MICROSECOND": 1e-06},
    "runtime.catching_up": {"_DEDUP_SECONDS": 60.0, "_LATENESS_TOLERANCE": 1.0},
    "runtime.deduplication": {"CAUGHT_UP_AFTER": 100, "MOST_LEADS": 100_000},
    "runtime.delivery": {"BUFFER_BYTES": 67_108_864, "_GAPS_KEPT": 100},
    "runtime.dispatch": {"_TURN": 256, "_CONTROL_TURN": 32},
    "runtime.driver": {"_CHANGES_KEPT": 1024},
    "runtime.grace": {"LATE": 0.1, "GRACE": 0.2},
    "runtime.handover": {"_POLL": 0.5, "_MOST_AHEAD": 10_000},
    "runtime.readahead": {"LIMIT": 1_048_576, "OVERHEAD": 128, "_TURN": 256},
    "runtime.suspend": {"POLL_INTERVAL": 2.0, "CLOCK_JUMP": 10.0},
    "runtime.transport": {"DEFAULT_MAX_FRAME": 67_108_864, "_TURN": 32},
    "testing.backend": {"FAULT_DELAY": 2.0},
    "testing.connection": {"MAX_CLIENT_FRAME": 65_536, "HISTORY": 1000},
    "testing.listener": {"PING_LIMIT": 120, "_STOP_GRACE": 1.0},
    "testing.memory": {"LATENCY": 0.01},
    "testing.quick": {"JITTER": 0.5},
    "testing.users": {"EXPIRES": 4_102_444_800.0},
    "testing.virtual": {"LIMIT": 86_400.0},
}
"""The constants, by their module: counts, bytes, seconds and codes, as their docstrings say. Those of a room's own stand here
where a test makes them small, or where only their value matters to an operator."""


@pytest.mark.parametrize("module", LIMITS)
def test_each_documented_number_is_what_it_was(module: str) -> None:
    names = vars(importlib.import_module(f"realtime_fsm.{module}"))
    assert {name: names[name] for name in LIMITS[module]} == LIMITS[module]
