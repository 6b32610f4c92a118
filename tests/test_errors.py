"""The tree of errors matches its drawing; copies, pickles and raised copies keep the facts of every error."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable

import pytest

import realtime_fsm
from realtime_fsm import (
    AuthenticationRejected,
    BadOption,
    BadTable,
    CertificateRefused,
    ConcurrentIteration,
    ConsumerTooSlow,
    DialFailed,
    Disconnected,
    Disposed,
    DrawingFailed,
    Event,
    Forked,
    FrameTooLarge,
    GreetedAsGuest,
    IdentityUnavailable,
    LinkFailure,
    LinkLost,
    LinkPaused,
    MalformedEvent,
    Misuse,
    NameNotResolved,
    Overdue,
    PayloadMisfit,
    PresenceRejected,
    RealtimeError,
    RefusedByServer,
    RetriesExhausted,
    ServerError,
    StreamEnded,
    SubscriptionEnded,
    SubscriptionRejected,
    TokenUnavailable,
    UnsupportedByServer,
    UpgradeRefused,
    WrongLoop,
    errors,
)

# Each error, words of its text, and its facts.
SAMPLES: list[tuple[RealtimeError, list[str], dict[str, object]]] = [
    (BadOption("endpoint", "no host"), ["endpoint", "no host"], {"option": "endpoint"}),
    (Disposed(), ["disposed", "new one"], {}),
    (ConcurrentIteration("this stream"), ["this stream", "another task"], {}),
    (WrongLoop("this stream"), ["this stream", "event loop"], {}),
    (BadTable(("one fault", "another")), ["one fault", "another"], {"faults": ("one fault", "another")}),
    (DialFailed("connection refused"), ["connection refused"], {"reason": "connection refused", "kind": "dial_failed"}),
    (NameNotResolved("no such name"), ["no such name"], {"reason": "no such name", "kind": "name_not_resolved"}),
    (CertificateRefused("self-signed"), ["self-signed"], {"reason": "self-signed", "kind": "certificate_refused"}),
    (UpgradeRefused(503, retry_after=9.0), ["503", "9 seconds"], {"status": 503, "retry_after": 9.0, "kind": "upgrade_refused"}),
    (UpgradeRefused(301, location="https://b"), ["https://b", "use https"], {"location": "https://b", "retry_after": None}),
    (UpgradeRefused(301, location="http://b"), ["http://b", "give that endpoint"], {"status": 301}),
    (UpgradeRefused(429, retry_after=3600.5), ["3600 seconds"], {"retry_after": 3600.0}),
    (Overdue("pong", 2.5), ["pong", "2.5 seconds"], {"awaited": "pong", "seconds": 2.5, "kind": "pong_overdue"}),
    (Overdue("greeting", 10), ["greeting", "10 seconds"], {"awaited": "greeting", "kind": "greeting_overdue"}),
    (StreamEnded(), ["1006"], {"close_code": 1006, "kind": "stream_ended"}),
    (StreamEnded(1012), ["1012"], {"close_code": 1012, "kind": "stream_ended"}),
    (ServerError("42S02", "oops"), ["42S02", "oops"], {"code": "42S02", "message": "oops", "kind": "error_frame"}),
    (RefusedByServer(1008, "unknown project"), ["1008", "unknown project"], {"code": 1008, "message": "unknown project"}),
    (RefusedByServer(1008, "no"), ["the server refused"], {"server": ""}),
    (RefusedByServer(1008, "no", "host:443"), ["the server host:443 refused"], {"server": "host:443"}),
    (RetriesExhausted(1, StreamEnded()), ["after 1 attempt;", "1006"], {"attempts": 1}),
    (RetriesExhausted(3, StreamEnded()), ["after 3 attempts;", "RetryPolicy.attempts allows", "1006"], {"option": "attempts"}),
    (
        RetriesExhausted(3, StreamEnded(), "reconnect_attempts"),
        ["RetryPolicy.reconnect_attempts allows"],
        {"attempts": 3, "option": "reconnect_attempts"},
    ),
    (LinkLost(StreamEnded(1001)), ["lost", "1001"], {}),
    (LinkPaused(10.0), ["10 s", "pause", "buffer="], {"seconds": 10.0}),
    (Disconnected(), ["disconnect()"], {}),
    (
        SubscriptionRejected(("rows", "files"), ("q",), 1003, "bad"),
        ["rows, files", "1003", "bad"],
        {"channels": ("rows", "files"), "queries": ("q",), "code": 1003, "message": "bad"},
    ),
    (IdentityUnavailable("LookupError"), ["LookupError"], {"reason": "LookupError", "kind": "identity_unavailable"}),
    (
        TokenUnavailable("worker", "missing_scope", 401),
        ["no JWT for user 'worker'", "add the scope to the key", "401"],
        {"user_id": "worker", "problem": "missing_scope", "code": 401, "kind": "token_unavailable"},
    ),
    (FrameTooLarge(1024), ["1024"], {"limit": 1024, "kind": "frame_too_large"}),
    (GreetedAsGuest(), ["guest", "fresh one"], {"kind": "greeted_as_guest"}),
    (AuthenticationRejected(1003, "bad"), ["1003", "bad"], {"code": 1003, "message": "bad"}),
    (Forked("this Realtime"), ["this Realtime", "after the fork"], {}),
    (SubscriptionEnded(), ["ended", "subscribe again"], {}),
    (PresenceRejected(1003, "bad"), ["1003", "bad"], {"code": 1003, "message": "bad"}),
    (PresenceRejected(401, "no"), ["401", "guest", "give session"], {"code": 401}),
    (UnsupportedByServer("queries", "E2", "1.6.1 to 1.8"), ["E2", "1.8", "queries"], {"feature": "queries", "era": "E2"}),
    (ConsumerTooSlow(10, 1), ["1 event was dropped", "buffer of 10", "overflow="], {"buffer": 10, "dropped": 1}),
    (ConsumerTooSlow(10, 2), ["2 events were dropped"], {"dropped": 2}),
    (DrawingFailed("`dot` is missing", "install Graphviz"), ["`dot` is missing; install"], {"remedy": "install Graphviz"}),
    (MalformedEvent("timestamp"), ["timestamp"], {"part": "timestamp"}),
    (
        PayloadMisfit(dict[str, int], "$.n", "expected `int`, got `str`", Event.from_payload({"n": "hidden"})),
        ["dict[str, int] at $.n: expected `int`"],
        {"wanted": dict[str, int], "path": "$.n", "problem": "expected `int`, got `str`"},
    ),
]
EACH_SAMPLE = pytest.mark.parametrize("error", [error for error, _, _ in SAMPLES], ids=lambda error: str(error)[:40])


def defined() -> set[type[RealtimeError]]:
    public = [getattr(realtime_fsm, name) for name in realtime_fsm.__all__]
    return {kind for kind in public if isinstance(kind, type) and issubclass(kind, RealtimeError)}


def test_the_drawn_tree_is_the_tree_of_the_classes() -> None:
    drawn: dict[str, str | None] = {}
    path: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"    ([│├└─ ]*)([A-Z]\w+)", line):
            depth, name = len(found[1]), found[2]
            path = [(above, parent) for above, parent in path if above < depth]
            drawn[name] = path[-1][1] if path else None
            path.append((depth, name))
    real = {kind.__name__: kind.__bases__[0].__name__ if kind is not RealtimeError else None for kind in defined()}
    assert drawn == real


def test_every_error_has_a_sample() -> None:
    inner = {RealtimeError, Misuse, LinkFailure}
    assert {type(error) for error, _, _ in SAMPLES} == defined() - inner


def test_misuse_is_no_link_failure() -> None:
    assert not any(issubclass(kind, Misuse) and issubclass(kind, LinkFailure) for kind in defined())


def test_a_bad_option_is_a_value_error() -> None:
    assert issubclass(BadOption, ValueError)


@pytest.mark.parametrize(("error", "words", "facts"), SAMPLES, ids=lambda value: str(value)[:40])
def test_texts_and_facts(error: RealtimeError, words: list[str], facts: dict[str, object]) -> None:
    assert [word for word in words if word not in str(error)] == []
    assert {name: getattr(error, name) for name in facts} == facts


@pytest.mark.parametrize(
    ("code", "guest", "remedy"),
    [
        (1003, True, True),
        (1003, False, False),
        (499, True, True),
        (500, True, False),
        (599, True, False),
        (600, True, True),
        ("42S02", True, False),
    ],
)
def test_a_guest_is_told_to_log_in_unless_the_server_failed(code: int | str, guest: bool, remedy: bool) -> None:
    error = SubscriptionRejected(("rows",), (), code, "no", guest=guest)
    assert (error.guest, "; you are a guest, and a project can deny guests" in str(error)) == (guest, remedy)


def test_the_server_stands_before_the_text_of_a_failure() -> None:
    failure = DialFailed("refused")
    assert (failure.server, str(failure)) == ("", "the dial failed: refused")
    failure.server = "host:443"
    assert str(failure) == "host:443: the dial failed: refused"


def test_each_link_failure_has_a_kind_for_logs() -> None:
    failures = [error for error, _, _ in SAMPLES if isinstance(error, LinkFailure)]
    by_kind = {failure.kind: type(failure) for failure in failures}
    assert set(by_kind.values()) == {type(failure) for failure in failures}
    assert LinkFailure().kind not in by_kind
    assert all(re.fullmatch("[a-z_]+", kind) for kind in by_kind)


def pickled(error: RealtimeError) -> RealtimeError:
    loaded: RealtimeError = pickle.loads(pickle.dumps(error))  # noqa: S301  (our own bytes)
    return loaded


@EACH_SAMPLE
@pytest.mark.parametrize("duplicate", [copy.copy, pickled])
def test_a_duplicate_keeps_everything(error: RealtimeError, duplicate: Callable[[RealtimeError], RealtimeError]) -> None:
    other = duplicate(error)
    assert type(other) is type(error)
    assert other is not error
    assert str(other) == str(error)
    assert {name: str(value) for name, value in vars(other).items()} == {name: str(value) for name, value in vars(error).items()}


@EACH_SAMPLE
def test_raising_copies_leaves_no_trace_on_the_stored_error(error: RealtimeError) -> None:
    stored = copy.copy(error)
    with pytest.raises(type(error)) as first:
        raise copy.copy(stored)
    with pytest.raises(type(error)) as second:
        raise copy.copy(stored)
    assert stored.__traceback__ is None
    assert first.value is not second.value
    assert len(first.traceback) == len(second.traceback)


@pytest.mark.parametrize("wrap", [lambda cause: RetriesExhausted(3, cause), LinkLost], ids=["exhausted", "lost"])
def test_a_copy_keeps_the_cause(wrap: type[LinkLost]) -> None:
    cause = ServerError(1003, "bad")
    copied = copy.copy(wrap(cause))
    assert copied.cause is copied.__cause__ is cause
