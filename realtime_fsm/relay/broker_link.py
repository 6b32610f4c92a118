"""One connection to NATS, and the only module that knows nats-py.

Design: the link has no retries, and no buffer that a second copy of a message could overtake. `JetStream` opens a new link after
a loss. The link assigns the acknowledgements itself, because `publish_async` of nats-py 2.16 never ends for a refused message.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from nats.aio.client import Client
from nats.errors import ConnectionClosedError, Error, NoServersError
from nats.js.api import DiscardPolicy, StreamConfig
from nats.js.errors import APIError, NotFoundError

from realtime_fsm.errors import RealtimeError
from realtime_fsm.relay.credentials import credentials_problem
from realtime_fsm.relay.errors import (
    BrokerRefused,
    BrokerUnavailable,
    CredentialsUnusable,
    InsecureBroker,
    MessageTooLarge,
    RelayError,
    StreamFull,
    StreamUnfit,
)
from realtime_fsm.runtime.authorities import cert_file_problem
from realtime_fsm.sealing import sealed

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterable, Mapping

    from nats.aio.msg import Msg
    from nats.js.api import StreamInfo

    from realtime_fsm.relay.message import Message

_MAX_AGE, _MAX_BYTES = 7 * 86_400.0, 1024 * 1024 * 1024  # seconds and bytes that a new stream keeps
_PATIENCE = 10  # seconds for a dial, and for all acknowledgements of a chunk
_CHUNK_BYTES = 4 * 1024 * 1024  # in flight at once, or one larger message
_CHUNK = 1024
_FULL = {10023, 10047, 10077}  # resources, storage, limits of the stream: codes of the broker
_OVERLAP = 10065  # with the subjects of another stream
_TOO_LARGE = 10054
_DISABLED = 10039  # for this account
_SUBJECTS = "appwrite.>"
_WITHOUT_TLS = "give a nats:// URL, or let the broker serve TLS"
_NO_STREAM = {"description": "no stream takes the subject, or JetStream still starts"}


class BrokerLink:
    """A connection to the broker, from its dial until it is closed. The stream must take the subjects."""

    def __init__(self, server: str, stream: str, subjects: str) -> None:
        self._server = server
        self._stream = stream
        self._subjects = subjects
        self._client = Client()
        self._js = self._client.jetstream(timeout=_PATIENCE / 2)
        self._lost: asyncio.Future[RealtimeError] = asyncio.get_running_loop().create_future()
        self._problem: Exception | None = None  # the newest
        self._inbox: str
        self._expected = 0  # the messages of the chunk that is being stored
        self._answers: dict[int, dict[str, Any]] = {}  # of the broker to that chunk, by the number of the message
        self._complete: asyncio.Future[None]

    @sealed
    async def open(self, options: Mapping[str, Any], *, tls_required: bool, window: float) -> float:
        """Connect, and create the stream if it is missing; return for how many seconds the stream knows ids.

        Args:
            options: the arguments of ``nats.connect``.
            tls_required: whether to refuse a broker without TLS.
            window: for how many seconds a new stream knows ids.

        Raises:
            BrokerUnavailable, BrokerRefused, InsecureBroker, StreamUnfit: when the stream cannot be used.
        """
        if unusable := credentials_problem(options):  # a file may change between two links
            raise CredentialsUnusable(self._server, unusable[1])
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._client.connect(
                    **options, name="realtime-fsm relay", error_cb=self._on_error, closed_cb=self._on_closed,
                    allow_reconnect=False, max_reconnect_attempts=1, reconnect_time_wait=0, connect_timeout=_PATIENCE // 2,
                    ping_interval=5,
                )  # fmt: skip
                if tls_required and not self._client._server_info.get("tls_required"):  # noqa: SLF001
                    raise InsecureBroker(self._server, "the broker has no TLS, and the URL requires it", _WITHOUT_TLS)
                found = await self._find_or_create_stream(window)
                self._inbox = self._client.new_inbox()
                await self._client.subscribe(f"{self._inbox}.>", cb=self._on_ack)
                return found
        except (Error, OSError, ImportError) as problem:
            failure = self._failure_of(self._problem if isinstance(problem, NoServersError) and self._problem else problem)
        raise failure  # outside of the handler: the problem must not become the context

    async def _find_or_create_stream(self, window: float) -> float:
        try:
            info = await self._js.stream_info(self._stream)
        except NotFoundError:
            info = await self._create_stream(window)
        patterns = info.config.subjects or []
        if not self._is_taken_by(patterns):
            raise StreamUnfit(self._stream, f"it takes {', '.join(patterns) or 'no subjects'}, and not {self._subjects}")
        return info.config.duplicate_window or 0.0

    def _is_taken_by(self, patterns: Iterable[str]) -> bool:
        return any(_covers(pattern, self._subjects) for pattern in patterns)

    async def _create_stream(self, window: float) -> StreamInfo:
        try:
            return await self._js.add_stream(
                StreamConfig(
                    name=self._stream,
                    subjects=[_SUBJECTS],
                    max_age=_MAX_AGE,
                    max_bytes=_MAX_BYTES,
                    discard=DiscardPolicy.NEW,
                    duplicate_window=min(window, _MAX_AGE),
                )
            )
        except APIError as refusal:
            if refusal.err_code != _OVERLAP:
                raise
        other = await self._js.find_stream_name_by_subject(_SUBJECTS)
        patterns = (await self._js.stream_info(other)).config.subjects or []
        remedy = f"name the stream {other} instead"
        if not self._is_taken_by(patterns):
            remedy = f"add {self._subjects} to the stream {other} with the nats command, and name that one"
        raise StreamUnfit(self._stream, f"the stream {other} already takes {', '.join(patterns)}", remedy)

    async def newest_headers(self) -> Mapping[str, str]:
        """Return the headers of the newest message on the subjects; none without a message.

        Raises:
            BrokerUnavailable, BrokerRefused, StreamUnfit: when the broker does not tell.
        """
        try:
            newest = await self._js.get_last_msg(self._stream, self._subjects)
        except NotFoundError:
            return {}
        except (Error, OSError) as problem:
            failure = self._failure_of(problem)
        else:
            return newest.headers or {}
        raise failure

    async def store_chunk(self, left: deque[Message]) -> int:
        """Send the first messages, and remove those that are acknowledged; return how many of them were duplicates.

        Raises:
            RelayError: for the first message that is not acknowledged.
        """
        chunk = self._first_that_fit(left)
        self._expected, self._answers = len(chunk), {}
        self._complete = asyncio.get_running_loop().create_future()
        problem: BaseException = TimeoutError(f"no acknowledgement within {_PATIENCE} seconds")
        try:
            async with asyncio.timeout(_PATIENCE):
                for number, message in enumerate(chunk):
                    await self._client.publish(message.subject, message.data, f"{self._inbox}.{number}", self._headers(message))
                await asyncio.wait((self._complete, self._lost), return_when=asyncio.FIRST_COMPLETED)
            if not self._complete.done():
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

    def _first_that_fit(self, left: deque[Message]) -> list[Message]:
        """Take messages for one chunk: a broker ends the connection for one that is too large, so none is sent."""
        limit, size = self._client.max_payload, 0
        chunk: list[Message] = []
        for message in left:
            length = len(message.data)
            headers = sum(len(name) + len(value) + 4 for name, value in self._headers(message).items()) + 12
            if length + headers > limit and not chunk:
                raise MessageTooLarge(message.subject, length, f"the broker takes {limit} bytes with headers")
            size += length
            if chunk and (length + headers > limit or size > _CHUNK_BYTES or len(chunk) == _CHUNK):
                break
            chunk.append(message)
        return chunk

    def _headers(self, message: Message) -> dict[str, str]:
        return {**message.headers, "Nats-Msg-Id": message.id, "Nats-Expected-Stream": self._stream}

    async def _on_ack(self, answer: Msg) -> None:
        number = int(answer.subject.rpartition(".")[2])
        self._answers[number] = msgspec.json.decode(answer.data) if answer.data else {"error": _NO_STREAM}
        if len(self._answers) == self._expected and not self._complete.done():
            self._complete.set_result(None)

    async def _on_error(self, problem: Exception) -> None:
        self._problem = problem
        if "permissions violation" in str(problem).lower() and not self._lost.done():
            self._lost.set_result(BrokerRefused(self._server, str(problem)))

    async def _on_closed(self) -> None:
        if not self._lost.done():
            self._lost.set_result(self._error_of(self._problem or ConnectionClosedError()))

    async def close(self) -> None:
        """End the connection, within a second. A second call is harmless."""
        if self._client.is_connected or self._client.is_connecting:
            with suppress(Error, OSError):  # the broker may be gone, or frozen
                async with asyncio.timeout(1):
                    await self._client.close()

    def _failure_of(self, problem: Exception) -> RealtimeError:
        """Name the end of a request: the loss of the link, or a missing permission, tells more than a timeout."""
        return self._lost.result() if self._lost.done() else self._error_of(problem)

    def _error_of(self, problem: BaseException) -> RealtimeError:
        """Name a problem of the connection. Neither the system nor nats-py puts a login into its texts."""
        if isinstance(problem, RealtimeError):
            return problem
        if isinstance(problem, APIError):
            return self._refusal({name: getattr(problem, name) for name in ("code", "err_code", "description")})
        text = str(problem) or type(problem).__name__
        if "secure connection not available" in text:
            return InsecureBroker(self._server, text, _WITHOUT_TLS)
        if isinstance(problem, ssl.SSLError) or "secure connection" in text:
            doubt = cert_file_problem() if isinstance(problem, ssl.SSLCertVerificationError) else ""
            return InsecureBroker(self._server, f"{text}; {doubt}" if doubt else text)
        if any(word in text.lower() for word in ("authorization", "authentication", "permissions violation")):
            return BrokerRefused(self._server, text)
        return BrokerUnavailable(self._server, text)

    def _refusal(self, error: dict[str, Any], message: Message | None = None) -> RelayError:
        """Name an error that JetStream answered."""
        code, text = error.get("err_code"), error.get("description") or "JetStream is off, or still starts"
        if code in _FULL and message is not None:
            return StreamFull(self._stream, text)
        if code == _TOO_LARGE and message is not None:
            return MessageTooLarge(message.subject, len(message.data), text)
        if code in (_DISABLED, *_FULL) or str(error.get("code")).startswith("4"):  # 4xx, as in HTTP
            return StreamUnfit(self._stream, text)
        return BrokerUnavailable(self._server, text)


def _covers(pattern: str, subjects: str) -> bool:
    """Tell whether a pattern of a stream takes all subjects of another pattern, which ends with ``>``."""
    ours, theirs = pattern.split("."), subjects.split(".")
    if ours[-1] != ">" or len(ours) > len(theirs):
        return False
    return all(our in ("*", ">", their) for our, their in zip(ours, theirs, strict=False))
