"""A headless Chromium, which shows a page and tells its text."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from support.virtual import eventually

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
"""The program; None where no Chromium is installed."""
_UNTIL = """new Promise((resolve) => {
    const look = () => { if (document.body?.innerText.includes(TEXT)) resolve(true); };
    new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true });
    look();
})"""


class Page:
    """One page, over the protocol of Chromium's developer tools."""

    def __init__(self, link: aiohttp.ClientWebSocketResponse) -> None:
        self._link = link
        self._numbers = itertools.count(1)

    async def shows(self, text: str, *, within: float = 30.0) -> None:
        """Wait until the page shows a text.

        Raises:
            AssertionError: after `within` seconds, with the text that the page shows instead.
        """
        try:
            async with asyncio.timeout(within):
                await self.evaluate(_UNTIL.replace("TEXT", json.dumps(text)))
        except TimeoutError:
            shown = await self.evaluate("document.body.innerText")
            raise AssertionError(f"the page does not show {text!r}, but {shown!r}") from None

    async def open(self, url: str) -> None:
        """Go to a page."""
        result = await self.call("Page.navigate", url=url)
        assert "errorText" not in result, result

    async def evaluate(self, expression: str) -> Any:
        """Evaluate an expression of JavaScript in the page, and wait for a promise."""
        result = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def call(self, method: str, **parameters: object) -> Any:
        """Call a method of the browser."""
        number = next(self._numbers)
        await self._link.send_json({"id": number, "method": method, "params": parameters})
        while (answer := await self._link.receive_json()).get("id") != number:
            continue
        assert "result" in answer, answer
        return answer["result"]


@asynccontextmanager
async def showing(url: str, profile: Path) -> AsyncIterator[Page]:
    """Show a page in a browser of its own, with a new profile."""
    assert CHROMIUM is not None
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", f"--user-data-dir={profile}"]
    process = await asyncio.create_subprocess_exec(
        CHROMIUM, *options, "about:blank", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        port = profile / "DevToolsActivePort"
        await eventually(lambda: port.exists() and port.read_text().count("\n"), within=30)
        base = f"http://127.0.0.1:{port.read_text().split()[0]}"
        async with aiohttp.ClientSession() as http:
            async with http.get(f"{base}/json/list") as listed:
                pages = [target for target in await listed.json() if target["type"] == "page"]
            async with http.ws_connect(pages[0]["webSocketDebuggerUrl"]) as link:
                page = Page(link)
                await page.open(url)
                yield page
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
