"""The call checks its options, and no error shows a secret."""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest

from realtime_fsm.errors import BadOption
from realtime_fsm.fsm.policies import RetryPolicy
from realtime_fsm.protocol.options import (
    ResolvedIdentity,
    Timeouts,
    check_count,
    check_identifier,
    check_seconds,
    host_and_port,
    is_valid_unicode,
    realtime_url,
    shown_host,
    validated_strings,
)

if TYPE_CHECKING:
    from collections.abc import Callable

HIDDEN = "hunter2"

NO_SECONDS = [0, 0.0, -1, -0.5, float("nan"), float("inf"), float("-inf"), True, False, "10", b"10", 1j, [1]]


@pytest.mark.parametrize(
    ("text", "valid"), [("\ud7ff", True), ("\ud800", False), ("a\udfff", False), ("\ue000", True), ("\U0001f600", True)]
)
def test_half_of_a_surrogate_pair_cannot_be_sent(text: str, valid: bool) -> None:
    assert is_valid_unicode(text) is valid


# --- seconds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1, 0.001, 1e-300, sys.float_info.max, 86_400])
def test_positive_finite_numbers_are_seconds(value: float) -> None:
    assert Timeouts(dial=value).dial == value


@pytest.mark.parametrize("value", [*NO_SECONDS, None], ids=repr)
def test_any_other_value_is_refused_by_name(value: Any) -> None:
    with pytest.raises(BadOption, match="dial") as refusal:
        check_seconds("dial", value)
    assert refusal.value.option == "dial"
    assert repr(value) in str(refusal.value)


def test_a_long_value_is_shown_in_part() -> None:
    with pytest.raises(BadOption) as refusal:
        check_seconds("dial", "x" * 99)  # type: ignore[arg-type]
    assert str(refusal.value) == f"dial: '{'x' * 39} is not a number of seconds above 0"


def test_a_whole_number_beyond_a_float_is_refused() -> None:
    with pytest.raises(BadOption):
        check_seconds("dial", 10**400)


def test_none_passes_only_where_allowed() -> None:
    check_seconds("idle", None, none=True)
    with pytest.raises(BadOption):
        check_seconds("idle", 0, none=True)


# --- ids and lists of texts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"), [("-a", "'-a'"), ("x" * 99, "'" + "x" * 59), (7, "int"), (b"demo", "bytes"), (None, "NoneType")]
)
def test_a_refused_id_is_shown_as_far_as_it_is_a_text(value: Any, shown: str) -> None:
    with pytest.raises(BadOption) as refusal:
        check_identifier("user_id", value, "a user id")
    rule = "(up to 36 of a-z A-Z 0-9 . _ -, not starting with a special character)"
    assert str(refusal.value) == f"user_id: {shown} is not a user id {rule}"


def test_a_text_of_a_list_that_is_no_unicode_is_told_as_such() -> None:
    with pytest.raises(BadOption, match=r"^channels: 'r\\udcffows' is no valid Unicode, so it cannot be sent; give it as UTF-8$"):
        validated_strings("channels", ["rows", "r\udcffows"])


@pytest.mark.parametrize(("value", "shown"), [("", "''"), (5, "int"), (HIDDEN.encode(), "bytes")])
def test_a_refused_text_of_a_list_is_shown(value: Any, shown: str) -> None:
    with pytest.raises(BadOption) as refusal:
        validated_strings("channels", ["rows", value])
    assert str(refusal.value) == f"channels: {shown} is not a non-empty string"


def test_a_list_has_as_many_texts_as_it_needs() -> None:
    assert validated_strings("channels", ["rows"]) == ("rows",)
    assert validated_strings("channels", [], least=0) == ()
    for few, least in (([], 1), (["rows"], 2)):
        with pytest.raises(BadOption, match="channels: none was given"):
            validated_strings("channels", few, least=least)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("wss://a.example/v1", "a.example:443"),
        ("ws://a.example/v1", "a.example:80"),
        ("wss://a.example:80/v1", "a.example:80"),
        ("ws://[::1]:8080/v1", "[::1]:8080"),
    ],
)
def test_a_server_is_named_by_host_and_port(url: str, server: str) -> None:
    assert host_and_port(url) == server


# --- counts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1, 2, 10**400])
def test_whole_numbers_above_0_are_counts(value: int) -> None:
    check_count("page", value)
    policy = RetryPolicy(attempts=value, reconnect_attempts=None)
    assert (policy.attempts, policy.reconnect_attempts) == (value, None)


@pytest.mark.parametrize("value", [0, -1, 1.0, "1", True, False, [1]], ids=repr)
def test_any_other_value_is_no_count(value: Any) -> None:
    with pytest.raises(BadOption, match=re.escape(f"page: {value!r} is not a whole number above 0") + "$"):
        check_count("page", value)
    with pytest.raises(BadOption, match=re.escape(f"page: {value!r} is not a whole number above 0, or None for no limit") + "$"):
        check_count("page", value, none=True)


def test_none_is_no_count_unless_allowed() -> None:
    with pytest.raises(BadOption, match=r"^page: None is not a whole number above 0$"):
        check_count("page", None)


# --- Timeouts ---------------------------------------------------------------------------------------------------------


def test_the_default_timeouts() -> None:
    assert Timeouts() == Timeouts(dial=10, greeting=10, reply=10, close=5, idle=None)


@pytest.mark.parametrize("name", [field.name for field in fields(Timeouts)])
@pytest.mark.parametrize("value", NO_SECONDS, ids=repr)
def test_each_timeout_is_checked_and_named(name: str, value: Any) -> None:
    with pytest.raises(BadOption) as refusal:
        Timeouts(**{name: value})
    assert refusal.value.option == f"Timeouts.{name}"


@pytest.mark.parametrize("name", ["dial", "greeting", "reply", "close"])
def test_only_idle_can_be_none(name: str) -> None:
    nothing: Any = None
    with pytest.raises(BadOption, match=name):
        Timeouts(**{name: nothing})


# --- the URL ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("https://cloud.appwrite.io/v1", "wss://cloud.appwrite.io/v1/realtime?project=demo"),
        ("http://localhost/v1", "ws://localhost/v1/realtime?project=demo"),
        ("wss://a.example/v1", "wss://a.example/v1/realtime?project=demo"),
        ("ws://a.example/v1", "ws://a.example/v1/realtime?project=demo"),
        ("HTTPS://A.Example/v1", "wss://a.example/v1/realtime?project=demo"),
        ("https://a.example/v1/", "wss://a.example/v1/realtime?project=demo"),
        ("https://a.example", "wss://a.example/realtime?project=demo"),
        ("https://a.example:8443/v1", "wss://a.example:8443/v1/realtime?project=demo"),
        ("https://a.example/some/Prefix/v1", "wss://a.example/some/Prefix/v1/realtime?project=demo"),
        ("http://127.0.0.1:80/v1", "ws://127.0.0.1:80/v1/realtime?project=demo"),
        ("http://[::1]/v1", "ws://[::1]/v1/realtime?project=demo"),
        ("http://[::1]:8080/v1", "ws://[::1]:8080/v1/realtime?project=demo"),
    ],
)
def test_the_endpoint_of_the_sdks_becomes_the_realtime_url(endpoint: str, url: str) -> None:
    assert realtime_url(endpoint, "demo") == url


@pytest.mark.parametrize(
    ("endpoint", "remedy"),
    [
        (None, "NoneType"),
        (b"https://a.example/v1", "bytes"),
        ("", "'' is not a URL; give one such as 'https://cloud.appwrite.io/v1'"),
        ("localhost", "'localhost' is not a URL"),
        ("127.0.0.1:8090/v1", "'127.0.0.1:8090/v1' is not a URL"),
        ("cloud.appwrite.io", "'cloud.appwrite.io' is not a URL"),
        ("cloud.appwrite.io/v1", "'cloud.appwrite.io/v1' is not a URL"),
        ("localhost:8080/v1", "'localhost:8080/v1' is not a URL"),
        ("http:/localhost/v1", "it is not a URL"),
        ("ftp://a.example/v1", "scheme 'ftp'"),
        ("https://", "no host"),
        ("https:///v1", "no host"),
        ("https://:8080/v1", "no host"),
        ("https://a.example:port/v1", "it is not a URL"),
        ("https://a.example:65536/v1", "it is not a URL"),
        ("https://[::1/v1", "it is not a URL"),
        ("https://a.example/v1?project=x", "query"),
        ("https://a.example/v1#x", "fragment"),
    ],
)
def test_a_bad_endpoint_is_refused_with_a_remedy(endpoint: Any, remedy: str) -> None:
    with pytest.raises(BadOption) as refusal:
        realtime_url(endpoint, "demo")
    assert refusal.value.option == "endpoint"
    assert remedy in str(refusal.value)


@pytest.mark.parametrize(
    ("endpoint", "quoted"),
    [
        (f"https://user:{HIDDEN}@a.example/v1", False),
        (f"https://{HIDDEN}@a.example/v1", False),
        (f"https://:{HIDDEN}@a.example/v1", False),
        (f"https://a.example/v1?jwt={HIDDEN}", False),
        (f"user:{HIDDEN}@a.example/v1", False),
        (f"user:{HIDDEN}", False),
        (f"a.example/v1?jwt={HIDDEN}", False),
        (f"https://user:{HIDDEN}/x@a.example/v1", True),
        (f"https://user:{HIDDEN}@a\u2100b.example/v1", True),
        (f"https://[user:{HIDDEN}]@a.example/v1", True),
    ],
)
def test_credentials_in_the_endpoint_are_refused(endpoint: str, quoted: bool) -> None:
    """No traceback shows the error of urllib, which quotes the credentials."""
    with pytest.raises(BadOption) as refusal:
        realtime_url(endpoint, "demo")
    assert HIDDEN not in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert (HIDDEN in str(refusal.value.__context__), refusal.value.__suppress_context__) == (quoted, quoted)


@pytest.mark.parametrize(
    "secret",
    [
        "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VySWQiOiJhIn0.c2lnbmF0dXJl",
        "eyJ0.eyJq.c2ln",
        "standard_" + 200 * "a1",
        "s3cr3ttoken",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "a.example/v1/0123456789abcdef01234",
    ],
)
def test_a_secret_in_place_of_a_url_is_not_quoted(secret: str) -> None:
    assert shown_host(secret) == "it"
    with pytest.raises(BadOption, match=r"^endpoint: it is not a URL; give one such as 'https://cloud\.appwrite\.io/v1'$"):
        realtime_url(secret, "demo")


@pytest.mark.parametrize("endpoint", ["https://a b.example/v1", "https://a.example/v1 "])
def test_a_blank_in_the_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(BadOption):
        realtime_url(endpoint, "demo")


@pytest.mark.parametrize("project", ["demo", "5f7a8b", "A", "0", "a.b_c-d", "x" * 36])
def test_a_project_id_is_put_into_the_query(project: str) -> None:
    assert realtime_url("https://a.example/v1", project).endswith(f"?project={project}")


@pytest.mark.parametrize(
    "project", ["", " ", "a b", "-a", ".a", "_a", "x" * 37, "a\n", "a&b=c", "é", "a/b", "a%20b", None, 7, b"demo"]
)
def test_a_bad_project_is_refused(project: Any) -> None:
    with pytest.raises(BadOption) as refusal:
        realtime_url("https://a.example/v1", project)
    assert refusal.value.option == "project"


# --- the identity -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("identity", "headers"),
    [
        (ResolvedIdentity(), {}),
        (ResolvedIdentity(session="s"), {"X-Appwrite-Session": "s"}),
        (ResolvedIdentity(jwt="j"), {"X-Appwrite-JWT": "j"}),
        (ResolvedIdentity(headers={"X-Appwrite-Dev-Key": "k"}), {"X-Appwrite-Dev-Key": "k"}),
        (ResolvedIdentity(session="s", headers={"X-Other": ""}), {"X-Other": "", "X-Appwrite-Session": "s"}),
    ],
)
def test_the_identity_travels_in_headers(identity: ResolvedIdentity, headers: dict[str, str]) -> None:
    assert identity.as_headers() == headers


def test_the_headers_are_a_copy() -> None:
    given = {"X-Other": "1"}
    ResolvedIdentity(session="s", headers=given).as_headers()["X-More"] = "2"
    assert given == {"X-Other": "1"}


def test_session_and_jwt_at_once_are_refused() -> None:
    with pytest.raises(BadOption, match="one of the two") as refusal:
        ResolvedIdentity(session=HIDDEN, jwt=HIDDEN)
    assert HIDDEN not in str(refusal.value)


@pytest.mark.parametrize("name", ["session", "jwt"])
@pytest.mark.parametrize(
    "value", ["", f"{HIDDEN}\r\nX-Evil: 1", f"{HIDDEN}\0", f"\t{HIDDEN}", HIDDEN.encode(), 7, [HIDDEN]], ids=repr
)
def test_a_bad_header_value_is_refused_and_not_shown(name: str, value: Any) -> None:
    with pytest.raises(BadOption) as refusal:
        ResolvedIdentity(**{name: value})
    assert refusal.value.option == name
    assert HIDDEN not in str(refusal.value)


@pytest.mark.parametrize(
    "headers", [{"X-A": 1}, {"X-A": None}, {1: HIDDEN}, {b"X-A": HIDDEN}, {"X-A": HIDDEN.encode()}], ids=repr
)
def test_headers_are_pairs_of_strings(headers: Any) -> None:
    with pytest.raises(BadOption) as refusal:
        ResolvedIdentity(headers=headers)
    assert refusal.value.option == "headers"
    assert HIDDEN not in str(refusal.value)


@pytest.mark.parametrize("key", ["X-Appwrite-Key", "x-appwrite-key", "X-APPWRITE-KEY"])
def test_a_server_key_has_no_realtime_identity(key: str) -> None:
    with pytest.raises(BadOption, match="session or jwt") as refusal:
        ResolvedIdentity(headers={key: HIDDEN})
    assert HIDDEN not in str(refusal.value)


@pytest.mark.parametrize("headers", [{"X-A": "a\r\nX-B: b"}, {"X-A\r\nX-B": "a"}, {"": "a"}, {"X-A": "a\0"}], ids=repr)
def test_a_header_that_does_not_fit_into_one_line_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(BadOption):
        ResolvedIdentity(headers=headers)


@pytest.mark.parametrize(
    "build",
    [
        lambda: ResolvedIdentity(session="s", headers={"x-appwrite-jwt": "j"}),
        lambda: ResolvedIdentity(jwt="j", headers={"X-Appwrite-Session": "s"}),
        lambda: ResolvedIdentity(session="s", headers={"x-appwrite-session": "another"}),
    ],
)
def test_two_identities_are_refused_as_options_and_headers(build: Callable[[], ResolvedIdentity]) -> None:
    with pytest.raises(BadOption):
        build()


def test_secrets_stay_out_of_the_repr() -> None:
    for identity in (ResolvedIdentity(session=HIDDEN, headers={"X-Appwrite-Dev-Key": HIDDEN}), ResolvedIdentity(jwt=HIDDEN)):
        assert HIDDEN not in repr(identity)
        assert HIDDEN not in str(identity)
