"""The queries of subscriptions, as the embedded server parses and evaluates them."""

from __future__ import annotations

import json
import re

import pytest

from realtime_fsm.testing.queries import BadQuery, Query, parse
from realtime_fsm.testing.wire import Refusal

ROW = {"$id": "r1", "title": "x", "n": 5, "ratio": 0.5, "done": True, "nothing": None, "tags": ["a"]}


def query(method: str, attribute: str | None = None, *values: object) -> str:
    item: dict[str, object] = {"method": method}
    if attribute is not None:
        item["attribute"] = attribute
    item["values"] = values
    return json.dumps(item)


@pytest.mark.parametrize(
    ("method", "attribute", "values", "matches"),
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
def test_a_condition_on_a_row(method: str, attribute: str | None, values: list[object], matches: bool) -> None:
    assert parse(query(method, attribute, *values)).matches(ROW) is matches


@pytest.mark.parametrize("payload", [[], None, "text", 5])
def test_a_payload_that_is_not_a_row_has_no_attributes(payload: object) -> None:
    assert not parse(query("notEqual", "title", "x")).matches(payload)
    assert parse(query("select", None, "*")).matches(payload)


@pytest.mark.parametrize(
    ("method", "titles", "matches"),
    [
        ("and", ["x"], True),
        ("and", ["x", "y"], False),
        ("and", [], True),
        ("or", ["y", "x"], True),
        ("or", ["y", "z"], False),
        ("or", [], False),
    ],
)
def test_and_and_or_join_conditions(method: str, titles: list[str], matches: bool) -> None:
    conditions = [json.loads(query("equal", "title", title)) for title in titles]
    nested = json.loads(query(method, None, *conditions))
    assert parse(query("and", None, nested)).matches(ROW) is matches


@pytest.mark.parametrize(
    ("text", "message"),
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
def test_a_text_that_is_not_a_query_is_refused(text: object, message: str) -> None:
    with pytest.raises(BadQuery, match=re.escape(message)):
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
def test_a_query_that_raises_in_the_real_server_has_code_0(text: object) -> None:
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
