"""Presences on the embedded server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from realtime_fsm.testing import RealtimeServer
from realtime_fsm.testing.backend import Backend, EventReceiver
from realtime_fsm.testing.connection import ServerConnection
from support.loopback import DEMO, connected
from support.loopback import subscribe as subscribe_to
from support.server_core import MASKED, NOON, SECRET, check_error, dial, error, send, send_text, subscribe

OWN = ['delete("user:al")', 'read("user:al")', 'update("user:al")', 'write("user:al")']


@pytest.fixture
def backend() -> Backend:
    return Backend(ids=iter(["secret", "p1", "p2"]))


@pytest.fixture
def alice(backend: Backend) -> ServerConnection:
    return dial(backend, X_Appwrite_Session=backend.add_user("al", roles=["team:t1"]))


def store(connection: ServerConnection, now: float = NOON, **data: object) -> dict[str, Any]:
    answer = send(connection, "presence", data, now)
    assert answer["data"]["to"] == "presence", answer
    stored: dict[str, Any] = answer["data"]["presence"]
    return stored


def caused_events(backend: Backend) -> list[tuple[EventReceiver, dict[str, Any]]]:
    return [(connection, json.loads(frame)["data"]) for connection, frame in backend.take_caused()]


def test_a_presence_is_stored_and_answered(alice: ServerConnection) -> None:
    assert list(store(alice, status="online", metadata={"k": {}}).items()) == [
        ("userId", "al"),
        ("source", "realtime"),
        ("status", "online"),
        ("expiresAt", "2026-12-23T16:00:00.000+00:00"),
        ("metadata", {"k": []}),
        ("$permissions", OWN),
        ("$id", "p1"),
        ("$updatedAt", "2026-11-23T16:00:00.000+00:00"),
        ("$createdAt", "2026-11-23T16:00:00.000+00:00"),
        ("$sequence", "1"),
    ]
    assert list(store(alice, NOON + 1, status="away", presenceId="another").items()) == [
        ("userId", "al"),
        ("source", "realtime"),
        ("status", "away"),
        ("expiresAt", "2026-12-23T16:00:01.000+00:00"),
        ("$permissions", OWN),
        ("$id", "p1"),
        ("$updatedAt", "2026-11-23T16:00:01.000+00:00"),
        ("$createdAt", "2026-11-23T16:00:00.000+00:00"),
        ("metadata", {"k": []}),
        ("$sequence", "1"),
    ]
    assert store(alice, status="x", metadata=5)["metadata"] == 5


def test_an_id_may_be_chosen_for_a_new_presence(backend: Backend, alice: ServerConnection) -> None:
    assert store(alice, status="x", presenceId="mine")["$id"] == "mine"
    assert "metadata" not in store(alice, status="x")
    backend.take_caused()
    alice.close()
    bob = dial(backend, X_Appwrite_Session=backend.add_user("bo", session_secret=SECRET))
    stored = store(bob, status="x", presenceId="unique()")
    assert (stored["$id"], stored["$sequence"]) == ("p1", "2")


def test_an_id_is_kept_on_every_link_and_a_second_one_is_ignored_while_the_first_is_there(
    backend: Backend, alice: ServerConnection
) -> None:
    """As recorded: one presence a user, which keeps its id until the link that set it first ends."""
    session = backend.add_user("bo", session_secret=SECRET)
    first, second = dial(backend, X_Appwrite_Session=session), dial(backend, X_Appwrite_Session=session)
    for number in range(2):
        assert store(alice, status="x", presenceId="alice-phone")["$id"] == "alice-phone", number
        assert store(alice, status="x", presenceId="other")["$id"] == "alice-phone", "a second id is ignored"
        alice.close()
        alice = dial(backend, X_Appwrite_Session=backend.add_user(f"al{number}", session_secret=f"{SECRET}{number}"))
    assert store(first, status="online", presenceId="d1")["$id"] == "d1"
    shared = store(second, status="busy", presenceId="d2")
    assert (shared["$id"], shared["status"]) == ("d1", "busy")
    first.close()
    assert store(second, status="busy2", presenceId="d2")["$id"] == "d2"


def test_a_guest_has_no_presence(backend: Backend) -> None:
    guest = dial(backend)
    assert send(guest, "presence", {"status": "online"}) == error(401, "User must be authorized")
    assert send(guest, "presence", {}) == error(1003)
    assert send(guest, "ping") == {"type": "pong"}
    ungreeted = ServerConnection(backend)
    check_error(send_text(ungreeted, '{"type":"presence","data":{"status":"x"}}'), 1008, end=True)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (None, "Payload is not valid. Status is required"),
        ({}, "Payload is not valid. Status is required"),
        ({"status": ""}, "status: Value must be a valid string"),
        ({"status": 5}, "status: Value must be a valid string"),
        ({"status": "x" * 2_049}, "status: Value must be a valid string"),
        ({"status": "x", "presenceId": ""}, "presenceId: Value must be a valid string"),
        ({"status": "x", "presenceId": "x" * 37}, "presenceId: Value must be a valid string"),
        ({"status": "x", "presenceId": 5}, "presenceId: Value must be a valid string"),
        ({"status": "x", "permissions": "all"}, "permissions: Value must be a valid list of permissions"),
        ({"status": "x", "permissions": ["all"]}, "permissions: Value must be a valid list of permissions"),
        ({"status": "x", "permissions": [5]}, "permissions: Value must be a valid list of permissions"),
    ],
)
def test_a_malformed_presence(data: object, text: str) -> None:
    for masked in (True, False):
        backend = Backend(masked=masked)
        connection = dial(backend, X_Appwrite_Session=backend.add_user("al"))
        assert send(connection, "presence", data) == error(1003, MASKED if masked else text)


def test_a_user_may_lose_the_right_to_change_a_presence(backend: Backend, alice: ServerConnection) -> None:
    store(alice, status="x", permissions=['read("users")', 'update("team:t1")'])
    store(alice, status="x", permissions=['read("any")', 'write("users")'])
    assert store(alice, status="x", permissions=['read("users")'])["$permissions"] == ['read("users")']
    forbidden = error(401, "The current user is not authorized to perform the requested action.")
    assert send(alice, "presence", {"status": "x"}) == forbidden
    another = dial(backend, X_Appwrite_Session=backend.add_user("bo", session_secret=SECRET))
    store(another, status="x")
    foreign = send(another, "presence", {"status": "x", "permissions": ['read("user:al")']})
    assert foreign == error(401, "Permissions must be one of: (any, user:bo, users)")


def test_a_user_may_name_each_role_of_its_own(alice: ServerConnection) -> None:
    all_roles = [f'read("{role}")' for role in ("any", "team:t1", "user:al", "users")]
    assert store(alice, status="x", permissions=all_roles[::-1])["$permissions"] == all_roles


def test_users_who_may_read_a_presence_get_its_events(backend: Backend, alice: ServerConnection) -> None:
    bob = dial(backend, X_Appwrite_Session=backend.add_user("bo", session_secret=SECRET))
    for connection in (alice, bob):
        subscribe(connection, {"subscriptionId": "p", "channels": ["presences"]})
    own = store(alice, status="x")
    assert caused_events(backend) == [
        (
            alice,
            {
                "events": ["presences.p1.upsert", "presences.*.upsert", "presences.p1", "presences.*"],
                "channels": ["presences", "presences.p1", "presences.upsert", "presences.p1.upsert"],
                "timestamp": "2026-11-23T16:00:00.000+00:00",
                "payload": own,
                "subscriptions": ["p"],
            },
        )
    ]
    shared = store(alice, status="y", permissions=['read("users")'])
    assert [receiver for receiver, _ in caused_events(backend)] == [alice, bob]
    assert caused_events(backend) == []
    alice.close(NOON + 5)
    alice.close(NOON + 6)
    ((receiver, event),) = caused_events(backend)
    assert receiver is bob
    assert event["channels"] == ["presences", "presences.p1", "presences.delete", "presences.p1.delete"]
    assert (event["payload"], event["timestamp"]) == (shared, "2026-11-23T16:00:05.000+00:00")


def test_a_shared_presence_ends_once_with_its_first_link(backend: Backend) -> None:
    session = backend.add_user("al")
    first, second = (dial(backend, X_Appwrite_Session=session) for _ in range(2))
    watcher = dial(backend, X_Appwrite_Session=session)
    subscribe(watcher, {"subscriptionId": "p", "channels": ["presences.delete"]})
    assert store(first, status="x")["$id"] == store(second, status="y")["$id"]
    first.close()
    second.close()
    assert len(caused_events(backend)) == 1
    assert store(watcher, NOON, status="z")["$createdAt"] == "2026-11-23T16:00:00.000+00:00"


def test_an_event_for_a_link_that_has_ended_is_dropped(backend: Backend, alice: ServerConnection) -> None:
    subscribe(alice, {"subscriptionId": "p", "channels": ["presences"]})
    store(alice, status="x")
    alice.close()
    assert caused_events(backend) == []


@pytest.mark.loopback
async def test_presences_over_sockets() -> None:
    async with RealtimeServer() as server:
        session = server.add_user("al")
        header = f"X-Appwrite-Session: {session}"
        async with connected(server, DEMO, header) as watcher:
            await watcher.text()
            await subscribe_to(watcher, "presences")
            async with connected(server, DEMO, header) as client:
                await client.text()
                client.send('{"type":"presence","data":{"status":"online"}}')
                assert (await client.json())["data"]["to"] == "presence"
                assert (await watcher.json())["data"]["events"][1] == "presences.*.upsert"
            assert (await watcher.json())["data"]["events"][1] == "presences.*.delete"
