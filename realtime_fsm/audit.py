"""The audit log, for programs that have no logging of their own, and its schema.

::

    from realtime_fsm import audit

    with audit.configure("/var/log/realtime.jsonl"):
        ...
"""

from realtime_fsm.edges.audit import configure
from realtime_fsm.vocabulary.records import RECORDS, SCHEMA, AnyRecord, json_schema

__all__ = ["RECORDS", "SCHEMA", "AnyRecord", "configure", "json_schema"]
