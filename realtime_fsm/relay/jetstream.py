"""NATS JetStream as a sink, and the only module that knows nats-py.

Invariant: `publish` returns when the broker has acknowledged each message, and sends a message again, with those behind it, until
then. A message that was stored before its acknowledgement was lost is dropped by the broker, because of its id.

Design: after a loss the sink opens a new connection, with its own retries. So one path serves the first dial and all others, and
no message waits in a buffer of nats-py that a second copy could overtake. Retries end after ``outage`` seconds, and the stream
knows ids for as long: no message is sent again after its id is forgotten.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
from nats.aio.client import Client
from nats.errors import ConnectionClosedError, Error, NoServersError
from nats.js.api import DiscardPolicy, StreamConfig
from nats.js.errors import APIError, NotFoundError

from realtime_fsm.callers import warn
from realtime_fsm.errors import BadOption, MalformedEvent, RealtimeError
from realtime_fsm.events import parse_timestamp
from realtime_fsm.protocol.options import check_seconds
from realtime_fsm.relay.errors import (
    BrokerRefused,
    BrokerUnavailable,
    InsecureBroker,
    MessageTooLarge,
    RelayError,
    ShortWindowWarning,
    StreamFull,
    StreamUnfit,
)
from realtime_fsm.relay.message import subject_of
from realtime_fsm.sealing import sealed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence
    from datetime import datetime

    from nats.aio.msg import Msg
    from nats.js.client import JetStreamContext

    from realtime_fsm.relay.message import Message

_MAX_AGE, _MAX_BYTES = 7 * 86_400.0, 1024 * 1024 * 1024  # seconds and bytes that a new stream keeps
_PATIENCE = 10  # seconds for a dial, and for all acknowledgements of a chunk
_CHUNK_BYTES = 4 * 1024 * 1024  # in flight at once, or one larger message
_CHUNK = 1024
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 2.0  # seconds between two tries
_HEADER_ROOM = 4096  # bytes; a payload this much below the broker's limit fits with all headers
_FULL = {10023, 10047, 10077}  # resources, storage, limits of the stream: codes of the broker
_TOO_LARGE = 10054
_DISABLED = 10039  # for this account


class JetStream:
    """A stream of NATS JetStream, for `Relay`.

    A stream that does not exist is created: subjects ``appwrite.>``, on disk, for 7 days and 1 GiB; a full one refuses new
    messages. A stream that exists is never changed.

    Args:
        servers: a URL such as ``nats://HOST:4222``, or several of one cluster; ``tls://`` requires TLS.
        stream: the name of the stream.
        outage: the longest outage to be covered, in seconds. The relay waits so long for a broker that is lost or full. The
            stream should know ids for as long (its ``duplicate_window``), or `ShortWindowWarning` says so.
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
    duplicate_window: float

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
        self.stream = stream
        self.duplicate_window = 0.0
        self._outage = outage
        self._tls_required = any(urlsplit(url).scheme in ("tls", "wss") for url in urls)
        self._options = {**options, "servers": urls}
        self._on_trouble = on_trouble
        self._subjects = ""
        self._client: Client | None = None
        self._js: JetStreamContext | None = None
        self._lost: asyncio.Future[RealtimeError] | None = None
        self._answers: dict[int, Any] = {}  # of the broker to the present chunk, by the number of the message
        self._count = 0
        self._complete: asyncio.Future[None] | None = None
        self._inbox = ""

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
            await self._dial()
            yield await self._newest_time()
        finally:
            await self._hang_up()

    @sealed
    async def publish(self, messages: Sequence[Message]) -> int:
        """Store the messages in their order, and return how many were there already.

        Raises:
            BrokerUnavailable, StreamFull: when the trouble has lasted for ``outage`` seconds.
            MessageTooLarge, StreamUnfit, BrokerRefused, InsecureBroker: at once; the messages before are stored.
        """
        left, duplicates = deque(messages), 0
        loop = asyncio.get_running_loop()
        delay, deadline = _FIRST_DELAY, None
        while left:
            before = len(left)
            try:
                if self._js is None:
                    await self._dial()
                duplicates += await self._store_chunk(left)
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

    async def _store_chunk(self, left: deque[Message]) -> int:
        """Send the first messages, and remove those that are acknowledged; return how many of them were duplicates."""
        assert self._client is not None
        assert self._lost is not None
        chunk = self._first_that_fit(left)
        self._answers, self._count = {}, len(chunk)
        complete = self._complete = asyncio.get_running_loop().create_future()
        problem: BaseException = TimeoutError(f"no acknowledgement within {_PATIENCE} seconds")
        try:
            async with asyncio.timeout(_PATIENCE):
                for number, message in enumerate(chunk):
                    await self._client.publish(message.subject, message.data, f"{self._inbox}.{number}", self._headers(message))
                await asyncio.wait((complete, self._lost), return_when=asyncio.FIRST_COMPLETED)
            if not complete.done():
                problem = self._lost.result()
        except (Error, OSError) as failure:  # a TimeoutError is an OSError, too
            problem = failure if str(failure) else problem
        duplicates = 0
        for number in range(len(chunk)):
            answer = self._answers.get(number)
            if answer is None or "error" in answer:
                raise self._error_of(problem) if answer is None else self._refusal(answer["error"], left[0])
            duplicates += answer.get("duplicate", False)
            left.popleft()
        return duplicates

    async def _on_ack(self, answer: Msg) -> None:
        gone = {"error": {"description": "no stream takes the subject, or JetStream still starts"}}
        self._answers[int(answer.subject.rpartition(".")[2])] = msgspec.json.decode(answer.data) if answer.data else gone
        if len(self._answers) == self._count and self._complete is not None and not self._complete.done():
            self._complete.set_result(None)

    def _first_that_fit(self, left: deque[Message]) -> list[Message]:
        """Take messages for one chunk: a broker ends the connection for one that is too large, so none is sent."""
        assert self._client is not None
        limit, size = self._client.max_payload, 0
        chunk: list[Message] = []
        for message in left:
            length = len(message.data)
            if length > limit - _HEADER_ROOM:
                total = length + sum(len(name) + len(value) + 4 for name, value in self._headers(message).items()) + 12
                if total > limit:
                    if chunk:
                        break
                    raise MessageTooLarge(message.subject, length, f"the broker takes {limit} bytes with headers")
            size += length
            if chunk and (size > _CHUNK_BYTES or len(chunk) == _CHUNK):
                break
            chunk.append(message)
        return chunk

    def _headers(self, message: Message) -> dict[str, str]:
        return {**message.headers, "Nats-Msg-Id": message.id, "Nats-Expected-Stream": self.stream}

    @sealed
    async def _dial(self) -> None:
        """Open a connection, and see to the stream."""
        lost: asyncio.Future[RealtimeError] = asyncio.get_running_loop().create_future()
        problems: list[Exception] = []

        async def on_error(problem: Exception) -> None:
            problems.append(problem)
            if "permissions violation" in str(problem).lower() and not lost.done():
                lost.set_result(BrokerRefused(self.server, str(problem)))

        async def on_closed() -> None:
            if not lost.done():
                lost.set_result(self._error_of(problems[-1] if problems else ConnectionClosedError()))

        client = self._client = Client()
        self._lost = lost
        failure: RealtimeError | None = None
        try:
            async with asyncio.timeout(_PATIENCE):
                await client.connect(
                    **self._options, name="realtime-fsm relay", error_cb=on_error, closed_cb=on_closed, allow_reconnect=False,
                    max_reconnect_attempts=1, reconnect_time_wait=0, connect_timeout=_PATIENCE // 2, ping_interval=5,
                )  # fmt: skip
                if self._tls_required and not client._server_info.get("tls_required"):  # noqa: SLF001
                    failure = InsecureBroker(self.server, "the broker has no TLS, and the URL requires it")
                else:
                    js = client.jetstream(timeout=_PATIENCE / 2)
                    await self._see_to_stream(js)
                    self._inbox = client.new_inbox()
                    await client.subscribe(f"{self._inbox}.>", cb=self._on_ack)
                    self._js = js
        except (Error, OSError, ImportError) as problem:
            first = problems[-1] if isinstance(problem, NoServersError) and problems else problem
            failure = lost.result() if lost.done() else self._error_of(first)
        if failure is not None:
            await self._hang_up()
            raise failure

    async def _see_to_stream(self, js: JetStreamContext) -> None:
        try:
            info = await js.stream_info(self.stream)
        except NotFoundError:
            info = await js.add_stream(
                StreamConfig(
                    name=self.stream,
                    subjects=["appwrite.>"],
                    max_age=_MAX_AGE,
                    max_bytes=_MAX_BYTES,
                    discard=DiscardPolicy.NEW,
                    duplicate_window=min(self._outage, _MAX_AGE),
                )
            )
        patterns = info.config.subjects or []
        if not any(_covers(pattern, self._subjects) for pattern in patterns):
            raise StreamUnfit(self.stream, f"it takes {', '.join(patterns) or 'no subjects'}, and not {self._subjects}")
        window, known = info.config.duplicate_window or 0.0, self.duplicate_window
        self.duplicate_window = window
        if window < self._outage and window != known:
            warn(
                f"the stream {self.stream} knows ids for {window:g} s, less than the outage of {self._outage:g} s to be covered,"
                f" so an event may be stored twice; run: nats stream edit {self.stream} --dupe-window={self._outage:g}s",
                ShortWindowWarning,
            )

    async def _newest_time(self) -> datetime | None:
        assert self._js is not None
        failure = None
        try:
            newest = await self._js.get_last_msg(self.stream, self._subjects)
        except NotFoundError:
            return None
        except (Error, OSError, TimeoutError) as problem:
            failure = self._error_of(problem)
        if failure is not None:
            raise failure
        with suppress(MalformedEvent):
            return parse_timestamp((newest.headers or {}).get("ce-time"))
        return None

    async def _hang_up(self) -> None:
        client, self._client, self._js = self._client, None, None
        if client is not None and (client.is_connected or client.is_connecting):
            with suppress(Error, OSError, TimeoutError):  # the broker may be gone, or frozen
                async with asyncio.timeout(1):
                    await client.close()

    def _error_of(self, problem: BaseException) -> RealtimeError:
        """Name a problem of the connection. Neither the system nor nats-py puts a login into its texts."""
        if isinstance(problem, RealtimeError):
            return problem
        if isinstance(problem, APIError):
            return self._refusal({name: getattr(problem, name) for name in ("code", "err_code", "description")})
        text = str(problem) or type(problem).__name__
        if isinstance(problem, ssl.SSLError) or "secure connection" in text:
            return InsecureBroker(self.server, text)
        if any(word in text.lower() for word in ("authorization", "authentication", "permissions violation")):
            return BrokerRefused(self.server, text)
        return BrokerUnavailable(self.server, text)

    def _refusal(self, error: dict[str, Any], message: Message | None = None) -> RelayError:
        """Name an error that JetStream answered."""
        code, text = error.get("err_code"), error.get("description") or "JetStream is off, or still starts"
        if code in _FULL and message is not None:
            return StreamFull(self.stream, text)
        if code == _TOO_LARGE and message is not None:
            return MessageTooLarge(message.subject, len(message.data), text)
        if code in (_DISABLED, *_FULL) or (error.get("code") or 503) < 500:
            return StreamUnfit(self.stream, text)
        return BrokerUnavailable(self.server, text)


def _host_and_port(url: str) -> str:
    """Name a server by host and port; refuse a URL without quoting it, because it may hold a password."""
    try:
        parts = urlsplit(url)
        if parts.scheme in ("nats", "tls", "ws", "wss") and parts.hostname:
            return f"{f'[{parts.hostname}]' if ':' in parts.hostname else parts.hostname}:{parts.port or 4222}"
    except ValueError:
        pass
    raise BadOption("servers", "this is not the URL of a NATS server; give one such as nats://127.0.0.1:4222")


def _covers(pattern: str, subjects: str) -> bool:
    """Tell whether a pattern of a stream takes all subjects of another pattern, which ends with ``>``."""
    ours, theirs = pattern.split("."), subjects.split(".")
    if ours[-1] != ">" or len(ours) > len(theirs):
        return False
    return all(our in ("*", ">", their) for our, their in zip(ours, theirs, strict=False))
