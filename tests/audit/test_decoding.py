"""The decoders remember sentences, fill the fields that a record lacks, and tell whose a line is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from realtime_fsm.audit import decoding
from realtime_fsm.audit.decoding import BadRecord, ExtendedRecord, FlatRecord, decode_fast, decode_unusual, is_ours, parse_moment
from realtime_fsm.audit.report import Report
from support.brokenlogs import BEGIN, audited, lines_of
from support.some import some
from support.wholelog import JWT, PONG, RECORDS, edited, kind


def line(record: dict[str, Any], **fields: Any) -> bytes:
    return lines_of([{**record, **fields}])[0]


def first_text(report: Report) -> str:
    assert report.first is not None
    return report.first.text


# --- sentences --------------------------------------------------------------------------------------------------------


def test_the_sentences_that_are_remembered_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_sentences", {None})
    sizes = []
    for number in range(300):
        decode_fast(line(RECORDS[PONG], sentence=f"the answer {number} came"))
        sizes.append(len(decoding._sentences))
    assert sizes[:128] == [*range(2, 130)], "with the absent one"
    assert sizes[128:130] == [2, 3]
    assert max(sizes) == 129


@pytest.mark.parametrize("sentence", ["", "a  b", "key=value", "x" * 25, f"it was {JWT}", "ends with a space "])
def test_a_sentence_that_may_hold_a_secret_is_examined(sentence: str) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="sentence"):
            decode_fast(line(RECORDS[PONG], sentence=sentence))


# --- absent fields ----------------------------------------------------------------------------------------------------

PLAIN: dict[str, Any] = {"machine": "m", "connection_id": "c", "seq": 1, "timestamp": BEGIN, "link": 0, "event": "realtime.close"}


def test_the_default_of_a_lacking_field_is_a_value_that_no_record_has() -> None:
    told = msgspec.structs.asdict(FlatRecord(**PLAIN))
    assert {name: value for name, value in told.items() if name not in PLAIN and value not in (None, "")} == {
        "schema": 1, "cause": "missing", "planned": False, "auto_reconnect": True, "count": 0, "stored": 0, "paused": 0,
        "retired": 0, **dict.fromkeys(("dwell", "attempt", "sends", "lag", "round_trip", "seconds", "dials"), -1),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("event", "nth", "name"),
    [("outage", 0, "planned"), ("outage", 1, "dials"), ("ping", 0, "round_trip"), ("open", 0, "retry"), ("gap", 0, "seconds")],
)
def test_a_record_that_lacks_a_field_is_told(event: str, nth: int, name: str) -> None:
    gap = {**RECORDS[4], "event": "realtime.gap", "since": None, "until": "2026-11-24T05:00:00Z", "seconds": 1.0, "dials": 1}
    record = gap if event == "gap" else RECORDS[kind(event, nth)]
    found = decode_unusual(line({key: value for key, value in record.items() if key != name}))
    assert isinstance(found, BadRecord)
    assert (found.rule, found.text) == ("form", f"Object missing required field `{name}`")
    assert (found.connection_id, found.seq) == (record["connection_id"], record["seq"])
    assert found.timestamp == parse_moment(record["timestamp"])


def test_the_decoder_restores_dropped_nulls_and_no_other_field() -> None:
    told = {name: value for name, value in RECORDS[PONG].items() if value is not None}
    assert isinstance(decode_unusual(line(told)), ExtendedRecord)
    for name in some(set(told) - {"event", "schema", "sentence", "level", "lag", "at", "heard", "era", "source"}):
        found = decode_unusual(line({key: value for key, value in told.items() if key != name}))
        assert isinstance(found, BadRecord), name


# --- whose lines ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "ours"),
    [
        ({"event": "realtime.ping", "seq": 1}, True),
        ({"event": "realtime.ping"}, False),
        ({"event": "realtime.moon", "seq": 1, "link": 1}, False),
        ({"event": "realtime.moon", "seq": 1, "link": 1, "machine": "m"}, True),
        ({"event": "moon", "seq": 1, "link": 1, "machine": "m", "connection_id": "c"}, False),
        ({"event": 7, "seq": 1, "link": 1, "machine": "m", "connection_id": "c"}, False),
        ({"seq": 1, "link": 1, "machine": "m", "connection_id": "c"}, False),
    ],
)
def test_a_record_is_ours_by_its_event_and_its_fields(record: dict[str, Any], ours: bool) -> None:
    assert is_ours(record) is ours


@pytest.mark.parametrize(
    ("text", "is_cut"),
    [
        (b'{"event":"realtime.ping","seq":', True),
        (b'  {"connection_id":"c","x":"realtime.', True),
        (b'{"x":"realtime.', False),
        (b'"event" "realtime.', False),
        (b'{"event":' * 100_000 + b'"realtime.', True),
        (b'{"event', True),
        (b'{"event\n', False),
        (b'{"event":1}', False),
        (b'x {"event', False),
    ],
    ids=range(9),
)
def test_a_line_that_is_not_whole_is_told_where_it_looks_like_a_record(text: bytes, is_cut: bool) -> None:
    found = decode_unusual(text)
    assert (isinstance(found, BadRecord) and found.rule == "cut") is is_cut
    assert is_cut or found is None


def test_the_decoder_reads_texts_as_numbers_if_all_numbers_are_texts() -> None:
    texts = {name: str(value) if isinstance(value, int | float) else value for name, value in RECORDS[PONG].items()}
    made = decode_unusual(line(texts, error_code="-7"))
    assert isinstance(made, ExtendedRecord)
    assert (made.line.seq, made.line.error_code, made.line.dwell) == (RECORDS[PONG]["seq"], -7, RECORDS[PONG]["dwell"])
    assert isinstance(made := decode_unusual(line(texts, error_code="4a")), ExtendedRecord)
    assert made.line.error_code == "4a"
    assert isinstance(decode_unusual(line(RECORDS[PONG], attempt=str(RECORDS[PONG]["attempt"]))), BadRecord)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"schema": 2}, "the record is of another version of the schema than 1"),
        ({"event": "realtime.moon"}, "this version does not know the kind of record"),
        ({"dwell": "x'y"}, "Expected `float`, got `str` - at `$.dwell`"),
    ],
)
def test_a_record_that_this_version_does_not_read_is_told(fields: dict[str, Any], text: str) -> None:
    assert first_text(audited(edited(PONG, **fields))) == text
