"""The diagrams say what the table says, no more and no less, in every format."""

from __future__ import annotations

import importlib
import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from transitions.extensions import GraphMachine

from realtime_fsm import TABLE, BadOption, State, Trigger
from realtime_fsm.diagram import FORMATS, Diagram, DrawingFailed, diagram
from realtime_fsm.diagram.arrows import edge_text, merged_arrows, pairs, plain_arrows, state_groups
from realtime_fsm.fsm import machine
from realtime_fsm.fsm.tablespec import Row, Table
from support.some import some

VIEWS = ("overview", "full", *(f"state:{state}" for state in State))
TEXTS = ("mermaid", "dot", "plantuml", "markdown", "json")
package = importlib.import_module("realtime_fsm.diagram")
ROWS = {row.id: row for row in TABLE.rows}


def text_of(kind: str, view: str, **more: Any) -> str:
    result = diagram(kind, view, **more)
    assert isinstance(result, str)
    return result


# --- arrows -----------------------------------------------------------------------------------------------------------


def test_the_arrows_are_those_of_the_machine_that_runs() -> None:
    events = machine.build(TABLE)
    run = {
        (transition.source, transition.dest)
        for event in events.values()
        for transition in itertools.chain.from_iterable(event.transitions.values())
        if transition.dest is not None
    }
    assert {(source.value, dest.value) for source, dest in pairs(TABLE)} == run


def test_the_arrows_are_those_that_the_diagrams_of_transitions_have() -> None:
    class Model:
        get_graph: Any

    GraphMachine(
        Model,
        states=[state.value for state in State],
        initial=TABLE.initial.value,
        auto_transitions=False,
        graph_engine="mermaid",
        transitions=[
            {"trigger": row.trigger.value, "source": row.source.value, "dest": row.dest.value} for row in TABLE.rows if row.dest
        ],
    )
    drawn = set(re.findall(r"^ *(\w+) --> (\w+):", Model.get_graph().source, re.MULTILINE))
    assert drawn == {(arrow.tail, arrow.head) for arrow in plain_arrows(TABLE)}


def test_merged_arrows_stand_for_each_row_exactly_once() -> None:
    groups = state_groups(TABLE)
    members = {group.name: group.members for group in groups} | {state.value: (state,) for state in State}
    arrows = merged_arrows(TABLE)
    drawn = [row.id for arrow in arrows for row in arrow.rows]
    assert sorted(drawn) == sorted(row.id for row in TABLE.rows if row.dest is not None)
    for arrow in some(arrows):
        assert {row.source for row in arrow.rows} == set(members[arrow.tail])
        assert {row.dest for row in arrow.rows} == set(members[arrow.head])
    assert len(arrows) < 20  # at a glance


def test_a_merged_arrow_marks_what_not_all_members_share() -> None:
    arrows = {(arrow.tail, arrow.head): arrow for arrow in merged_arrows(TABLE)}
    assert "idle too long (unsubscribed)" in arrows["live", "disconnected"].labels
    assert "link too old (not in ping)" in arrows["live", "reconnecting"].labels
    assert "lost" in arrows["live", "reconnecting"].labels


@pytest.mark.parametrize(
    ("row", "label"),
    [
        ("con56", "refused for good"),
        ("sub57", "lost with auto-reconnect off"),
        ("sub58", "lost"),
        ("sub59", "retries used up"),
        ("sub62", "retries used up"),
        ("uns63", "idle too long"),
        ("dis1", "connect()"),
        ("pin70", "lost with auto-reconnect off"),
        ("pin71", "overdue"),
    ],
)
def test_the_label_of_a_row(row: str, label: str) -> None:
    assert edge_text(TABLE, ROWS[row]) == label


# --- formats ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "view"), list(itertools.product(TEXTS, VIEWS)))
def test_every_text_carries_the_fingerprint_and_is_the_same_each_time(kind: str, view: str) -> None:
    text = text_of(kind, view)
    assert TABLE.fingerprint in text
    assert text == text_of(kind, view)
    assert text.endswith("\n")


@pytest.mark.parametrize("kind", ["mermaid", "dot", "plantuml", "markdown", "json"])
def test_the_full_view_has_each_row_with_its_guards_and_effects_in_order(kind: str) -> None:
    text = re.sub(r"<[^>]*>|`", " ", text_of(kind, "full").replace("&quot;", '"'))
    for row in some(TABLE.rows):
        parts = [row.trigger.value, *row.guards, *row.effects, *([row.dest.value] if row.dest else [])]
        apart = r"\b.*?\b" if kind != "json" else r"\b[^{}]*?\b"
        ordered = apart.join(re.escape(part) for part in ([row.id, *parts] if kind in ("mermaid", "plantuml") else [row.id]))
        assert re.search(rf"\b{ordered}\b", text, re.DOTALL if kind == "json" else 0), row.id


def test_the_overview_draws_no_row_that_stays() -> None:
    for kind in ("mermaid", "plantuml"):
        drawn = re.findall(r"^\s*(\w+) -+(?:\[#\w+\]-)?> (\w+)", text_of(kind, "overview"), re.MULTILINE)
        assert all(tail != head for tail, head in drawn)
        names = {name.removeprefix("group_") for pair in drawn for name in pair}
        assert names == {*State, "any", "live", "live_except_ping"}


@pytest.mark.parametrize("kind", ["mermaid", "dot", "plantuml", "markdown", "json"])
@pytest.mark.parametrize("view", ["overview", "full", "state:ping"])
def test_the_current_state_is_marked(kind: str, view: str) -> None:
    assert text_of(kind, view, current=State.PING) != text_of(kind, view)


def test_the_json_is_the_whole_table() -> None:
    record = json.loads(text_of("json", "full"))
    assert list(record) == [
        "format", "fingerprint", "initial", "final", "current", "states", "triggers", "guards", "effects", "notes", "rows",
        "ignored",
    ]  # fmt: skip
    rows = tuple(
        Row(
            row["id"], State(row["source"]), Trigger(row["trigger"]), State(row["dest"]) if row["dest"] else None,
            tuple(row["guards"]), tuple(row["effects"]), row["why"],
        )
        for row in record["rows"]
    )  # fmt: skip
    ignored = {(State(cell["state"]), Trigger(cell["trigger"])): cell["why"] for cell in record["ignored"]}
    again = Table(
        states=tuple(State(state["name"]) for state in record["states"]),
        triggers=tuple(Trigger(trigger["name"]) for trigger in record["triggers"]),
        initial=State(record["initial"]), final=State(record["final"]), rows=rows, ignored=ignored,
        notes={Trigger(trigger["name"]): tuple(trigger["notes"]) for trigger in record["triggers"]},
    )  # fmt: skip
    assert again == TABLE
    assert again.fingerprint == record["fingerprint"]
    assert all(part["means"] for kind in ("guards", "effects", "notes", "states", "triggers") for part in record[kind])


def test_the_json_of_a_state_has_what_enters_and_leaves_it() -> None:
    record = json.loads(text_of("json", "state:error", current=State.ERROR))
    assert {row["id"] for row in record["rows"]} == {row.id for row in TABLE.rows if State.ERROR in (row.source, row.dest)}
    assert {cell["state"] for cell in record["ignored"]} == {"error"}
    assert record["current"] == "error"


class Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name == "id" and value]


def test_every_link_of_the_reference_leads_somewhere() -> None:
    states, rows = text_of("markdown", "overview"), text_of("markdown", "full")
    anchors = Anchors()
    anchors.feed(rows)
    assert anchors.found
    assert set(anchors.found) == set(ROWS)
    headings = {
        re.sub(r"[^\w-]", "", line.lower().replace(" ", "-")) for line in re.findall(r"^#+ (.*)$", states + rows, re.MULTILINE)
    }
    there = {"transitions.md": set(ROWS), "states.md": {*State}, "](": headings}
    for text, pages in (
        (states, {"transitions.md", "states.md"}),
        (rows, {"states.md", "]("}),
        (text_of("dot", "full"), {"transitions.md", "states.md"}),
    ):
        links = set(re.findall(r"(transitions\.md|states\.md|\]\()#([\w-]+)", text))
        assert {page for page, _ in links} == pages
        assert [link for link in links if link[1] not in there[link[0]]] == []
    for line in some((states + rows).splitlines()):
        if line.startswith("| "):
            assert "||" not in line.replace(" ", "")


def test_another_table_is_drawn_as_well() -> None:
    """With fewer rows in common, and with a guard and an effect that are not registered, there is less to merge."""
    rows = [row for row in TABLE.rows if row.id not in {"err14", "pin14", "uns57", "uns63", "con64", "con74", "pin12"}]
    rows[0] = replace(rows[0], guards=("unheard_of",), effects=("novelty",))
    other = replace(TABLE, rows=tuple(rows))
    for kind, view in some(itertools.product((*TEXTS, "svg"), ("overview", "full", "state:ping"))):
        assert other.fingerprint in text_of(kind, view, table=other)
    assert '"means": ""' in text_of("json", "full", table=other)


def test_a_group_without_an_arrow_is_not_drawn() -> None:
    """Where one state alone cannot be disposed of, no arrow begins at the group of all states."""
    rows = tuple(row for row in TABLE.rows if (row.source, row.dest) != (State.ERROR, State.DISPOSING))
    other = replace(TABLE, rows=rows)
    for kind in ("mermaid", "dot", "plantuml", "svg"):
        assert "any state" in text_of(kind, "overview")
        assert "any state" not in text_of(kind, "overview", table=other)


def test_the_room_lists_its_names() -> None:
    assert set(package.__all__) < set(dir(package))
    with pytest.raises(AttributeError, match=r"module 'realtime_fsm\.diagram' has no attribute 'picture'"):
        _ = package.picture


# --- misuse -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "view", "more", "sentence"),
    [
        ("gif", "overview", {}, "format: 'gif' is not known; use one of mermaid, dot, svg, png, plantuml, markdown, json"),
        ("dot", "detail", {}, "view: 'detail' is not known; use one of overview, full, state:NAME"),
        ("dot", "state:NAME", {}, "view: 'state:NAME' names no state; after 'state:' put one of disconnected, reconnecting"),
        ("dot", "state", {}, "view: 'state' names no state"),
        ("dot", None, {}, "view: None is not known"),
        ("dot", "full", {"current": "asleep"}, "current: 'asleep' is no state; use None or one of disconnected"),
    ],
)
def test_an_unknown_option_names_the_remedy(kind: str, view: str, more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadOption) as caught:
        text_of(kind, view, **more)
    assert str(caught.value).startswith(sentence)


def test_the_names_are_complete() -> None:
    assert {*TEXTS, "svg", "png"} == set(FORMATS)
    assert issubclass(DrawingFailed, Exception)
    assert str(Diagram()) == diagram()
    assert repr(Diagram("full", current=State.PING)) == f"<Diagram full of table {TABLE.fingerprint}, now in ping>"
