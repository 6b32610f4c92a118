"""The official JavaScript SDK in Node (tests/peers/sdk.js): it takes commands and reports events, as lines of JSON."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PEERS = Path(__file__).parents[1] / "peers"
_TIMEOUT = 20.0


class Sdk:
    """One process with one client. No wait takes longer than 20 s."""

    def __init__(self) -> None:
        self._unread: deque[dict[str, Any]] = deque()
        self._process: asyncio.subprocess.Process

    async def __aenter__(self) -> Self:
        assert (PEERS / "node_modules").is_dir(), "the packages of tests/peers are not installed: run `make test-peers`"
        self._process = await asyncio.create_subprocess_exec(
            "node", "sdk.js", cwd=PEERS, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**24
        )
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None and self._process.returncode is None:
            self._process.kill()
        await asyncio.wait_for(self._process.communicate(b""), _TIMEOUT)  # the end of its stdin ends it

    async def do(self, command: str, **options: Any) -> Any:
        """Send a command, and return the SDK's result."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"command": command, **options}).encode() + b"\n")
        answer = await self.next_line("answer", "failure")
        assert answer["kind"] == "answer", answer["message"]
        return answer["value"]

    async def next_line(self, *kinds: str) -> dict[str, Any]:
        """Return the next line of these kinds, and keep the lines of others for later."""
        for line in self._unread:
            if line["kind"] in kinds:
                self._unread.remove(line)
                return line
        assert self._process.stdout is not None
        async with asyncio.timeout(_TIMEOUT):
            async for text in self._process.stdout:
                line = json.loads(text)
                if line["kind"] in kinds:
                    return dict(line)
                self._unread.append(line)
        raise AssertionError(f"the SDK ended without a line of {kinds}")

    async def event(self) -> tuple[str, dict[str, Any]]:
        """Return the next event, behind the name of the subscription whose callback got it."""
        line = await self.next_line("event")
        return line["to"], line["event"]

    def drop_lines(self) -> None:
        """Drop the lines that were kept for later."""
        self._unread.clear()
