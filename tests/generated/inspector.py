"""The picture of the inspector in the documentation: ``python -m generated.inspector ../docs/_static/inspector.png``.

Moments and ids differ from run to run, so no check compares the picture. Make it anew when the page changes.
"""

from __future__ import annotations

import asyncio
import base64
import sys
import tempfile
import warnings
from pathlib import Path

from realtime_fsm import PingPolicy, Realtime, RetryPolicy, inspect
from realtime_fsm.testing import RealtimeServer
from support.browser import showing

_WIDTH, _HEIGHT, _SCALE = 1360, 1080, 0.8


async def picture() -> bytes:
    """Show three connections, of which one is away after a fault of its server, and take a PNG."""
    warnings.simplefilter("ignore")  # the pings are faster than those of a real program
    ping, retry = PingPolicy(interval=4.0, timeout=3.0), RetryPolicy(base=2.0, cap=8.0)
    async with RealtimeServer() as one, RealtimeServer() as other:
        first, second, third = (Realtime(server.endpoint, "demo", ping=ping, retry=retry) for server in (one, other, other))
        async with first, second, third, inspect.attach(first, second, third) as inspector:
            await first.subscribe("rows", buffer=64)
            await first.subscribe("account")
            await second.subscribe("files")
            await third.connect()
            script = asyncio.ensure_future(one.script("3s drop; 8s fault 6s; 20s refuse 60s; 20s drop"))
            with tempfile.TemporaryDirectory() as profile:
                async with showing(inspector.url, Path(profile)) as page:
                    await page.call(
                        "Emulation.setDeviceMetricsOverride", width=_WIDTH, height=_HEIGHT, deviceScaleFactor=_SCALE, mobile=False
                    )
                    await page.call("Emulation.setScrollbarsHidden", hidden=True)
                    for number in range(100):
                        one.publish(f"rows.{number}.create", "rows", {"$id": f"{number}"})
                        await asyncio.sleep(0.2)
                        if number == 50:
                            await third.disconnect()
                    await page.shows("outage for")
                    await asyncio.sleep(3)
                    shot = await page.call("Page.captureScreenshot", format="png")
            script.cancel()
    return base64.b64decode(shot["data"])


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(asyncio.run(picture()))
