"""Who is let in by the embedded server, as whom, and what a login in the middle of a connection does."""

from __future__ import annotations

import base64
import json

import pytest

from realtime_fsm.testing.peer import Backend, Reply, Request, ServerConnection, counted_ids
from support.server_core import MASKED, NOON, SECRET, TARGET, dial, error, publish, send, single_frame, subscribe, try_dial


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/v1/realtime?project=demo", {}),
        ("/?project=demo", {}),
        ("/v1/realtime", {}),
        ("/v1/realtime?project=", {}),
        ("/v1/realtime?project[]=demo", {}),
        ("/v1/realtime?project=console", {"Origin": "https://evil.example"}),
        ("/v1/realtime?project=demo", {"Origin": "http://localhost"}),
        ("/v1/realtime?project=demo", {"Origin": "http://localhost:3000"}),
    ],
)
def test_a_greeting(target: str, headers: dict[str, str]) -> None:
    _, reply = try_dial(Backend(), target, **headers)
    greeting = b'{"type":"connected","data":{"channels":[],"subscriptions":[],"user":null}}'
    assert reply == Reply((greeting,))


@pytest.mark.parametrize(
    ("target", "headers", "code", "message"),
    [
        ("/?project=nope", {}, 1008, "Missing or unknown project ID"),
        ("/?channels[]=files", {"X_Appwrite_Project": "nope"}, 1008, "Missing or unknown project ID"),
        ("/?project=demo&channels=files", {}, 0, MASKED),
        (
            "/?project=demo",
            {"Origin": "https://evil.example"},
            1008,
            "Invalid Origin. Register your new client (evil.example) as a new Web platform on your project console dashboard",
        ),
        (
            "/?project=demo",
            {"Origin": "http://[x"},
            1008,
            "Invalid Origin. Register your new client (http://[x) as a new Web platform on your project console dashboard",
        ),
        ("/?project=demo&jwt=abc", {}, 401, "Failed to verify JWT. Invalid token: Incomplete segments"),
        ("/?project=demo&jwt=a.b.c", {}, 401, "Failed to verify JWT. Invalid token: Signature failed"),
        ("/?project=demo&channels[]=a.b&a_b[0][]=q", {}, 1008, "Invalid query: Syntax error"),
        ("/?project=demo&channels[]=rows&rows=q", {}, 1008, "Invalid query: Syntax error"),
    ],
)
def test_a_dial_that_is_refused_ends(target: str, headers: dict[str, str], code: int, message: str) -> None:
    backend = Backend()
    peer, reply = try_dial(backend, target, **headers)
    assert reply.end
    assert single_frame(reply) == error(code, message)
    assert peer.receive_message('{"type":"ping"}', NOON) == Reply()
    assert not backend.peers


def test_other_platforms_may_be_allowed() -> None:
    dial(Backend(platforms=("evil.example",)), Origin="https://evil.example")
    assert try_dial(Backend(platforms=("evil.example",)), Origin="http://localhost")[1].end


def test_a_backend_needs_a_project() -> None:
    with pytest.raises(ValueError, match="needs a project"):
        Backend(projects=())


def test_channels_in_the_url_make_one_subscription() -> None:
    backend = Backend(ids=iter(["6b0467fa345385f16884"]))
    peer, reply = try_dial(backend, "/?project=demo&channels%5B%5D=FILES&channels[7]=%20&channels[]=%E2%9C%93&channels[]=FILES")
    identifier = "6b0467fa345385f16884"
    assert single_frame(reply)["data"] == {"channels": ["FILES", " ", "✓"], "subscriptions": [identifier], "user": None}
    assert publish(backend, [" "]) == [(peer, [identifier])]
    assert send(peer, "unsubscribe", [{"subscriptionId": identifier}])["data"]["subscriptions"][0]["removed"]


def test_ids_are_counted() -> None:
    ids = counted_ids()
    assert [next(ids), next(ids)] == ["00000000000000000001", "00000000000000000002"]


def test_too_many_dials_in_a_minute() -> None:
    backend = Backend(connection_limit=2)
    assert [try_dial(backend, TARGET, NOON + second)[1].end for second in (0, 1, 59, 60)] == [False, False, True, False]
    _, reply = try_dial(Backend(connection_limit=0))
    assert (single_frame(reply), reply.end) == (error(1013), True)


def test_dials_are_counted_for_each_path_and_each_address() -> None:
    backend = Backend(connection_limit=1)

    def welcome(target: str = TARGET, **headers: str) -> bool:
        return not try_dial(backend, target, **headers)[1].end

    assert [welcome(), welcome(), welcome(TARGET + "&channels[]=rows")] == [True, False, False]
    assert [welcome("/?project=demo"), welcome("/?project=demo")] == [True, False]
    addresses = ["192.0.2.1", " 192.0.2.1 , 192.0.2.9", "192.0.2.9, 192.0.2.1", "192.0.2.9"]
    assert [welcome(X_Forwarded_For=address) for address in addresses] == [True, False, True, False]


def fallback(session: str, name: str = "a_session_demo") -> str:
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
    _, reply = try_dial(backend, **{header: fallback(session) if value == "fallback" else value.replace("{}", session)})
    assert single_frame(reply)["data"]["user"]["$id"] == "alice"


def test_an_encoded_cookie() -> None:
    backend = Backend()
    session = backend.add_user("alice").replace("=", "%3D")
    assert dial(backend, Cookie=f"a_session_demo={session}").account is not None


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Cookie", "a_session_demo=garbage"),
        ("Cookie", "a_session_demo=YWJj"),
        ("Cookie", "a_session_demo=NQ=="),
        ("Cookie", "a_session_other={}"),
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
def test_a_worthless_session_makes_a_guest(header: str, value: str) -> None:
    backend = Backend()
    session = backend.add_user("alice")
    _, reply = try_dial(backend, **{header: fallback(session, "x") if value == "fallback" else value.replace("{}", session)})
    assert single_frame(reply)["data"]["user"] is None


def test_a_jwt_at_the_dial() -> None:
    backend = Backend()
    session = backend.add_user("alice")
    token = backend.issue_jwt("alice")
    assert token.count(".") == 2
    for peer in (dial(backend, X_Appwrite_JWT=token), dial(backend, f"/?project=demo&jwt={token}")):
        assert peer.account is not None
        assert peer.account.user_id == "alice"

    expired = backend.issue_jwt("alice", expired=True)
    _, reply = try_dial(backend, X_Appwrite_JWT=expired)
    assert (single_frame(reply), reply.end) == (error(401, "Failed to verify JWT. Invalid token: Expired"), True)

    _, reply = try_dial(backend, X_Appwrite_JWT=token, Cookie=f"a_session_demo={session}")
    assert (single_frame(reply)["data"]["code"], reply.end) == (403, True)
    assert single_frame(reply)["data"]["message"].startswith(
        "JWT and cookie used in the same request. Use either `setJWT` or `setCookie`."
    )


def test_who_dials_with_what_came_of_a_session_that_has_ended_is_a_guest() -> None:
    backend = Backend()
    session, jwt, expired = backend.add_user("alice"), backend.issue_jwt("alice"), backend.issue_jwt("alice", expired=True)
    up = dial(backend, X_Appwrite_Session=session)
    backend.end_session("alice")
    assert dial(backend, X_Appwrite_Session=session).account is None
    assert dial(backend, X_Appwrite_JWT=jwt).account is None
    assert single_frame(try_dial(backend, X_Appwrite_JWT=expired)[1])["data"]["code"] == 401
    assert send(dial(backend), "authentication", {"session": session}) == error(1003)
    assert up.account is not None, "the link that is up goes on"
    with pytest.raises(LookupError, match="no user 'bob'"):
        backend.end_session("bob")


def test_users_belong_to_a_project() -> None:
    backend = Backend(projects=("demo", "p2"))
    session = backend.add_user("alice", project="p2")
    assert dial(backend, X_Appwrite_Session=session).account is None
    assert dial(backend, "/?project=p2", X_Appwrite_Session=session).account is not None
    with pytest.raises(LookupError, match="no user 'alice'"):
        backend.issue_jwt("alice")
    with pytest.raises(LookupError, match="no project 'nope'"):
        backend.add_user("bob", project="nope")
    with pytest.raises(ValueError, match="user 'alice' exists"):
        backend.add_user("alice", project="p2")


def test_a_user_says_what_it_is_told_to_say() -> None:
    backend = Backend()
    session = backend.add_user("alice", session_secret=SECRET, attributes={"name": "Alice", "prefs": {"a": {}}})
    assert base64.b64decode(session) == b'{"id":"alice","secret":"s3cret"}'
    _, reply = try_dial(backend, X_Appwrite_Session=session)
    user = single_frame(reply)["data"]["user"]
    assert (user["name"], user["email"], user["prefs"], user["labels"]) == ("Alice", "alice@example.com", {"a": {}}, [])


def test_no_repr_tells_a_secret() -> None:
    backend = Backend()
    session = backend.add_user("alice", session_secret=SECRET)
    token = backend.issue_jwt("alice")
    request = Request(f"/?project=demo&jwt={token}", (("Cookie", f"a_session_demo={session}"),))
    peer = dial(backend, X_Appwrite_Session=session)
    send(peer, "authentication", {"session": session})
    for thing in (backend, backend.directory("demo"), request, peer, peer.account):
        assert not any(secret in repr(thing) for secret in (SECRET, session, token))
    assert repr(peer) == "<Peer user='alice' subscriptions=[]>"


@pytest.mark.parametrize("data", [None, [], {}, {"session": ""}, {"session": 5}, {"session": "garbage"}])
def test_a_worthless_authentication(data: object) -> None:
    peer = dial(Backend())
    assert send(peer, "authentication", data) == error(1003)
    assert "authentication" not in repr(peer)
    assert subscribe(peer, {"subscriptionId": "s", "channels": ["files"]})


def test_authentication_without_a_subscription_makes_the_server_forget_the_project() -> None:
    backend = Backend()
    session = backend.add_user("alice")
    peer = dial(backend)
    subscribe(peer, {"subscriptionId": "s", "channels": ["files"]})
    send(peer, "unsubscribe", [{"subscriptionId": "s"}])
    answer = send(peer, "authentication", {"session": session})["data"]
    assert (answer["to"], answer["success"], answer["user"]["$id"]) == ("authentication", True, "alice")
    assert send(peer, "ping") == {"type": "pong"}
    assert send(peer, "unsubscribe", [{"subscriptionId": "s"}])["data"]["subscriptions"][0]["removed"] is False
    assert send(peer, "authentication", {"session": 5}) == error(1003)
    reply = peer.receive_message('{"type":"subscribe","data":[{"channels":["files"]}]}', NOON)
    assert (single_frame(reply), reply.end) == (error(1008), True)


def test_a_second_authentication_on_a_link_whose_project_is_forgotten_ends_it() -> None:
    backend = Backend()
    session = backend.add_user("alice")
    peer = dial(backend)
    send(peer, "authentication", {"session": session})
    reply = peer.receive_message(json.dumps({"type": "authentication", "data": {"session": session}}), NOON)
    assert (single_frame(reply), reply.end) == (error(1008), True)
    assert not backend.peers


def test_a_connection_that_was_not_greeted_knows_no_project() -> None:
    peer = ServerConnection(Backend())
    assert send(peer, "ping") == {"type": "pong"}
    assert send(peer, "subscribe", [{"channels": ["files"]}]) == error(1008)


def test_the_account_channels_of_a_user() -> None:
    backend = Backend()
    peer = dial(backend, X_Appwrite_Session=backend.add_user("alice"))
    asked = ["account", "account.update", "account.bob", "account.alice", "files", "account.delete.x"]
    assert subscribe(peer, {"subscriptionId": "s", "channels": asked})[0]["channels"] == [
        "account",
        "files",
        "account.alice",
        "account.alice.update",
    ]


def test_the_account_channels_of_a_guest_follow_the_authentication() -> None:
    backend = Backend()
    alice, bob = backend.add_user("alice"), backend.add_user("bob", roles=["team:t1"])
    peer = dial(backend)
    item = {"subscriptionId": "s", "channels": ["account", "account.update", "account.bob", "files"]}
    assert subscribe(peer, item)[0]["channels"] == ["account", "account.update", "files"]

    def reaches(channel: str, role: str) -> bool:
        return bool(publish(backend, [channel], roles=[role]))

    send(peer, "authentication", {"session": alice})
    assert [reaches("files", role) for role in ("user:alice", "users", "any", "guests")] == [True, True, True, False]
    assert [reaches(name, "user:alice") for name in ("account", "account.alice", "account.alice.update")] == [
        True,
        False,
        True,
    ]
    assert not reaches("account.update", "user:alice")

    assert subscribe(peer, {"subscriptionId": "s2", "channels": ["account"]})[0]["channels"] == [
        "account",
        "account.alice",
    ]
    send(peer, "authentication", {"session": bob})
    assert [reaches("files", role) for role in ("user:alice", "user:bob", "team:t1")] == [False, True, True]
    assert [reaches(name, "users") for name in ("account.alice", "account.alice.update")] == [False, False]
    assert [reaches(name, "users") for name in ("account.bob", "account.bob.update")] == [True, True]
