"""Server faults: the server answers, and cannot do its work.

Seen on a real server whose Redis was away (PROTOCOL: "Messages", rule 10): pings and subscribes are answered with error 0, new
dials are greeted, and later the same link works again. Error 0 is also the answer to a query that is not allowed (rule 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from realtime_fsm.protocol.frames import Code

_BAD_MESSAGE, _POLICY = 1003, 1008
_TOO_MANY = (1013, 429, "429")
_REFUSALS = range(400, 500)


def is_server_fault(code: Code) -> bool:
    """Tell whether the code of an error frame says that the server cannot work, and not that it refuses something.

    Args:
        code: the code: 1003, 1008 and 4xx refuse, 1013 and 429 say that there were too many (`is_throttle`); 0, 5xx, a text
            and the rest are faults.
    """
    if is_throttle(code):
        return False
    return isinstance(code, str) or (code not in (_BAD_MESSAGE, _POLICY) and code not in _REFUSALS)


def is_throttle(code: Code) -> bool:
    """Tell whether the code of an error frame says that there were too many messages, and so nothing about one of them.

    Args:
        code: the code: 1013, or what HTTP says for it, 429, as a number or a text (PROTOCOL: "Four server eras").
    """
    return code in _TOO_MANY


@dataclass(frozen=True, slots=True)
class FaultNews:
    """A server fault that begins or ends with a step.

    Attributes:
        opened: whether it begins.
        seconds: how long ago the server last proved that it worked.
    """

    opened: bool
    seconds: float
