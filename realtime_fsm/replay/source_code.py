"""Write the values of a replay as Python, for emitted tests."""

from __future__ import annotations

import re
from typing import Any

from msgspec.structs import fields

from realtime_fsm import errors
from realtime_fsm.fsm import inputs
from realtime_fsm.protocol.spec import SubscriptionSpec
from realtime_fsm.replay.inputs import CHANNEL, PLACEHOLDER

PLAIN = re.compile(r"[A-Za-z0-9 _.;-]*")
"""A text that needs no escapes."""


def source_of(input_: inputs.Input) -> str:
    """Write an input, without arguments that equal their defaults."""
    if isinstance(input_, inputs.LinkClosed) and input_.cause is None:
        return f"LinkClosed({input_.generation}, {input_.close_code})"
    arguments: list[str] = []
    skipped = False
    for field in fields(input_):
        value = getattr(input_, field.name)
        if value == field.default:
            skipped = True
        else:
            arguments.append(f"{field.name}=" * (skipped or isinstance(value, bool)) + _value(value))
    return f"{type(input_).__name__}({', '.join(arguments)})"


def quoted(text: str) -> str:
    """Write a text."""
    return f'"{text}"' if PLAIN.fullmatch(text) else ascii(text)


def _value(value: Any) -> str:
    match value:
        case str():
            return quoted(value)
        case errors.LinkFailure():
            return _failure(value)
        case SubscriptionSpec(id=identifier, channels=channels, queries=queries):
            filtered = f", ({quoted(queries[0])},)" if queries else ""
            return f"SubscriptionSpec({quoted(identifier)}, ({_channel(channels[0])},){filtered})"
        case tuple():
            return f"granted({', '.join(quoted(each.subscription_id) for each in value)})"
        case _:
            return repr(value)


def _failure(cause: errors.LinkFailure) -> str:
    name = type(cause).__name__
    match cause:
        case errors.UpgradeRefused(status=number, retry_after=seconds) if seconds is not None:
            return f"{name}({number}, retry_after={seconds!r})"
        case errors.UpgradeRefused(status=number) | errors.StreamEnded(close_code=number) | errors.FrameTooLarge(limit=number):
            return f"{name}({number})"
        case errors.ServerError(code=code):
            return f"{name}({_value(code)}, {quoted(PLACEHOLDER)})"
        case _:
            return f"{name}({quoted(PLACEHOLDER)})"


def _channel(channel: str) -> str:
    return quoted(channel) if channel == CHANNEL else f'{quoted(channel.rstrip("-"))}.ljust({len(channel)}, "-")'
