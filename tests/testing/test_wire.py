"""JSON and times on the wire, as PHP reads and writes them."""

from __future__ import annotations

import math

import pytest

from realtime_fsm.testing.wire import as_php, decode, encode, format_timestamp


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
        (999_999_999_999_999.0, "999999999999999"),
        (-1e15, "-1000000000000000"),
        (1e16, "10000000000000000"),
        (-7.205759403792794e16, "-72057594037927940"),
        (1e17, "1.0e+17"),
        (0.0001, "0.0001"),
        (0.00001, "1.0e-5"),
        (2.5e-10, "2.5e-10"),
        (1e20, "1.0e+20"),
        (1.5e300, "1.5e+300"),
        (9007199254740993, "9007199254740993"),
        (123456789012345678901234567890, "123456789012345678901234567890"),
    ],
)
def test_json_is_written_as_php_does(value: object, text: str) -> None:
    assert encode(value) == text.encode()


@pytest.mark.parametrize(
    ("value", "kind"),
    [(object(), TypeError), ({5: 1}, TypeError), (b"x", TypeError), (math.nan, ValueError), ([math.inf], ValueError)],
)
def test_a_value_that_json_cannot_express_is_refused(value: object, kind: type[Exception]) -> None:
    with pytest.raises(kind):
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
        encode(as_php([2**63 - 1, 2**63, -(2**63), -(2**63) - 1]))
        == b"[9223372036854775807,9.223372036854776e+18,-9223372036854775808,-9.223372036854776e+18]"
    )
    with pytest.raises(ValueError, match="beyond every float"):
        as_php({"n": 10**400})


@pytest.mark.parametrize("data", [b"", b"{", b"NaN", b"\xff", b'"\\ud800"', b"[" * 200 + b"]" * 200, b"[" * 100_000])
def test_a_text_that_is_not_json_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(data)


@pytest.mark.parametrize(("lists", "whole"), [(128, True), (129, False)])
def test_a_value_may_be_in_128_others(lists: int, whole: bool) -> None:
    data = b"[" * lists + b"1" + b"]" * lists
    if whole:
        assert encode(decode(data)) == data
    else:
        with pytest.raises(ValueError, match="nested too deeply"):
            decode(data)


def test_a_moment_has_milliseconds() -> None:
    assert format_timestamp(1_795_449_600.0625) == "2026-11-23T16:00:00.062+00:00"
