"""The memory of an auditor."""

from __future__ import annotations

import pytest

from realtime_fsm.audit import connections
from support.brokenlogs import audited
from support.wholelog import renamed


def test_the_connections_that_ended_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_ENDED_TRACKED", 2)
    logs = {name: renamed(name) for name in ("c1", "c2", "c3")}
    report = audited([line for log in logs.values() for line in log] + [logs["c3"][-2]])
    assert (report.first is not None and report.first.connection, report.connections_total) == ("c3", 3)
