"""The upgrade requests that the embedded server accepts, and those that it refuses."""

from __future__ import annotations

import pytest

from realtime_fsm.testing.backend import Backend, counted_ids
from realtime_fsm.testing.wire import Reply
from support.server_core import MASKED, NOON, TARGET, check_error, dial, publish, send, send_text, single_frame, try_dial

GREETING = b'{"type":"connected","data":{"channels":[],"subscriptions":[],"user":null}}'


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
    assert try_dial(Backend(), target, **headers)[1] == Reply((GREETING,))


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
    connection, reply = try_dial(backend, target, **headers)
    check_error(reply, code, message, end=True)
    assert send_text(connection, '{"type":"ping"}') == Reply(), "nothing follows the end"
    assert not backend.connections


def test_other_platforms_may_be_allowed() -> None:
    backend = Backend(platforms=("other.example",))
    dial(backend, Origin="https://other.example")
    assert try_dial(backend, Origin="http://localhost")[1].end


def test_a_backend_needs_a_project() -> None:
    with pytest.raises(ValueError, match="needs a project"):
        Backend(projects=())


def test_channels_in_the_url_make_one_subscription() -> None:
    identifier = "6b0467fa345385f16884"
    backend = Backend(ids=iter([identifier]))
    connection, reply = try_dial(
        backend, "/?project=demo&channels%5B%5D=FILES&channels[7]=%20&channels[]=%E2%9C%93&channels[]=FILES"
    )
    assert single_frame(reply)["data"] == {"channels": ["FILES", " ", "✓"], "subscriptions": [identifier], "user": None}
    assert publish(backend, [" "]) == [(connection, [identifier])]
    assert send(connection, "unsubscribe", [{"subscriptionId": identifier}])["data"]["subscriptions"][0]["removed"]


def test_ids_are_counted() -> None:
    ids = counted_ids()
    assert [next(ids), next(ids)] == ["00000000000000000001", "00000000000000000002"]


def test_too_many_dials_in_a_minute() -> None:
    backend = Backend(connection_limit=2)
    assert [try_dial(backend, TARGET, NOON + second)[1].end for second in (0, 1, 59, 60)] == [False, False, True, False]
    check_error(try_dial(Backend(connection_limit=0))[1], 1013, end=True)


def test_dials_are_counted_for_each_path_and_each_ip() -> None:
    backend = Backend(connection_limit=1)

    def accepts(target: str = TARGET, **headers: str) -> bool:
        return not try_dial(backend, target, **headers)[1].end

    assert [accepts(), accepts(), accepts(TARGET + "&channels[]=rows")] == [True, False, False]
    assert [accepts("/?project=demo"), accepts("/?project=demo")] == [True, False]
    forwarded = ["192.0.2.1", " 192.0.2.1 , 192.0.2.9", "192.0.2.9, 192.0.2.1", "192.0.2.9"]
    assert [accepts(X_Forwarded_For=ips) for ips in forwarded] == [True, False, True, False]
