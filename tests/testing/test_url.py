"""The query string of a dial, as the embedded server parses it."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from realtime_fsm.testing.queries import EVERYTHING, parse
from realtime_fsm.testing.url import parameters, slots, texts
from realtime_fsm.testing.wire import Refusal
from support.some import some

Slots = dict[str, tuple[list[str], list[str]]]
"""The channels and the queries of each slot."""
X = json.dumps({"method": "equal", "attribute": "title", "values": ["x"]})
N = json.dumps({"method": "greaterThan", "attribute": "n", "values": [3]})


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {}),
        ("a=1&b=&a=2", {"a": "2", "b": ""}),
        ("a[]=x&a[]=y", {"a": {"0": "x", "1": "y"}}),
        ("a%5B%5D=x&a%5B%5D=%E2%9C%93", {"a": {"0": "x", "1": "✓"}}),
        ("a[0]=x&a[1]=y", {"a": {"0": "x", "1": "y"}}),
        ("a[5]=x&a[]=y&a[k]=z&a[]=w", {"a": {"5": "x", "6": "y", "k": "z", "7": "w"}}),
        ("a[]=x&a[0]=y", {"a": {"0": "y"}}),
        ("a[1][]=x&a[1][]=y&a[3][]=z", {"a": {"1": {"0": "x", "1": "y"}, "3": {"0": "z"}}}),
        ("a=1&a[]=x", {"a": {"0": "x"}}),
        ("a[]=x&a=1", {"a": "1"}),
        ("a.b c[0]=x&%20d.e=1", {"a_b_c": {"0": "x"}, "d_e": "1"}),
        ("a[]b=x", {"a": {"0": "x"}}),
        ("a[=x&]=y", {"a": "x", "]": "y"}),
    ],
)
def test_parameters_are_nested_as_in_php(query: str, found: object) -> None:
    assert parameters(query) == found


def test_the_texts_of_a_parameter() -> None:
    assert texts("x") == ["x"]
    assert texts({"0": "x", "1": {"0": "y"}, "2": "z"}) == ["x", "z"]


@pytest.mark.parametrize(
    ("query", "channels", "expected"),
    [
        ("", ["rows", "files"], {"0": (["rows", "files"], [])}),
        ("rows=$x", ["rows"], {"0": (["rows"], [X])}),
        ("rows[]=$x", ["rows"], {"0": (["rows"], [X])}),
        ("rows[]=$x&rows[]=$n", ["rows"], {"0": (["rows"], [X]), "1": (["rows"], [N])}),
        ("rows[0][]=$x&rows[0][]=$n", ["rows"], {"0": (["rows"], [X, N])}),
        ("rows[3][]=$x&rows[5][]=$n", ["rows"], {"3": (["rows"], [X]), "5": (["rows"], [N])}),
        ("a_b[1][]=$x", ["a.b"], {"1": (["a.b"], [X])}),
        ("a.b[1][]=$x", ["a.b"], {"1": (["a.b"], [X])}),
        ("rows[0][]=$x", ["files", "rows"], {"0": (["files", "rows"], [])}),
        ("rows[0][]=$x", ["rows", "files"], {"0": (["rows", "files"], [X])}),
        ("rows[0][]=$x&files[0][]=$n", ["files", "rows"], {"0": (["files", "rows"], [N])}),
        ("rows[1][]=$x", ["files", "rows"], {"0": (["files"], []), "1": (["rows"], [X])}),
    ],
)
def test_channels_are_sorted_into_slots(query: str, channels: list[str], expected: Slots) -> None:
    found = slots(parameters(query.replace("$x", quote(X)).replace("$n", quote(N))), channels)
    assert list(found) == list(expected)
    for name, (names, queries) in some(expected.items()):
        assert found[name].channels == names
        assert found[name].queries == ([parse(text) for text in queries] or [EVERYTHING])


@pytest.mark.parametrize(
    ("query", "code", "text"),
    [
        ("rows[0][]=%7Bbad", 1008, "Invalid query: Syntax error"),
        ("rows[0][]=", 1008, "Invalid query: Syntax error"),
        ('rows[0][]={"method":"limit","values":[1]}', 1008, "Query method 'limit' is not supported"),
        ('rows[0][]={"method":"select","values":["title"]}', 0, "Only select"),
    ],
)
def test_a_query_in_the_url_that_is_refused(query: str, code: int, text: str) -> None:
    with pytest.raises(Refusal, match=text) as refused:
        slots(parameters(query), ["rows"])
    assert refused.value.code == code
