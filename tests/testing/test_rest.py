"""The REST call of the embedded server: an API key asks for the JWT of a user."""

from __future__ import annotations

import json
from typing import Any

import pytest

from realtime_fsm.testing.backend import Backend
from realtime_fsm.testing.request import HttpRequest
from realtime_fsm.testing.rest import answer
from support.server_core import NOON, TARGET, check_error, dial, try_dial
from support.some import some


def created(backend: Backend, body: Any = None, *, path: str = "users/alice/jwts", **headers: str) -> tuple[int, Any]:
    """Ask for a JWT; an underscore in the name of a header stands for a hyphen."""
    fields = {"x_appwrite_project": "demo", "X_Appwrite_Key": backend.add_key(["users.write"])} | headers
    content = b"" if body is None else json.dumps(body).encode()
    request = HttpRequest(f"/v1/{path}", tuple((name.replace("_", "-"), value) for name, value in fields.items()), content)
    status, document = answer(backend, request, NOON)
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
    bound = [created(backend, body)[1]["jwt"] for body in (None, {"sessionId": "recent"}, {"sessionId": "recent()"})]
    free = created(backend, {"sessionId": "none"})[1]["jwt"]
    backend.directory().end_session("alice")
    assert [dial(backend, X_Appwrite_JWT=jwt).account for jwt in bound] == [None] * 3
    account = dial(backend, X_Appwrite_JWT=free).account
    assert account is not None
    assert account.user_id == "alice"


@pytest.mark.parametrize("duration", [-1, 3601, 900.0, True, "900"])
def test_a_duration_out_of_range_is_refused(backend: Backend, duration: Any) -> None:
    status, document = created(backend, {"duration": duration})
    assert (status, document["code"], document["type"]) == (400, 400, "general_argument_invalid")
    assert document["message"] == "Invalid `duration` param: Value must be a valid range between 0 and 3600"


@pytest.mark.parametrize("duration", [0, 3600])
def test_a_duration_may_be_the_least_and_the_most(backend: Backend, duration: int) -> None:
    status, document = created(backend, {"duration": duration})
    assert (status, backend.directory().issue_jwt("alice", expires=NOON + duration)) == (201, document["jwt"])


def test_each_refusal_has_its_status_its_type_and_its_text(backend: Backend) -> None:
    narrow = backend.add_key(["users.read"])
    scope = 'missing scopes (["users.write"])'
    refusals: list[tuple[dict[str, str], int, str, str]] = [
        ({"x_appwrite_project": "nope"}, 404, "project_not_found", "Project with the requested ID could not be found."),
        ({"x_appwrite_project": ""}, 401, "general_unauthorized_scope", f"User (role: guests) {scope}"),  # the console's key
        ({"path": "users/alice"}, 404, "general_route_not_found", "Route not found."),
        ({"X_Appwrite_Key": "wrong"}, 401, "general_unauthorized_scope", f"User (role: guests) {scope}"),
        (
            {"X_Appwrite_Key": narrow},
            401,
            "general_unauthorized_scope",
            f"app.demo@service.localhost (role: applications) {scope}",
        ),
        ({"path": "users/bob/jwts"}, 404, "user_not_found", "User with the requested ID could not be found."),
    ]
    for changes, status, kind, text in some(refusals):
        found, document = created(backend, **changes)
        assert (found, document["code"], document["type"], document["version"]) == (status, status, kind, "embedded")
        assert document["message"].startswith(text)


def test_the_repr_of_a_request_shows_no_key() -> None:
    assert repr(HttpRequest("/v1/x", (("X-Appwrite-Key", "geheim"),), b"geheim")) == "HttpRequest()"
