"""Tokens of a user by an API key: the official SDK against the REST call of the embedded server."""

from __future__ import annotations

import asyncio
import json
import pickle
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from appwrite.client import Client
from appwrite.services.users import Users

from realtime_fsm import BadOption, IdentityUnavailable, Realtime, RetriesExhausted, RetryPolicy, State, sync
from realtime_fsm import identity as module
from realtime_fsm.identity import TokenUnavailable, as_user
from realtime_fsm.testing import RealtimeServer
from support.secrets import MARK, assert_silent
from support.virtual import eventually

pytestmark = pytest.mark.loopback


class Clock:
    """A clock that the test sets: for the server, and for both clocks of the token."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "_CLOCKS", (clock, clock))
    return clock


def client_of(endpoint: str, key: str, project: str = "demo") -> Any:
    return Client().set_endpoint(endpoint).set_project(project).set_key(key)


@asynccontextmanager
async def served(clock: Callable[[], float] | None = None) -> AsyncIterator[tuple[RealtimeServer, Any]]:
    """A server with the user "worker", and a client whose key may issue tokens."""
    async with RealtimeServer(projects=["demo"], clock=clock or time.time) as server:
        server.add_user("worker")
        yield server, client_of(server.endpoint, server.add_key())


@contextmanager
def answering(
    status: int, body: bytes, *, content_type: str = "application/json", gate: threading.Event | None = None
) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    """Serve one fixed answer once the gate is open; yield a client and the bodies of the requests."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if gate is not None:
                gate.wait(30)
            self.send_response(status)
            if content_type:
                self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base's name)
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield client_of(f"http://127.0.0.1:{server.server_port}/v1", f"{MARK}-key"), asked
        finally:
            if gate is not None:
                gate.set()
            server.shutdown()
            thread.join()


async def failure_of(token: Callable[[], Awaitable[str]]) -> TokenUnavailable:
    with pytest.raises(TokenUnavailable) as caught:
        await token()
    assert_silent(caught.value)
    return caught.value


# --- a connection -----------------------------------------------------------------------------------------------------


async def test_a_key_connects_as_a_user() -> None:
    async with served() as (server, client), Realtime.from_client(client, as_user="worker") as realtime:
        account = await realtime.subscribe("account")
        assert realtime.user is not None
        assert realtime.user["$id"] == "worker"
        server.publish("users.worker.update", "account.worker", {"$id": "worker"}, roles=["user:worker"])
        assert (await anext(account)).payload == {"$id": "worker"}


async def test_a_key_connects_the_synchronous_client_as_a_user() -> None:
    def connect(client: Any) -> list[dict[str, Any] | None]:
        users = []
        builders: tuple[Callable[[], sync.Realtime], ...] = (
            lambda: sync.Realtime.from_client(client, as_user="worker"),
            lambda: sync.Realtime(client._endpoint, "demo", jwt=as_user(client, "worker")),
        )
        for build in builders:
            with build() as realtime:
                realtime.connect()
                users.append(realtime.user)
        return users

    async with served() as (_, client):
        users = await asyncio.to_thread(connect, client)
    assert [user and user["$id"] for user in users] == ["worker", "worker"]


async def test_each_dial_has_a_fresh_token_and_an_expired_one_ends_no_link(clock: Clock) -> None:
    async with served(clock) as (server, client), Realtime.from_client(client, as_user="worker") as realtime:
        rows = await realtime.subscribe("rows")
        clock.now += 3600
        server.publish("rows.1.create", "rows", {"$id": "1"})
        assert (await anext(rows)).id == "1", "the server reads the identity when a link connects"
        await realtime.reconnect()
        assert realtime.user is not None
        server.publish("rows.2.create", "rows", {"$id": "2"})
        assert (await anext(rows)).id == "2"


async def test_a_logout_of_the_user_does_not_end_the_token() -> None:
    async with served() as (server, client), Realtime.from_client(client, as_user="worker") as realtime:
        await realtime.connect()
        server.end_session("worker")
        await realtime.reconnect()
        assert realtime.user is not None
        assert realtime.state is State.CONNECTED


async def test_an_explicit_token_wins_over_the_key_of_the_client() -> None:
    async with served() as (_, client), Realtime.from_client(client, jwt=as_user(client, "worker", seconds=3600)) as realtime:
        await realtime.connect()
        assert realtime.user is not None


@pytest.mark.parametrize("build", [Realtime.from_client, sync.Realtime.from_client])
def test_a_user_beside_another_identity_is_refused(build: Callable[..., object]) -> None:
    client = client_of("http://127.0.0.1:1/v1", MARK)
    for owner, given in ((client, {"session": MARK}), (client_of("http://127.0.0.1:1/v1", MARK).set_session(MARK), {})):
        with pytest.raises(BadOption, match="as_user: given together with a session or JWT") as caught:
            build(owner, as_user="worker", **given)
        assert_silent(caught.value)


# --- the token --------------------------------------------------------------------------------------------------------


async def test_a_token_is_kept_until_a_minute_before_its_end(clock: Clock) -> None:
    async with served(clock) as (_, client):
        token = as_user(client, "worker")
        first = await token()
        clock.now += 839
        assert await token() == first
        clock.now += 2
        assert await token() != first
        assert repr(token) == "<as_user 'worker'>"


@pytest.mark.parametrize("sleeping", [0, 1], ids=["asleep", "set back"])
async def test_a_clock_that_stands_still_keeps_no_token(monkeypatch: pytest.MonkeyPatch, sleeping: int) -> None:
    clocks = [Clock(), Clock()]
    monkeypatch.setattr(module, "_CLOCKS", tuple(clocks))
    async with served(lambda: clocks[1 - sleeping]()) as (_, client):
        token = as_user(client, "worker")
        first = await token()
        clocks[1 - sleeping].now += 900
        assert await token() != first


@pytest.mark.parametrize("seconds", [900, 120, 3600])
async def test_the_request(seconds: int) -> None:
    with answering(201, b'{"jwt": "a.b.c"}') as (client, asked):
        assert await as_user(client, "worker", seconds=seconds)() == "a.b.c"
    assert asked == [{"sessionId": "none", "duration": seconds}]


async def test_releases_of_the_sdk_without_models_give_a_dict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Users, "_parse_response", lambda self, response, model: response)
    with answering(201, b'{"jwt": "a.b.c"}') as (client, _):
        assert await as_user(client, "worker")() == "a.b.c"


async def test_one_request_at_a_time_also_from_several_loops() -> None:
    gate = threading.Event()
    with answering(201, b'{"jwt": "a.b.c"}', gate=gate) as (client, asked):
        token = as_user(client, "worker")
        here = [asyncio.ensure_future(awaited(token)) for _ in range(3)]
        there = asyncio.ensure_future(asyncio.to_thread(lambda: asyncio.run(awaited(token))))
        await eventually(lambda: len(asked) == 1, within=30)
        requests = [thread.daemon for thread in threading.enumerate() if thread.name == "realtime_fsm as_user"]
        assert requests == [True], "a request that hangs keeps no program from ending"
        here[0].cancel()
        gate.set()
        assert await asyncio.gather(*here[1:], there) == ["a.b.c"] * 3
    assert len(asked) == 1


async def awaited(token: Callable[[], Awaitable[str]]) -> str:
    return await token()


async def test_a_request_that_hangs_is_named_joined_and_at_last_abandoned(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.01)
    gate = threading.Event()
    with answering(201, b'{"jwt": "a.b.c"}', gate=gate) as (client, asked):
        token = as_user(client, "worker")
        for later, requests in ((0, 1), (60, 1), (1, 2), (60, 2)):
            clock.now += later
            failure = await failure_of(token)
            assert (failure.problem, failure.code) == ("no_answer", 0)
            await eventually(lambda requests=requests: len(asked) == requests, within=30)  # type: ignore[misc]


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "problem", "code", "remedy"),
    [
        ({"scopes": ("users.read",)}, "missing_scope", 401, "lacks the scope users.write; add the scope to the key (HTTP 401)"),
        ({"key": f"{MARK}-key"}, "wrong_key", 401, "give a key of this project that has not expired"),
        ({"user": "mallory"}, "unknown_user", 404, "no JWT for user 'mallory': the project has no such user; create the user"),
        ({"project": "other"}, "unknown_project", 404, "check the endpoint and the project's id"),
        ({"path": "/v1/x"}, "refused", 404, "check that the endpoint is that of Appwrite 1.6 or later"),
    ],
)
async def test_a_refusal_names_the_problem_and_the_remedy(change: dict[str, Any], problem: str, code: int, remedy: str) -> None:
    async with served() as (server, _):
        key = change.get("key") or server.add_key(scopes=change.get("scopes", ("users.write",)))
        endpoint = server.endpoint.replace("/v1", change.get("path", "/v1"))
        failure = await failure_of(as_user(client_of(endpoint, key, change.get("project", "demo")), change.get("user", "worker")))
    assert (failure.problem, failure.code, failure.kind) == (problem, code, "token_unavailable")
    assert remedy in str(failure)
    assert isinstance(failure, IdentityUnavailable)
    assert str(pickle.loads(pickle.dumps(failure))) == str(failure)  # noqa: S301  (our own)


@pytest.mark.parametrize(
    ("status", "body", "content_type", "problem", "code"),
    [
        (401, b'{"message": "geheim", "type": "project_key_expired"}', "application/json", "wrong_key", 401),
        (403, b"geheim", "text/plain", "wrong_key", 403),
        (402, b"geheim", "text/plain", "refused", 402),
        (502, b"<p>geheim</p>", "text/html", "refused", 502),
        (502, b"geheim", "", "no_token", 0),
        (200, b"<p>geheim</p>", "text/html", "no_token", 0),
        (201, b'{"jwt": ""}', "application/json", "no_token", 0),
        (201, b'{"jwt": 5, "geheim": 1}', "application/json", "no_token", 0),
    ],
)
async def test_an_answer_that_is_no_token(status: int, body: bytes, content_type: str, problem: str, code: int) -> None:
    with answering(status, body, content_type=content_type) as (client, _):
        failure = await failure_of(as_user(client, "worker"))
    assert (failure.problem, failure.code) == (problem, code)


async def test_without_a_server_there_is_no_answer() -> None:
    failure = await failure_of(as_user(client_of("http://127.0.0.1:1/v1", f"{MARK}-key"), "worker"))
    assert (failure.problem, failure.code) == ("no_answer", 0)


async def test_a_failed_attempt_has_the_failure_as_its_cause() -> None:
    async with served() as (server, _):
        client = client_of(server.endpoint, f"{MARK}-key")
        async with Realtime.from_client(client, as_user="worker", retry=RetryPolicy(attempts=1)) as realtime:
            with pytest.raises(RetriesExhausted, match="the last one: no JWT for user 'worker': the server does not") as caught:
                await realtime.connect()
            assert isinstance(caught.value.cause, TokenUnavailable)
            assert caught.value.cause.problem == "wrong_key"
            assert_silent(caught.value, caught.value.cause, realtime.error)
            assert server.received == [], "nothing was dialed"


async def test_after_a_failure_the_next_call_asks_again() -> None:
    async with served() as (server, client):
        token = as_user(client, "later")
        assert (await failure_of(token)).problem == "unknown_user"
        server.add_user("later")
        assert await token()


# --- misuse -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"seconds": 119}, "seconds: 119 is not a whole number of seconds from 120 to 3600"),
        ({"seconds": 3601}, "seconds: 3601"),
        ({"seconds": 900.0}, "seconds: 900.0"),
        ({"seconds": True}, "seconds: True"),
        ({"user_id": "../alice"}, "user_id: '../alice' is not a user id"),
        ({"user_id": ""}, "user_id: '' is not"),
        ({"client": object()}, "client: object is not an appwrite.client.Client"),
        ({"client": Client().set_project("demo")}, "client: it has no API key; call set_key"),
    ],
)
def test_misuse(given: dict[str, Any], says: str) -> None:
    arguments: dict[str, Any] = {"client": client_of("http://127.0.0.1:1/v1", MARK), "user_id": "worker"} | given
    with pytest.raises(BadOption, match=says) as caught:
        as_user(**arguments)
    assert_silent(caught.value)


def test_without_the_sdk_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "appwrite.services.users", None)
    with pytest.raises(BadOption, match=r"install realtime-fsm\[appwrite\]"):
        as_user(client_of("http://127.0.0.1:1/v1", MARK), "worker")


def test_an_object_with_headers_and_no_endpoint_is_no_client() -> None:
    with pytest.raises(BadOption, match=r"Headers is not an appwrite\.client\.Client"):
        as_user(type("Headers", (), {"_global_headers": {"X-Appwrite-Key": "k"}})(), "worker")
