"""A table that was exported: what differs from the present one, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from realtime_fsm import TABLE, BadOption, State, diagram
from realtime_fsm.cli.main import main
from realtime_fsm.diagram.difference import TableChange, as_lines, compare
from realtime_fsm.diagram.exported import decode_table, read_table
from support.some import some

PRESENT: dict[str, Any] = json.loads(diagram("json", "full"))


def exported(**changes: Any) -> str:
    return json.dumps(PRESENT | changes)


def changed(**changes: Any) -> list[TableChange]:
    """The changes from an older table to the present one."""
    old = decode_table(exported(**changes), "--diff")
    return list(compare(old, decode_table(exported(), "--diff")).changes)


def facts(change: TableChange) -> tuple[str, str, str, list[tuple[str, Any, Any]]]:
    return change.what, change.name, change.change, [(each.field, each.before, each.after) for each in change.fields]


def with_rule(name: str, **fields: Any) -> list[dict[str, Any]]:
    return [row | fields if row["id"] == name else row for row in PRESENT["rows"]]


# --- the difference ---------------------------------------------------------------------------------------------------


def test_an_exported_table_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text(exported())
    table = read_table(path, "--table")
    assert table == TABLE
    assert table.fingerprint == TABLE.fingerprint
    assert diagram("json", "full", table=table) == diagram("json", "full")
    del vars(table)["fingerprint"]
    assert table.fingerprint == TABLE.fingerprint, "the file holds all that decides the behaviour"


def test_a_changed_field_of_a_rule_is_told() -> None:
    assert list(map(facts, changed(rows=with_rule("sub58", dest="error", guards=[], why="Old.")))) == [
        (
            "rule",
            "sub58",
            "changed",
            [
                ("dest", "error", "reconnecting"),
                ("guards", (), ("may_retry",)),
                ("why", "Old.", "The link ended: the connection dials again after the delay of the retry policy."),
            ],
        )
    ]


def test_a_new_rule_and_the_one_asked_after_it_are_told() -> None:
    added, follower = changed(rows=[row for row in PRESENT["rows"] if row["id"] != "sub57"])
    assert facts(added)[:3] == ("rule", "sub57", "added")
    assert {field for field, _, _ in facts(added)[3]} > {"source", "trigger", "guards", "effects", "why"}
    before = next(old for field, old, new in facts(follower)[3] if (field, new) == ("asked_after", "sub57"))
    assert (follower.name, follower.change) == ("sub58", "changed")
    assert before != "sub57"


def test_a_rule_that_is_gone_is_told() -> None:
    old = {"id": "sub999", "source": "subscribed", "trigger": "lost", "dest": None, "guards": ["g"], "effects": [], "why": "W."}
    assert [facts(each)[:3] for each in changed(rows=[*PRESENT["rows"], old])] == [("rule", "sub999", "removed")]


@pytest.mark.parametrize("what", ["state", "trigger", "guard", "effect", "note"])
def test_names_and_meanings_are_compared(what: str) -> None:
    key = f"{what}s"
    first, *others = PRESENT[key]
    gone = {"name": "gone", "means": "It is gone."}
    if what in ("state", "trigger"):
        assert facts(changed(**{key: [first | {"means": "Old."}, *others]})[0]) == (
            what, first["name"], "changed", [("means", "Old.", first["means"])],
        )  # fmt: skip
        return
    added, removed = changed(**{key: [*others, gone]})
    assert facts(removed) == (what, "gone", "removed", [("means", "It is gone.", None)])
    assert facts(added) == (what, first["name"], "added", [("means", None, first["means"])])


def test_notes_of_a_trigger_ignored_cells_and_the_ends_are_compared() -> None:
    first, *others = PRESENT["ignored"]
    triggers = [each | {"notes": ["old_note"]} if each["name"] == "pong" else each for each in PRESENT["triggers"]]
    told = list(map(facts, changed(ignored=[first | {"why": "Old."}, *others], triggers=triggers, initial="error")))
    assert told == [
        ("ignored cell", f"{first['state']} x {first['trigger']}", "changed", [("why", "Old.", first["why"])]),
        ("trigger", "pong", "changed", [("notes", ("old_note",), ("record_pong",))]),
        ("table", "", "changed", [("initial", "error", "disconnected")]),
    ]


def test_the_lines_tell_the_same() -> None:
    gone = {"name": "gone", "means": "It is gone."}
    rows = with_rule("sub58", dest=None, guards=["may_retry", "gone"])
    old = decode_table(exported(fingerprint="0123456789ab", rows=rows, guards=[*PRESENT["guards"], gone]), "--diff")
    lines = list(as_lines(compare(old, decode_table(exported(), "--diff"))))
    assert lines == [
        f"table 0123456789ab -> {TABLE.fingerprint}: 2 changes",
        "changed rule sub58",
        "  dest: none -> reconnecting",
        "  guards: may_retry, gone -> may_retry",
        "removed guard gone",
        "  means: It is gone.",
    ]


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_compares(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "old.json"
    path.write_text(exported())
    assert main(["diagram", "--diff", str(path)]) == 0
    assert capfd.readouterr().out == f"no change: both are table {TABLE.fingerprint}\n"
    path.write_text(exported(rows=with_rule("sub58", why="\x1b[2J")))
    assert main(["diagram", "--diff", str(path)]) == 1
    told = capfd.readouterr().out
    assert told.startswith(f"the words of table {TABLE.fingerprint} -> {TABLE.fingerprint}: 1 change\nchanged rule sub58\n")
    assert r"why: \x1b[2J ->" in told
    assert main(["diagram", "--diff", str(path), "--format", "json", "-o", str(tmp_path / "out")]) == 1
    made = json.loads((tmp_path / "out").read_text())
    assert (made["from"], made["same_behaviour"]) == (TABLE.fingerprint, True)
    assert made["changes"][0]["fields"][0]["from"] == "\x1b[2J"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--format", "svg"), "'svg' is not known with --diff; use text or json"),
        (("--view", "full"), "--diff compares whole tables"),
    ],
)
def test_what_makes_no_sense_is_refused(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "old.json"
    path.write_text(exported())
    assert main(["diagram", "--diff", str(path), *arguments]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds no table; write one with: realtime-fsm diagram --format json"),
        ('{"rows": []}', "holds no table"),
        (exported(format=2), "has format 2, and this version reads format 1"),
        (diagram("json", "state:ping"), "holds a part of a table"),
    ],
)
def test_another_file_is_refused(text: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "old.json"
    path.write_text(text)
    assert main(["diagram", "--diff", str(path)]) == 2
    assert f"realtime-fsm: --diff: {path} {sentence}" in capsys.readouterr().err
    assert main(["diagram", "--diff", str(tmp_path / "none")]) == 2, "1 is for a difference"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rows": with_rule("sub58", effects=["fly"])}, "old.json: this version does not know the effects fly"),
        ({"triggers": [*PRESENT["triggers"], {"name": "moon", "means": ""}]}, "a part of a table"),
        ({"initial": "moon"}, "old.json is damaged: 'moon' is not a valid State"),
        ({"rows": with_rule("sub58", guards=[])}, "old.json is damaged: the table cannot be run: rule sub58 has no guard"),
    ],
)
def test_a_table_that_cannot_be_judged_by_is_refused(changes: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text(exported(**changes))
    with pytest.raises(BadOption, match="--table: ") as told:
        read_table(path, "--table")
    assert sentence in str(told.value)


def test_guards_that_this_version_does_not_know_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text(exported(rows=with_rule("sub57", guards=["old_guard"])))
    table = read_table(path, "--table")
    assert [row.guards for row in some(table.rows) if row.id == "sub57"] == [("old_guard",)]
    assert table.initial is State.DISCONNECTED
