"""The embedded server's warnings about misspelled channels."""

from __future__ import annotations

import pytest

from realtime_fsm import ChannelWarning
from realtime_fsm.testing.channel_warnings import warn_of


@pytest.mark.parametrize("channel", ["", "rows"])
def test_no_channel_and_a_known_one_are_no_reason_to_warn(channel: str) -> None:
    warn_of(channel)  # a warning is an error in these tests, and would need an event loop
    with pytest.warns(ChannelWarning, match="has subscribed: .*'acount'; the nearest known channel is 'account'") as told:
        warn_of("acount")
    (warning,) = told
    assert warning.filename == __file__, "it names its caller"
