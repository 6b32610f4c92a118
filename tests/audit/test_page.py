"""The page of an audit: one clock for all connections, the worst first, safe from what a log holds, and readable by everybody."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from realtime_fsm.audit import collector
from realtime_fsm.audit.formats import page_heat, page_time
from realtime_fsm.audit.formats.html import as_html, style_sheet
from realtime_fsm.audit.formats.page_time import LISTED
from realtime_fsm.audit.report import Report
from realtime_fsm.audit.stays import Stay
from realtime_fsm.diagram.style import DARK, LIGHT
from realtime_fsm.diagram.timeline import SHAPES, Axis, mark_path, state_paths
from realtime_fsm.fsm.table import State
from support.brokenlogs import Record, audited, lines_of
from support.browser import CHROMIUM, Page, showing
from support.commands import audit as main
from support.contrast import contrast
from support.elements import Element, parsed
from support.fleetreport import fleet
from support.some import some
from support.wholelog import LINES, RECORDS, write

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)></li></template>&amp;\u202e\n"


def page_of(report: Report) -> Element:
    return parsed("\n".join(as_html(report)))


@cache
def fleet_page(count: int) -> Element:
    return page_of(fleet(count, hours=2.0))


def packed_in(page: Element) -> Element:
    """The connections that wait for a filter."""
    return parsed(gzip.decompress(base64.b64decode(page.one("script", id="rest").text)).decode())


def ids_in(page: Element) -> list[str]:
    return [row.attributes["data-id"] for row in page.all("details", **{"class": "row"})]


def named(name: str, *, later: float = 0.0) -> list[bytes]:
    """The whole log, under another name and at another time."""

    def moved(record: Record) -> dict[str, Any]:
        moment = datetime.fromisoformat(record["timestamp"]) + timedelta(seconds=later)
        return {**record, "connection_id": name, "timestamp": moment.isoformat()}

    return lines_of(map(moved, RECORDS))


# --- one clock --------------------------------------------------------------------------------------------------------


def test_all_lanes_share_one_axis() -> None:
    page = page_of(audited([*named("early"), *named("late", later=60.0)], detail=True))
    axis = page.one("section", id="time").attributes["data-axis"].split()
    lanes = page.all("svg", **{"class": "lane"})
    assert [lane.attributes["viewbox"] for lane in lanes] == [f"0 0 {axis[2]} 24"] * 2
    starts = [
        [int(start) for start in re.findall(r"M(\d+) ", path.attributes["d"])]
        for lane in lanes
        for path in lane.all("path", **{"data-s": "subscribed"})
    ]
    assert [late - early for early, late in zip(*starts, strict=True)] == [60 / float(axis[1])] * len(starts[0])


def test_the_axis_is_as_fine_as_a_million_ticks_allow() -> None:
    assert Axis.over(100.0, 130.0) == Axis(100.0, 0.001, 30_000)
    day = Axis.over(0.0, 86_400.0)
    assert day.tick == pytest.approx(0.1)
    assert day.width == 864_000
    assert (day.at(-5.0), day.at(43_200.0), day.at(1e9)) == (0, 432_000, 864_000)
    assert day.span(43_200.0, 0.001) == (432_000, 1), "a stay is never without a width"
    assert Axis.over(7.0, 7.0).width == 1


def test_the_axis_spans_the_records_and_the_stays() -> None:
    report = fleet(1, hours=1.0)
    moments = {"first": datetime.fromtimestamp(10, UTC), "last": datetime.fromtimestamp(20, UTC)}

    def axis(**changes: Any) -> tuple[float, int]:
        told = msgspec.structs.replace(report.connections[0], **{"first": None, "last": None, "timeline": []} | changes)
        found = page_time.axis_of(msgspec.structs.replace(report, connections=[told]))
        return found.begin, found.width

    assert axis(**moments) == (10.0, 10_000)
    assert axis(**moments, timeline=[Stay(5.0, 20.0, "error")]) == (5.0, 20_000)
    assert axis(**moments, timeline=[Stay(15.0, 1.0, "error")]) == (10.0, 10_000)
    assert axis() == (0.0, 1)


def test_each_state_is_drawn_at_its_time_in_its_shape() -> None:
    axis = Axis.over(0.0, 10.0)
    paths = list(state_paths(axis, [Stay(0.0, 4.0, "subscribed"), Stay(4.0, 2.0, "disconnected"), Stay(6.0, 4.0, "subscribed")]))
    assert paths == [
        '<path data-s="disconnected" d="M4000 21h2000v2h-2000z"/>',
        '<path data-s="subscribed" d="M0 13h4000v10h-4000zM6000 13h4000v10h-4000z"/>',
    ]


def test_marks_that_no_screen_tells_apart_are_one() -> None:
    axis = Axis.over(0.0, 1000.0)
    assert mark_path(axis, [(0.0, 1.0), (1.1, 1.0), (500.0, 0.0)]) == "M0 3h2100M500000 3h1"
    assert mark_path(axis, [(0.0, 50.0), (1.0, 2.0)]) == "M0 3h50000", "one within another"


def test_the_worst_come_first() -> None:
    report = fleet(30, hours=2.0)
    page = fleet_page(30)
    assert ids_in(page) == [each.connection for each in report.connections]
    assert [item.attributes["value"] for item in page.one("ol").all("li")] == [str(rank) for rank in range(1, 31)]
    assert ids_in(page)[0] in page.all("pre")[0].text, "the first finding names it"


# --- many connections -------------------------------------------------------------------------------------------------


def test_a_heat_map_appears_beyond_two_hundred() -> None:
    assert LISTED == 200
    assert fleet_page(LISTED).all("div", **{"class": "heat"}) == []
    assert fleet_page(LISTED).all("script", id="rest") == []
    groups = fleet_page(LISTED + 60).one("div", **{"class": "heat"}).all("div", **{"class": "row"})
    ranks = [tuple(map(int, group.attributes["data-group"].split(","))) for group in groups]
    assert [first for first, _ in ranks] == [1, *(last + 1 for _, last in ranks[:-1])]
    assert ranks[-1][1] == LISTED + 60
    assert len(ranks) <= page_heat.GROUPS


def test_the_page_holds_every_connection_once_and_lists_those_that_are_not_healthy() -> None:
    report, page = fleet(LISTED + 60, hours=2.0), fleet_page(LISTED + 60)
    bad = [each.connection for each in report.connections if not each.healthy]
    assert ids_in(page) == bad[:LISTED]
    assert ids_in(page) + ids_in(packed_in(page)) == [each.connection for each in report.connections]
    assert page.one("script", id="rest").attributes["data-count"] == str(LISTED + 60 - len(bad[:LISTED]))


@pytest.mark.parametrize(("count", "size"), [(1, 1), (25, 1), (26, 2), (201, 10), (1_250, 50), (5_000, 200), (10_000, 500)])
def test_groups_have_round_sizes(count: int, size: int) -> None:
    assert page_heat.group_size(count) == size


@pytest.mark.parametrize(("share", "level"), [(0.0, 0), (1e-9, 1), (0.0021, 2), (0.011, 3), (0.06, 4), (0.25, 5), (1.0, 5)])
def test_a_cell_has_a_level(share: float, level: int) -> None:
    assert page_heat.level_of(share) == level


def test_a_page_draws_ten_thousand_and_counts_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert collector.DRAWN == 10_000
    monkeypatch.setattr(collector, "DRAWN", LISTED + 10)
    report = fleet(LISTED + 15, hours=1.0)
    page = page_of(report)
    assert len(ids_in(page) + ids_in(packed_in(page))) == len(report.connections) == LISTED + 10
    assert f"The worst {LISTED + 10} of {LISTED + 15} connections" in page.text


def test_the_heat_map_counts_the_seconds_without_a_link() -> None:
    report = fleet(2, hours=2.0)
    timelines = [
        [Stay(0.0, 60.0, "subscribed"), Stay(60.0, 30.0, "reconnecting"), Stay(90.0, 30.0, "subscribed")],
        [Stay(0.0, 60.5, "subscribed"), Stay(60.5, 59.5, "error"), Stay(120.0, 0.0, "disposing")],
    ]
    told = [
        msgspec.structs.replace(each, timeline=timeline) for each, timeline in zip(report.connections, timelines, strict=True)
    ]
    groups = page_heat.grouped(told, Axis.over(0.0, 120.0))
    assert len(groups) == 2
    assert [sum(group.reconnecting) for group in groups] == [pytest.approx(30.0), 0.0]
    assert [sum(group.error) for group in groups] == [0.0, pytest.approx(59.5)]
    assert [sum(group.present) for group in groups] == [pytest.approx(120.0)] * 2
    assert groups[1].error[60:62] == [pytest.approx(0.5), pytest.approx(1.0)]
    map_page = parsed("".join(page_heat.heat_map(told, Axis.over(0.0, 120.0))))
    cells = [[cell.text for cell in row.all("td")][1:] for row in map_page.one("tbody").all("tr")]
    assert cells[0] == ["0"] * 6 + ["1e+02 %"] * 3 + ["0"] * 3
    assert cells[1] == ["0"] * 6 + ["95 % (95 % error)"] + ["1e+02 % (1e+02 % error)"] * 5


def test_a_group_is_named_by_its_ranks_and_tells_its_mean_and_its_violations() -> None:
    report = fleet(3, hours=2.0)
    shares: list[tuple[float | None, str]] = [(100.0, "conformant"), (None, "violated"), (50.0, "violated")]
    each = [
        msgspec.structs.replace(connection, verdict=verdict, life=msgspec.structs.replace(connection.life, availability=share))
        for connection, (share, verdict) in zip(report.connections, shares, strict=True)
    ]
    group = page_heat.Group(1_000, each)
    assert (group.last, group.name, group.figures) == (1_002, "1,000 to 1,002", "mean 75.000 % available, 2 violated")
    alone, without = page_heat.Group(7, each[:1]), page_heat.Group(8, each[1:2])
    assert (alone.name, alone.figures) == ("7", "mean 100 % available")
    assert without.figures == "no link was wanted, 1 violated"


def drawn_cells(row: Element) -> list[tuple[str, int]]:
    """Return the state of each column of the map, and the total height of its strips."""
    width = Axis.over(0.0, 120.0).width // page_heat.COLUMNS
    cells: dict[int, tuple[str, int]] = {}
    for path in some(row.all("path")):
        state = path.attributes["data-s"]
        for strip in some(re.findall(r"M(\d+) \d+h(\d+)v(\d+)h-(\d+)z", path.attributes["d"])):
            x, wide, height, back = map(int, strip)
            assert wide == back == width
            assert cells.get(x // width, (state, 0))[0] == state
            cells[x // width] = state, cells.get(x // width, (state, 0))[1] + height
    return [cells[column] for column in range(page_heat.COLUMNS)]


def test_the_heat_map_draws_each_column_as_high_as_its_trouble() -> None:
    report = fleet(3, hours=2.0)
    timelines = [
        [Stay(0.0, 60.0, "subscribed"), Stay(60.0, 30.0, "reconnecting"), Stay(90.0, 30.0, "subscribed")],
        [Stay(0.0, 60.9, "subscribed"), Stay(60.9, 59.1, "error")],
        [Stay(0.0, 0.2, "reconnecting"), Stay(0.2, 0.1, "error"), Stay(0.3, 119.7, "subscribed")],
    ]
    told = [
        msgspec.structs.replace(each, timeline=timeline) for each, timeline in zip(report.connections, timelines, strict=True)
    ]
    rows = parsed("".join(page_heat.heat_map(told, Axis.over(0.0, 120.0)))).all("div", **{"class": "row"})
    fine = ("subscribed", 1)
    assert drawn_cells(rows[0]) == [fine] * 60 + [("reconnecting", 21)] * 30 + [fine] * 30
    assert drawn_cells(rows[1]) == [fine] * 60 + [("error", 8)] + [("error", 12)] * 59  # strips of 2, with as much between them
    assert drawn_cells(rows[2]) == [("reconnecting", 21)] + [fine] * 119


def test_as_much_error_as_reconnecting_counts_together_and_is_drawn_as_reconnecting() -> None:
    (one,) = fleet(1, hours=2.0).connections
    timeline = [Stay(0.0, 0.5, "reconnecting"), Stay(0.5, 0.5, "error"), Stay(1.0, 119.0, "subscribed")]
    drawn = parsed("".join(page_heat.heat_map([msgspec.structs.replace(one, timeline=timeline)], Axis.over(0.0, 120.0))))
    assert drawn_cells(drawn.one("div", **{"class": "row"}))[0] == ("reconnecting", 21)
    assert [cell.text for cell in drawn.one("tbody").all("td")][1:3] == ["10 % (5 % error)", "0"]


def test_a_large_fleet_makes_a_small_page() -> None:
    assert sum(map(len, as_html(fleet(2 * LISTED, hours=24.0)))) < 2_000_000


# --- what a log may hold ----------------------------------------------------------------------------------------------


def hostile() -> Report:
    """A report whose every text tries to break out of the page."""
    report = fleet(LISTED + 5, hours=2.0)

    def evil(value: Any) -> Any:
        return HOSTILE if type(value) is str else value

    def worse(connection: Any) -> Any:
        outages = [msgspec.structs.replace(each, cause=HOSTILE) for each in connection.life.outages]
        findings = [msgspec.structs.replace(each, text=HOSTILE, connection=HOSTILE) for each in connection.findings]
        life = msgspec.structs.replace(connection.life, outages=outages)
        return msgspec.structs.replace(connection, connection=f"{HOSTILE}{connection.connection}", life=life, findings=findings)

    assert report.first is not None
    first = msgspec.structs.replace(report.first, text=HOSTILE, connection=HOSTILE, record={HOSTILE: evil("x")})
    connections = list(map(worse, report.connections))
    return msgspec.structs.replace(report, connections=connections, first=first, findings=[first])


@pytest.mark.parametrize("packed", [False, True])
def test_no_text_of_a_log_breaks_out(packed: bool) -> None:
    page = page_of(hostile())
    scripts = page.all("script")
    assert [script.attributes.get("id") for script in scripts] == ["rest", None]
    looked_at = packed_in(page) if packed else page
    assert looked_at.all("img") == []
    assert [each for each in looked_at.below() if any(name.startswith("on") for name in each.attributes)] == []
    rows = looked_at.all("details", **{"class": "row"})
    expected = HOSTILE.replace("\u202e", "\\u202e").replace("\n", "\\n")
    assert {row.attributes["data-id"][: len(expected)] for row in some(rows)} == {expected}, "whole, and visible"


def test_a_hostile_log_makes_a_whole_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([write(tmp_path / "log", named("</code><script>alert(1)</script>")), "--format", "html"])
    page = parsed(capsys.readouterr().out)
    assert ids_in(page) == ["</code><script>alert(1)</script>"]
    assert len(page.all("script")) == 1


def test_the_page_asks_for_nothing_from_anywhere() -> None:
    page = fleet_page(LISTED + 60)
    text = "\n".join(as_html(fleet(3, hours=2.0)))
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert [each for each in page.below() if {"src", "href"} & set(each.attributes) and each.tag != "use"] == []
    policy = next(each.attributes["content"] for each in page.all("meta") if "http-equiv" in each.attributes)
    digest = base64.b64encode(hashlib.sha256(page.all("script")[-1].text.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in policy


def test_an_empty_log_has_a_page_without_lanes() -> None:
    page = page_of(audited([], detail=True))
    assert "it is empty" in page.text
    assert "never taken" not in page.text, "only `coverage=True` lists such rules"
    assert page.all("section") == []


def test_connections_without_a_state_or_a_time_have_a_page() -> None:
    page = page_of(audited([LINES[0], b'{"event":"realtime.ping","connection_id":"c2"}'], detail=True))
    assert sorted(ids_in(page)) == ["c1", "c2"]
    assert "from none to none UTC, at last in an unknown state" in page.text


# --- for everybody ----------------------------------------------------------------------------------------------------


def test_every_lane_has_its_text_beside_it() -> None:
    report, page = fleet(LISTED + 60, hours=2.0), fleet_page(LISTED + 60)
    assert {svg.attributes.get("aria-hidden") for svg in page.all("svg", **{"class": "lane"})} == {"true"}
    (table,) = [each for each in page.all("table") if "above, the worst first" in each.one("caption").text]
    assert [row.one("th").text for row in table.one("tbody").all("tr")] == ids_in(page)
    worst = report.connections[0]
    summary = page.all("details", **{"class": "row"})[0].one("summary").text
    assert worst.connection in summary
    assert worst.verdict in summary
    (outage,) = [each for each in worst.life.outages if each.seconds == max(other.seconds for other in worst.life.outages)]
    assert f"({outage.cause})" in summary
    assert f"{outage.start:%Y-%m-%d %H:%M:%S}" in page.all("details", **{"class": "row"})[0].one("div", **{"class": "more"}).text


def test_everything_that_acts_has_a_name_and_every_picture_too() -> None:
    page = fleet_page(LISTED + 60)
    for tag in ("button", "input", "select", "summary", "form"):
        assert [each for each in some(page.all(tag)) if not each.said and each.attributes.get("id") != "more"] == [], tag
    for svg in some(page.all("svg")):
        assert svg.attributes.get("aria-hidden") == "true" or (svg.attributes["role"], bool(svg.said)) == ("img", True)
    for part in some(page.all("div", role="region")):
        assert part.attributes["tabindex"] == "0"
        assert part.said
    assert page.one("html").attributes["lang"] == "en"
    assert len(page.all("h1")) == len(page.all("main")) == 1
    assert page.one("output").attributes["role"] == "status"


def test_tables_have_heads() -> None:
    for table in some(page_of(audited(LINES, detail=True)).all("table")):
        assert table.one("caption").text
        heads = len(table.one("thead").all("th", scope="col"))
        for row in some(table.one("tbody").all("tr")):
            assert (len(row.all("th", scope="row")), len(row.all("td"))) == (1, heads - 1)


def test_the_details_tell_how_many_stays_are_merged() -> None:
    report, page = fleet(30, hours=24.0), page_of(fleet(30, hours=24.0))
    for connection, row in some(zip(report.connections, page.all("details", **{"class": "row"}), strict=True)):
        assert connection.bars_left_out
        assert f"as part of the stay before them: {connection.bars_left_out:,}." in row.text


def test_no_two_states_have_the_same_shape() -> None:
    assert set(SHAPES) == set(State)
    assert len(set(SHAPES.values())) == len(State)
    assert len(SHAPES[State.ERROR]) > 1, "stripes"
    assert len(SHAPES[State.RECONNECTING]) == 1
    assert min(top for shape in SHAPES.values() for top, _ in shape) > 5, "the marks of outages are above"


def rules() -> Iterator[tuple[str, dict[str, str]]]:
    """The rules of the style sheet, without those of media."""
    for selector, body in re.findall(r"([^{}]+)\{([^{}]*)\}", style_sheet()):
        yield selector.strip(), dict(re.findall(r"([\w-]+):\s*([^;]+)", body))


@pytest.mark.parametrize(("name", "palette"), [("light", LIGHT), ("dark", DARK)])
def test_every_text_has_a_contrast_of_4_5(name: str, palette: Any) -> None:
    given = [body for selector, body in rules() if selector.endswith(":root") and body.get("--paper") == palette.paper]
    (colors,) = given
    faint = {}
    for selector, body in some(rules()):
        ink = re.fullmatch(r"var\((--[\w-]+)\)", body.get("color", ""))
        ground = re.search(r"var\((--[\w-]+)\)", body.get("background", "var(--paper)"))
        if ink and ground and (ratio := contrast(colors[ink[1]], colors[ground[1]])) < 4.5:
            faint[selector] = round(ratio, 2)
    assert faint == {}
    for text in ("--ink", "--soft"):  # also in a row that is open
        assert min(contrast(colors[text], colors[behind]) for behind in ("--paper", "--rest-tint")) >= 4.5


def test_all_colours_are_those_of_the_palette() -> None:
    assert "#" not in re.sub(r"--[\w-]+:#\w{6}|\{fill:#\w{6}\}", "", style_sheet())


# --- in a browser -----------------------------------------------------------------------------------------------------

DRAG = """{
    const summary = document.querySelector('.rows summary'), lane = summary.querySelector('.lane');
    const { left, width, top } = lane.getBoundingClientRect();
    const act = (kind, part) => {
        lane.dispatchEvent(new PointerEvent(kind, { bubbles: true, clientX: left + width * part, clientY: top }));
    };
    act('pointerdown', 0.25); act('pointermove', 0.4); act('pointerup', 0.5); summary.click();
}"""
"""Choose the second quarter of the time with the mouse."""
NEEDS_CHROMIUM = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


async def told_after(page: Page, act: str) -> str:
    """Do something, and return the sentence that tells what is listed then."""
    return str(
        await page.evaluate(
            f"(async () => {{ const said = document.querySelector('output'), before = said.textContent; {act};"
            " while (said.textContent === before) await new Promise(requestAnimationFrame); return said.textContent; })()"
        )
    )


def choose(name: str, value: str) -> str:
    return (
        f"const field = document.querySelector('[name={name}]'); field.value = '{value}';"
        "field.dispatchEvent(new Event('input', {bubbles: true})); field.dispatchEvent(new Event('change', {bubbles: true}))"
    )


@NEEDS_CHROMIUM
@pytest.mark.loopback
async def test_a_browser_zooms_and_filters(tmp_path: Path) -> None:
    report = fleet(LISTED + 60, hours=2.0)
    file = tmp_path / "page.html"
    file.write_text("\n".join(as_html(report)), encoding="utf-8")
    last = report.connections[-1]
    broken = [each for each in report.connections if each.life.states["error"]]
    async with showing(file.as_uri(), tmp_path / "profile") as page:
        await page.shows("connections are listed; the axis shows 2 h")
        said = await told_after(page, choose("id", last.connection[:12]))
        assert said.startswith("1 of 260 connections are listed;"), "a packed one is found"
        assert await page.evaluate("document.querySelector('.rows code').textContent") == last.connection
        assert "axis shows 1 h" in await told_after(page, "document.querySelector('[data-zoom=in]').click()")
        boxes = "new Set([...document.querySelectorAll('.lane')].map((lane) => lane.getAttribute('viewBox'))).size"
        assert await page.evaluate(boxes) == 1
        assert "axis shows 2 h" in await told_after(page, "document.querySelector('[type=reset]').click()")
        said = await told_after(page, choose("state", "error"))
        assert said.startswith(f"{len(broken)} of 260 connections"), said
        said = await told_after(page, choose("to", f"{report.connections[0].first:%Y-%m-%dT%H:%M}:01"))
        assert said.startswith("0 of 260 connections"), "no error is in the shown time"
        await told_after(page, "document.querySelector('[type=reset]').click()")
        said = await told_after(page, "document.querySelectorAll('[data-group] button')[1].click()")
        assert said.startswith("20 of 260 connections are listed of the ranks 21 to 40;")
        keys = "document.querySelector('.axis').dispatchEvent(new KeyboardEvent('keydown', {key: '+', bubbles: true}))"
        assert "axis shows 1 h" in await told_after(page, keys)
        show = "document.querySelector('.rows [data-show]').click()"
        assert "axis shows 1 h" not in await told_after(page, show)
        await told_after(page, "document.querySelector('[data-zoom=all]').click()")
        assert "axis shows 30 min" in await told_after(page, DRAG)
        assert await page.evaluate("document.querySelectorAll('.row[open]').length") == 0, "a drag opens nothing"


@NEEDS_CHROMIUM
@pytest.mark.loopback
async def test_a_phone_shows_the_page_and_enter_opens_a_connection(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    main([write(tmp_path / "log", named(HOSTILE.strip())), "--format", "html", "--output", str(file)])
    async with showing("about:blank", tmp_path / "profile") as page:
        await page.call("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True)
        await page.open(file.as_uri())
        await page.shows("1 of 1 connections are listed")
        assert await page.evaluate("document.documentElement.scrollWidth") == 390
        await page.evaluate("document.querySelector('.row summary').focus()")
        for kind in ("keyDown", "keyUp"):
            await page.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r", windowsVirtualKeyCode=13)
        await page.shows("stream_ended")
        assert await page.evaluate("document.querySelector('.row').open") is True
        assert await page.evaluate("document.images.length") == 0
