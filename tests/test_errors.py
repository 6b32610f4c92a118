"""The tree of errors is the one that is drawn; every error keeps its facts, also when it is copied, pickled or raised again."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from realtime_fsm import errors
from realtime_fsm.errors import (
    AuthenticationRejected,
    BadOption,
    BadTable,
    CertificateRefused,
    ConcurrentIteration,
    ConsumerTooSlow,
    DialFailed,
    Disconnected,
    Disposed,
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
    UnsupportedByServer,
    UpgradeRefused,
    WrongLoop,
)
from realtime_fsm.events import Event

# Each error, what its text must say, and its facts.
SAMPLES: list[tuple[RealtimeError, list[str], dict[str, object]]] = [
    (BadOption("endpoint", "no host"), ["endpoint", "no host"], {"option": "endpoint"}),
    (Disposed(), ["disposed", "new one"], {}),
    (ConcurrentIteration("this stream"), ["this stream", "another task"], {}),
    (WrongLoop("this stream"), ["this stream", "event loop"], {}),
    (BadTable(("one fault", "another")), ["one fault", "another"], {"faults": ("one fault", "another")}),
    (DialFailed("connection refused"), ["connection refused"], {"reason": "connection refused", "kind": "dial_failed"}),
    (NameNotResolved("no such name"), ["no such name"], {"reason": "no such name", "kind": "name_not_resolved"}),
    (CertificateRefused("self-signed"), ["self-signed"], {"reason": "self-signed", "kind": "certificate_refused"}),
    (UpgradeRefused(503), ["503"], {"status": 503, "kind": "upgrade_refused"}),
    (Overdue("pong", 2.5), ["pong", "2.5 seconds"], {"awaited": "pong", "seconds": 2.5, "kind": "pong_overdue"}),
    (Overdue("greeting", 10), ["greeting", "10 seconds"], {"awaited": "greeting", "kind": "greeting_overdue"}),
    (StreamEnded(), ["1006"], {"close_code": 1006, "kind": "stream_ended"}),
    (StreamEnded(1012), ["1012"], {"close_code": 1012, "kind": "stream_ended"}),
    (ServerError("42S02", "oops"), ["42S02", "oops"], {"code": "42S02", "message": "oops", "kind": "error_frame"}),
    (RefusedByServer(1008, "unknown project"), ["1008", "unknown project"], {"code": 1008, "message": "unknown project"}),
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
    (FrameTooLarge(1024), ["1024"], {"limit": 1024, "kind": "frame_too_large"}),
    (GreetedAsGuest(), ["guest", "fresh one"], {"kind": "greeted_as_guest"}),
    (AuthenticationRejected(1003, "bad"), ["1003", "bad"], {"code": 1003, "message": "bad"}),
    (Forked("this Realtime"), ["this Realtime", "after the fork"], {}),
    (SubscriptionEnded(), ["ended", "subscribe anew"], {}),
    (PresenceRejected(1003, "bad"), ["1003", "bad"], {"code": 1003, "message": "bad"}),
    (PresenceRejected(401, "no"), ["401", "guest", "give session"], {"code": 401}),
    (UnsupportedByServer("queries", "E2", "1.6.1 to 1.8"), ["E2", "1.8", "queries"], {"feature": "queries", "era": "E2"}),
    (ConsumerTooSlow(10, 1), ["1 event was dropped", "buffer of 10", "overflow="], {"buffer": 10, "dropped": 1}),
    (ConsumerTooSlow(10, 2), ["2 events were dropped"], {"dropped": 2}),
    (MalformedEvent("timestamp"), ["timestamp"], {"part": "timestamp"}),
    (
        PayloadMisfit(dict[str, int], "$.n", "expected `int`, got `str`", Event.from_payload({"n": "hidden"})),
        ["dict[str, int] at $.n: expected `int`"],
        {"wanted": dict[str, int], "path": "$.n", "problem": "expected `int`, got `str`"},
    ),
]
EACH_SAMPLE = pytest.mark.parametrize("error", [error for error, _, _ in SAMPLES], ids=lambda error: str(error)[:40])


def defined() -> set[type[RealtimeError]]:
    return {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, RealtimeError)}


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
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


def test_there_is_a_sample_of_every_error_that_is_raised() -> None:
    inner = {RealtimeError, Misuse, LinkFailure}
    assert {type(error) for error, _, _ in SAMPLES} == defined() - inner


def test_a_fault_of_the_caller_is_no_fault_of_the_peer() -> None:
    assert not any(issubclass(kind, Misuse) and issubclass(kind, LinkFailure) for kind in defined())
    assert isinstance(BadOption("a", "b"), ValueError)


@pytest.mark.parametrize(("error", "words", "facts"), SAMPLES, ids=lambda value: str(value)[:40])
def test_the_text_says_what_happened_and_the_facts_are_attributes(
    error: RealtimeError, words: list[str], facts: dict[str, object]
) -> None:
    assert [word for word in words if word not in str(error)] == []
    assert {name: getattr(error, name) for name in facts} == facts


def test_failures_of_different_sorts_have_different_words_for_logs() -> None:
    failures = [error for error, _, _ in SAMPLES if isinstance(error, LinkFailure)]
    by_kind = {failure.kind: type(failure) for failure in failures}
    assert set(by_kind.values()) == {type(failure) for failure in failures}
    assert LinkFailure().kind not in by_kind
    assert all(re.fullmatch("[a-z_]+", kind) for kind in by_kind)


@EACH_SAMPLE
def test_copies_and_pickles_keep_everything(error: RealtimeError) -> None:
    pickled = pickle.loads(pickle.dumps(error))  # noqa: S301  (our own bytes)
    for twin in (copy.copy(error), pickled, error.copy_for_raise()):
        assert type(twin) is type(error)
        assert twin is not error
        assert str(twin) == str(error)
        assert {k: str(v) for k, v in vars(twin).items()} == {k: str(v) for k, v in vars(error).items()}


@EACH_SAMPLE
def test_raising_again_leaves_no_trace_on_the_stored_error(error: RealtimeError) -> None:
    stored = error.copy_for_raise()
    with pytest.raises(type(error)) as first:
        raise stored.copy_for_raise()
    with pytest.raises(type(error)) as second:
        raise stored.copy_for_raise()
    assert stored.__traceback__ is None
    assert first.value is not second.value
    assert len(first.traceback) == len(second.traceback)


@pytest.mark.parametrize("wrap", [lambda cause: RetriesExhausted(3, cause), LinkLost], ids=["exhausted", "lost"])
def test_the_cause_is_in_the_traceback_also_when_raised_again(wrap: type[LinkLost]) -> None:
    cause = ServerError(1003, "bad")
    stored = wrap(cause)
    assert stored.cause is stored.__cause__ is cause
    assert stored.copy_for_raise().cause is stored.copy_for_raise().__cause__ is cause
