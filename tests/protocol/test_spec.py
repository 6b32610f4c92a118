"""The call checks subscriptions and presences, and no error shows a value."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import msgspec
import pytest

from realtime_fsm.errors import BadOption
from realtime_fsm.protocol.spec import SubscriptionSpec, presence_message, subscription_spec
from support.some import some


def test_each_channel_is_once_in_a_spec() -> None:
    spec = subscription_spec("s1", ["rows", "files", "rows"], [], "demo")
    assert (spec.id, spec.channels, spec.queries) == ("s1", ("rows", "files"), ())


def test_a_subscription_larger_than_a_frame_is_refused() -> None:
    with pytest.raises(BadOption, match="more than 65536 bytes; make several subscriptions"):
        subscription_spec("s1", [f"channel-{number}" for number in range(6000)], [], "demo")


@pytest.mark.parametrize(("more", "fits"), [(0, True), (1, False)])
def test_a_message_fills_a_frame_at_most(more: int, fits: bool) -> None:
    """The header of a frame takes 8 of its 65,536 bytes."""
    room = 65_536 - 8 + more
    subscribe = '{"type":"subscribe","data":[{"subscriptionId":"s1","channels":["%s"]}]}'
    presence = '{"type":"presence","data":{"status":"%s"}}'
    calls: list[tuple[str, str, Callable[[str], object]]] = [
        ("channels", subscribe, lambda text: subscription_spec("s1", [text], [], "demo")),
        ("metadata", presence, lambda text: presence_message(text, None, None)),
    ]
    for option, form, call in some(calls):
        text = "x" * (room - len(form % ""))
        with nullcontext() if fits else pytest.raises(BadOption, match=f"^{option}: .* more than 65536 bytes"):
            call(text)


# --- a presence ---------------------------------------------------------------------------------------------------------


def test_a_presence_holds_the_given_fields_only() -> None:
    assert presence_message("online", None, None) == b'{"type":"presence","data":{"status":"online"}}'
    message = presence_message("away", {"device": "phone"}, ['read("users")'])
    assert msgspec.json.decode(message)["data"] == {
        "status": "away",
        "metadata": {"device": "phone"},
        "permissions": ['read("users")'],
    }


def test_an_empty_list_of_permissions_is_sent() -> None:
    assert presence_message("online", None, []) == b'{"type":"presence","data":{"status":"online","permissions":[]}}'


@pytest.mark.parametrize(
    ("status", "metadata", "permissions", "option"),
    [
        ("", None, None, "status"),
        (1, None, None, "status"),
        ("\ud800", None, None, "status"),
        ("online", [("hunter2", 1)], None, "metadata"),
        ("online", {"hunter2": object()}, None, "metadata"),
        ("online", {"hunter2": "\ud800"}, None, "metadata"),
        ("online", {"hunter2": "x" * 70_000}, None, "metadata"),
        ("online", None, "read", "permissions"),
        ("online", None, [""], "permissions"),
    ],
)
def test_a_bad_presence_is_refused_without_its_values(status: Any, metadata: Any, permissions: Any, option: str) -> None:
    with pytest.raises(BadOption) as caught:
        presence_message(status, metadata, permissions)
    assert caught.value.option == option
    assert "hunter2" not in str(caught.value)


def test_the_repr_of_a_subscription_shows_it_once() -> None:
    assert repr(SubscriptionSpec("s1", ("rows",))) == "SubscriptionSpec(id='s1', channels=('rows',), queries=())"
