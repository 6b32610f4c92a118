"""The values of a replay as Python."""

from __future__ import annotations

import pytest

from realtime_fsm.errors import ServerError, StreamEnded
from realtime_fsm.fsm.inputs import DialFailure, ErrorReceived, Input, Unsubscribe
from realtime_fsm.replay.source_code import source_of


@pytest.mark.parametrize(
    ("input_", "code"),
    [
        (ErrorReceived(2, "it's", ""), """ErrorReceived(2, "it's", "")"""),
        (ErrorReceived(2, 401, "", renewable=True), 'ErrorReceived(2, 401, "", renewable=True)'),
        (DialFailure(1, ServerError(1008, "text")), 'DialFailure(1, ServerError(1008, "not in the log"))'),
        (DialFailure(1, StreamEnded(1002)), "DialFailure(1, StreamEnded(1002))"),
        (Unsubscribe('"'), "Unsubscribe('\"')"),
    ],
)
def test_inputs_are_written_as_python(input_: Input, code: str) -> None:
    assert source_of(input_) == code
