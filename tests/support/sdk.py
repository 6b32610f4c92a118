"""The official JavaScript SDK in Node (tests/peers/sdk.js), as an object that is told what to do and hears what comes back."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PEERS = Path(__file__).parents[1] / "peers"
_PATIENCE = 20.0


class Sdk:
    """One process with one client. Every wait is bounded."""

    def __init__(self) -> None:
        self._kept: deque[dict[str, Any]] = deque()
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
        await asyncio.wait_for(self._process.communicate(b""), _PATIENCE)  # the end of its stdin ends it

    async def do(self, command: str, **options: Any) -> Any:
        """Tell it to do something; returns what the SDK returned."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"command": command, **options}).encode() + b"\n")
        answer = await self.heard("answer", "failure")
        assert answer["kind"] == "answer", answer["message"]
        return answer["value"]

    async def heard(self, *kinds: str) -> dict[str, Any]:
        """The next line of a kind; lines of other kinds are kept for later."""
        for line in self._kept:
            if line["kind"] in kinds:
                self._kept.remove(line)
                return line
        assert self._process.stdout is not None
        async with asyncio.timeout(_PATIENCE):
            async for text in self._process.stdout:
                line = json.loads(text)
                if line["kind"] in kinds:
                    return dict(line)
                self._kept.append(line)
        raise AssertionError(f"the SDK ended before it said {kinds}")

    async def event(self) -> tuple[str, dict[str, Any]]:
        """The next event: the name of the subscription that got it, and what its callback was given."""
        line = await self.heard("event")
        return line["to"], line["event"]

    def forget(self) -> None:
        """Drop what was kept for later."""
        self._kept.clear()
