"""The events of the embedded server: their connections, their subscriptions and their bytes."""

from __future__ import annotations

import json

import pytest

from realtime_fsm.testing.backend import Backend
from support.server_core import EQUAL, NOON, TARGET, dial, publish, reaches, send, subscribe


def test_an_event_lists_every_matching_subscription_once() -> None:
    backend = Backend()
    connection, other = dial(backend), dial(backend)
    subscribe(connection, {"subscriptionId": "a", "channels": ["rows", "files"]}, {"subscriptionId": "b", "channels": ["files"]})
    subscribe(connection, {"subscriptionId": "b", "channels": ["rows"]}, {"subscriptionId": "c", "channels": ["teams"]})
    subscribe(other, {"subscriptionId": "o", "channels": ["teams"]})
    assert publish(backend, ["files", "rows"]) == [(connection, ["a", "b"])]
    assert publish(backend, ["teams", "rows"]) == [(connection, ["c", "a", "b"]), (other, ["o"])]
    assert publish(backend, ["nothing"]) == []


def test_an_event_stays_in_its_project() -> None:
    backend = Backend(projects=("demo", "p2"))
    first, second = (dial(backend, f"/?project={project}&channels[]=rows") for project in ("demo", "p2"))
    assert [connection for connection, _ in publish(backend, ["rows"])] == [first]
    assert [connection for connection, _ in publish(backend, ["rows"], project="p2")] == [second]


def test_a_closed_connection_gets_no_event() -> None:
    backend = Backend()
    connection = dial(backend, f"{TARGET}&channels[]=files")
    assert reaches(backend, "files")
    connection.close()
    connection.close()
    assert not reaches(backend, "files")


def matched_titles(backend: Backend, *titles: str) -> list[str]:
    return [title for title in titles if publish(backend, ["rows"], {"title": title})]


def test_a_known_id_gains_channels_and_on_a_known_channel_other_queries() -> None:
    backend = Backend()
    connection = dial(backend)
    subscribe(connection, {"subscriptionId": "s", "channels": ["rows"], "queries": [EQUAL]})
    assert matched_titles(backend, "x", "y") == ["x"]
    other = EQUAL.replace('"x"', '"y"')
    (answer,) = subscribe(connection, {"subscriptionId": "s", "channels": ["rows", "files"], "queries": [other]})
    assert answer["queries"] == ['{"method":"equal","attribute":"title","values":["y"]}']
    assert matched_titles(backend, "x", "y") == ["y"]


def test_an_unsubscribe_tells_which_ids_were_there() -> None:
    backend = Backend()
    connection = dial(backend)
    subscribe(connection, {"subscriptionId": "s", "channels": ["rows", "files"]})
    answer = send(connection, "unsubscribe", [{"subscriptionId": name} for name in ("s", "unknown", "s")])
    assert answer["data"]["subscriptions"] == [
        {"subscriptionId": "s", "removed": True},
        {"subscriptionId": "unknown", "removed": False},
        {"subscriptionId": "s", "removed": False},
    ]
    assert publish(backend, ["rows", "files"]) == []


def test_all_queries_of_a_channel_must_match() -> None:
    backend = Backend()
    many = json.dumps({"method": "greaterThan", "attribute": "n", "values": [3]})
    subscribe(dial(backend), {"subscriptionId": "s", "channels": ["rows"], "queries": [EQUAL, many]})
    payloads = [{"title": "x", "n": 4}, {"title": "x", "n": 3}, {"title": "y", "n": 4}, {}]
    assert [bool(publish(backend, ["rows"], payload)) for payload in payloads] == [True, False, False, False]


def test_the_bytes_of_an_event() -> None:
    backend = Backend()
    connection = dial(backend)
    subscribe(connection, {"subscriptionId": "s", "channels": ["rows"]})
    payload = {"$id": "r/1", "f": 1.0, "empty": {}, "deep": {"a": {}}}
    assert backend.publish(["e"], ["rows"], payload, now=NOON + 0.5) == [
        (
            connection,
            rb'{"type":"event","data":{"events":["e"],"channels":["rows"],"timestamp":"2026-11-23T16:00:00.500+00:00",'
            rb'"payload":{"$id":"r\/1","f":1,"empty":[],"deep":{"a":[]}},"subscriptions":["s"]}}',
        )
    ]


def test_the_bytes_of_the_console_s_own_events() -> None:
    """The live tail names no time, and the statistics name no subscriptions."""
    backend = Backend(projects=("demo", "p2"), ids=iter("1234"))
    connection = dial(backend, "/?channels[]=project")
    subscribe(connection, {"channels": ["console.tail.demo", "console.tail.p2"]})

    def frames(channel: str, project: str) -> list[bytes]:
        return [frame for _, frame in backend.publish(["e"], [channel], [1], now=NOON, timestamp="T", project=project)]

    start = b'{"type":"event","data":{'
    assert frames("console.tail.p2", "console") == [
        start + b'"channels":["console.tail.p2"],"events":["e"],"subscriptions":["2"],"payload":[1]}}'
    ]
    assert frames("project", "console") == [start + b'"events":["e"],"channels":["project"],"timestamp":"T","payload":[1]}}']
    connection = dial(backend, f"{TARGET}&channels[]=console.tail.demo")
    subscribe(connection, {"channels": ["project"]})
    for channel in ("project", "console.tail.demo"):
        (frame,) = frames(channel, "demo")
        fields = f'"events":["e"],"channels":["{channel}"],"timestamp":"T","payload":[1],"subscriptions":'
        assert frame.startswith(start + fields.encode()), "another project has no such forms"


def test_the_live_tail_belongs_to_the_console_and_shows_the_other_projects() -> None:
    backend = Backend(projects=("demo", "p2"))
    assert backend.tails(backend.directory("console")) == {"console.tail.demo", "console.tail.p2"}
    assert backend.tails(backend.directory("demo")) == frozenset()


def test_the_caller_may_choose_the_time_of_an_event() -> None:
    backend = Backend()
    dial(backend, f"{TARGET}&channels[]=rows")
    ((_, frame),) = backend.publish(["e"], ["rows"], {}, now=NOON, timestamp="then")
    assert json.loads(frame)["data"]["timestamp"] == "then"


def test_an_event_of_an_unknown_project_is_refused() -> None:
    with pytest.raises(LookupError, match="no project 'nope'"):
        Backend().publish(["e"], ["rows"], {}, now=NOON, project="nope")
