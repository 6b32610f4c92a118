"""The look of every picture: one palette for a light page and a dark one, and the width of a text.

Invariant: every text reaches a contrast of 5:1 against each colour behind it, on both pages.

Design: no two kinds of state differ by hue alone. The width of a text is its width in DejaVu Sans. Browsers prefer Helvetica,
Arial or Liberation Sans, which are narrower.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from typing import TYPE_CHECKING

from realtime_fsm.fsm.descriptions import STATES, StateKind
from realtime_fsm.fsm.table import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FONT = "Helvetica,Arial,sans-serif"


@dataclass(frozen=True, slots=True)
class Style:
    """The colours of a kind of state."""

    fill: str  # of the box
    line: str  # of the border, of arrows to the state, and of their labels
    text_color: str  # of the name in the box
    tint: str  # of the ground of a group
    line_width: float  # the width of the border, in points


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one page."""

    paper: str  # of the ground
    ink: str  # of texts
    soft: str  # of less important texts
    hair: str  # of hairlines
    card: str  # of the ground of inner frames
    current: str  # of the border of the current state
    kinds: Mapping[StateKind, Style]  # of each kind of state


LIGHT = Palette(
    "#FFFFFF", "#1B2733", "#57606A", "#D5D9DE", "#FFFFFF", "#0072B2",
    {
        StateKind.REST: Style("#E6E9EC", "#55606B", "#1B2733", "#F3F4F5", 1.4),
        StateKind.UNDERWAY: Style("#FCE3B0", "#845000", "#4A2D00", "#FDF4E1", 1.4),
        StateKind.LIVE: Style("#C9EBDD", "#006A52", "#00382B", "#EFF8F4", 1.4),
        StateKind.ERROR: Style("#B5330F", "#962A0A", "#FFFFFF", "#FBEAE4", 3.0),
        StateKind.END: Style("#1B2733", "#1B2733", "#FFFFFF", "#E9EBEC", 1.4),
    },
)  # fmt: skip
DARK = Palette(
    "#0D1117", "#E6EDF3", "#A3ADB8", "#30373F", "#0D1117", "#58B4F0",
    {
        StateKind.REST: Style("#2B323A", "#A3ADB8", "#E6EDF3", "#161B22", 1.4),
        StateKind.UNDERWAY: Style("#4A3410", "#E8B25A", "#FFE2AE", "#241B0C", 1.4),
        StateKind.LIVE: Style("#12483A", "#4CC9A4", "#CFF5E7", "#0F1F1C", 1.4),
        StateKind.ERROR: Style("#A33A18", "#FF9A7A", "#FFFFFF", "#2A130C", 3.0),
        StateKind.END: Style("#C9D1D9", "#C9D1D9", "#0D1117", "#22272E", 1.4),
    },
)  # fmt: skip

STATE_COLORS = {
    State.DISCONNECTED: "#7D8792",
    State.RECONNECTING: "#C27F00",
    State.CONNECTED: "#3FA583",
    State.SUBSCRIBED: "#00805F",
    State.UNSUBSCRIBED: "#9B7DC9",
    State.PING: "#2F8BC9",
    State.ERROR: "#C8401A",
    State.DISPOSING: "#66727E",
}
"""A colour for each state in drawings of time; each reaches a contrast of 3:1 against both pages."""


def kind_of(name: str) -> StateKind:
    """Return the kind of a state, by its name; the name of a group gives `StateKind.LIVE`."""
    return STATES[State(name)].kind if name in set(State) else StateKind.LIVE


def css() -> str:
    """Return the style sheet of the pictures, with the dark palette for a page that prefers it."""
    dark = "".join(_rules(DARK))
    return f".fsm text{{font-family:{FONT}}}{''.join(_rules(LIGHT))}@media(prefers-color-scheme:dark){{{dark}}}"


def variables() -> str:
    """Return the palette as variables of a style sheet, with the dark palette for a page that prefers it."""
    dark = f"@media screen and (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}"
    return f":root{{color-scheme:light dark;{_variables(LIGHT)}}}{dark}"


def _variables(palette: Palette) -> str:
    colors = {name: getattr(palette, name) for name in ("paper", "ink", "soft", "hair", "current")}
    for kind, style in palette.kinds.items():
        parts = {"fill": style.fill, "line": style.line, "text": style.text_color, "tint": style.tint}
        colors |= {f"{kind.key}-{part}": color for part, color in parts.items()}
    return "".join(f"--{name}:{color};" for name, color in colors.items())


def _rules(palette: Palette) -> Iterator[str]:
    yield f".fsm .paper{{fill:{palette.paper}}}.fsm .ink{{fill:{palette.ink}}}.fsm .soft{{fill:{palette.soft}}}"
    yield f".fsm .hair{{stroke:{palette.hair}}}.fsm .card{{fill:{palette.card}}}"
    for kind, paint in palette.kinds.items():
        name = kind.key
        yield f".fsm .{name}{{fill:{paint.fill};stroke:{paint.line};stroke-width:{paint.line_width:g}}}"
        for part, color in (("name", paint.text_color), ("text", paint.line), ("tint", paint.tint)):
            yield f".fsm .{name}-{part}{{fill:{color}}}"
        yield f".fsm .{name}-line{{stroke:{paint.line}}}"
    yield f".fsm .now{{stroke:{palette.current};stroke-width:4}}"


_BOLD = 1.14
"""The ratio of the widths of bold and regular words in DejaVu Sans; a single letter may differ more."""
_ADVANCES = {
    letter: width
    for letters, width in {
        "'ijlIJ ,.·\u00a0": 0.318, "/:;\\|f-": 0.361, "()[]t!r": 0.411, '"*_`s': 0.521, "z?cLFkvxyPTY": 0.611,
        "$0123456789{}abdeghnopqu": 0.636, "ESKAVXZBRC": 0.698, "UNHDGOQ&": 0.787, "w#+<=>~→": 0.838, "Mm%W…": 1.0, "⟶": 1.434,
    }.items()
    for letter in letters
}  # fmt: skip
"""The width of each letter in DejaVu Sans in em, or slightly more; other letters count as 1 em."""


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return the greatest width of a text in points, in DejaVu Sans and in narrower fonts.

    Python 3.12 sums floats otherwise than 3.11, and `fsum` alike, so each version draws the same picture.
    """
    return fsum(_ADVANCES.get(letter, 1.0) for letter in text) * size * (_BOLD if bold else 1)


def wrapped(parts: tuple[str, ...], joint: str, room: float, size: float) -> tuple[str, ...]:
    """Return the parts in lines, each with as many joined parts as fit; divide a part that is too wide between its words."""
    lines: list[str] = []
    for part in parts:
        longer = f"{lines[-1]}{joint}{part}" if lines else part
        if text_width(longer, size) <= room:
            lines[-1:] = [longer]
        elif text_width(part, size) <= room or " " not in part:
            lines.append(part)
        else:
            lines += wrapped(tuple(part.split(" ")), " ", room, size)
    return tuple(lines)
