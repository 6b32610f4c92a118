"""The screen: a replayed connection, a step a line, in the colours of the diagrams where a terminal shows them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

from realtime_fsm.audit.formats.text_utils import format_duration
from realtime_fsm.diagram.style import PAINTS
from realtime_fsm.fsm.commands import (
    AuthenticationRefused,
    CloseLink,
    EndStreams,
    FailWaiters,
    OpenLink,
    PresenceRefused,
    PresenceStored,
    ReleaseLink,
    ResumeLink,
    RetireLink,
    SendFrame,
    SubscriptionAcknowledged,
    SubscriptionRefused,
    SubscriptionRemoved,
    SubscriptionUnsupported,
    UserIdentified,
)
from realtime_fsm.fsm.descriptions import STATES
from realtime_fsm.fsm.inputs import LinkClosed
from realtime_fsm.fsm.table import State
from realtime_fsm.replay.divergence import describe_cause

if TYPE_CHECKING:
    from collections.abc import Iterable

    from realtime_fsm.fsm.commands import Command
    from realtime_fsm.replay.replayer import ReplayedStep

_NAMED = 4
"""Subscriptions of a request that are named one by one."""
_LATE = 1.0
"""Seconds by which a deadline must have been missed to be told."""
_ARROW = "->"
_NAME = max(map(len, State)) + 2
_STATES = 2 * _NAME + len(_ARROW)
_NEXT = len("stability in 10 min 10 s")
_GREYISH = 12
_DIM, _RED, _GREEN, _YELLOW = "2", "31", "32", "33"


@dataclass(frozen=True, slots=True)
class Palette:
    """How a terminal shows colours.

    Attributes:
        deep: whether it knows all of them, and not only the 256 of old.
    """

    deep: bool

    def state(self, state: State) -> str:
        """A state's name, as its box in the diagrams looks."""
        paint = PAINTS[STATES[state].group]
        return f"\x1b[48;{self._code(paint.fill)};38;{self._code(paint.text_color)}m {state} \x1b[0m"

    @staticmethod
    def text(text: str, style: str) -> str:
        """A text in one of the terminal's own colours."""
        return f"\x1b[{style}m{text}\x1b[0m" if text else ""

    def _code(self, colour: str) -> str:
        red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
        if self.deep:
            return f"2;{red};{green};{blue}"
        if max(red, green, blue) - min(red, green, blue) < _GREYISH:
            return f"5;{232 + round((red - 8) / 10)}"
        near = [max(0, round((part - 54) / 40)) for part in (red, green, blue)]  # of a cube whose edges have six steps
        return f"5;{16 + 36 * near[0] + 6 * near[1] + near[2]}"


def palette_for(out: TextIO) -> Palette | None:
    """The palette of a stream; None where colours are not wanted (https://no-color.org) or not known."""
    if not out.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return None
    return Palette(os.environ.get("COLORTERM") in ("truecolor", "24bit"))


class StepFormatter:
    """Makes lines of steps; it remembers whether there is an outage.

    Args:
        palette: the colours; None for plain text.
    """

    def __init__(self, palette: Palette | None) -> None:
        self._palette = palette
        self._lost: float | None = None

    def head(self) -> str:
        """What the columns are."""
        names = f"{' state':<{_STATES}} {'trigger':<13}  {'row':<6}  {'next':<{_NEXT}}  asked; noted"
        return self._paint(f"{'record':>6}   {'seconds':>11} {names}", _DIM)

    def line(self, played: ReplayedStep) -> str:
        """A step."""
        transition, deadline, at = played.result.transition, played.result.deadline, played.input_.at
        notes = self._notes(played)
        gutter = "|" if self._lost is not None else " "
        awaits = ""
        if deadline is not None:
            awaits = f"{played.awaited} in {format_duration(deadline - at)}" if deadline > at else f"{played.awaited} now"
        row = "-" if transition is None else transition.row.id
        rest = "; ".join(filter(None, (_asked(played.result.commands), *(self._paint(*note) for note in notes))))
        return (
            f"{played.seq:>6} {self._paint(gutter, _RED)} {at:>11.3f} {self._states(played)} "
            f"{played.input_.input_.trigger:<13}  {row:<6}  {awaits:<{_NEXT}}  {rest}"
        ).rstrip()

    def _states(self, played: ReplayedStep) -> str:
        if played.state is played.source:
            return self._state(played.source, " " * (len(_ARROW) + _NAME))
        return self._state(played.source, _ARROW) + self._state(played.state)

    def _state(self, state: State, after: str = "") -> str:
        """A state in as much room as the longest name takes in its box."""
        shown = f" {state} " if self._palette is None else self._palette.state(state)
        return f"{shown}{' ' * (_NAME - len(state) - 2)}{after}"

    def _notes(self, played: ReplayedStep) -> list[tuple[str, str]]:
        """What is noteworthy of a step, each with its style."""
        notes: list[tuple[str, str]] = []
        transition, at = played.result.transition, played.input_.at
        retires = any(isinstance(request, RetireLink) for request in played.result.commands)
        if retires:
            notes.append(("it delivers until the next one is up", _DIM))
        if transition is None and isinstance(played.input_.input_, LinkClosed):
            notes.append(("OUTAGE: the link that made room is gone", _RED))
            self._lost = at if self._lost is None else self._lost
        elif transition is None:
            notes.append(("noted for later", _DIM))
        if transition is not None and transition.cause is not None:
            notes.append((describe_cause(transition.cause), _YELLOW))
        notes += [("read no more" if paused else "read again", _DIM) for _, paused in played.input_.pauses]
        if played.lag >= _LATE:
            notes.append((f"late by {format_duration(played.lag)}", _YELLOW))
        if played.input_.place is not None:
            notes.append(("waits for its turn to dial", _DIM))
        gone = played.source.is_live and not played.state.is_live and played.state is not State.DISPOSING
        if gone and not retires and self._lost is None:
            self._lost = at
            planned = transition is not None and transition.cause is None
            notes.append(("outage, planned", _YELLOW) if planned else ("OUTAGE", _RED))
        elif played.state in (State.SUBSCRIBED, State.UNSUBSCRIBED) and self._lost is not None:
            notes.append((f"outage over after {format_duration(at - self._lost)}", _GREEN))
            self._lost = None
        return notes

    def _paint(self, text: str, style: str) -> str:
        return text if self._palette is None else self._palette.text(text, style)


class _Message(msgspec.Struct):
    type: str
    data: Any = None


def _asked(requests: Iterable[Command]) -> str:
    """What the machine asked to be done, in short words."""
    words: dict[str, list[str]] = {}
    for request in requests:
        match request:
            case OpenLink(generation=link):
                words[f"open {link}"] = []
            case SendFrame(data=data):
                words.update(_sent(data))
            case CloseLink(generation=link, graceful=tidy):
                words[f"{'hang up' if tidy else 'drop'} {link}"] = []
            case SubscriptionAcknowledged(id=identifier):
                words.setdefault("grant", []).append(identifier)
            case RetireLink(generation=link):
                words[f"retire {link}"] = []
            case ReleaseLink(generation=link):
                words[f"release {link}"] = []
            case ResumeLink(generation=link, error=error, withdrawn=withdrawn):
                words[f"resume {link}"] = words[f"tell {type(error).__name__}"] = []
                if withdrawn:
                    words.setdefault("withdraw", []).extend(withdrawn)
            case PresenceStored():
                words["presence stored"] = []
            case PresenceRefused():
                words["reject the presence"] = []
            case SubscriptionRefused(id=identifier) | SubscriptionUnsupported(id=identifier):
                words.setdefault("reject", []).append(identifier)
            case SubscriptionRemoved(id=identifier):
                words.setdefault("remove", []).append(identifier)
            case FailWaiters(error=error, withdrawn=withdrawn):
                words[f"tell {type(error).__name__}"] = []
                if withdrawn:
                    words.setdefault("withdraw", []).extend(withdrawn)
            case UserIdentified():
                words["name the user"] = []
            case AuthenticationRefused():
                words["reject the identity"] = []
            case EndStreams():
                words["end streams"] = []
    return "; ".join(_with(word, ids) for word, ids in words.items())


def _sent(data: bytes) -> dict[str, list[str]]:
    """A frame: what it is, and of which subscriptions; an authentication is not looked into."""
    message = msgspec.json.decode(data, type=_Message)
    items = message.data if isinstance(message.data, list) else []
    return {f"send {message.type}": [item["subscriptionId"] for item in items]}


def _with(word: str, ids: list[str]) -> str:
    more = len(ids) - _NAMED
    return " ".join([word, *ids[:_NAMED], *([f"and {more} more"] if more > 0 else [])])
