"""Warnings of the embedded server about channels that are surely mistakes."""

from __future__ import annotations

import asyncio
import warnings

from realtime_fsm.containment import contain
from realtime_fsm.protocol.channel_checks import ChannelWarning, doubt_about


def warn_of(channel: str) -> None:
    """Warn if the channel of a client's subscription is surely a mistake.

    A filter may turn the warning into an exception, and a ``warnings.showwarning`` of the user's may raise anything. The event
    loop's exception handler reports such an exception, and the link goes on.
    """
    if channel and (problem := doubt_about(channel)):  # a URL without channels has an empty one
        try:
            warnings.warn(f"a client has subscribed: {problem}", ChannelWarning, stacklevel=2)
        except BaseException as raised:  # noqa: BLE001  (the user's own code: it must not hurt the link)
            contain(raised)
            context = {"message": "realtime_fsm.testing: a warning is an exception here", "exception": raised}
            asyncio.get_running_loop().call_exception_handler(context)
