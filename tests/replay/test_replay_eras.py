"""Replays of connections to servers of each era: handovers, filters, pauses, presences and updates."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from realtime_fsm import LinkPaused, PresenceRejected, Realtime, RealtimeError, UnsupportedByServer, audit
from realtime_fsm.cli.main import main
from support.network import Network
from support.virtual import run

QUERY = '{"method":"isNull","attribute":"n"}'
REFUSED: dict[str, dict[str, type[RealtimeError]]] = {
    "queries": {"E1": UnsupportedByServer, "E2": UnsupportedByServer},
    "updates": {"E1": UnsupportedByServer, "E2": UnsupportedByServer, "E3": UnsupportedByServer},
    "presences": {"E1": UnsupportedByServer, "E2": UnsupportedByServer, "E3": UnsupportedByServer, "E4": PresenceRejected},
    "answers during a pause": {"E4": LinkPaused},
}
"""The features that a server of an era refuses, and how. On the other eras each succeeds. A guest has no presence."""


async def asked(what: str, network: Network, asking: Awaitable[object]) -> None:
    """Await a call, or expect the error that `REFUSED` names for the era of the server."""
    if (error := REFUSED[what].get(network.backend.era.name)) is None:
        await asking
    else:
        with pytest.raises(error):
            await asking


async def handover(realtime: Realtime, network: Network) -> None:
    rows = await realtime.subscribe("rows")
    await realtime.subscribe("files")
    await asyncio.gather(*(realtime.subscribe(f"channel{number}") for number in range(4)))
    await asyncio.sleep(100)
    network.socket.cut()
    await asyncio.sleep(40)
    await rows.unsubscribe()


async def filtered(realtime: Realtime, network: Network) -> None:
    await asked("queries", network, realtime.subscribe("rows", queries=[QUERY]))
    await realtime.subscribe("rows")


async def lost_handover(realtime: Realtime, network: Network) -> None:
    await realtime.subscribe("rows")
    network.script.extend(["hang", "hang"])
    other = asyncio.ensure_future(realtime.subscribe("files"))
    await asyncio.sleep(1)
    network.sockets[-1].cut()
    await other
    await realtime.subscribe("more")  # at once: no link drains, so the next one waits for none
    await realtime.disconnect()


async def paused(realtime: Realtime, network: Network) -> None:
    rows = await realtime.subscribe("rows", buffer=4, overflow="pause")
    for _ in range(2):
        for _ in range(10):
            network.publish("rows")
        await asyncio.sleep(4)
        asking = asyncio.ensure_future(realtime.subscribe("files"))
        await asyncio.sleep(50)
        while rows._delivery.buffer:
            await anext(rows)
            await asyncio.sleep(0.01)
        await asked("answers during a pause", network, asking)
        await asyncio.sleep(8)


async def shown(realtime: Realtime, network: Network) -> None:
    await realtime.subscribe("rows")
    await asked("presences", network, realtime.set_presence("online"))
    await asyncio.sleep(31)
    network.socket.cut()
    await asyncio.sleep(20)
    await realtime.set_presence(None)


async def shown_first(realtime: Realtime, network: Network) -> None:
    await asked("presences", network, realtime.set_presence("online"))


async def updated(realtime: Realtime, network: Network) -> None:
    rows = await realtime.subscribe("rows")
    await asked("updates", network, rows.update(channels=["files"]))
    await asyncio.sleep(1)
    await rows.unsubscribe()


SCENARIOS = [handover, filtered, lost_handover, paused, shown, shown_first, updated]


@pytest.mark.parametrize("era", ["E1", "E2", "E3", "E4"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_connection_to_a_server_of_any_era_is_replayed(
    era: str, scenario: Callable[[Realtime, Network], Awaitable[None]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "audit.jsonl"

    async def live() -> None:
        network = Network(era=era)  # type: ignore[arg-type]
        async with network.realtime() as realtime:
            await scenario(realtime, network)

    with audit.configure(log):
        run(live)
    emitted = tmp_path / "test_emitted.py"
    assert main(["replay", str(log), "--emit-test", str(emitted)]) == 0, capsys.readouterr()
    scope: dict[str, Any] = {}
    exec(compile(emitted.read_text(), str(emitted), "exec"), scope)  # noqa: S102  (what we have just written)
    scope["test_the_connection_takes_the_path_that_was_logged"]()
