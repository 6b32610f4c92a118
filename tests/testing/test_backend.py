"""Who gets which event from the embedded server."""

from __future__ import annotations

import json

import pytest

from realtime_fsm.testing.peer import Backend
from support.server_core import EQUAL, NOON, dial, publish, send, subscribe


def test_an_event_lists_every_matching_subscription_once() -> None:
    backend = Backend(projects=("demo", "p2"))
    peer, other, elsewhere = dial(backend), dial(backend), dial(backend, "/?project=p2&channels[]=rows")
    subscribe(peer, {"subscriptionId": "a", "channels": ["rows", "files"]}, {"subscriptionId": "b", "channels": ["files"]})
    subscribe(peer, {"subscriptionId": "b", "channels": ["rows"]}, {"subscriptionId": "c", "channels": ["teams"]})
    subscribe(other, {"subscriptionId": "o", "channels": ["teams"]})
    assert publish(backend, ["files", "rows"]) == [(peer, ["a", "b"])]
    assert publish(backend, ["teams", "rows"]) == [(peer, ["c", "a", "b"]), (other, ["o"])]
    assert publish(backend, ["nothing"]) == []
    assert [found for found, _ in publish(backend, ["rows"], project="p2")] == [elsewhere]
    peer.close()
    peer.close()
    assert publish(backend, ["files"]) == []


def test_a_known_id_gains_channels_and_on_a_known_channel_other_queries() -> None:
    backend = Backend()
    peer = dial(backend)
    subscribe(peer, {"subscriptionId": "s", "channels": ["rows"], "queries": [EQUAL]})
    assert [bool(publish(backend, ["rows"], {"title": title})) for title in "xy"] == [True, False]
    again = EQUAL.replace('"x"', '"y"')
    (answer,) = subscribe(peer, {"subscriptionId": "s", "channels": ["rows", "files"], "queries": [again]})
    assert answer["queries"] == ['{"method":"equal","attribute":"title","values":["y"]}']
    assert [bool(publish(backend, ["rows"], {"title": title})) for title in "xy"] == [False, True]
    assert send(peer, "unsubscribe", [{"subscriptionId": name} for name in ("s", "nope", "s")])["data"]["subscriptions"] == [
        {"subscriptionId": "s", "removed": True},
        {"subscriptionId": "nope", "removed": False},
        {"subscriptionId": "s", "removed": False},
    ]
    assert publish(backend, ["rows", "files"], {"title": "y"}) == []


def test_the_queries_of_a_channel_are_anded() -> None:
    backend = Backend()
    many = json.dumps({"method": "greaterThan", "attribute": "n", "values": [3]})
    subscribe(dial(backend), {"subscriptionId": "s", "channels": ["rows"], "queries": [EQUAL, many]})
    payloads = [{"title": "x", "n": 4}, {"title": "x", "n": 3}, {"title": "y", "n": 4}, {}]
    assert [bool(publish(backend, ["rows"], payload)) for payload in payloads] == [True, False, False, False]


def test_the_bytes_of_an_event() -> None:
    backend = Backend()
    peer = dial(backend)
    subscribe(peer, {"subscriptionId": "s", "channels": ["rows"]})
    payload = {"$id": "r/1", "f": 1.0, "empty": {}, "deep": {"a": {}}}
    (found,) = backend.publish(["e"], ["rows"], payload, now=NOON + 0.5)
    assert found == (
        peer,
        rb'{"type":"event","data":{"events":["e"],"channels":["rows"],"timestamp":"2026-11-23T16:00:00.500+00:00",'
        rb'"payload":{"$id":"r\/1","f":1,"empty":[],"deep":{"a":[]}},"subscriptions":["s"]}}',
    )
    (found,) = backend.publish(["e"], ["rows"], {}, now=NOON, timestamp="then")
    assert json.loads(found[1])["data"]["timestamp"] == "then"
    with pytest.raises(LookupError, match="no project 'nope'"):
        backend.publish(["e"], ["rows"], {}, now=NOON, project="nope")
