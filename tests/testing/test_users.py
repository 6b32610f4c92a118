"""Users of the embedded server: their sessions and JWTs, and a login by message."""

from __future__ import annotations

import base64
import json
import re

import pytest

from realtime_fsm.testing import RealtimeServer
from realtime_fsm.testing.accounts import usual_document
from realtime_fsm.testing.backend import Backend
from realtime_fsm.testing.connection import ServerConnection
from realtime_fsm.testing.request import HttpRequest
from support.recording import load
from support.server_core import SECRET, check_error, dial, error, reaches, send, send_text, single_frame, subscribe, try_dial


def user_id(connection: ServerConnection) -> str | None:
    return None if connection.account is None else connection.account.user_id


def fallback_cookies(session: str, name: str = "a_session_demo") -> str:
    return json.dumps({name: session, "other": 5})


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X_Appwrite_Session", "{}"),
        ("x_appwrite_session", "{}"),
        ("Cookie", "a_session_demo={}"),
        ("Cookie", 'x=1; a_session_demo_legacy="{}"; y'),
        ("X_Fallback_Cookies", "fallback"),
    ],
)
def test_a_session_at_the_dial(header: str, value: str) -> None:
    backend = Backend()
    session = backend.add_user("alice")
    headers = {header: fallback_cookies(session) if value == "fallback" else value.replace("{}", session)}
    assert user_id(dial(backend, **headers)) == "alice"


def test_an_encoded_cookie() -> None:
    backend = Backend()
    session = backend.add_user("alice").replace("=", "%3D")
    assert user_id(dial(backend, Cookie=f"a_session_demo={session}")) == "alice"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Cookie", "a_session_demo=garbage"),
        ("Cookie", "a_session_demo=YWJj"),
        ("Cookie", "a_session_demo=NQ=="),
        ("Cookie", "a_session_other={}"),
        ("Cookie", "a_session_demo={}!"),
        ("X_Appwrite_Session", base64.b64encode(b'{"id":["alice"]}').decode()),
        ("X_Appwrite_Session", base64.b64encode(b'{"id":"bob","secret":"x"}').decode()),
        ("X_Appwrite_Session", base64.b64encode(b'{"id":"alice","secret":"x"}').decode()),
        ("X_Appwrite_Session", base64.b64encode(b'{"id":"alice"}').decode()),
        ("X_Appwrite_Session", "é"),
        ("X_Fallback_Cookies", "{"),
        ("X_Fallback_Cookies", "[]"),
        ("X_Fallback_Cookies", "fallback"),
    ],
)
def test_a_session_that_is_not_valid_makes_a_guest(header: str, value: str) -> None:
    backend = Backend()
    session = backend.add_user("alice")
    headers = {header: fallback_cookies(session, "x") if value == "fallback" else value.replace("{}", session)}
    assert user_id(dial(backend, **headers)) is None


def test_a_jwt_at_the_dial() -> None:
    backend = Backend()
    backend.add_user("alice")
    token = backend.directory().issue_jwt("alice")
    assert token.count(".") == 2
    assert user_id(dial(backend, X_Appwrite_JWT=token)) == "alice"
    assert user_id(dial(backend, f"/?project=demo&jwt={token}")) == "alice"


@pytest.mark.parametrize(("expired", "end"), [(False, 4_102_444_800), (True, 0)])
def test_a_jwt_names_its_user_and_its_end(expired: bool, end: int) -> None:
    server = RealtimeServer()
    server.add_user("alice")
    head, claims, _ = server.issue_jwt("alice", expired=expired).split(".")
    decoded = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in (head, claims)]
    assert decoded == [{"typ": "JWT", "alg": "HS256"}, {"userId": "alice", "sessionId": "current", "exp": end}]


def test_an_expired_jwt_is_refused() -> None:
    backend = Backend()
    backend.add_user("alice")
    _, reply = try_dial(backend, X_Appwrite_JWT=backend.directory().issue_jwt("alice", expires=0))
    check_error(reply, 401, "Failed to verify JWT. Invalid token: Expired", end=True)


def test_a_jwt_beside_a_session_is_refused() -> None:
    backend = Backend()
    session = backend.add_user("alice")
    _, reply = try_dial(backend, X_Appwrite_JWT=backend.directory().issue_jwt("alice"), Cookie=f"a_session_demo={session}")
    refusal = single_frame(reply)["data"]
    assert (refusal["code"], reply.end) == (403, True)
    assert refusal["message"].startswith("JWT and cookie used in the same request. Use either `setJWT` or `setCookie`.")


def test_an_ended_session_and_its_jwts_make_a_guest() -> None:
    backend = Backend()
    session, jwt = backend.add_user("alice"), backend.directory().issue_jwt("alice")
    expired = backend.directory().issue_jwt("alice", expires=0)
    earlier = dial(backend, X_Appwrite_Session=session)
    backend.directory().end_session("alice")
    assert user_id(dial(backend, X_Appwrite_Session=session)) is None
    assert user_id(dial(backend, X_Appwrite_JWT=jwt)) is None
    assert single_frame(try_dial(backend, X_Appwrite_JWT=expired)[1])["data"]["code"] == 401
    assert send(dial(backend), "authentication", {"session": session}) == error(1003)
    assert user_id(earlier) == "alice", "a link that is up goes on"


def test_only_the_session_of_a_user_can_end() -> None:
    with pytest.raises(LookupError, match="no user 'bob'"):
        Backend().directory().end_session("bob")


def test_users_belong_to_a_project() -> None:
    backend = Backend(projects=("demo", "p2"))
    session = backend.add_user("alice", project="p2")
    assert user_id(dial(backend, X_Appwrite_Session=session)) is None
    assert user_id(dial(backend, "/?project=p2", X_Appwrite_Session=session)) == "alice"
    with pytest.raises(LookupError, match="no user 'alice'"):
        backend.directory().issue_jwt("alice")
    with pytest.raises(LookupError, match="no project 'nope'"):
        backend.add_user("bob", project="nope")
    with pytest.raises(ValueError, match="user 'alice' exists"):
        backend.add_user("alice", project="p2")


def test_attributes_become_part_of_the_user_document() -> None:
    backend = Backend()
    session = backend.add_user("alice", session_secret=SECRET, attributes={"name": "Alice", "prefs": {"a": {}}})
    assert base64.b64decode(session) == b'{"id":"alice","secret":"s3cret"}'
    _, reply = try_dial(backend, X_Appwrite_Session=session)
    user = single_frame(reply)["data"]["user"]
    assert (user["name"], user["email"], user["prefs"], user["labels"]) == ("Alice", "alice@example.com", {"a": {}}, [])


def test_the_usual_document_is_that_of_a_real_server() -> None:
    user = next(step.frame["data"]["user"] for step in load("06-authentication") if '"to":"authentication"' in step.data)
    own = {"$id": "alice", "name": "alice", "email": "alice@example.com"}
    real = {name: own.get(name, value) for name, value in user.items()}

    def undated(document: dict[str, object]) -> str:
        return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]{12}\+00:00", "MOMENT", json.dumps(document))

    assert undated(usual_document("alice")) == undated(real)


def test_no_repr_shows_a_secret() -> None:
    backend = Backend()
    session = backend.add_user("alice", session_secret=SECRET)
    token = backend.directory().issue_jwt("alice")
    request = HttpRequest(f"/?project=demo&jwt={token}", (("Cookie", f"a_session_demo={session}"),))
    connection = dial(backend, X_Appwrite_Session=session)
    send(connection, "authentication", {"session": session})
    for value in (backend, connection.directory, request, connection, connection.account):
        assert not any(secret in repr(value) for secret in (SECRET, session, token)), repr(value)
    assert repr(connection) == "<ServerConnection user='alice' subscriptions=[]>"


def test_the_repr_of_an_account_shows_the_id_and_the_roles_only() -> None:
    backend = Backend()
    session = backend.add_user("alice", session_secret=SECRET, attributes={"name": "Alice", "prefs": {"pin": "geheim"}})
    account = dial(backend, X_Appwrite_Session=session).account
    assert account is not None
    assert account.document["prefs"] == {"pin": "geheim"}
    assert repr(account) == f"Account(user_id='alice', roles={account.roles!r})"


@pytest.mark.parametrize("data", [None, [], {}, {"session": ""}, {"session": 5}, {"session": "garbage"}])
def test_an_authentication_that_is_not_valid(data: object) -> None:
    connection = dial(Backend())
    assert send(connection, "authentication", data) == error(1003)
    assert "authentication" not in repr(connection)
    assert subscribe(connection, {"subscriptionId": "s", "channels": ["files"]})


def test_the_answer_to_an_authentication_names_the_user() -> None:
    backend = Backend()
    answer = send(dial(backend), "authentication", {"session": backend.add_user("alice")})["data"]
    assert (answer["to"], answer["success"], answer["user"]["$id"]) == ("authentication", True, "alice")


def test_authentication_without_a_subscription_makes_the_server_forget_the_project() -> None:
    backend = Backend()
    connection = dial(backend)
    subscribe(connection, {"subscriptionId": "s", "channels": ["files"]})
    send(connection, "unsubscribe", [{"subscriptionId": "s"}])
    send(connection, "authentication", {"session": backend.add_user("alice")})
    assert send(connection, "ping") == {"type": "pong"}
    assert send(connection, "unsubscribe", [{"subscriptionId": "s"}])["data"]["subscriptions"][0]["removed"] is False
    assert send(connection, "authentication", {"session": 5}) == error(1003)
    check_error(send_text(connection, '{"type":"subscribe","data":[{"channels":["files"]}]}'), 1008, end=True)


def test_a_second_authentication_on_a_link_whose_project_is_forgotten_ends_it() -> None:
    backend = Backend()
    session = backend.add_user("alice")
    connection = dial(backend)
    send(connection, "authentication", {"session": session})
    check_error(send_text(connection, json.dumps({"type": "authentication", "data": {"session": session}})), 1008, end=True)
    assert not backend.connections


def test_a_connection_without_a_greeting_has_no_project() -> None:
    connection = ServerConnection(Backend())
    assert send(connection, "ping") == {"type": "pong"}
    assert send(connection, "subscribe", [{"channels": ["files"]}]) == error(1008)


def test_the_account_channels_of_a_user() -> None:
    backend = Backend()
    connection = dial(backend, X_Appwrite_Session=backend.add_user("alice"))
    asked = ["account", "account.update", "account.bob", "account.alice", "files", "account.delete.x"]
    assert subscribe(connection, {"subscriptionId": "s", "channels": asked})[0]["channels"] == [
        "account",
        "files",
        "account.alice",
        "account.alice.update",
    ]


def test_the_account_channels_of_a_guest_follow_the_authentication() -> None:
    backend = Backend()
    alice, bob = backend.add_user("alice"), backend.add_user("bob", roles=["team:t1"])
    connection = dial(backend)
    item = {"subscriptionId": "s", "channels": ["account", "account.update", "account.bob", "files"]}
    assert subscribe(connection, item)[0]["channels"] == ["account", "account.update", "files"]

    def reached(*channels: str, role: str) -> list[str]:
        return [channel for channel in channels if reaches(backend, channel, role)]

    def roles(*among: str) -> list[str]:
        return [role for role in among if reaches(backend, "files", role)]

    send(connection, "authentication", {"session": alice})
    assert roles("user:alice", "users", "any", "guests") == ["user:alice", "users", "any"]
    account = ("account", "account.update", "account.alice", "account.alice.update")
    assert reached(*account, role="user:alice") == ["account", "account.alice.update"]

    assert subscribe(connection, {"subscriptionId": "s2", "channels": ["account"]})[0]["channels"] == ["account", "account.alice"]
    send(connection, "authentication", {"session": bob})
    assert roles("user:alice", "user:bob", "team:t1") == ["user:bob", "team:t1"]
    account = ("account.alice", "account.alice.update", "account.bob", "account.bob.update")
    assert reached(*account, role="users") == ["account.bob", "account.bob.update"]
