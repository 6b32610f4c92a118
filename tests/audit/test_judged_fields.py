"""The reference names the fields that the audit judges: an altered one of them is noticed, and another one is not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from realtime_fsm.auditlog.schema import KINDS
from support.brokenlogs import Record, audited, lines_of
from support.pages import ROOT
from support.simlogs import SEEDS, logs_of
from support.some import some
from support.wholelog import RECORDS

Field = tuple[str, str]
PAGE = (ROOT / "docs/reference/audit-log.md").read_text(encoding="utf-8")
OWN = {(kind.event, field.name) for kind in KINDS for field in kind.fields if not field.common}
TOLD = {
    (event, name): judged
    for event, *cells in re.findall(r"^\| `(realtime\.\w+)` \|([^|]*)\|([^|]*)\|$", PAGE, re.MULTILINE)
    for judged, cell in zip((True, False), cells, strict=True)
    for name in re.findall(r"`(\w+)`", cell)
}
"""Each field that the table of the page names, and whether it is judged."""
FIELDS = dict.fromkeys((field for field in OWN if field[0] == "realtime.transition"), True) | TOLD
RARE = {("realtime.subscription", "error_code"), ("realtime.open", "max_link_age"), ("realtime.open", "canary")}
"""Fields that matter where a server fault rejects, a link is renewed, or a canary goes out: not in these logs."""
PLACES = 12
"""Records of a kind that are altered."""
WORDS = {"since": "2026-11-24T00:00:00Z", "until": "2026-11-24T00:00:00Z", "era": "E1", "protocol": "E1", "cause": "sleep"}
NEW = WORDS | {"error_code": 500, "close_code": 1000, "status": 503, "retry_after": 5.0, "max_link_age": 60.0}
CHANGES = {
    kind.event: field.allowed_values for kind in KINDS for field in kind.fields if field.name == "change" and field.allowed_values
}


def others(event: str, name: str, value: Any) -> Iterator[Any]:
    """Other values of a field, of the type of its value."""
    match value:
        case bool():
            yield not value
        case int() | float():
            yield from (value + 50, value + type(value)(1))
        case dict():
            for key, inner in value.items():
                yield from ({**value, key: other} for other in others(event, key, inner) if not isinstance(inner, str))
        case str() if name == "change":
            yield from CHANGES[event]
        case str():
            yield WORDS.get(name, "unknown")
        case None if name in NEW:
            yield NEW[name]


def places() -> Iterator[tuple[Field, list[Record], int]]:
    """Some records of each kind with each field."""
    counts: dict[Field, int] = {}
    logs = [RECORDS, *(list(log) for seed in SEEDS[:3] for log in logs_of(seed) if 0 < len(log) < 700)]
    for records in logs:
        for index, record in enumerate(records):
            for name in record:
                field = record["event"], name
                if field in FIELDS and counts.setdefault(field, 0) < PLACES:
                    counts[field] += 1
                    yield field, records, index


def test_the_page_names_each_field_of_each_record() -> None:
    assert set(FIELDS) == OWN


def test_a_judged_field_is_noticed_and_another_one_is_not() -> None:
    seen: set[Field] = set()
    noticed: set[Field] = set()
    for field, records, index in some(places()):
        event, name = field
        for value in others(event, name, records[index][name]):
            if value != records[index][name] and field not in noticed:
                seen.add(field)
                altered = lines_of([*records[:index], {**records[index], name: value}, *records[index + 1 :]])
                if audited(altered).verdict == "violated":
                    noticed.add(field)
    assert noticed - RARE == {field for field in seen if FIELDS[field]} - RARE
    assert len(seen) > 40
