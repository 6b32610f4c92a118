"""The call checks queries before the server does: those of the official helpers, and broken ones. No error shows a value."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest
from appwrite.query import Query

from realtime_fsm import BadOption
from realtime_fsm.protocol.queries import realtime_queries
from realtime_fsm.testing.queries import BadQuery, parse
from realtime_fsm.testing.wire import Refusal

ALLOWED: list[str] = [
    Query.equal("title", "x"),
    Query.equal("title", ["x", "y"]),
    Query.equal("done", [None]),
    Query.not_equal("title", "x"),
    Query.less_than("n", 1),
    Query.less_than_equal("n", 1.5),
    Query.greater_than("n", -(10**30)),
    Query.greater_than_equal("n", 1),
    Query.created_after("2026-01-01"),
    Query.updated_before("2026-01-01"),
    Query.is_null("title"),
    Query.is_not_null("title"),
    Query.select(["*"]),
    Query.or_queries([Query.equal("a", 1), Query.equal("b", 1)]),
    Query.and_queries([Query.equal("a", 1), Query.or_queries([Query.is_null("b"), Query.select(["*"])])]),
]
NO_HELPERS = {"builder", "page"}  # helpers that make no query
HELPERS = {
    name: helper
    for name, helper in inspect.getmembers(Query, inspect.isfunction)
    if not name.startswith("_") and name not in NO_HELPERS
}
OURS = {json.loads(query)["method"] for query in ALLOWED}
HIDDEN = "hunter2"


def some(helper: Any) -> Any:
    """Call a helper with fitting arguments."""
    needed = [p for p in inspect.signature(helper).parameters.values() if p.default is p.empty]
    return helper(*([Query.equal("a", 1)] if parameter.name == "queries" else "x" for parameter in needed))


@pytest.mark.parametrize("query", ALLOWED)
def test_what_realtime_allows_passes_and_the_server_takes_it(query: str) -> None:
    assert realtime_queries([query]) == (query,)
    parse(query)


@pytest.mark.parametrize("name", HELPERS)
def test_every_helper_of_the_official_sdk_is_allowed_or_refused_by_name(name: str) -> None:
    query = some(HELPERS[name])
    method = json.loads(query)["method"]
    if method in OURS - {"select"}:
        assert realtime_queries([query]) == (query,)
        return
    with pytest.raises(BadOption, match=rf"select takes|realtime has no '{method}', only equal, .*; leave it out") as refusal:
        realtime_queries([query])
    assert refusal.value.option == "queries"


BROKEN: list[tuple[str, str, type[Exception] | None]] = [
    # the query, a part of the message, the refusal of a server
    ("{bad", "not valid JSON", BadQuery),
    ("title=x", "not valid JSON", BadQuery),
    ("[]", "no object with a method", BadQuery),
    ('"equal"', "no object with a method", BadQuery),
    ("{}", "no object with a method", BadQuery),
    ('{"method":5}', "no object with a method", BadQuery),
    ('{"method":"limit","values":[5]}', "no 'limit'", BadQuery),
    ('{"method":"EQUAL","attribute":"a","values":[1]}', "no 'EQUAL'", BadQuery),
    ('{"method":"equal","attribute":5,"values":[1]}', "the attribute is not a string", BadQuery),
    ('{"method":"and","attribute":5,"values":[{"method":"isNull","attribute":"a"}]}', "the attribute is not a string", BadQuery),
    ('{"method":"equal","attribute":"a","values":"x"}', "the values are not a list", BadQuery),
    ('{"method":"select","values":["title"]}', 'select takes ["*"] alone', Refusal),
    ('{"method":"select","values":["*","title"]}', 'select takes ["*"] alone', Refusal),
    ('{"method":"select"}', 'select takes ["*"] alone', Refusal),
    ('{"method":"or","values":["{}"]}', "no object with a method", Refusal),
    (
        '{"method":"and","values":[{"method":"or","values":[{"method":"isNull","attribute":"a"},{"method":"search"}]}]}',
        "search",
        BadQuery,
    ),
    ('{"method":"equal","values":[1]}', "no attribute", None),
    ('{"method":"isNull","attribute":""}', "no attribute", None),
    ('{"method":"equal","attribute":"a"}', "no value to compare with; isNull", None),
    ('{"method":"notEqual","attribute":"a","values":[]}', "no value to compare with; isNull", None),
    ('{"method":"or","values":[]}', "it joins no queries", None),
    ('{"method":"and"}', "it joins no queries", None),
    ('{"method":"and","values":[' * 50_000 + "]}" * 50_000, "nested too deeply", BadQuery),
]


@pytest.mark.parametrize(("query", "said", "refused"), BROKEN, ids=[text[:40] for text, _, _ in BROKEN])
def test_a_bad_query_is_refused_by_number(query: str, said: str, refused: type[Exception] | None) -> None:
    with pytest.raises(BadOption) as refusal:
        realtime_queries([ALLOWED[0], query])
    text = str(refusal.value)
    assert text.startswith("queries: number 2: ")
    assert said in text
    if refused:
        with pytest.raises(refused):
            parse(query)
    else:
        parse(query)


@pytest.mark.parametrize(
    "query",
    [
        HIDDEN,
        f'{{"method":"equal","attribute":"a","values":"{HIDDEN}"}}',
        f'{{"method":"equal","values":["{HIDDEN}"]}}',
        f'{{"method":"contains","attribute":"a","values":["{HIDDEN}"]}}',
        f'{{"method":"select","values":["{HIDDEN}"]}}',
        f'{{"method":"and","values":["{HIDDEN}"]}}',
        f'{{"method":"equal","attribute":"a","values":["{HIDDEN}"]',
    ],
)
def test_a_refusal_shows_no_value(query: str) -> None:
    with pytest.raises(BadOption) as refusal:
        realtime_queries([query])
    assert HIDDEN not in f"{refusal.value} {refusal.value!r} {refusal.value.__context__!r}"


@pytest.mark.parametrize(
    "given",
    ["single", [""], [5], [Query("equal", "a", 1)], ["half of a pair \ud800"]],
    ids=["a text", "an empty text", "a number", "an object", "half of a pair"],
)
def test_a_query_that_is_no_string_is_refused(given: Any) -> None:
    with pytest.raises(BadOption, match="queries"):
        realtime_queries(given)


def test_each_query_is_kept_once_in_order() -> None:
    assert realtime_queries(()) == ()
    assert realtime_queries(iter([ALLOWED[1], ALLOWED[0], ALLOWED[1]])) == (ALLOWED[1], ALLOWED[0])
