"""The queries that the embedded server evaluates."""

from __future__ import annotations

import json
import math
import re

import pytest

from realtime_fsm.testing.queries import BadQuery, Query, parse
from realtime_fsm.testing.wire import Refusal, as_php, decode, encode, format_timestamp

ROW = {"$id": "r1", "title": "x", "n": 5, "ratio": 0.5, "done": True, "nothing": None, "tags": ["a"]}


def query(method: str, attribute: str | None = None, *values: object) -> str:
    item: dict[str, object] = {"method": method}
    if attribute is not None:
        item["attribute"] = attribute
    item["values"] = values
    return json.dumps(item)


@pytest.mark.parametrize(
    ("method", "attribute", "values", "holds"),
    [
        ("equal", "title", ["x"], True),
        ("equal", "title", ["y"], False),
        ("equal", "title", ["y", "x"], True),
        ("equal", "title", [], False),
        ("equal", "absent", ["x"], False),
        ("equal", "n", [5.0], True),
        ("equal", "n", ["5"], False),
        ("equal", "n", [True], False),
        ("equal", "done", [True], True),
        ("equal", "done", [1], False),
        ("equal", "nothing", [None], True),
        ("equal", "tags", [["a"]], True),
        ("notEqual", "title", ["y"], True),
        ("notEqual", "title", ["x"], False),
        ("notEqual", "title", ["y", "x"], False),
        ("notEqual", "absent", ["x"], False),
        ("lessThan", "n", [6], True),
        ("lessThan", "n", [5], False),
        ("lessThanEqual", "n", [5], True),
        ("lessThanEqual", "n", [4], False),
        ("greaterThan", "n", [3], True),
        ("greaterThan", "n", [5], False),
        ("greaterThanEqual", "n", [5], True),
        ("greaterThanEqual", "ratio", [1], False),
        ("greaterThan", "title", ["a"], True),
        ("greaterThan", "title", [3], False),
        ("greaterThan", "done", [False], False),
        ("lessThan", "tags", [["b"]], False),
        ("isNull", "nothing", [], True),
        ("isNull", "title", [], False),
        ("isNull", "absent", [], False),
        ("isNotNull", "title", [], True),
        ("isNotNull", "nothing", [], False),
        ("isNotNull", "absent", [], False),
        ("select", None, ["*"], True),
    ],
)
def test_a_condition_on_a_row(method: str, attribute: str | None, values: list[object], holds: bool) -> None:
    assert parse(query(method, attribute, *values)).holds(ROW) is holds


@pytest.mark.parametrize("payload", [[], None, "text", 5])
def test_what_is_no_row_has_no_attributes(payload: object) -> None:
    assert not parse(query("notEqual", "title", "x")).holds(payload)
    assert parse(query("select", None, "*")).holds(payload)


@pytest.mark.parametrize(
    ("method", "titles", "holds"),
    [
        ("and", ["x"], True),
        ("and", ["x", "y"], False),
        ("and", [], True),
        ("or", ["y", "x"], True),
        ("or", ["y", "z"], False),
        ("or", [], False),
    ],
)
def test_and_and_or_join_conditions(method: str, titles: list[str], holds: bool) -> None:
    parts = [json.loads(query("equal", "title", title)) for title in titles]
    nested = json.loads(query(method, None, *parts))
    assert parse(query("and", None, nested)).holds(ROW) is holds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{bad", "Invalid query: Syntax error"),
        ("", "Invalid query: Syntax error"),
        ("5", "Invalid query. Must be an array"),
        ("[]", "Invalid query. Must be an array"),
        ('"equal"', "Invalid query. Must be an array"),
        ("{}", "Invalid query. Must be an array"),
        ('{"method":5}', "Query method '5' is not supported"),
        ('{"method":["equal"]}', "is not supported"),
        ('{"method":"limit","values":[5]}', "Query method 'limit' is not supported in Realtime queries. Allowed: equal, "),
        ('{"method":"search","attribute":"a","values":["b"]}', "'search' is not supported"),
        ('{"method":"equal","attribute":5,"values":[]}', "attribute or values"),
        ('{"method":"equal","attribute":"a","values":"b"}', "attribute or values"),
        ('{"method":"and","values":[{"method":"limit"}]}', "'limit' is not supported"),
    ],
)
def test_what_is_no_query_is_refused(text: object, said: str) -> None:
    with pytest.raises(BadQuery, match=re.escape(said)):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"method":"or","values":["equal"]}',
        '{"method":"select","values":["title"]}',
        '{"method":"select"}',
        {"method": "equal", "attribute": "a", "values": ["b"]},
        5,
        None,
    ],
)
def test_what_the_server_trips_over_has_no_code(text: object) -> None:
    with pytest.raises(Refusal) as refused:
        parse(text)
    assert (refused.value.code, refused.value.end) == (0, False)


@pytest.mark.parametrize(
    ("sent", "written"),
    [
        (
            '{"method": "equal", "values": ["a/é"], "attribute": "t"}',
            r'{"method":"equal","attribute":"t","values":["a\/\u00e9"]}',
        ),
        ('{"method":"isNull","attribute":"t"}', '{"method":"isNull","attribute":"t","values":[]}'),
        ('{"method": "select", "values": ["*"]}', '{"method":"select","values":["*"]}'),
        (
            '{"method":"or","values":[{"method":"isNull","attribute":"t"}]}',
            '{"method":"or","values":[{"method":"isNull","attribute":"t","values":[]}]}',
        ),
    ],
)
def test_a_query_is_written_back_compactly(sent: str, written: str) -> None:
    assert parse(sent).text() == written
    assert parse(written) == parse(sent)


def test_a_query_can_be_made_by_hand() -> None:
    assert Query("equal", "title", ("x",)) == parse(query("equal", "title", "x"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "{}"),
        ({"a": [None, True, False, 1, "x"]}, '{"a":[null,true,false,1,"x"]}'),
        (("a/b", 'q"\\\n'), r'["a\/b","q\"\\\n"]'),
        ("é👋", r'"\u00e9\ud83d\udc4b"'),
        (1.0, "1"),
        (-2.0, "-2"),
        (0.5, "0.5"),
        (1e20, "1.0e+20"),
        (1.5e300, "1.5e+300"),
        (9007199254740993, "9007199254740993"),
        (123456789012345678901234567890, "123456789012345678901234567890"),
    ],
)
def test_json_is_written_as_php_does(value: object, text: str) -> None:
    assert encode(value) == text.encode()


@pytest.mark.parametrize(
    ("value", "fault"),
    [(object(), TypeError), ({5: 1}, TypeError), (b"x", TypeError), (math.nan, ValueError), ([math.inf], ValueError)],
)
def test_what_json_has_no_form_for_is_refused(value: object, fault: type[Exception]) -> None:
    with pytest.raises(fault):
        encode(value)


def test_an_object_that_looks_like_a_list_is_one() -> None:
    assert as_php({"a": {}, "b": {"0": "x", "1": {}}, "c": {"0": 1, "2": 2}, "d": ({},)}) == {
        "a": [],
        "b": ["x", []],
        "c": {"0": 1, "2": 2},
        "d": [[]],
    }


def test_an_integer_of_more_than_64_bits_becomes_a_float() -> None:
    assert (
        encode(as_php([2**63 - 1, 2**63, -(2**63) - 1])) == b"[9223372036854775807,9.223372036854776e+18,-9.223372036854776e+18]"
    )
    with pytest.raises(ValueError, match="beyond every float"):
        as_php({"n": 10**400})


@pytest.mark.parametrize("data", [b"", b"{", b"NaN", b"\xff", b'"\\ud800"', b"[" * 200 + b"]" * 200, b"[" * 100_000])
def test_what_is_no_json_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(data)


def test_a_moment_has_milliseconds() -> None:
    assert format_timestamp(1_795_449_600.0625) == "2026-11-23T16:00:00.062+00:00"
