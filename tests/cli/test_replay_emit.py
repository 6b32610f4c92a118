"""The test that `realtime-fsm replay --emit-test` writes: where it goes, and that it passes, fails and holds no text of a log."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from realtime_fsm.cli.main import main
from support.brokenlogs import Record
from support.replaying import TEST, run_replay, write_log
from support.simlogs import logs_of
from support.some import some
from support.wholelog import RECORDS

PATIENCE = 60.0
ROOT = Path(__file__).resolve().parents[2]
PLUGIN = """
from dataclasses import replace
from realtime_fsm.fsm import machine
from realtime_fsm.fsm.table import State
rows = tuple(replace(row, dest=State.DISCONNECTED) if row.id == "sub58" else row for row in machine.TABLE.rows)
machine.TABLE = replace(machine.TABLE, rows=rows)
"""


def pytest_on(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    arguments = (
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:asyncio",
        "-W",
        "error",
        "-o",
        "addopts=",
        f"--rootdir={folder}",
        *arguments,
        str(folder),
    )
    path = os.pathsep.join([str(folder), *sys.path])
    return subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


def test_emitted_tests_pass_and_fail_with_another_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "emitted"
    folder.mkdir()
    logs = {"known": RECORDS, **{f"s{seed}_{n}": records for seed in (21, 22) for n, records in enumerate(logs_of(seed))}}
    demo_log = tmp_path / "demo.jsonl"
    assert main(["demo", "--log", str(demo_log)]) == 0
    logs["demo"] = [json.loads(line) for line in demo_log.read_text().splitlines()]
    for name, records in some(logs.items()):
        log = write_log(tmp_path / f"{name}.jsonl", records)
        assert run_replay(capsys, log, "--emit-test", str(folder / f"test_{name}.py"))[0] == 0
    passed = pytest_on(folder)
    assert passed.returncode == 0, passed.stdout
    assert f"{2 * len(logs)} passed" in passed.stdout, "each path, and each scenario"
    (folder / "another_table.py").write_text(PLUGIN)
    failed = pytest_on(folder, "-p", "another_table")
    assert failed.returncode == 1
    assert "test_known.py::" in failed.stdout
    assert "test_demo.py::" in failed.stdout


CODE = """\
    seen: list[str] = []
    async for event in await realtime.subscribe("rows"):
        seen.append(event.action)
"""


def test_an_emitted_module_is_clean_and_runs_the_code_of_its_user(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = tmp_path / "test_it.py"
    for records in some([RECORDS, *logs_of(0)]):
        log = write_log(tmp_path / "it.jsonl", records)
        assert run_replay(capsys, log, "--emit-test", str(module))[0] == 0
        for tool in (
            ["ruff", "check", "--isolated", str(module)],
            ["ruff", "check", "--stdin-filename", "tests/test_it.py", "-"],
            ["mypy", "--strict", "--no-incremental", str(module)],
        ):
            checked = subprocess.run(
                [sys.executable, "-m", *tool], input=module.read_text(), capture_output=True, text=True, check=False, cwd=ROOT
            )
            assert checked.returncode == 0, checked.stdout
    text = module.read_text()
    begin, end = text.index("    subscription = await"), text.index("\n\ndef test_your_code")
    module.write_text(f"{text[:begin]}{CODE}{text[end:]}")
    assert "2 passed" in pytest_on(tmp_path).stdout
    module.write_text(f"{text[:begin]}    raise LookupError(repr(realtime))\n{text[end:]}")
    failed = pytest_on(tmp_path).stdout
    assert "LookupError" in failed
    assert "1 passed" in failed


def test_the_scenario_names_the_outages_of_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run_replay(capsys, write_log(tmp_path / "log", RECORDS), "--emit-test")
    assert 'SCRIPT = "30.1s drop"' in out
    assert 'assert outcome == Outcome(outages=("stream_ended",), is_live=True, error=None)' in out


def test_the_test_goes_to_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run_replay(capsys, write_log(tmp_path / "log", RECORDS), "--emit-test")
    assert code == 0
    assert "reproduced: 15 steps" in err
    tree = ast.parse(out)
    imported = {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    assert imported == {"__future__", "realtime_fsm"}
    assert not any(isinstance(node, ast.Import) for node in ast.walk(tree))
    assert TEST in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert "placeholders stand for them" in (ast.get_docstring(tree) or "")
    assert "Step(30.100, LinkClosed(1, 1006)," in out


def test_a_hostile_log_writes_no_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = '"""); import os; os._exit(7) #'
    records = [{**record, "connection_id": evil} for record in RECORDS]
    records = [{**record, "subscription": evil} if record.get("subscription") else record for record in records]
    code, out, _ = run_replay(capsys, write_log(tmp_path / "log", records), "--emit-test")
    assert code == 0
    assert "The path of a connection" in out
    assert "os" not in {node.id for node in ast.walk(ast.parse(out)) if isinstance(node, ast.Name)}


@pytest.mark.parametrize(
    ("path", "records", "code", "said"),
    [
        ("no/test_it.py", RECORDS, 2, "No such file or directory"),
        ("test_it.py", RECORDS[:1], 2, "there is no step to make a test of"),
    ],
)
def test_a_test_that_cannot_be_written_is_reported(
    path: str, records: list[Record], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write_log(tmp_path / "log", records)
    given, _, err = run_replay(capsys, log, "--emit-test", str(tmp_path / path))
    assert given == code
    assert said in err


def test_a_log_in_the_place_of_the_test_is_refused_with_the_order_of_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["replay", "--emit-test", "audit.jsonl"])
    assert "'audit.jsonl' does not end with .py: put FILE before --emit-test" in capsys.readouterr().err


def test_a_log_is_never_taken_for_the_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write_log(tmp_path / "log", RECORDS)
    before = Path(log).read_bytes()
    with pytest.raises(SystemExit):
        main(["replay", "--emit-test", log, log])
    assert "does not end with .py" in capsys.readouterr().err
    assert Path(log).read_bytes() == before
