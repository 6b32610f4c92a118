"""The credentials for NATS, which the relay checks before nats-py uses them."""

from __future__ import annotations

import asyncio
import re
from collections import UserString, deque
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

from realtime_fsm.relay import BrokerUnavailable, JetStream, Message, RelayError
from realtime_fsm.relay.broker_link import BrokerLink
from realtime_fsm.relay.credentials import credentials_problem
from realtime_fsm.relay.errors import CredentialsUnusable

SEED = "SU" + "A" * 56
CREDENTIALS = f"""-----BEGIN NATS USER JWT-----
eyJ0.eyJq.c2ln
------END NATS USER JWT------

************************* IMPORTANT *************************

-----BEGIN USER NKEY SEED-----
{SEED}
------END USER NKEY SEED------
"""


@pytest.fixture(autouse=True)
def nkeys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the package nkeys be installed."""
    monkeypatch.setattr("realtime_fsm.relay.credentials.find_spec", lambda _: object())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "user.creds"
    path.write_text(CREDENTIALS, encoding="utf-8")
    return path


def test_a_file_with_jwt_and_seed_is_used(path: Path) -> None:
    for given in (path, str(path), (str(path), str(path)), UserString(CREDENTIALS)):
        assert credentials_problem({"user_credentials": given}) is None
    assert credentials_problem({"nkeys_seed": str(path)}) is None
    assert credentials_problem({"nkeys_seed_str": SEED}) is None
    assert credentials_problem({"user": "me", "password": "geheim", "user_credentials": None}) is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "hello world\n",
        CREDENTIALS[:-60],
        CREDENTIALS.replace("SU", "SA"),
        CREDENTIALS.replace("SUA", "SUE"),
        CREDENTIALS.replace("JWT", ""),
        SEED,
    ],
)
def test_another_file_is_refused_without_its_content(content: str, path: Path) -> None:
    path.write_text(content, encoding="utf-8")
    problem = f"{path} holds no credentials; give a file that `nsc generate creds` writes"
    assert credentials_problem({"user_credentials": str(path)}) == ("user_credentials", problem)


@pytest.mark.parametrize("option", ["user_credentials", "nkeys_seed"])
def test_a_file_that_cannot_be_read_is_refused(option: str) -> None:
    missing: Any = "/nowhere/c"
    assert credentials_problem({option: missing}) == (option, "/nowhere/c cannot be read: No such file or directory")
    assert credentials_problem({option: "/"}) == (option, "/ cannot be read: Is a directory")
    if option == "user_credentials":
        assert credentials_problem({option: (__file__, missing)}) is not None


@pytest.mark.parametrize("option", ["user_credentials", "nkeys_seed", "nkeys_seed_str"])
def test_a_missing_package_is_named(option: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_fsm.relay.credentials.find_spec", lambda _: None)
    told = (option, "the package nkeys is missing; install realtime-fsm[nats]")
    assert credentials_problem({option: str(path)}) == told


async def test_each_link_checks_the_file_anew() -> None:
    link = BrokerLink("host:4222", "APPWRITE", "appwrite.demo.>")
    text = f"the login at the broker host:4222 cannot be tried: {__file__} holds no credentials; "
    with pytest.raises(CredentialsUnusable, match=re.escape(text)):
        await link.open({"user_credentials": __file__}, tls_required=False, window=60.0)


class Link(BrokerLink):
    """A link to a broker that takes each login, and stores each message but those of the first link."""

    number = 0

    def __init__(self, server: str, stream: str, subjects: str) -> None:
        super().__init__(server, stream, subjects)
        self._client: Any = AsyncMock(new_inbox=Mock(), is_connected=False, is_connecting=False)

    async def _find_or_create_stream(self, window: float) -> float:
        Link.number += 1
        return window

    async def newest_headers(self) -> dict[str, str]:
        return {}

    async def store_chunk(self, left: deque[Message]) -> int:
        if Link.number == 1:
            raise BrokerUnavailable("host:4222", "lost")
        left.clear()
        return 0


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> type[Link]:
    monkeypatch.setattr("realtime_fsm.relay.jetstream.BrokerLink", Link)
    monkeypatch.setattr(Link, "number", 0)
    return Link


def remove(path: Path, seconds: float | None = None) -> None:
    """Remove the file of credentials, and write it again after some seconds; None is never."""
    path.unlink()
    if seconds is not None:
        asyncio.get_running_loop().call_later(seconds, path.write_text, CREDENTIALS)


MESSAGE = Message("e1", "appwrite.demo.rows.create", {}, b"{}")


async def test_a_relay_waits_for_a_file_that_is_away_for_a_moment(path: Path, links: type[Link]) -> None:
    troubles: list[RelayError] = []
    sink = JetStream("nats://host", outage=60.0, on_trouble=troubles.append, user_credentials=str(path))
    async with sink.open("demo"):
        remove(path, seconds=5.0)
        assert await sink.publish([MESSAGE]) == 0
    assert (links.number, len(troubles)) == (2, 1)


async def test_the_trouble_is_told_where_the_file_is_away_at_the_first_try(path: Path, links: type[Link]) -> None:
    troubles: list[RelayError] = []
    sink = JetStream("nats://host", outage=60.0, on_trouble=troubles.append, user_credentials=str(path))
    async with sink.open("demo"):
        await sink._hang_up()
        remove(path, seconds=5.0)
        assert await sink.publish([MESSAGE]) == 0
    assert (links.number, [type(trouble) for trouble in troubles]) == (2, [CredentialsUnusable])


@pytest.mark.usefixtures("links")
async def test_a_file_that_is_away_for_longer_than_the_outage_ends_the_relay(path: Path) -> None:
    loop = asyncio.get_running_loop()
    sink = JetStream("nats://host", outage=60.0, user_credentials=str(path))
    async with sink.open("demo"):
        remove(path)
        began = loop.time()
        with pytest.raises(BrokerUnavailable, match=r"cannot be tried: .* cannot be read: No such file or directory$"):
            await sink.publish([MESSAGE])
    assert 60.0 <= loop.time() - began < 63.0
