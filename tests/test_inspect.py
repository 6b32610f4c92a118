"""`realtime_fsm.inspect`: connections of this program on a page."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import aiohttp
import pytest

import realtime_fsm
from realtime_fsm import BadOption, PingPolicy, Realtime, RetryPolicy, inspect, sync
from realtime_fsm.client.connection_info import ConnectionInfo
from realtime_fsm.ops.inspector.board import MOST
from realtime_fsm.ops.inspector.views import SUBSCRIPTIONS
from realtime_fsm.testing import RealtimeServer
from support.browser import CHROMIUM, Page, showing
from support.inspecting import content_of
from support.some import some
from support.virtual import eventually

QUICK = RetryPolicy(base=0.05, cap=0.2, attempts=100)


async def until(url: str, holds: Callable[[dict[int, dict[str, Any]]], bool]) -> dict[int, dict[str, Any]]:
    """Follow the stream of a page until its views are as wanted; return them by number."""
    views: dict[int, dict[str, Any]] = {}
    async with asyncio.timeout(20), aiohttp.ClientSession() as session, session.get(url.replace("/?", "/events?")) as reply:
        while not views or not holds(views):
            line = await reply.content.readline()
            if line.startswith(b"data: "):
                views |= {view["number"]: view for view in content_of(line + await reply.content.readline())["views"]}
    return views


def is_(state: str) -> Callable[[dict[int, dict[str, Any]]], bool]:
    return lambda views: bool(views[1]["state"] == state)


# --- live connections -------------------------------------------------------------------------------------------------


@pytest.mark.loopback
async def test_a_connection_is_shown_from_its_first_record() -> None:
    async with RealtimeServer() as server, Realtime(server.endpoint, "demo", retry=QUICK) as realtime:
        async with inspect.attach(realtime) as page:
            assert (await until(page.url, lambda _: True))[1]["state"] == "disconnected"
            subscription = await realtime.subscribe("rows")
            view = (await until(page.url, is_("subscribed")))[1]
            assert view["id"] == realtime.connection_id
            assert [state for _, state in view["stays"]] == ["disconnected", "reconnecting", "connected", "subscribed"]
            one = view["subscriptions"][subscription.id]
            assert (one["phase"], one["channels"]) == ("acknowledged", ["rows"])
            server.drop()
            view = (await until(page.url, lambda views: bool(views[1]["marks"])))[1]
            assert "stream_ended" in view["causes"][-1]["text"]
        assert realtime.is_live, "the connection goes on"


@pytest.mark.loopback
async def test_a_connection_that_is_up_is_shown_as_it_is() -> None:
    async with RealtimeServer() as server, Realtime(server.endpoint, "demo", retry=QUICK) as realtime:
        subscription = await realtime.subscribe("rows")
        server.drop()
        await eventually(lambda: realtime.last_failure)
        await realtime.wait_subscribed(10)
        async with inspect.attach(realtime) as page:
            view = (await until(page.url, lambda _: True))[1]
            assert (view["state"], view["link"], view["era"]) == ("subscribed", 2, "E4")
            assert view["since"] <= view["last"]
            assert "stream_ended" in view["causes"][0]["text"]
            assert view["subscriptions"][subscription.id]["phase"] == "acknowledged"


@pytest.mark.loopback
async def test_a_connection_that_was_never_used_has_no_time_in_its_state() -> None:
    async with Realtime("http://127.0.0.1:1/v1", "demo") as realtime, inspect.attach(realtime) as page:
        view = (await until(page.url, lambda _: True))[1]
        assert (view["state"], view["since"], view["stays"]) == ("disconnected", None, [])


@pytest.mark.loopback
async def test_a_connection_that_is_down_is_shown_with_its_outage_and_its_next_dial() -> None:
    async with RealtimeServer() as server, Realtime(server.endpoint, "demo", retry=RetryPolicy(base=30, cap=60)) as realtime:
        await realtime.subscribe("rows")
        server.drop()
        await eventually(lambda: realtime.last_failure)
        async with inspect.attach(realtime) as page:
            view = (await until(page.url, lambda _: True))[1]
            begin, kind, cause = view["outage"]
            assert (view["state"], kind, cause) == ("reconnecting", "outage", view["causes"][0]["text"])
            assert begin == pytest.approx(view["since"], abs=0.1)
            assert (view["awaited"], view["due"] > view["last"]) == ("dial", True)
            assert [one["phase"] for one in view["subscriptions"].values()] == ["desired"]


@pytest.mark.loopback
async def test_a_server_fault_is_shown_that_began_before() -> None:
    async with RealtimeServer() as server, Realtime(server.endpoint, "demo", retry=QUICK) as realtime:
        await realtime.subscribe("rows")
        server.fault(60)
        pending = asyncio.ensure_future(cast("Awaitable[Any]", realtime.subscribe("account")))
        await eventually(lambda: not realtime.health().ready and "server fault" in str(realtime.health().reasons))
        async with inspect.attach(realtime) as page:
            view = (await until(page.url, lambda _: True))[1]
            assert view["fault"] is not None
            assert view["last"] - 30 < view["fault"] <= view["last"]
        pending.cancel()
        await asyncio.wait([pending])


@pytest.mark.loopback
async def test_a_slow_consumer_is_seen_by_its_lag_and_drops() -> None:
    async with RealtimeServer() as server, Realtime(server.endpoint, "demo") as realtime, inspect.attach(realtime) as page:
        subscription = await realtime.subscribe("rows", buffer=4)

        def one(views: dict[int, dict[str, Any]]) -> dict[str, Any]:
            return cast("dict[str, Any]", views[1]["subscriptions"].get(subscription.id, {}))

        for number in range(10):
            server.publish("rows.create", "rows", {"$id": f"{number}", "secret": "payload"})
        views = await until(page.url, lambda views: bool(one(views).get("dropped")))
        assert (one(views)["received"], one(views)["waiting"], one(views)["dropped"]) == (10, 4, 6)
        assert one(views)["behind"] is not None
        assert "payload" not in json.dumps(views)
        for _ in range(4):
            await anext(subscription)
        views = await until(page.url, lambda views: one(views)["waiting"] == 0)
        assert (one(views)["behind"], one(views)["dropped"]) == (None, 6)


@pytest.mark.loopback
async def test_several_connections_are_shown_and_no_other() -> None:
    async with RealtimeServer() as server:
        one, other, hidden = (Realtime(server.endpoint, "demo") for _ in range(3))
        async with one, other, hidden, inspect.attach(one, other) as page:
            for each in (one, other, hidden):
                await each.connect()
            await other.dispose()
            views = await until(page.url, lambda views: bool(views.get(2, {}).get("closed")))
            assert {view["id"] for view in views.values()} == {one.connection_id, other.connection_id}
            assert [views[number]["state"] for number in (1, 2)] == ["connected", "disposing"]


@pytest.mark.loopback
async def test_the_inspector_can_be_awaited_and_closed() -> None:
    async with RealtimeServer() as server, Realtime(server.endpoint, "demo") as realtime:
        page = await inspect.attach(realtime)
        assert (await until(page.url, lambda _: True))[1]["state"] == "disconnected"
        await page.aclose()
        with pytest.raises(aiohttp.ClientError):
            await until(page.url, lambda _: True)
        await realtime.connect()


@pytest.mark.loopback
async def test_a_connection_of_another_thread_is_shown() -> None:
    async with RealtimeServer() as server:

        def work(*, up: bool) -> None:
            realtime.subscribe("rows") if up else realtime.dispose()

        realtime = sync.Realtime(server.endpoint, "demo")
        async with inspect.attach(realtime) as page:
            await asyncio.to_thread(work, up=True)
            view = (await until(page.url, is_("subscribed")))[1]
            assert [each["channels"] for each in view["subscriptions"].values()] == [["rows"]]
            await asyncio.to_thread(work, up=False)
            assert (await until(page.url, lambda views: bool(views[1]["closed"])))[1]["state"] == "disposing"


def test_a_program_without_an_event_loop_enters_it_with_with() -> None:
    with RealtimeServer() as server, sync.Realtime(server.endpoint, "demo") as realtime, inspect.attach(realtime) as page:
        realtime.connect()
        assert asyncio.run(until(page.url, is_("connected")))[1]["link"] == 1


@pytest.mark.loopback
async def test_a_taken_port_raises_and_leaves_no_thread() -> None:
    async with RealtimeServer() as server, Realtime(server.endpoint, "demo") as realtime, inspect.attach(realtime) as page:
        port = urlsplit(page.url).port or 0

        def enter() -> None:
            with pytest.raises(OSError, match="address already in use"), inspect.attach(realtime, port=port):
                raise AssertionError("it is entered")

        before = threading.active_count()
        await asyncio.to_thread(enter)
        assert threading.active_count() == before + 1, "that of to_thread"


@pytest.mark.loopback
async def test_more_subscriptions_than_the_page_shows_are_counted() -> None:
    async with RealtimeServer() as server, Realtime(server.endpoint, "demo") as realtime, inspect.attach(realtime) as page:
        await asyncio.gather(*(realtime.subscribe(f"rows.r{number}") for number in range(SUBSCRIPTIONS + 2)))
        view = (await until(page.url, is_("subscribed")))[1]
        assert (len(view["subscriptions"]), view["left_out"]) == (SUBSCRIPTIONS, 2)


@pytest.mark.loopback
async def test_a_record_after_the_end_of_the_page_harms_nothing() -> None:
    async with RealtimeServer() as server:
        realtime = sync.Realtime(server.endpoint, "demo")
        async with inspect.attach(realtime):
            pass
        await asyncio.to_thread(realtime.connect)
        assert realtime.is_live
        await asyncio.to_thread(realtime.dispose)


async def test_what_cannot_be_shown_is_refused() -> None:
    realtime = Realtime("http://127.0.0.1/v1", "demo")
    for connections, problem in (
        ((), "not 0"), ((realtime,) * (MOST + 1), f"not {MOST + 1}"), (("realtime",), "str is not a Realtime"),
    ):  # fmt: skip
        with pytest.raises(BadOption, match=problem):
            inspect.attach(*cast("tuple[ConnectionInfo, ...]", connections))
    assert isinstance(inspect.attach(*(realtime,) * MOST), inspect.Inspector)
    with pytest.raises(BadOption, match="no loopback address"):
        inspect.attach(realtime, host="0.0.0.0")  # noqa: S104  (it is refused)
    await realtime.dispose()


@pytest.mark.loopback
async def test_the_browser_opens_on_demand_only(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(inspect, "open_browser", opened.append)
    async with Realtime("http://127.0.0.1/v1", "demo") as realtime:
        async with inspect.attach(realtime):
            assert opened == []
        async with inspect.attach(realtime, browser=True) as page:
            assert opened == [page.url]
            assert page.url.rpartition("=")[2] not in repr(page)


def test_a_client_does_not_load_the_inspector() -> None:
    assert "inspect" not in realtime_fsm.__all__


# --- in a browser -----------------------------------------------------------------------------------------------------

LIT = "document.querySelector('.state.lit')?.dataset.state"
LAST = "[...document.querySelectorAll('.arrow.last')].map((arrow) => arrow.dataset.rules)"
HOLDS = """new Promise((resolve) => {
    const look = () => ((CONDITION) ? resolve(true) : setTimeout(look, 20));
    look();
})"""


async def holds(page: Page, condition: str) -> None:
    """Wait until a condition holds in the page."""
    try:
        async with asyncio.timeout(30):
            await page.evaluate(HOLDS.replace("CONDITION", condition))
    except TimeoutError:
        shown = await page.evaluate("document.body.innerText")
        raise AssertionError(f"it does not hold: {condition}; the page shows {shown}") from None


async def lights(page: Page, state: str) -> None:
    """Wait until a state is lit, and until the page tells it as text and at the place of the token."""
    await holds(page, f"{LIT} === '{state}' && document.getElementById('told').innerText.startsWith('{state}')")
    assert await page.evaluate("document.querySelectorAll('.state.lit').length") == 1
    assert await page.evaluate("document.getElementById('told').getAttribute('aria-live')") == "polite"
    distance = """(() => {
        const box = document.querySelector('.state.lit rect').getBBox(), { x, y } = document.querySelector('.token.chosen').spot;
        return Math.max(box.x - x, x - box.x - box.width, box.y - y, y - box.y - box.height - 2);
    })()"""
    assert await page.evaluate(distance) == 0


browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@browser
@pytest.mark.loopback
async def test_the_page_lights_the_state_when_a_server_drops_freezes_and_faults(tmp_path: Path) -> None:
    ping = PingPolicy(interval=0.5, timeout=0.5)
    async with RealtimeServer() as server, Realtime(server.endpoint, "demo", retry=QUICK, ping=ping) as realtime:
        await realtime.subscribe("rows")
        inspector = await inspect.attach(realtime)
        async with showing(inspector.url, tmp_path) as page:
            await holds(page, f"['subscribed', 'ping'].includes({LIT})")

            server.refuse_dials()
            server.drop()
            await lights(page, "reconnecting")
            await page.shows("close code 1006")
            await page.shows("Next: the next dial is due in ")
            await page.shows("outage for")
            assert "sub58" in (await page.evaluate(LAST))[0].split()
            assert "waits" in await page.evaluate("document.getElementById('subscriptions').innerText")
            server.accept_dials()
            realtime.set_ping_enabled(False)
            await lights(page, "subscribed")
            await holds(page, "!document.body.innerText.includes('outage for')")

            realtime.set_ping_enabled(True)
            server.freeze()
            await lights(page, "reconnecting")
            await page.shows("pong_overdue")
            server.thaw()
            realtime.set_ping_enabled(False)
            await lights(page, "subscribed")

            server.fault(60)
            pending = asyncio.ensure_future(cast("Awaitable[Any]", realtime.subscribe("account")))
            await page.shows("server fault for")
            await holds(page, "document.querySelector('.state.lit').classList.contains('fault')")
            server.fault(0)
            server.publish("rows.create", "rows", {})  # it proves that the server works
            await lights(page, "subscribed")
            await holds(page, "document.querySelectorAll('.state.fault').length === 0")
            pending.cancel()
            await asyncio.wait([pending])

            await realtime.disconnect()
            await lights(page, "disconnected")
            await page.shows("planned outage for")
            used = await page.evaluate("performance.getEntriesByType('resource').map((each) => new URL(each.name).pathname)")
            assert set(used) <= {"/events"}
            await inspector.aclose()
            await page.shows("The connection to the inspector is lost")
            assert await page.evaluate("document.getElementById('link').textContent") == "lost"


@browser
@pytest.mark.loopback
async def test_connections_are_side_by_side_and_reached_by_keyboard(tmp_path: Path) -> None:
    async with RealtimeServer() as server:
        one, other = (Realtime(server.endpoint, "demo", retry=QUICK) for _ in range(2))
        async with one, other, inspect.attach(one, other) as inspector:
            await one.subscribe("rows")
            async with showing(inspector.url, tmp_path) as page:
                await lights(page, "subscribed")
                assert await page.evaluate("document.querySelectorAll('#rows .lane').length") == 2
                assert await page.evaluate("document.querySelectorAll('.token').length") == 2
                await page.evaluate("document.querySelectorAll('#rows button')[1].focus()")
                for kind in ("keyDown", "keyUp"):
                    await page.call(
                        "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r", windowsVirtualKeyCode=13
                    )
                await lights(page, "disconnected")
                assert other.connection_id in await page.evaluate("document.getElementById('which').innerText")
                pressed = "[...document.querySelectorAll('#rows button')].map((row) => row.getAttribute('aria-pressed'))"
                assert await page.evaluate(pressed) == ["false", "true"]
                await other.connect()
                await lights(page, "connected")


@browser
@pytest.mark.loopback
async def test_the_page_fits_a_phone_and_keeps_still_where_motion_is_unwanted(tmp_path: Path) -> None:
    async with RealtimeServer() as server, Realtime(server.endpoint, "demo", retry=QUICK) as realtime:  # noqa: SIM117
        async with inspect.attach(realtime) as inspector, showing("about:blank", tmp_path) as page:
            await page.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
            await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
            await page.open(inspector.url)
            await lights(page, "disconnected")
            assert await page.evaluate("document.querySelectorAll('[data-since]').length") == 0, "no record has told since when"
            await realtime.subscribe("rows")
            await lights(page, "subscribed")
            assert await page.evaluate("document.getAnimations().length") == 0
            assert await page.evaluate("document.documentElement.scrollWidth") == 390
            sides = "(({ left, right }) => [left, right])(document.querySelector('PART').getBoundingClientRect())"
            frame, box = [await page.evaluate(sides.replace("PART", part)) for part in ("#diagram", ".state.lit rect")]
            assert frame[0] <= box[0] < box[1] <= frame[1], "the lit state is in sight"
            parts = "document.querySelectorAll('button, select, [role=region], section')"
            names = f"[...{parts}].map((part) => part.ariaLabel || part.innerText)"
            assert all(name.strip() for name in some(await page.evaluate(names)))
