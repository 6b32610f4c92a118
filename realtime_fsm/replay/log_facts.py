"""The facts of a step that only other records of the log tell."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from realtime_fsm.auditlog.records import OutageRecord, PresenceRecord, RetiredRecord, SubscriptionRecord, TransitionRecord
from realtime_fsm.fsm.inputs import SetPresence, Subscribe, Unsubscribe
from realtime_fsm.fsm.names import Effect
from realtime_fsm.fsm.table import Trigger
from realtime_fsm.protocol.frames import MAX_CLIENT_PAYLOAD
from realtime_fsm.replay.harness import FRAMES
from realtime_fsm.replay.inputs import PRESENCE, RULES, spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from realtime_fsm.auditlog.records import AnyRecord
    from realtime_fsm.fsm.inputs import Input
    from realtime_fsm.protocol.frames import Code

_FRAME_TRIGGERS = {kind.trigger for kind in FRAMES}


class LogFacts:
    """The facts of one connection.

    Attributes:
        errors: the codes of error frames without a record of their own, by the number of the first record after the frame.
        outages: the records of outages, by the number of the record whose step begins or ends the outage.
    """

    def __init__(self, records: Sequence[AnyRecord]) -> None:
        self.errors: dict[int, Code] = _errors_before_requests(records)
        self.outages: dict[int, OutageRecord] = {}
        step = 0
        for record in records:
            if isinstance(record, TransitionRecord | RetiredRecord):
                step = record.seq
            elif isinstance(record, OutageRecord):
                self.outages[step] = record
        subscriptions = [record for record in records if isinstance(record, SubscriptionRecord)]
        self._unsupported_ids = {  # only a server that is too old for queries refuses without a code
            record.subscription for record in subscriptions if record.change == "rejected" and record.error_code is None
        }
        self._pads = sum(record.size for record in subscriptions) > MAX_CLIENT_PAYLOAD / 2  # with less, one frame holds all

    def user_call(self, record: SubscriptionRecord | PresenceRecord) -> Input:
        """Make the user's call of a record, with placeholders."""
        if isinstance(record, PresenceRecord):
            return SetPresence(PRESENCE if record.change == "desired" else None)
        if record.change == "withdrawn":
            return Unsubscribe(record.subscription)
        size, filtered = record.size * self._pads, record.subscription in self._unsupported_ids
        return Subscribe(spec(record.subscription, size, filtered=filtered))


def code_of_end(record: TransitionRecord) -> Code | None:
    """Return the code of the error frame that ended a link; None for other steps."""
    return record.error_code if record.trigger == Trigger.LOST and record.cause == "error_frame" else None


def _errors_before_requests(records: Iterable[AnyRecord]) -> dict[int, Code]:
    """Find the steps that sent a request to which the server answered only with the error frame that ended the link."""
    found: dict[int, Code] = {}
    asked: int | None = None
    for before, record in pairwise(record for record in records if isinstance(record, TransitionRecord)):
        code = code_of_end(record)
        if asked is not None and code is not None:
            found[asked] = code
        rule = RULES.get(record.row)
        resumes = rule is not None and Effect.RESUME_LINK in rule.effects  # the record counts the frames of the old link
        if record.link != before.link or record.trigger in _FRAME_TRIGGERS or resumes:
            asked = None
        elif record.sends > before.sends:
            asked = record.seq
    return found
