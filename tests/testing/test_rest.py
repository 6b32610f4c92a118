"""The REST call of the embedded server: an API key asks for the JWT of a user."""

from __future__ import annotations

import json
from typing import Any

import pytest

from realtime_fsm.testing.backend import Backend
from realtime_fsm.testing.request import HttpRequest
from realtime_fsm.testing.rest import answer
from support.server_core import NOON, TARGET, check_error, dial, try_dial


def created(backend: Backend, body: Any = None) -> tuple[int, Any]:
    headers = (("x-appwrite-project", "demo"), ("X-Appwrite-Key", backend.add_key(["users.write"])))
    content = b"" if body is None else json.dumps(body).encode()
    status, document = answer(backend, HttpRequest("/v1/users/alice/jwts", headers, content), NOON)
    return status, json.loads(document)


@pytest.fixture
def backend() -> Backend:
    backend = Backend()
    backend.add_user("alice")
    return backend


def test_a_jwt_lasts_900_seconds_by_default(backend: Backend) -> None:
    status, document = created(backend)
    assert status == 201
    directory = backend.directory()
    assert directory.issue_jwt("alice", expires=NOON + 900) == document["jwt"]


def test_it_serves_until_its_end(backend: Backend) -> None:
    token = created(backend, {"duration": 60})[1]["jwt"]
    connection, _ = try_dial(backend, TARGET, NOON + 59, X_Appwrite_JWT=token)
    assert connection.account is not None
    _, reply = try_dial(backend, TARGET, NOON + 60, X_Appwrite_JWT=token)
    check_error(reply, 401, "Failed to verify JWT. Invalid token: Expired", end=True)


def test_a_jwt_of_the_newest_session_ends_with_it_and_another_one_does_not(backend: Backend) -> None:
    bound, free = created(backend)[1]["jwt"], created(backend, {"sessionId": "none"})[1]["jwt"]
    backend.end_session("alice")
    assert dial(backend, X_Appwrite_JWT=bound).account is None
    account = dial(backend, X_Appwrite_JWT=free).account
    assert account is not None
    assert account.user_id == "alice"


@pytest.mark.parametrize("duration", [-1, 3601, 900.0, True, "900"])
def test_a_duration_out_of_range_is_refused(backend: Backend, duration: Any) -> None:
    status, document = created(backend, {"duration": duration})
    assert (status, document["code"], document["type"]) == (400, 400, "general_argument_invalid")


def test_the_repr_of_a_request_shows_no_key() -> None:
    assert repr(HttpRequest("/v1/x", (("X-Appwrite-Key", "geheim"),), b"geheim")) == "HttpRequest()"
