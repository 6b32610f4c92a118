"""The server of the page: who is let in, and what the page may do."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp
import pytest

from realtime_fsm.diagram.style import DARK, LIGHT, Palette
from realtime_fsm.errors import BadOption
from realtime_fsm.fsm.descriptions import STATES
from realtime_fsm.fsm.table import TABLE, State
from realtime_fsm.ops.inspector import server as module
from realtime_fsm.ops.inspector.board import Board
from realtime_fsm.ops.inspector.page import diagram, page, words
from realtime_fsm.ops.inspector.server import InspectorServer, open_browser
from support.contrast import contrast
from support.corpus import WALKS
from support.elements import parsed
from support.inspecting import board_of, content_of
from support.some import some
from support.virtual import eventually

Reply = tuple[int, aiohttp.typedefs.LooseHeaders, str]


@asynccontextmanager
async def serving(board: Board | None = None) -> AsyncIterator[InspectorServer]:
    async with InspectorServer(board or board_of(WALKS["healed"])) as server:
        yield server


async def fetch(url: str, **headers: str) -> tuple[int, dict[str, str], str]:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as reply:
        return reply.status, dict(reply.headers), await reply.text()


# --- who is let in ----------------------------------------------------------------------------------------------------


@pytest.mark.loopback
async def test_every_path_needs_the_token() -> None:
    async with serving() as server:
        base, _, token = server.url.partition("?token=")
        for path in ("", "events"):
            for query in ("", "?token=", f"?token={token[:-1]}", f"?token={token}x", "?token=%C3%A4", f"?other={token}"):
                status, _, text = await fetch(f"{base}{path}{query}")
                assert (status, "the token is missing or wrong" in text) == (403, True), query
        assert (await fetch(server.url))[0] == 200
        assert (await fetch(f"{base}other?token={token}"))[0] == 404


@pytest.mark.loopback
async def test_a_name_of_another_machine_is_refused() -> None:
    async with serving() as server:
        port = urlsplit(server.url).port
        for host in ("evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}", "192.0.2.1", "[::", ""):
            status, _, text = await fetch(server.url, Host=host)
            assert (status, "the Host header names another machine" in text) == (403, True), host
        for host in ("localhost:8080", f"127.0.0.1:{port}", "[::1]:9"):  # a tunnel may have another port
            assert (await fetch(server.url, Host=host))[0] == 200, host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", "", "127.0.0.1:80"])  # noqa: S104  (they are refused)
def test_only_a_loopback_address_is_bound(host: str) -> None:
    with pytest.raises(BadOption, match=r"^host: .* is no loopback address.*use 127\.0\.0\.1"):
        InspectorServer(Board("log"), host=host)


@pytest.mark.loopback
async def test_other_names_of_this_machine_are_bound() -> None:
    for host, base in (("localhost", "http://127.0.0.1:"), ("127.0.0.2", "http://127.0.0.2:")):
        async with InspectorServer(Board("log"), host=host) as server:
            assert server.url.startswith(base)
            assert (await fetch(server.url))[0] == 200


def test_tokens_differ_and_the_repr_hides_them() -> None:
    one, other = InspectorServer(Board("log")), InspectorServer(Board("log"))
    tokens = {each.url.rpartition("=")[2] for each in (one, other)}
    assert len(tokens) == 2
    assert set(map(len, tokens)) == {32}, "192 bits"
    assert not any(token in repr(one) for token in tokens)


@pytest.mark.loopback
async def test_the_number_of_pages_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BROWSERS", 1)
    board = board_of(WALKS["healed"])
    async with serving(board) as server, aiohttp.ClientSession() as session:
        events = server.url.replace("/?", "/events?")
        async with session.get(events) as first:
            await first.content.readline()
            status, _, text = await fetch(events)
            assert (status, text) == (503, "1 pages of this inspector are open; close one\n")
        await eventually(lambda: not board.browsers, within=5)  # sooner than the next message of a quiet board
        async with session.get(events) as second:
            assert second.status == 200


# --- what it answers --------------------------------------------------------------------------------------------------


@pytest.mark.loopback
async def test_the_stream_gives_all_views_and_ends_with_the_server() -> None:
    async with aiohttp.ClientSession() as session:
        async with serving() as server:
            reply = await session.get(server.url.replace("/?", "/events?"))
            assert reply.headers["Content-Type"] == "text/event-stream"
            assert reply.headers["Cache-Control"] == "no-store"
            assert await reply.content.readline() == b"retry: 1000\n"
            await reply.content.readline()
            told = content_of(await reply.content.readline() + await reply.content.readline())
            assert [view["state"] for view in told["views"]] == ["subscribed"]
        assert await reply.content.read() == b""


@pytest.mark.loopback
async def test_the_page_may_run_its_own_script_and_nothing_else() -> None:
    async with serving() as server:
        _, headers, text = await fetch(server.url)
    document = parsed(text)
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    script = next(each for each in document.all("script") if "type" not in each.attributes)
    (style,) = document.all("style")
    for part, name in ((script, "script-src"), (style, "style-src")):
        digest = base64.b64encode(hashlib.sha256(part.text.encode()).digest()).decode()
        assert policy.pop(name) == f"'sha256-{digest}'"
    assert policy == {
        "default-src": "'none'", "connect-src": "'self'", "img-src": "data:", "base-uri": "'none'", "form-action": "'none'",
        "frame-ancestors": "'none'",
    }  # fmt: skip
    assert {name: headers[name] for name in ("X-Content-Type-Options", "Referrer-Policy", "Cross-Origin-Resource-Policy")} == {
        "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
    }  # fmt: skip


def test_the_page_asks_for_nothing_from_anywhere() -> None:
    document = parsed(page()[0].decode())
    text = page()[0].decode().replace("http://www.w3.org/2000/svg", "")
    assert "://" not in text
    assert "innerHTML" not in text, "no text of a log becomes markup"
    assert [each for each in document.below() if "src" in each.attributes or "style" in each.attributes] == []
    assert [each.attributes["href"] for each in document.below() if "href" in each.attributes] == ["data:,"]


def test_the_diagram_names_each_state_and_each_rule_that_changes_it_once() -> None:
    drawn = parsed(diagram())
    states = [each.attributes["data-state"] for each in drawn.all("g", **{"class": "state"})]
    assert sorted(states) == sorted(State)
    arrows = drawn.all("g", **{"class": "arrow"})
    rules = [rule for each in arrows for rule in each.attributes["data-rules"].split()]
    assert sorted(rules) == sorted(row.id for row in TABLE.rows if row.dest is not None)
    assert all(len(each.all("path")) == 1 for each in some(arrows))


def test_the_words_of_the_page_are_those_of_the_table_and_fit_into_a_script_element() -> None:
    text = words()
    assert "<" not in text
    told = json.loads(text)
    assert {*told} == {"states", "deadlines", "shapes", "why"}
    assert told["why"] == {row.id: row.why for row in TABLE.rows}
    assert {state: about["brief"] for state, about in told["states"].items()} == {
        state: about.brief for state, about in STATES.items()
    }
    silent = {state for state, about in told["states"].items() if not about["advice"]}
    assert silent == {state for state, about in STATES.items() if about.advice.startswith("Nothing")} != set(STATES)
    assert not any("`" in about["advice"] for about in told["states"].values())


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_every_text_has_a_contrast_of_4_5(palette: Palette) -> None:
    sheet = parsed(page()[0].decode()).one("style").text
    (colors,) = [
        dict(re.findall(r"--([\w-]+):(#\w{6})", body))
        for body in re.findall(r":root\{([^}]*)\}", sheet)
        if f"--paper:{palette.paper};" in body
    ]
    assert colors["current"] == palette.current
    faint = {}
    for selector, body in some(re.findall(r"([^{}]+)\{([^{}]*)\}", sheet)):
        ink = re.search(r"(?:^|[; ])(?:color|fill): var\(--([\w-]+)\)", body)
        ground = re.search(r"background: var\(--([\w-]+)\)", body)
        if ink and "circle" not in selector:
            behind = "current" if ".token.chosen text" in selector else ground[1] if ground else "paper"
            if (ratio := contrast(colors[ink[1]], colors[behind])) < 4.5:
                faint[selector.strip()] = round(ratio, 2)
    assert faint == {}


def test_the_browser_opens_in_a_thread_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[str, str, bool]] = []
    done = threading.Event()

    def note(url: str) -> None:
        opened.append((url, threading.current_thread().name, threading.current_thread().daemon))
        done.set()

    monkeypatch.setattr("webbrowser.open", note)
    open_browser("http://127.0.0.1:1/?token=x")
    assert done.wait(20)
    assert opened == [("http://127.0.0.1:1/?token=x", "realtime_fsm browser", True)]
