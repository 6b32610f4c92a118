"""A client of the official SDK says where to go, and as whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from appwrite.client import Client

from realtime_fsm import BadOption, InsecureWarning, Realtime, RetryPolicy, sync
from realtime_fsm.client.appwrite_sdk import options_from_client
from realtime_fsm.testing import RealtimeServer

pytestmark = pytest.mark.loops

HIDDEN = "hunter2"


def client_of(endpoint: str = "https://appwrite.test/v1") -> Any:
    return Client().set_endpoint(endpoint).set_project("demo")


def test_endpoint_project_and_nothing_else() -> None:
    assert options_from_client(client_of()) == {
        "endpoint": "https://appwrite.test/v1",
        "project": "demo",
        "self_signed": False,
        "headers": {},
    }


@pytest.mark.parametrize(("name", "option"), [("set_session", "session"), ("set_jwt", "jwt")])
def test_its_identity_is_taken(name: str, option: str) -> None:
    client = client_of()
    getattr(client, name)(HIDDEN)
    assert options_from_client(client)[option] == HIDDEN


def test_impersonation_developer_key_and_cookies_go_along() -> None:
    client = client_of().set_impersonate_user_id("alice").set_cookie("a=b").add_header("X-Appwrite-Dev-Key", "dev")
    headers = {"x-appwrite-impersonate-user-id": "alice", "cookie": "a=b", "x-appwrite-dev-key": "dev"}
    assert options_from_client(client)["headers"] == headers


def test_a_project_of_older_releases_is_found_in_a_header() -> None:
    client = Client().set_endpoint("https://appwrite.test/v1").add_header("X-Appwrite-Project", "demo")
    assert options_from_client(client)["project"] == "demo"


@pytest.mark.parametrize(
    ("client", "says"),
    [
        (client_of().set_key(HIDDEN), "no realtime identity; give as_user= the id of a user, or make a client with set_session"),
        (client_of().set_bearer(HIDDEN), "does not read a bearer token"),
        (Client().set_endpoint("https://appwrite.test/v1"), "set_project"),
        (object(), "object is not an appwrite.client.Client"),
        (None, "NoneType is not"),
    ],
)
def test_what_realtime_cannot_use_is_refused_with_the_remedy(client: object, says: str) -> None:
    with pytest.raises(BadOption, match=says) as caught:
        Realtime.from_client(client)
    assert caught.value.option == "client"
    assert HIDDEN not in f"{caught.value}{caught.value!r}"


@pytest.mark.parametrize(
    "build",
    [
        lambda: Realtime.from_client(client_of().set_self_signed()),
        lambda: sync.Realtime.from_client(client_of().set_self_signed()),
        lambda: sync.Realtime("http://127.0.0.1:9/v1", "demo", self_signed=True),
    ],
)
def test_a_self_signed_client_is_as_trusting_and_as_loud(build: Callable[[], object]) -> None:
    with pytest.warns(InsecureWarning) as caught:
        build()
    assert [warning.filename for warning in caught] == [__file__]


def test_what_is_said_beside_the_client_wins() -> None:
    realtime = Realtime.from_client(client_of(), project="other", retry=RetryPolicy(attempts=1))
    assert "other" in repr(realtime)


@pytest.mark.loopback
async def test_it_listens_as_the_clients_user() -> None:
    async with RealtimeServer(projects=["demo"]) as server:
        session = server.add_user("alice")
        client = client_of(server.endpoint).set_session(session)
        async with Realtime.from_client(client) as realtime:
            await realtime.subscribe("account")
            assert realtime.user is not None
            assert realtime.user["$id"] == "alice"
