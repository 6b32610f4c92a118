"""Inputs and commands are values: equal by content, frozen, and silent about what may be secret."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rich.pretty import pretty_repr

from realtime_fsm.fsm import commands, inputs
from realtime_fsm.fsm.values import Value


def kinds(kind: type[Value] = Value) -> Iterator[type[Value]]:
    for each in kind.__subclasses__():
        yield from (each, *kinds(each))


def test_values_are_equal_by_kind_and_content() -> None:
    assert commands.RetireLink(1) == commands.RetireLink(1) != commands.RetireLink(2)
    assert len({commands.RetireLink(1), commands.RetireLink(1), commands.ReleaseLink(1)}) == 2


@pytest.mark.parametrize("value", [commands.CloseLink(1, graceful=True), inputs.Pong(1), inputs.Unsubscribe("s1")])
def test_a_value_is_frozen(value: Value) -> None:
    name = value.__struct_fields__[0]
    with pytest.raises(AttributeError, match="immutable"):
        setattr(value, name, 2)


def test_a_repr_leaves_the_hidden_fields_out() -> None:
    assert repr(commands.SendFrame(3, b"secret")) == "SendFrame(generation=3)"
    acknowledged = inputs.Acknowledged(3, "pong", (), b"secret", b"secret")
    assert repr(acknowledged) == "Acknowledged(generation=3, to='pong', acknowledged=())"


def test_rich_shows_no_hidden_field() -> None:
    assert pretty_repr([inputs.Authenticate("secret"), commands.SendFrame(3, b"secret")]) == (
        "[Authenticate(), SendFrame(generation=3)]"
    )


@pytest.mark.parametrize("kind", [kind for kind in kinds() if kind.__module__.startswith("realtime_fsm")])
def test_every_field_of_bytes_and_every_session_is_hidden(kind: type[Value]) -> None:
    told = {name for base in kind.__mro__ for name, text in vars(base).get("__annotations__", {}).items() if "bytes" in str(text)}
    assert kind._hidden == (told | {"session"}) & set(kind.__struct_fields__)
