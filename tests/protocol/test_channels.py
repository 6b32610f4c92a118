"""Channel spells each channel of the protocol; a type checker and Python refuse any other call.

A test in testing/test_peers.py compares the channels with those of the official SDK.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from realtime_fsm import BadOption, Channel, Realtime
from realtime_fsm.protocol.options import validated_strings
from support.channels import ACTIONS, ROWS, SPELLED


@pytest.mark.parametrize(("channel", "text", "actions"), SPELLED, ids=[text for _, text, _ in SPELLED])
def test_every_channel_of_the_protocol_is_spelled(channel: str, text: str, actions: tuple[str, ...]) -> None:
    assert (channel, str(channel)) == (text, text)
    assert isinstance(channel, str)
    for action in (*ACTIONS, "upsert"):
        if action in actions:
            narrowed = getattr(channel, action)()
            assert narrowed == f"{text}.{action}"
            assert not any(hasattr(narrowed, further) for further in (*ACTIONS, "upsert"))
        else:
            assert not hasattr(channel, action)


def test_a_channel_is_a_plain_string() -> None:
    asked = validated_strings("channels", (Channel.rows().create(), "files", Channel.files()))
    assert [(type(channel), channel) for channel in asked] == [(str, "rows.create"), (str, "files")]


def test_a_channel_is_copied_and_pickled_like_any_string() -> None:
    channel = ROWS.row()
    for again in (copy.deepcopy(channel), pickle.loads(pickle.dumps(channel))):  # noqa: S301  (our own bytes)
        assert (again, again.create()) == (channel, channel.create())
    assert copy.deepcopy(ROWS) == ROWS != Channel.tablesdb("main").table("users")


async def misled() -> None:
    await Realtime("http://localhost/v1", "demo").subscribe("rows", Channel.bucket("b"))  # type: ignore[call-overload]


# Each line is wrong twice: `make types` fails if the type checker accepts one, and the test fails if Python does.
WRONG: list[Callable[[], Any]] = [
    lambda: Channel.account().row(),  # type: ignore[attr-defined]
    lambda: Channel.rows().files(),  # type: ignore[attr-defined]
    lambda: Channel.row(),  # type: ignore[attr-defined]
    lambda: Channel.table("t"),  # type: ignore[attr-defined]
    lambda: Channel.tablesdb("d").collection("c"),  # type: ignore[attr-defined]
    lambda: Channel.tablesdb("d").row(),  # type: ignore[attr-defined]
    lambda: Channel.tablesdb("d").create(),  # type: ignore[attr-defined]
    lambda: Channel.documentsdb("d").table("t"),  # type: ignore[attr-defined]
    lambda: Channel.vectorsdb("d").table("t"),  # type: ignore[attr-defined]
    lambda: Channel.database("d").table("t").document(),  # type: ignore[attr-defined]
    lambda: Channel.database("d").collection("c").row(),  # type: ignore[attr-defined]
    lambda: Channel.database("d").collection("c").update(),  # type: ignore[attr-defined]
    lambda: Channel.bucket("b").create(),  # type: ignore[attr-defined]
    lambda: Channel.bucket("b").file().upsert(),  # type: ignore[attr-defined]
    lambda: Channel.team("t").upsert(),  # type: ignore[attr-defined]
    lambda: Channel.membership("m").upsert(),  # type: ignore[attr-defined]
    lambda: Channel.executions().upsert(),  # type: ignore[attr-defined]
    lambda: Channel.execution("e").upsert(),  # type: ignore[attr-defined]
    lambda: Channel.function("f").upsert(),  # type: ignore[attr-defined]
    lambda: Channel.reports().create(),  # type: ignore[attr-defined]
    lambda: Channel.reports().insight(),  # type: ignore[attr-defined]
    lambda: Channel.report("r").insight().insight(),  # type: ignore[attr-defined]
    lambda: Channel.console().tail("p"),  # type: ignore[attr-defined]
    lambda: Channel.console_tail(),  # type: ignore[call-arg]
    lambda: ROWS.row().create().update(),  # type: ignore[attr-defined]
    lambda: ROWS.row("1").row("2"),  # type: ignore[attr-defined]
    lambda: Channel("rows"),  # type: ignore[call-arg]
    lambda: Channel.account("u1"),  # type: ignore[call-arg]
    lambda: Channel.tablesdb(),  # type: ignore[call-arg]
    lambda: Channel.team(),  # type: ignore[call-arg]
    lambda: Channel.team(1),  # type: ignore[arg-type]
    lambda: Channel.team(None),  # type: ignore[arg-type]
    lambda: Channel.bucket(None),  # type: ignore[arg-type]
    lambda: ROWS.row(5),  # type: ignore[arg-type]
    lambda: misled().send(None),
]


REFUSED_BY = [*[AttributeError] * 23, TypeError, *[AttributeError] * 2, *[TypeError] * 4, *[BadOption] * 5]
"""Collect the error of each call, in order: no such method, no such argument, no such value."""


@pytest.mark.parametrize(("use", "refusal"), [*zip(WRONG, REFUSED_BY, strict=True)], ids=range(len(WRONG)))
def test_a_wrong_call_is_refused(use: Callable[[], Any], refusal: type[Exception]) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011  (its type is compared, for BadOption is a ValueError)
        use()
    assert type(caught.value) is refusal


CALLS: list[Callable[[str], Any]] = [
    Channel.tablesdb, Channel.database, Channel.documentsdb, Channel.vectorsdb, Channel.bucket, Channel.function,
    Channel.execution, Channel.team, Channel.membership, Channel.presence, Channel.tablesdb("d").table,
    Channel.report, Channel.report("r").insight, Channel.project, Channel.console_tail,
    Channel.database("d").collection, ROWS.row, Channel.database("d").collection("c").document, Channel.bucket("b").file,
]  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "bad", ["", " ", " a", "a.b", "a.*", "*", "_a", "-a", "a b", "a/b", "ä", "a\n", "x" * 37, 5, b"a"], ids=repr
)
def test_an_id_that_changes_the_channel_is_refused(call: Callable[[Any], Any], bad: Any) -> None:
    with pytest.raises(BadOption, match="plain string") as refusal:
        call(bad)
    assert refusal.value.option.endswith("_id")
    assert str(call("x" * 36)).endswith("." + "x" * 36)


@pytest.mark.parametrize(("bad", "shown"), [("a b", "'a b'"), ("x" * 99, "'" + "x" * 59), (5, "int"), (None, "NoneType")])
def test_a_refused_id_is_shown_as_far_as_it_is_a_text(bad: Any, shown: str) -> None:
    with pytest.raises(BadOption) as refusal:
        Channel.team(bad)
    rule = "not 1 to 36 of a-z A-Z 0-9 _ - with a letter or digit first"
    assert str(refusal.value) == f"team_id: {shown} is {rule}; if the server has this id, give the channel as a plain string"


@pytest.mark.parametrize("action", ["create", "update", "upsert", "delete"])
def test_an_id_that_is_an_action_is_refused(action: str) -> None:
    for call in (Channel.team, ROWS.row, Channel.bucket("b").file, Channel.database("d").collection("c").document):
        with pytest.raises(BadOption, match=f"{action}' is read as an action"):
            call(action)
    assert str(Channel.tablesdb(action).table(action)) == f"tablesdb.{action}.tables.{action}"


def test_a_prefix_is_no_channel_and_names_the_next_call() -> None:
    assert str(Channel.bucket("b")) == "buckets.b"
    with pytest.raises(BadOption, match=r"^channels: <buckets.b: no channel before .file\(\)> is not a non-empty string$"):
        validated_strings("channels", ["rows", Channel.bucket("b")])  # type: ignore[list-item]
    for way in (Channel.tablesdb("d"), Channel.documentsdb("d"), Channel.database("d").table("t"), Channel.database("d")):
        assert "no channel before ." in repr(way)
