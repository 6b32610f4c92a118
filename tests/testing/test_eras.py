"""The differences between the eras of the embedded server."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest

from realtime_fsm.testing import RealtimeServer
from realtime_fsm.testing.backend import Backend
from realtime_fsm.testing.connection import ServerConnection
from realtime_fsm.testing.eras import ERAS, EraName
from realtime_fsm.testing.wire import Reply
from support.loopback import connected
from support.network import Network, SimulatedSocket
from support.server_core import (
    EQUAL,
    MASKED,
    NOON,
    SECRET,
    check_error,
    dial,
    error,
    publish,
    reaches,
    send,
    send_text,
    single_frame,
    try_dial,
)

DEMO = "/v1/realtime?project=demo"
ROWS = f"{DEMO}&channels[]=rows"
BY_URL = ("E1", "E2", "E3")
every_era = pytest.mark.parametrize("era", ERAS)
by_url = pytest.mark.parametrize("era", BY_URL)


def reaching_roles(backend: Backend, channel: str, *among: str) -> set[str]:
    """The roles with which an event on a channel reaches some connection."""
    return {role for role in among if reaches(backend, channel, role)}


# The dial


@by_url
@pytest.mark.parametrize("target", [DEMO, f"{DEMO}&channels[]=account.bob", f"{DEMO}&channels[]=account.update"])
def test_a_dial_without_channels_is_refused(era: EraName, target: str) -> None:
    connection, reply = try_dial(Backend(era=era), target)
    check_error(reply, 1008, MASKED if era == "E2" else "Missing channels", end=True)
    assert send_text(connection, '{"type":"ping"}') == Reply(), "nothing follows the end"


@pytest.mark.parametrize(
    ("era", "greeting"),
    [
        ("E1", b'{"type":"connected","data":{"channels":["rows","files"],"user":null}}'),
        ("E2", b'{"type":"connected","data":{"channels":["rows","files"],"user":null}}'),
        ("E3", b'{"type":"connected","data":{"channels":["rows","files"],"subscriptions":["1"],"user":null}}'),
        ("E4", b'{"type":"connected","data":{"channels":["rows","files"],"subscriptions":["1"],"user":null}}'),
    ],
)
def test_the_greeting(era: EraName, greeting: bytes) -> None:
    backend = Backend(era=era, ids=iter("12"))
    connection, reply = try_dial(backend, f"{ROWS}&channels[]=files&channels[]=rows")
    assert reply.frames == (greeting,)
    assert connection.subscriptions == ("1",)


@pytest.mark.parametrize(
    ("era", "code", "message"),
    [
        ("E1", 0, "Appwrite\\Messaging\\Adapter\\Realtime::convertChannels(): Argument #1 ($channels) must be of type array"),
        ("E2", 0, MASKED),
        ("E3", 0, MASKED),
        ("E4", 0, MASKED),
    ],
)
def test_channels_that_are_not_a_list(era: EraName, code: int, message: str) -> None:
    _, reply = try_dial(Backend(era=era), f"{DEMO}&channels=files")
    refusal = single_frame(reply)["data"]
    assert (refusal["code"], refusal["message"].startswith(message), reply.end) == (code, True, True)


@pytest.mark.parametrize(
    ("era", "masked", "message"),
    [
        ("E1", True, "Missing or unknown project ID"),
        ("E2", True, MASKED),
        ("E2", False, "Missing or unknown project ID"),
        ("E3", True, "Missing or unknown project ID"),
        ("E4", True, "Missing or unknown project ID"),
    ],
)
def test_the_text_of_a_refusal(era: EraName, masked: bool, message: str) -> None:
    _, reply = try_dial(Backend(era=era, masked=masked), "/?project=nope&channels[]=rows")
    assert single_frame(reply) == error(1008, message)


@pytest.mark.parametrize(("code", "is_masked"), [(0, True), (1, False), (499, False), (500, True), (501, True), ("401", True)])
def test_the_texts_of_faults_are_masked(code: int | str, is_masked: bool) -> None:
    connection = dial(Backend(guest_code=code))
    refusal = send(connection, "subscribe", [{"channels": ["rows"]}])["data"]
    assert refusal == {"code": code, "message": MASKED if is_masked else "Guests may not subscribe"}


@every_era
def test_the_text_of_a_refused_identity_is_the_same_in_every_era(era: EraName) -> None:
    _, reply = try_dial(Backend(era=era), ROWS, X_Appwrite_JWT="abc")
    assert single_frame(reply) == error(401, "Failed to verify JWT. Invalid token: Incomplete segments")


@pytest.mark.parametrize(("era", "text"), [("E1", "Too many requests"), ("E4", MASKED)])
def test_too_many_dials(era: EraName, text: str) -> None:
    assert single_frame(try_dial(Backend(era=era, connection_limit=0), ROWS)[1]) == error(1013, text)


@pytest.mark.parametrize(
    ("era", "fields"),
    [("E1", set()), ("E2", set()), ("E3", {"impersonator"}), ("E4", {"impersonator", "emailCanonical"})],
)
def test_the_fields_of_a_user_document(era: EraName, fields: set[str]) -> None:
    backend = Backend(era=era)
    _, reply = try_dial(backend, f"{DEMO}&channels[]=account&channels[]=account.bob", X_Appwrite_Session=backend.add_user("al"))
    data = single_frame(reply)["data"]
    assert data["channels"] == ["account", "account.al"]
    assert {"impersonator", "emailCanonical"} & set(data["user"]) == fields


def test_there_are_four_eras() -> None:
    with pytest.raises(ValueError, match="there is no era 'E5': give one of E1, E2, E3, E4"):
        RealtimeServer(era=cast("EraName", "E5"))


# Slots and queries


def test_queries_in_the_url_need_the_third_era() -> None:
    for era in ("E1", "E2", "E3", "E4"):
        backend = Backend(era=era)
        dial(backend, f"{ROWS}&rows[0][]={EQUAL}")
        assert [reaches(backend, "rows", payload={"title": title}) for title in "xy"] == [True, era < "E3"]


@pytest.mark.parametrize(
    ("query", "subscriptions"),
    [
        ("channels[]=rows", ["1"]),
        ("channels[]=rows&rows[0][]=$&rows[1][]=$", ["1", "2"]),
        ("channels[]=rows&rows[3][]=$&rows[5][]=$", {"3": "1", "5": "2"}),
        ("channels[]=rows&channels[]=files&rows[1][]=$&files[0][]=$", {"1": "1", "0": "2"}),
    ],
)
def test_the_ids_of_the_slots(query: str, subscriptions: object) -> None:
    _, reply = try_dial(Backend(era="E3", ids=iter("123")), f"{DEMO}&{query}".replace("$", EQUAL))
    assert single_frame(reply)["data"]["subscriptions"] == subscriptions


def test_a_channel_that_the_server_adds_goes_to_slot_0_unfiltered() -> None:
    backend = Backend(era="E3", ids=iter("s12"))
    session = backend.add_user("al")
    _, reply = try_dial(backend, f"{DEMO}&channels[]=account&account[2][]={EQUAL}", X_Appwrite_Session=session)
    assert single_frame(reply)["data"]["subscriptions"] == {"2": "1", "0": "2"}
    assert [reaches(backend, channel, payload={}) for channel in ("account", "account.al")] == [False, True]


# Messages


@pytest.mark.parametrize(
    ("era", "answer"),
    [("E1", error(1003, "Message type is not valid.")), *((era, {"type": "pong"}) for era in ("E2", "E3", "E4"))],
)
def test_a_ping(era: EraName, answer: object) -> None:
    assert send(dial(Backend(era=era), ROWS), "ping") == answer


@by_url
@pytest.mark.parametrize(
    "message",
    [
        {"type": "subscribe", "data": [{"channels": ["files"]}]},
        {"type": "unsubscribe", "data": [{"subscriptionId": "s"}]},
        {"type": "presence", "data": {"status": "x"}},
        {"type": {"a": 1}},
        {"type": 1},
        {"data": {}},
    ],
)
def test_a_message_of_a_later_era_leaves_the_link_up(era: EraName, message: object) -> None:
    backend = Backend(era=era)
    reply = send_text(dial(backend, ROWS), json.dumps(message))
    check_error(reply, 1003, "Message type is not valid." if era == "E1" else MASKED, end=False)
    assert reaches(backend, "rows")


@pytest.mark.parametrize(
    ("era", "data", "code", "text"),
    [
        ("E1", None, 0, "array_key_exists(): Argument #2 ($array) must be of type array, null given"),
        ("E1", 1.5, 0, "array_key_exists(): Argument #2 ($array) must be of type array, float given"),
        ("E1", [], 1003, "Payload is not valid."),
        ("E1", {"session": None}, 1003, "Session is not valid."),
        ("E2", {"session": None}, 0, MASKED),
        ("E3", {"session": None}, 0, MASKED),
        ("E3", "x", 0, MASKED),
        ("E4", "x", 1003, MASKED),
        ("E4", {"session": None}, 1003, MASKED),
    ],
)
def test_an_authentication_that_is_malformed(era: EraName, data: object, code: int, text: str) -> None:
    connection = dial(Backend(era=era), ROWS)
    assert send(connection, "authentication", data) == error(code, text)
    assert connection.subscriptions


@pytest.mark.parametrize(
    ("era", "text"),
    [("E1", "Too many messages."), ("E2", None), ("E3", MASKED), ("E4", MASKED)],
)
def test_the_limit_of_messages_a_minute(era: EraName, text: str | None) -> None:
    connection = dial(Backend(era=era), ROWS)
    answers = [send(connection, "ping") for _ in range(33)]
    assert answers[:32] == [answers[0]] * 32
    assert answers[32] == (answers[0] if text is None else error(1013, text))
    assert send(dial(Backend(era=era, rate_limit=0), ROWS), "ping")["data"]["code"] == 1013


# A login in the middle of a connection


@pytest.mark.parametrize("era", ["E1", "E2"])
def test_a_login_adds_roles_and_takes_none_away(era: EraName) -> None:
    backend = Backend(era=era)
    alice, bob = backend.add_user("alice", session_secret=SECRET), backend.add_user("bob")
    connection = dial(backend, f"{ROWS}&channels[]=account")
    assert send(connection, "authentication", {"session": alice})["data"]["user"]["$id"] == "alice"
    roles = ("guests", "users", "user:alice", "user:bob")
    assert reaching_roles(backend, "rows", *roles) == {"guests", "users", "user:alice"}
    assert reaching_roles(backend, "account", *roles) == {"guests", "users", "user:alice"}
    assert reaching_roles(backend, "account.alice", *roles) == {"users", "user:alice"}  # the second channel that it has gained
    send(connection, "authentication", {"session": bob})
    assert reaching_roles(backend, "rows", *roles) == set(roles)
    assert reaching_roles(backend, "account", *roles) == {"guests", "users", "user:alice"}  # and that replaces the first
    assert reaching_roles(backend, "account.bob", *roles) == set()
    assert len(connection.subscriptions) == 1


def test_a_login_reaches_the_last_slot_only() -> None:
    backend = Backend(era="E3")
    session = backend.add_user("al")
    connection = dial(backend, f"{ROWS}&channels[]=account&channels[]=files&files[1][]={EQUAL}")
    send(connection, "authentication", {"session": session})
    roles = ("guests", "users", "user:al")
    assert reaching_roles(backend, "rows", *roles) == {"guests"}
    assert reaching_roles(backend, "account", *roles) == {"guests"}
    assert reaching_roles(backend, "account.al", *roles) == set()
    assert reaches(backend, "files", "user:al", payload={"title": "x"})
    assert not reaches(backend, "files", "guests", payload={"title": "x"})
    assert not reaches(backend, "files", "user:al", payload={"title": "y"})


def test_slots_that_share_the_channels_of_the_last_change_roles_with_it() -> None:
    backend = Backend(era="E3")
    session = backend.add_user("al")
    connection = dial(backend, f"{ROWS}&rows[0][]={EQUAL}&rows[1][]={EQUAL}")
    send(connection, "authentication", {"session": session})
    assert publish(backend, ["rows"], {"title": "x"}, roles=["user:al"]) == [(connection, list(connection.subscriptions))]


@every_era
def test_changed_memberships_alone_change_nothing_that_was_seen(era: EraName) -> None:
    backend = Backend(era=era)
    sessions = [backend.add_user(user) for user in ("al", "bo")]
    for session in sessions:
        dial(backend, ROWS, X_Appwrite_Session=session)
    send(dial(backend, ROWS), "authentication", {"session": sessions[0]})  # and no other user after that
    assert backend.publish(["e"], ["rows"], None, now=NOON, roles=["user:al"], memberships_of="al")
    assert reaching_roles(backend, "rows", "user:al", "user:bo", "any") == {"user:al", "user:bo", "any"}


@pytest.mark.parametrize(("era", "deaf"), [("E1", True), ("E2", True), ("E3", False), ("E4", False)])
def test_changed_memberships_behind_a_stale_login_end_all_events(era: EraName, deaf: bool) -> None:
    backend = Backend(era=era)
    al, bo = (backend.add_user(user) for user in ("al", "bo"))
    stale, witness = dial(backend, ROWS), dial(backend, ROWS, X_Appwrite_Session=al)
    for session in (al, al, bo):
        send(stale, "authentication", {"session": session})
    stale.close(NOON)
    assert reaches(backend, "rows"), "a stale login alone does no harm"
    backend.publish(["e"], ["teams"], None, now=NOON, memberships_of="al")
    assert reaches(backend, "rows") is not deaf, "role any included"
    assert send(witness, "ping")["type"] == ("error" if era == "E1" else "pong")
    backend.restart()
    assert reaches(backend, "rows"), "a process that starts anew works again"


# The same everywhere


@every_era
def test_one_frame_for_an_event_on_two_channels(era: EraName) -> None:
    backend = Backend(era=era, ids=iter("1"))
    connection = dial(backend, f"{ROWS}&channels[]=files")
    deliveries = backend.publish(["e"], ["rows", "files"], {}, now=NOON, timestamp="T")
    ids = b',"subscriptions":["1"]' if era in ("E3", "E4") else b""
    fields = b'{"type":"event","data":{"events":["e"],"channels":["rows","files"],"timestamp":"T","payload":[]'
    assert deliveries == [(connection, fields + ids + b"}}")]


@every_era
@pytest.mark.loopback
async def test_the_methods_of_a_server_work_alike_in_every_era(era: EraName) -> None:
    async with RealtimeServer(era=era) as server:
        session = server.add_user("al")
        async with connected(server, ROWS, f"X-Appwrite-Session: {session}") as client:
            assert (await client.json())["data"]["user"]["$id"] == "al"
            assert (server.connections, server.subscriptions) == (1, 1)
            assert [server.publish("e", "rows", {}, roles=[role]) for role in ("user:al", "user:bo")] == [1, 0]
            assert [server.publish("e", channel, {}) for channel in ("files", "rows")] == [0, 1]
            events = [(await client.json())["data"] for _ in range(2)]
            assert [("subscriptions" in event) for event in events] == [era in ("E3", "E4")] * 2
            server.freeze()
            server.publish("late", "rows", {})
            await client.silent()
            server.thaw()
            assert (await client.json())["data"]["events"] == ["late"]
            server.drop()
            assert await client.ending() == "eof"
            assert server.publish("e", "rows", {}) == 0


@every_era
async def test_the_simulated_network_serves_every_era(era: EraName) -> None:
    network = Network(era)
    socket = await network.dial(f"ws://simulated{ROWS}", {})
    assert isinstance(socket, SimulatedSocket)
    frames: list[dict[str, Any]] = []
    pumping = asyncio.create_task(socket.pump(lambda frame: frames.append(json.loads(frame))))
    await socket.send(b'{"type":"ping"}')
    await asyncio.sleep(1)
    assert network.publish("rows", payload={"$id": "r"}) == 1
    socket.cut()
    assert await pumping == 1006

    greeting, answer, event = frames
    assert greeting["data"]["channels"] == ["rows"]
    assert answer["type"] == ("error" if era == "E1" else "pong")
    assert event["data"]["payload"] == {"$id": "r"}
    assert ("subscriptions" in event["data"]) is (era in ("E3", "E4"))


def test_a_connection_of_an_old_era_without_a_greeting_accepts_no_login() -> None:
    connection = ServerConnection(Backend(era="E2"))
    assert send(connection, "authentication", {"session": "x"}) == error(1003)
