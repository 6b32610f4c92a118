"""The embedded server's warnings of channels that cannot be meant."""

from __future__ import annotations

import asyncio
import warnings

from realtime_fsm.containment import contain
from realtime_fsm.protocol.channel_checks import ChannelWarning, doubt_about


def warn_of(channel: str) -> None:
    """Warn of a channel that cannot be meant, to which a client has subscribed.

    A filter may turn the warning into an exception, and a ``warnings.showwarning`` of the user's may raise anything. Such an
    exception is reported, and hurts no link.
    """
    if doubt := doubt_about(channel):
        try:
            warnings.warn(f"a client has subscribed: {doubt}", ChannelWarning, stacklevel=2)
        except BaseException as raised:  # noqa: BLE001  (the user's own code: it must not hurt the link)
            contain(raised)
            context = {"message": "realtime_fsm.testing: a warning is an exception here", "exception": raised}
            asyncio.get_running_loop().call_exception_handler(context)
