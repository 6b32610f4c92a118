"""Records and settings as an audit decodes them; a field that a test does not name has its default."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from realtime_fsm.audit.decoding import FlatRecord
from realtime_fsm.audit.policies import Policies
from realtime_fsm.audit.row_facts import STEPS
from support.brokenlogs import BEGIN


def flat_record(event: str, second: float = 0.0, **fields: Any) -> FlatRecord:
    """Make a record of a connection, which was written some seconds after `BEGIN`."""
    common = {"machine": "m", "connection_id": "c", "seq": 1, "timestamp": BEGIN + timedelta(seconds=second), "link": 1}
    return FlatRecord(**{**common, "event": f"realtime.{event}", **fields})


def step_record(row: str, **fields: Any) -> FlatRecord:
    """Make the record of a step by a transition rule, without a failure."""
    step = STEPS[row]
    told = {"row": row, "trigger": step.trigger, "source": step.source, "dest": step.dest, "cause": None}
    return flat_record("transition", **{**told, **fields})


def policies(**told: Any) -> Policies:
    """Make the settings of a connection."""
    return Policies(flat_record("open", **{"retry": {}, "ping": {}, "timeouts": {}, **told}))
