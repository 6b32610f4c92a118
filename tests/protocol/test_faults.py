"""Codes of error frames: a server fault, a refusal, or too many messages."""

from __future__ import annotations

import pytest

from realtime_fsm.protocol.faults import is_server_fault, is_throttle


@pytest.mark.parametrize("code", [0, 1, 399, 500, 599, 1011, "1013", "42S02", "HY000", ""])
def test_server_faults(code: int | str) -> None:
    assert is_server_fault(code)
    assert not is_throttle(code)


@pytest.mark.parametrize("code", [400, 401, 403, 428, 430, 499, 1003, 1008])
def test_refusals(code: int) -> None:
    assert not is_server_fault(code)
    assert not is_throttle(code)


@pytest.mark.parametrize("code", [1013, 429, "429"])
def test_too_many_messages(code: int | str) -> None:
    assert is_throttle(code)
    assert not is_server_fault(code)
