"""The credentials for NATS, which the relay checks before nats-py uses them."""

from __future__ import annotations

import re
from collections import UserString
from pathlib import Path
from typing import Any

import pytest

from realtime_fsm.relay import BrokerRefused
from realtime_fsm.relay.broker_link import BrokerLink
from realtime_fsm.relay.credentials import credentials_problem

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
    with pytest.raises(BrokerRefused, match=re.escape(f"refuses: user_credentials: {__file__} holds no credentials; ")):
        await link.open({"user_credentials": __file__}, tls_required=False, window=60.0)
