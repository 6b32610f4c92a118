"""Tell server faults from refusals: during a server fault, the server answers and cannot do its work.

A real server without its Redis answers pings and subscribes with error 0, greets new dials, and later works again on the same
link (PROTOCOL: "Messages", rule 10). A query that the server does not allow gets error 0, too (rule 5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from realtime_fsm.protocol.frames import Code

POLICY = 1008
"""The code of a refusal, in an error frame, or in a close without one."""
_BAD_MESSAGE = 1003
_TOO_MANY = (1013, 429, "429")
_REFUSALS = range(400, 500)


def is_server_fault(code: Code) -> bool:
    """Tell whether the code of an error frame means a server fault: 0, 5xx, a text, or any other unknown code.

    1003, 1008 and 4xx refuse something; 1013 and 429 throttle (`is_throttle`).
    """
    if is_throttle(code):
        return False
    return isinstance(code, str) or (code not in (_BAD_MESSAGE, POLICY) and code not in _REFUSALS)


def is_throttle(code: Code) -> bool:
    """Tell whether the code of an error frame means too many messages: 1013, or HTTP's 429 as a number or a text.

    The server drops the message without a judgement of its content (PROTOCOL: "Messages", rule 4).
    """
    return code in _TOO_MANY


class FaultNews(Struct, frozen=True):
    """The begin or end of a server fault, as one step of the machine finds it.

    Attributes:
        opened: whether the fault begins.
        seconds: the seconds since the last proof that the server worked.
    """

    opened: bool
    seconds: float
