"""The canary policy: how often a link must prove that events still arrive on it."""

from __future__ import annotations

from collections.abc import Callable  # noqa: TC003  (for tools that read annotations)
from dataclasses import dataclass, field

from realtime_fsm.errors import BadOption
from realtime_fsm.protocol.options import check_seconds, validated_strings


@dataclass(frozen=True, slots=True)
class Canary:
    """How to find a *deaf* link: its pings are answered, and its events are lost (PROTOCOL: "Errors and endings").

    A canary is an event that the connection causes, and must then get. Where ``write`` is given, the callable causes the event.
    Otherwise the connection sends its presence, and the server sends the event of that back. This needs a user, and a server from
    Appwrite 1.9.5 on; else no canary goes out. The connection sends the wanted presence, or one for the canary alone, under
    another id.

    The connection replaces a link whose canary does not come back, and each subscription gets a `Gap` from the last proof on.
    Each canary takes one message of the link's budget. Canaries go out only while something is subscribed.

    Attributes:
        every: seconds from one canary to the next; the first on a link goes out when everything is acknowledged.
        within: seconds in which the event must come back, after the server has stored the presence or ``write`` has returned.
        write: a callable, or async function, that causes an event on ``channel``: for example, it updates a row. A plain callable
            runs on the event loop (in ``realtime_fsm.sync`` in a worker thread) and must not block. The connection reports an
            exception. Neither an exception nor a call of more than ``every`` seconds counts as a proof of a deaf link.
        channel: the channel of that event.

    Raises:
        BadOption: for values out of range, or one of ``write`` and ``channel`` without the other.
    """

    every: float = 300.0
    within: float = 10.0
    write: Callable[[], object] | None = field(default=None, repr=False)
    channel: str | None = None

    def __post_init__(self) -> None:
        check_seconds("Canary.every", self.every)
        check_seconds("Canary.within", self.within)
        if self.within > self.every:
            raise BadOption(
                "Canary.within", f"{self.within!r} is above every ({self.every!r}): one echo must be due before the next canary"
            )
        if self.write is not None and not callable(self.write):
            raise BadOption("Canary.write", f"{type(self.write).__name__} cannot be called; give an async function")
        if (self.write is None) is not (self.channel is None):
            given, missing = ("write", "channel") if self.channel is None else ("channel", "write")
            raise BadOption(f"Canary.{missing}", f"missing beside {given}: a canary needs a callable and its channel")
        if self.channel is not None:
            validated_strings("Canary.channel", (self.channel,))
