"""Warnings of the embedded server about misspelled channels."""

from __future__ import annotations

import asyncio
import warnings

from realtime_fsm.containment import contain
from realtime_fsm.protocol.channel_checks import ChannelWarning, doubt_about


def warn_of(channel: str) -> None:
    """Warn of a misspelled channel in a client's subscription.

    A filter may turn the warning into an exception, and the user's ``warnings.showwarning`` may raise anything. The event loop's
    exception handler reports such an exception, and the link goes on.
    """
    if channel and (problem := doubt_about(channel)):  # a URL without channels has an empty one
        try:
            warnings.warn(f"a client has subscribed: {problem}", ChannelWarning, stacklevel=2)
        except BaseException as raised:  # noqa: BLE001  (the user's own code: it must not hurt the link)
            contain(raised)
            context = {"message": "realtime_fsm.testing: a warning is an exception here", "exception": raised}
            asyncio.get_running_loop().call_exception_handler(context)
