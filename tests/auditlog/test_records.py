"""Every kind of record is a value: nothing changes it once it is built."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from realtime_fsm.auditlog.records import RECORDS, AnyRecord, Record


@pytest.mark.parametrize("kind", [Record, *RECORDS], ids=lambda kind: kind.__name__)
def test_a_record_is_frozen_and_takes_its_fields_by_name(kind: type[Record]) -> None:
    config = kind.__struct_config__
    assert config.frozen
    with pytest.raises(TypeError, match="Extra positional arguments provided"):
        kind(1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"event": "realtime.subscription", "subscription": "s1", "change": "removed"}, {"dwell": 0.0, "size": 0}),
        ({"event": "realtime.presence", "change": "stored"}, {"dwell": 0.0}),
        ({"event": "realtime.canary", "change": "echoed"}, {"seconds": 0.0}),
        (
            {
                "event": "realtime.transition",
                "row": "dis1",
                "trigger": "connect",
                "source": "disconnected",
                "dest": "reconnecting",
                "dwell": 0.5,
                "attempt": 1,
                "sends": 0,
                "cause": None,
                "error_code": None,
                "close_code": None,
            },
            {"lag": 0.0, "at": UNSET, "draw": UNSET, "enabled": UNSET, "heard": UNSET, "dial_slot": UNSET},
        ),
    ],
    ids=lambda value: value.get("event", ""),
)
def test_a_record_of_an_older_version_lacks_fields_and_is_read(said: dict[str, Any], expected: dict[str, Any]) -> None:
    common = {"connection_id": "c1", "seq": 1, "link": 0, "machine": "m", "timestamp": "2026-11-24T05:06:07Z"}
    record = msgspec.convert({**common, **said}, AnyRecord)
    assert {name: getattr(record, name) for name in expected} == expected
