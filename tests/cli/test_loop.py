"""The servers that a command starts: an error names the place, the reason and the remedy."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace

import pytest

from realtime_fsm.cli.loop import loop_factory, signals_interrupt, start_server
from support.some import some


def test_uvloop_runs_the_commands_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", SimpleNamespace(new_event_loop=asyncio.new_event_loop))
    assert loop_factory() is asyncio.new_event_loop
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory() is None


PORT = "choose another port, or 0 for one that is free"
ADDRESS = "give an address of this machine"


@pytest.mark.parametrize(
    ("failure", "problem"),
    [
        (OSError(errno.EADDRINUSE, "error while attempting to bind"), f"Address already in use; {PORT}"),
        (PermissionError(errno.EACCES, "error while attempting to bind"), f"Permission denied; {PORT}"),
        (OSError(errno.EADDRNOTAVAIL, "error while attempting to bind"), f"Cannot assign requested address; {ADDRESS}"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), f"Name or service not known; {ADDRESS}"),
        (OSError("could not bind on any address"), f"could not bind on any address; {ADDRESS}"),
    ],
)
async def test_a_server_that_cannot_listen_names_the_remedy(failure: OSError, problem: str) -> None:
    @asynccontextmanager
    async def server() -> AsyncIterator[None]:
        raise failure
        yield

    async with AsyncExitStack() as stack:
        with pytest.raises(OSError, match="; ") as raised:
            await start_server(server(), stack, "--health host:80")
    assert (raised.value.filename, raised.value.strerror) == ("--health host:80", problem)


async def test_the_error_of_a_server_keeps_its_number() -> None:
    @asynccontextmanager
    async def server() -> AsyncIterator[None]:
        raise OSError(errno.EACCES, "no")
        yield

    async with AsyncExitStack() as stack:
        with pytest.raises(PermissionError) as raised:
            await start_server(server(), stack, "port 80")
    assert raised.value.errno == errno.EACCES


def test_signals_interrupt_a_block_and_nothing_after_it() -> None:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in some(before):
            with pytest.raises(KeyboardInterrupt), signals_interrupt():
                signal.raise_signal(number)
            assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def test_a_server_ends_with_its_stack() -> None:
    steps: list[str] = []

    @asynccontextmanager
    async def server() -> AsyncIterator[str]:
        steps.append("starts")
        yield "the server"
        steps.append("ends")

    async with AsyncExitStack() as stack:
        assert await start_server(server(), stack, "port 80") == "the server"
        assert steps == ["starts"]
    assert steps == ["starts", "ends"]
