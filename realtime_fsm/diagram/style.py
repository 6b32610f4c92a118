"""The look: colours that the colour-blind can tell apart, fonts that are everywhere, and how wide a text is."""

from __future__ import annotations

from dataclasses import dataclass

from realtime_fsm.fsm.descriptions import StateKind

PAPER, INK, SOFT, HAIR, CARD = "#FBFAF7", "#1B2733", "#5C6873", "#D9D6CE", "#FFFFFF"
CURRENT_STATE_COLOR = "#0072B2"
"""The ring around the state where a connection stands."""
FONT = "Helvetica,Arial,sans-serif"


@dataclass(frozen=True, slots=True)
class Style:
    """The colours of a kind of state; no two kinds differ by hue alone.

    Attributes:
        fill: inside.
        line: around it, and on the arrows that lead to it.
        ink: its name, on the fill.
        wash: a light tint, for what belongs to it.
        heavy: how thick its line is.
    """

    fill: str
    line: str
    text_color: str
    tint: str
    line_width: float


PAINTS = {
    StateKind.REST: Style("#E6E9EC", "#5C6873", "#1B2733", "#F3F4F5", 1.4),
    StateKind.UNDERWAY: Style("#FCE3B0", "#A66300", "#4A2D00", "#FDF4E1", 1.4),
    StateKind.LIVE: Style("#C9EBDD", "#00745A", "#00382B", "#EFF8F4", 1.4),
    StateKind.ERROR: Style("#C23B15", "#8C2206", "#FFFFFF", "#FBEAE4", 3.0),
    StateKind.END: Style("#1B2733", "#1B2733", "#FFFFFF", "#E9EBEC", 1.4),
}

_WIDTHS = {
    **dict.fromkeys("ijl'", 222),
    **dict.fromkeys(" !,./:;I[]ft·", 278),
    **dict.fromkeys("()-r`", 333),
    **dict.fromkeys("ckszvxyJ", 500),
    **dict.fromkeys("+<=>~", 584),
    **dict.fromkeys("FTZ", 611),
    **dict.fromkeys("ABEKPSVXY&", 667),
    **dict.fromkeys("CDHNRUw", 722),
    **dict.fromkeys("GOQ", 778),
    **dict.fromkeys("Mm", 833),
    **dict.fromkeys("W→", 1000),
}


def text_width(text: str, size: float) -> float:
    """About how many points a text is wide in Helvetica, and so in Arial and Liberation Sans."""
    return sum(_WIDTHS.get(letter, 556) for letter in text) * size / 1000


def wrapped(parts: tuple[str, ...], joint: str, room: float, size: float) -> tuple[str, ...]:
    """Parts in lines: as many as fit, joined; a part that is wider than the room stands alone."""
    lines: list[str] = []
    for part in parts:
        longer = f"{lines[-1]}{joint}{part}" if lines else part
        if lines and text_width(longer, size) <= room:
            lines[-1] = longer
        else:
            lines.append(part)
    return tuple(lines)
