"""Show a replayed connection, one step a line; a terminal shows the colours of the diagrams."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

import msgspec

from realtime_fsm.audit.formats.text_utils import format_duration, printable
from realtime_fsm.diagram.style import LIGHT
from realtime_fsm.fsm import commands
from realtime_fsm.fsm.descriptions import STATES
from realtime_fsm.fsm.inputs import LinkClosed
from realtime_fsm.fsm.table import State
from realtime_fsm.replay.divergence import kind_and_code

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from realtime_fsm.auditlog.records import OutageRecord
    from realtime_fsm.fsm.commands import Command
    from realtime_fsm.replay.replayer import ReplayedStep

_LISTED = 4
"""Subscriptions of a command to list one by one."""
_LATE = 1.0
"""Seconds of lag from which on a line shows it."""
_ARROW = "->"
_NAME = max(map(len, State)) + 2
_STATES = 2 * _NAME + len(_ARROW)
_NEXT = len("stability in 10 min 10 s")
_GREYISH = 12
_DIM, _RED, _GREEN, _YELLOW = "2", "31", "32", "33"


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of a terminal: 24-bit ones where it is deep, and else 256."""

    is_deep: bool

    def state(self, state: State) -> str:
        """Paint a state's name like its box in the diagrams."""
        paint = LIGHT.kinds[STATES[state].kind]
        return f"\x1b[48;{self._code(paint.fill)};38;{self._code(paint.text_color)}m {state} \x1b[0m"

    @staticmethod
    def text(text: str, style: str) -> str:
        """Paint a text in one of the terminal's own colours."""
        return f"\x1b[{style}m{text}\x1b[0m" if text else ""

    def _code(self, colour: str) -> str:
        red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
        if self.is_deep:
            return f"2;{red};{green};{blue}"
        if max(red, green, blue) - min(red, green, blue) < _GREYISH:
            return f"5;{232 + round((red - 8) / 10)}"
        near = [max(0, round((part - 54) / 40)) for part in (red, green, blue)]  # in a cube with six steps an edge
        return f"5;{16 + 36 * near[0] + 6 * near[1] + near[2]}"


def palette_for(out: TextIO) -> Palette | None:
    """Choose the palette of a stream; None where the user wants no colours (https://no-color.org) or the stream shows none."""
    if not out.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return None
    return Palette(os.environ.get("COLORTERM") in ("truecolor", "24bit"))


class StepFormatter:
    """Makes lines of steps, with a bar in the margin during an outage; without a palette they are plain text."""

    def __init__(self, palette: Palette | None) -> None:
        self._palette = palette
        self._is_outage = False

    def head(self) -> str:
        """Make the line with the names of the columns."""
        names = f"{' state':<{_STATES}} {'trigger':<13}  {'row':<6}  {'next':<{_NEXT}}  asked; noted"
        return self._paint(f"{'record':>6}   {'seconds':>11} {names}", _DIM)

    def line(self, played: ReplayedStep) -> str:
        """Make the line of a step."""
        transition, deadline, at = played.result.transition, played.result.deadline, played.input_.at
        notes = self._notes(played)
        if played.outage is not None:
            self._is_outage = played.outage.change == "opened"
            notes.append(_describe_outage(played.outage))
        gutter = "|" if self._is_outage else " "
        awaited = ""
        if deadline is not None:
            awaited = f"{played.awaited} in {format_duration(deadline - at)}" if deadline > at else f"{played.awaited} now"
        row = "-" if transition is None else transition.row.id
        asked = printable(_describe_commands(played.result.commands))
        told = "; ".join(filter(None, (asked, *(self._paint(printable(text), style) for text, style in notes))))
        return (
            f"{played.seq:>6} {self._paint(gutter, _RED)} {played.seconds:>11.3f} {self._states(played)} "
            f"{played.input_.input_.trigger:<13}  {row:<6}  {awaited:<{_NEXT}}  {told}"
        ).rstrip()

    def _states(self, played: ReplayedStep) -> str:
        if played.state is played.source:
            return self._state(played.source, " " * (len(_ARROW) + _NAME))
        return self._state(played.source, _ARROW) + self._state(played.state)

    def _state(self, state: State, after: str = "") -> str:
        """Pad a state to the width of the longest name in its box."""
        painted = f" {state} " if self._palette is None else self._palette.state(state)
        return f"{painted}{' ' * (_NAME - len(state) - 2)}{after}"

    @staticmethod
    def _notes(played: ReplayedStep) -> list[tuple[str, str]]:
        """Note the remarkable facts of a step, each with its style."""
        notes: list[tuple[str, str]] = []
        transition = played.result.transition
        if any(isinstance(command, commands.RetireLink) for command in played.result.commands):
            notes.append(("it delivers until the next one is up", _DIM))
        if transition is None:
            ended = isinstance(played.input_.input_, LinkClosed)
            notes.append(("the draining link is gone", _YELLOW) if ended else ("noted for later", _DIM))
        elif transition.cause is not None:
            notes.append((kind_and_code(transition.cause), _YELLOW))
        notes += [("read no more" if paused else "read again", _DIM) for _, paused in played.input_.pauses]
        if played.lag >= _LATE:
            notes.append((f"late by {format_duration(played.lag)}", _YELLOW))
        if played.input_.dial_slot is not None:
            notes.append(("waits for its turn to dial", _DIM))
        return notes

    def _paint(self, text: str, style: str) -> str:
        return text if self._palette is None else self._palette.text(text, style)


def _describe_outage(outage: OutageRecord) -> tuple[str, str]:
    """Tell that an outage begins or ends, with the style."""
    if outage.change == "closed":
        return f"outage over after {format_duration(outage.seconds)}", _GREEN
    return ("outage, planned", _YELLOW) if outage.planned else ("OUTAGE", _RED)


_WORDS: dict[type[Command], str] = {
    commands.OpenLink: "open {0.generation}",
    commands.RetireLink: "retire {0.generation}",
    commands.ReleaseLink: "release {0.generation}",
    commands.SubscriptionAcknowledged: "grant",
    commands.SubscriptionRefused: "reject",
    commands.SubscriptionUnsupported: "reject",
    commands.SubscriptionRemoved: "remove",
    commands.PresenceStored: "presence stored",
    commands.PresenceRefused: "reject the presence",
    commands.UserIdentified: "name the user",
    commands.AuthenticationRefused: "reject the identity",
    commands.EndStreams: "end streams",
}


def _describe_commands(given: Iterable[Command]) -> str:
    """Describe the commands of a step in short words."""
    ids_of: dict[str, list[str]] = {}
    for command in given:
        for words, ids in _describe(command):
            ids_of.setdefault(words, []).extend(ids)
    return "; ".join(_join(words, ids) for words, ids in ids_of.items())


def _describe(command: Command) -> Iterator[tuple[str, Iterable[str]]]:
    """Describe a command, with the ids of its subscriptions; the commands that a reader does not miss have no words."""
    match command:
        case commands.SendFrame(data=data):  # without its content, which may be a session
            message = msgspec.json.decode(data)
            items = message.get("data")
            ids = [item["subscriptionId"] for item in items] if isinstance(items, list) else []
            yield f"send {message['type']}", ids
        case commands.CloseLink(generation=link, graceful=graceful):
            yield f"{'hang up' if graceful else 'drop'} {link}", ()
        case commands.ResumeLink() | commands.FailWaiters():
            if isinstance(command, commands.ResumeLink):
                yield f"resume {command.generation}", ()
            yield f"tell {type(command.error).__name__}", ()
            if command.withdrawn:
                yield "withdraw", command.withdrawn
        case _ if type(command) in _WORDS:
            ids = [command.id] if hasattr(command, "id") else []
            yield _WORDS[type(command)].format(command), ids


def _join(words: str, ids: list[str]) -> str:
    more = len(ids) - _LISTED
    return " ".join([words, *ids[:_LISTED], *([f"and {more} more"] if more > 0 else [])])
