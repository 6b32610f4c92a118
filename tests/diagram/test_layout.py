"""The pictures can be read: nothing is cut or covered in the widest common font, and every text stands out from its ground."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from realtime_fsm import TABLE, State
from realtime_fsm.audit.formats.svg import diagram
from realtime_fsm.audit.report import RowLine
from realtime_fsm.diagram.canvas import Canvas, Label
from realtime_fsm.diagram.overview import Caption, overview
from realtime_fsm.diagram.route import Rect, Route, route
from realtime_fsm.diagram.state import full_view, state_view
from realtime_fsm.diagram.style import DARK, LIGHT, STATE_COLORS, Palette, css, text_width, wrapped
from support.contrast import contrast, luminance
from support.some import some

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from realtime_fsm.diagram.arrows import Arrow

PALETTES = {"light": LIGHT, "dark": DARK}
_FIRST_RECONNECTING = next(number for number, row in enumerate(TABLE.rows) if row.source is State.RECONNECTING)


def crowded(arrow: Arrow) -> Caption:
    """Return the longest caption that an audit gives."""
    rows = [f"{row.id} x 1,234,567, 12 min 34 s".replace(" ", "\u00a0").replace(",\u00a0", ", ") for row in arrow.rows]
    return Caption((*rows[:2], f"+\u00a0{len(rows)}\u00a0more"), "")


PICTURES = {
    "overview": overview(TABLE, State.PING),
    "full": full_view(TABLE, State.PING),
    "audit": overview(TABLE, None, crowded, {state: Caption(("stays x 12,345,678",), "") for state in State}),
    **{f"state:{state}": state_view(TABLE, state, State.SUBSCRIBED) for state in State},
}


# --- places -----------------------------------------------------------------------------------------------------------


def texts(canvas: Canvas) -> list[Label]:
    labels = (
        [edge.label for edge in canvas.edges if edge.label]
        + canvas.labels
        + [text for box in canvas.boxes for text in box.labels]
    )
    return sorted(labels, key=lambda label: label.rect.y)


def borders(rect: Rect) -> Iterator[Rect]:
    x, y, w, h = rect
    yield from (Rect(x, y, w, 1), Rect(x, y + h, w, 1), Rect(x, y, 1, h), Rect(x + w, y, 1, h))


def overlapping_texts(canvas: Canvas) -> Iterator[str]:
    labels = texts(canvas)
    for number, one in enumerate(labels):
        for other in labels[number + 1 :]:
            if other.rect.y >= one.rect.bottom:
                break
            if one.rect.overlaps(other.rect):
                yield f"{one.lines} and {other.lines}"


def covered_texts(canvas: Canvas) -> Iterator[str]:
    inside = {text for box in canvas.boxes for text in box.labels}
    lines = [(border, "a frame") for frame in canvas.frames if frame.line for border in borders(frame.rect)]
    lines += [(leg, f"{edge.tail} -> {edge.head}") for edge in canvas.edges for leg in edge.route.legs()]
    lines += [(Rect(line.x, line.y, line.w, 1), "a hairline") for line in canvas.hairlines]
    for text in texts(canvas):
        obstacles = lines if text in inside else [*lines, *((box.rect, box.name) for box in canvas.boxes)]
        yield from (f"{text.lines} on {name}" for rect, name in obstacles if text.rect.overlaps(rect))


def cut_texts(canvas: Canvas) -> Iterator[str]:
    places = [(text, Rect(0, 0, *canvas.size), "the page") for text in texts(canvas)]
    places += [(text, box.rect, box.name) for box in canvas.boxes for text in box.labels]
    for text, place, name in places:
        x, y, w, h = text.rect
        if x < place.x or y < place.y or x + w > place.right or y + h > place.bottom:
            yield f"{text.lines} leaves {name}"


def crossed_boxes(canvas: Canvas) -> Iterator[str]:
    for edge, box in itertools.product(canvas.edges, canvas.boxes):
        x, y, w, h = box.rect
        inner = Rect(x + 2, y + 2, w - 4, h - 4)
        yield from (f"{edge.tail} -> {edge.head} on {box.name}" for leg in edge.route.legs() if leg.overlaps(inner))


@pytest.mark.parametrize("faults", [overlapping_texts, covered_texts, cut_texts, crossed_boxes])
@pytest.mark.parametrize("view", PICTURES)
def test_nothing_is_cut_or_covered(view: str, faults: Callable[[Canvas], Iterator[str]]) -> None:
    assert list(faults(PICTURES[view])) == []


@pytest.mark.parametrize("view", PICTURES)
def test_no_box_covers_another(view: str) -> None:
    boxes = PICTURES[view].boxes
    assert [(a.name, b.name) for a, b in itertools.combinations(boxes, 2) if a.rect.overlaps(b.rect)] == []


@pytest.mark.parametrize("state", State)
def test_the_box_of_a_state_reaches_as_far_down_as_its_neighbours_and_its_rows_follow(state: State) -> None:
    canvas = PICTURES[f"state:{state}"]
    (own,) = (box.rect for box in canvas.boxes if box.name == state)
    others = [box.rect.bottom for box in canvas.boxes if box.name != state]
    assert own.bottom == pytest.approx(max(others) + 6)
    heading = min(label.y for label in canvas.labels if label.y > own.y)
    assert own.bottom < heading < own.bottom + 40


@pytest.mark.parametrize("view", PICTURES)
def test_every_arrow_has_a_label_but_the_first(view: str) -> None:
    edges = PICTURES[view].edges
    assert {edge.tail for edge in edges if edge.label is None} <= {"start"}
    assert len(edges) > 2


def sides(rect: Rect) -> list[Rect]:
    x, y, w, h = rect
    return [Rect(x, y, w, 0), Rect(x, y + h, w, 0), Rect(x, y, 0, h), Rect(x + w, y, 0, h)]


@pytest.mark.parametrize("view", PICTURES)
def test_every_arrow_leads_from_a_border_to_a_border(view: str) -> None:
    canvas = PICTURES[view]
    rects = [*(box.rect for box in canvas.boxes), *(frame.rect for frame in canvas.frames)]
    borders = [side for rect in rects for side in sides(rect)]
    for edge in some(canvas.edges):
        for x, y in (edge.route.points[0], edge.route.points[-1]):
            assert any(side.x <= x <= side.right and side.y <= y <= side.bottom for side in borders), (edge.tail, edge.head)


def test_an_arrow_that_no_row_took_is_faint() -> None:
    canvas = overview(TABLE, None, lambda arrow: Caption(("x",) if arrow.head == "error" else (), ""))
    assert {edge.head for edge in canvas.edges if not edge.faint and edge.tail != "start"} == {"error"}
    assert 'opacity=".35"' in canvas.to_svg()


def test_a_label_on_the_right_stays_within_the_frame_around_its_arrow() -> None:
    canvas = overview(TABLE, None, lambda _: Caption(("xx",) * 30, ""))
    frames = [frame.rect for frame in canvas.frames[:2]]
    labels = [edge.label for edge in canvas.edges if edge.label is not None and edge.label.align == "left"]
    for label in some(labels):
        around = [frame.right for frame in frames if frame.overlaps(Rect(label.x, label.y, 1, 1))]
        assert label.rect.right <= min(around, default=900 - 20)


HIGH, LOW = Rect(0, 0, 100, 40), Rect(300, 200, 100, 40)
LOWER_LEFT = Rect(0, 200, 100, 40)


@pytest.mark.parametrize(
    ("tail", "head", "others", "paired", "corners"),
    [
        (HIGH, LOW, [], False, [(80, 40), (80, 220), (300, 220)]),
        (LOW, HIGH, [], False, [(300, 220), (80, 220), (80, 40)]),
        (HIGH, LOW, [], True, [(89, 40), (89, 211), (300, 211)]),
        (LOW, HIGH, [], True, [(300, 229), (71, 229), (71, 40)]),
        (HIGH, LOW, [LOWER_LEFT], False, [(100, 20), (320, 20), (320, 200)]),
        (HIGH, LOW, [LOWER_LEFT, Rect(300, 0, 100, 40)], False, [(80, 40), (80, 220), (300, 220)]),
        (LOW._replace(y=-200), HIGH, [], False, [(320, -160), (320, 20), (100, 20)]),
        (LOWER_LEFT, LOW, [], False, [(100, 220), (300, 220)]),
        (LOW, LOWER_LEFT, [], True, [(300, 229), (100, 229)]),
        (LOWER_LEFT, LOW, [Rect(150, 190, 50, 40)], False, [(75, 200), (75, 126), (325, 126), (325, 200)]),
        (LOW, LOWER_LEFT, [Rect(150, 210, 50, 40)], False, [(325, 240), (325, 314), (75, 314), (75, 240)]),
        (LOWER_LEFT, HIGH, [], False, [(50, 200), (50, 40)]),
    ],
)  # fmt: skip
def test_a_route_is_straight_or_goes_around(
    tail: Rect, head: Rect, others: list[Rect], paired: bool, corners: list[tuple[float, float]]
) -> None:
    assert list(route(tail, head, others, paired=paired).points) == corners


@pytest.mark.parametrize(
    ("tail", "head", "paired", "place"),
    [
        (HIGH, LOW, False, ((190, 220), "above")),
        (HIGH, LOW, True, ((194.5, 211), "above")),
        (LOW, HIGH, True, ((185.5, 229), "below")),
    ],
)
def test_the_label_of_a_corner_is_on_its_level_part(
    tail: Rect, head: Rect, paired: bool, place: tuple[tuple[float, float], str]
) -> None:
    found = route(tail, head, [], paired=paired)
    assert (found.label, found.side) == place


def test_a_leg_of_a_route_is_two_points_thick() -> None:
    legs = Route(((10, 20), (50, 20), (50, 0)), (0, 0), "above").legs()
    assert legs == (Rect(9, 19, 42, 2), Rect(49, -1, 2, 22))


UPPER, FAR_BELOW = Rect(0, 0, 100, 40), Rect(0, 400, 100, 40)


@pytest.mark.parametrize(
    ("tail", "head", "others", "place"),
    [
        (UPPER, FAR_BELOW, [], ((59, 40 + 52), "right")),
        (FAR_BELOW, UPPER, [], ((41, 400 - 80), "left")),
        (LOWER_LEFT, LOW, [], ((200, 211), "above")),
        (LOW, LOWER_LEFT, [], ((200, 229), "below")),
        (LOWER_LEFT, LOW, [Rect(150, 190, 50, 40)], ((200, 126), "above")),
    ],
)
def test_a_label_is_near_the_tail_of_a_steep_arrow_and_in_the_middle_of_others(
    tail: Rect, head: Rect, others: list[Rect], place: tuple[tuple[float, float], str]
) -> None:
    """Near its tail, a label of a long arrow keeps clear of those at the head, where other arrows end."""
    found = route(tail, head, others, paired=True)
    assert (found.label, found.side) == place


# --- widths -----------------------------------------------------------------------------------------------------------

DEJAVU = {
    "unsubscribed": (6.702, 7.581),
    "another presence id": (10.055, 11.333),
    "server error (not in ping)": (12.408, 14.159),
    "call() = you call it": (8.833, 9.922),
    "con58 x 12,345,678": (10.021, 11.051),
    "The states of a connection": (13.272, 14.956),
}
"""Widths in em, regular and bold, measured in DejaVu Sans 2.37."""


def test_a_text_counts_as_wide_as_dejavu_sets_it() -> None:
    for text, (regular, bold) in some(DEJAVU.items()):
        assert regular - 0.001 <= text_width(text, 1) < regular * 1.06, text
        assert bold - 0.001 <= text_width(text, 1, bold=True) < bold * 1.08, text


@pytest.mark.parametrize(
    ("letters", "width"),
    [
        ("'ijlIJ ,.·\u00a0", 0.318), ("/:;\\|f-", 0.361), ("()[]t!r", 0.411), ('"*_`s', 0.521), ("z?cLFkvxyPTY", 0.611),
        ("$0123456789{}abdeghnopqu", 0.636), ("ESKAVXZBRC", 0.698), ("UNHDGOQ&", 0.787), ("w#+<=>~→", 0.838), ("Mm%W…ß", 1.0),
        ("⟶", 1.434),
    ],
)  # fmt: skip
def test_each_letter_has_its_width_and_an_unknown_one_an_em(letters: str, width: float) -> None:
    assert {letter: text_width(letter, 10) for letter in letters} == dict.fromkeys(letters, width * 10)


def test_texts_are_wrapped_at_joints_and_only_then_at_blanks() -> None:
    assert wrapped(("one", "two", "three four", "five"), " · ", 50, 10) == ("one · two", "three", "four · five")
    assert wrapped(("unbreakable",), ", ", 10, 10) == ("unbreakable",)


# --- colours ----------------------------------------------------------------------------------------------------------


def test_the_contrast_of_black_on_white_is_21() -> None:
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#767676", "#FFFFFF") == pytest.approx(4.54, abs=0.01)


def text_pairs(palette: Palette) -> Iterator[tuple[str, str, str]]:
    grounds = {"paper": palette.paper, "card": palette.card} | {
        f"{kind.name} tint": paint.tint for kind, paint in palette.kinds.items()
    }
    inks = {"ink": palette.ink, "soft": palette.soft} | {f"{kind.name} text": paint.line for kind, paint in palette.kinds.items()}
    for (ink, color), (ground, fill) in itertools.product(inks.items(), grounds.items()):
        yield f"{ink} on {ground}", color, fill
    for kind, paint in palette.kinds.items():
        yield f"{kind.name} name on its fill", paint.text_color, paint.fill


@pytest.mark.parametrize("page", PALETTES)
def test_every_text_stands_out_from_every_ground(page: str) -> None:
    faint = {name: round(ratio, 2) for name, ink, ground in text_pairs(PALETTES[page]) if (ratio := contrast(ink, ground)) < 5}
    assert faint == {}


@pytest.mark.parametrize("page", PALETTES)
def test_a_line_stands_out_from_every_ground(page: str) -> None:
    palette = PALETTES[page]
    for paint in some(palette.kinds.values()):
        assert contrast(paint.line, palette.paper) >= 3
    assert contrast(palette.current, palette.paper) >= 3
    assert {state: color for state, color in STATE_COLORS.items() if contrast(color, palette.paper) < 3} == {}


def test_a_picture_has_a_dark_ground_on_a_dark_page() -> None:
    light, dark = css().split("@media(prefers-color-scheme:dark)")
    assert f".fsm .paper{{fill:{LIGHT.paper}}}" in light
    assert f".fsm .paper{{fill:{DARK.paper}}}" in dark
    assert luminance(DARK.paper) < 0.01
    assert re.findall(r"\.fsm [.\w-]+", light)[1:] == re.findall(r"\.fsm [.\w-]+", dark), "both name the same classes"


@pytest.mark.parametrize("view", PICTURES)
def test_every_class_of_a_picture_has_a_colour(view: str) -> None:
    root = ET.fromstring(PICTURES[view].to_svg())  # noqa: S314  (our own)
    used = {name for element in root.iter() for name in element.get("class", "").split()} - {"fsm"}
    assert used <= set(re.findall(r"\.fsm \.([\w-]+)", css()))
    colors = {element.get(name) for element in root.iter() for name in ("fill", "stroke")}
    assert colors <= {None, "none"}, "a colour that no page can change"


# --- the audit --------------------------------------------------------------------------------------------------------


def test_the_audit_shows_the_rows_that_were_taken() -> None:
    class Taken:
        rows = (RowLine("sub58", 2, 30.0), RowLine("con58", 7, 1.5), RowLine("pin71", 1, 4.0), RowLine("con41", 3, 0.1))

    root = ET.fromstring(diagram(Taken()))  # type: ignore[arg-type]  # noqa: S314  (it reads the rows only)
    words = [element.text for element in root.iter() if element.tag.endswith(("text", "title"))]
    assert any((text or "").startswith("con58\u00a0x\u00a07, 1.5\u00a0s") for text in words)
    assert any("sub58\u00a0x\u00a02, 30\u00a0s" in (text or "") for text in words)
    assert any((text or "").endswith("+\u00a01\u00a0more") for text in words)
    assert "con58 x 7, 1.5 s\nsub58 x 2, 30 s\npin71 x 1, 4 s" in words
    assert "stays x 3" in words
    assert "con41 x 3, 100 ms" in words
    assert words.count("no rule that stays was taken") == len(State) - 1
