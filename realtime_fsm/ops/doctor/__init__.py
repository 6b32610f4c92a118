"""Find out why no events arrive: check each step of the way to an Appwrite server, from the host's name to an event's echo."""

from realtime_fsm.ops.doctor.examination import examine
from realtime_fsm.ops.doctor.report import Check, Report, Status

__all__ = ["Check", "Report", "Status", "examine"]
