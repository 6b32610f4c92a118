"""NATS JetStream as a sink.

Invariant: `publish` returns when the broker has acknowledged each message. Until then it sends a message, and those behind it,
again. Where only the acknowledgement was lost, the broker drops the second copy, because of its id.

Design: after a loss the sink opens a new link, so one path serves the first dial and all others. Retries end after ``outage``
seconds, and the stream knows ids for as long: no message is sent again after its id is forgotten.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from realtime_fsm.callers import warn
from realtime_fsm.errors import BadOption
from realtime_fsm.protocol.options import check_seconds, host_in_url, shown_host
from realtime_fsm.relay.broker_link import BrokerLink
from realtime_fsm.relay.credentials import credentials_problem
from realtime_fsm.relay.errors import BrokerUnavailable, OtherChannelsWarning, ShortWindowWarning, StreamFull
from realtime_fsm.relay.message import CHANNELS_HEADER, subject_of
from realtime_fsm.runtime.timestamps import parse_or_none
from realtime_fsm.sealing import sealed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence
    from datetime import datetime

    from realtime_fsm.relay.errors import RelayError
    from realtime_fsm.relay.message import Message

_FIRST_DELAY, _LONGEST_DELAY = 0.1, 2.0  # seconds between two tries


class JetStream:
    """A stream of NATS JetStream, for `Relay`.

    The sink creates a missing stream: subjects ``appwrite.>``, on disk, for 7 days and 1 GiB. A full stream refuses new messages.
    The sink never changes a stream that exists.

    Args:
        servers: a URL such as ``nats://HOST:4222``, or several of one cluster; ``tls://`` requires TLS.
        stream: the name of the stream.
        outage: the longest outage to be covered, in seconds. The sink waits so long for a broker that is lost or full. The
            stream should know ids for as long (its ``duplicate_window``); else the sink warns with `ShortWindowWarning`.
        on_trouble: called with the error when the sink begins to wait, once for each loss of the broker or full stream.
        options: further arguments of ``nats.connect``: ``user``, ``password``, ``token``, ``user_credentials``, ``tls``, ...

    Attributes:
        server: the hosts and ports, and nothing else of the URLs.
        stream: the name of the stream.
        duplicate_window: the seconds for which the stream knows ids; 0 before it is open.

    Raises:
        BadOption: for an argument that cannot be used.
    """

    server: str
    stream: str
    duplicate_window: float = 0.0

    @sealed
    def __init__(
        self,
        servers: str | Iterable[str],
        *,
        stream: str = "APPWRITE",
        outage: float = 600.0,
        on_trouble: Callable[[RelayError], object] | None = None,
        **options: Any,
    ) -> None:
        urls = [servers] if isinstance(servers, str) else list(servers)
        self.server = ", ".join(map(_host_and_port, urls)) or _host_and_port("")
        if not stream or set(stream) & set(" .*>/\\\t\r\n"):
            raise BadOption("stream", f"{stream!r:.40} is not a name of a stream; give letters, digits, - and _")
        check_seconds("outage", outage)
        if problem := credentials_problem(options):
            raise BadOption(*problem)
        self.stream = stream
        self._outage = outage
        self._tls_required = any(urlsplit(url).scheme in ("tls", "wss") for url in urls)
        self._options = {**options, "servers": urls}
        self._on_trouble = on_trouble
        self._subjects: str  # of the project of `open`
        self._link: BrokerLink | None = None
        self._channels_before: str | None = None  # the hash in the newest message of the project, until a message is compared

    def __repr__(self) -> str:
        return f"<JetStream {self.stream} at {self.server}>"

    @asynccontextmanager
    async def open(self, project: str) -> AsyncIterator[datetime | None]:
        """Connect, create the stream if it is missing, and give the time of its newest message of the project.

        Raises:
            BrokerUnavailable, BrokerRefused, InsecureBroker, StreamUnfit: at once, when the stream cannot be used.
        """
        self._subjects = f"{subject_of(project)}.>"
        try:
            headers = await (await self._linked()).newest_headers()
            self._channels_before = headers.get(CHANNELS_HEADER)
            yield parse_or_none(headers.get("ce-time"))
        finally:
            await self._hang_up()

    @sealed
    async def publish(self, messages: Sequence[Message]) -> int:
        """Store the messages in their order, and return how many the stream had already.

        Raises:
            BrokerUnavailable, StreamFull: when the trouble has lasted for ``outage`` seconds.
            MessageTooLarge, StreamUnfit, BrokerRefused, InsecureBroker: at once; the messages before are stored.
        """
        self._compare_channels(messages)
        left, duplicates = deque(messages), 0
        loop = asyncio.get_running_loop()
        delay, deadline = _FIRST_DELAY, None
        while left:
            before = len(left)
            try:
                duplicates += await (await self._linked()).store_chunk(left)
            except (BrokerUnavailable, StreamFull) as trouble:
                if isinstance(trouble, BrokerUnavailable):
                    await self._hang_up()
                if deadline is None or len(left) < before:
                    deadline, delay = loop.time() + self._outage, _FIRST_DELAY
                    if self._on_trouble is not None:
                        self._on_trouble(trouble)
                elif loop.time() >= deadline:
                    raise
                await asyncio.sleep(delay)
                delay = min(2 * delay, _LONGEST_DELAY)
            else:
                deadline = None
        return duplicates

    def _compare_channels(self, messages: Sequence[Message]) -> None:
        """Warn once after `open` when the newest stored message is of a relay with other channels."""
        before, self._channels_before = self._channels_before, None
        if before and messages and messages[0].headers.get(CHANNELS_HEADER, before) != before:
            warn(
                f"the newest message on {self._subjects} in the stream {self.stream} is of a relay with other channels, so"
                " events that this relay missed may stay missing; give all relays of a project and a stream the same channels",
                OtherChannelsWarning,
            )

    async def _linked(self) -> BrokerLink:
        """Return the link to the broker, or open one."""
        if self._link is None:
            self._link = link = BrokerLink(self.server, self.stream, self._subjects)
            try:
                window = await link.open(self._options, tls_required=self._tls_required, window=self._outage)
            except BaseException:
                await self._hang_up()
                raise
            self._set_window(window)
        return self._link

    def _set_window(self, window: float) -> None:
        known, self.duplicate_window = self.duplicate_window, window
        if window < self._outage and window != known:
            warn(
                f"the stream {self.stream} knows ids for {window:g} s, less than the outage of {self._outage:g} s to be covered,"
                f" so an event may be stored twice; run: nats stream edit {self.stream} --dupe-window={self._outage:g}s",
                ShortWindowWarning,
            )

    async def _hang_up(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()


def _host_and_port(url: str) -> str:
    """Name a server by host and port; refuse another URL, and quote no password."""
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme in ("nats", "tls", "ws", "wss") and parts.hostname:
            return f"{host_in_url(parts.hostname)}:{parts.port or 4222}"
    raise BadOption("servers", f"{shown_host(url)} is not the URL of a NATS server; give one such as nats://127.0.0.1:4222")
