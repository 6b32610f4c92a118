"""PNG through Graphviz (a script replaces it here: the tests need none), the generated files, and the picture in notebooks."""

from __future__ import annotations

import base64
import re
import shutil
import stat
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from generated.files import check, write_all
from realtime_fsm import TABLE, Realtime, State
from realtime_fsm.diagram import Diagram, DrawingFailed, NotebookDisplay, diagram

COMMITTED = Path(__file__).parents[2] / "diagrams"
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
GOOD = f"import sys; sys.stdout.buffer.write({PNG!r})"


def stand_in(monkeypatch: pytest.MonkeyPatch, directory: Path, script: str | None) -> None:
    """Make `dot` that script, or nothing."""
    directory.mkdir(exist_ok=True)
    if script is not None:
        command = directory / "dot"
        command.write_text(f"#!{sys.executable}\n{script}")
        command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(directory))


# --- the committed files ----------------------------------------------------------------------------------------------


def test_the_committed_diagrams_are_those_of_the_table() -> None:
    assert check(COMMITTED) == []


def test_a_difference_names_its_file_and_line(tmp_path: Path) -> None:
    shutil.copytree(COMMITTED, tmp_path, dirs_exist_ok=True)
    (tmp_path / "full.dot").unlink()
    states = tmp_path / "states.md"
    states.write_text(states.read_text().replace("# The states\n", "# The conditions\n"))
    (tmp_path / "table.json").write_text("{}\n")
    (tmp_path / "full.mmd").write_bytes((tmp_path / "full.mmd").read_bytes() + b"\n")
    (tmp_path / "overview.svg").write_text("<svg/>")
    remedy = "run `make diagrams`"
    length = len((tmp_path / "full.mmd").read_text().splitlines()) + 1
    assert check(tmp_path) == [
        f"{tmp_path}/overview.svg differs from its source in line 1: {remedy}",
        f"{tmp_path}/full.mmd differs from its source in line {length}: {remedy}",
        f"{tmp_path}/full.dot is missing: {remedy}",
        f"{states} differs from its source in line 3: {remedy}",
        f"{tmp_path}/table.json differs from its source in line 1: {remedy}",
    ]


def test_the_written_files_are_found_right_and_need_no_graphviz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, tmp_path / "bin", None)
    written = write_all(tmp_path / "new" / "diagrams")
    assert {path.name for path in written} <= {path.name for path in COMMITTED.iterdir()}
    assert check(tmp_path / "new" / "diagrams") == []


# --- Graphviz ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("dot") is None, reason="there is no Graphviz")
@pytest.mark.parametrize("view", ["overview", "full", "state:ping"])
def test_graphviz_draws_it_without_a_complaint(view: str) -> None:
    command = ["dot", "-Tsvg"]
    process = subprocess.run(command, input=diagram("dot", view, current=State.PING).encode(), capture_output=True, check=True)
    assert process.stderr == b""
    assert process.stdout.count(b"<svg ") == 1
    assert diagram("png", view).startswith(PNG[:16])


def test_a_picture_says_from_which_table_it_is() -> None:
    provenance = Diagram().provenance()
    assert re.fullmatch(rf"realtime_fsm table {TABLE.fingerprint} drawing [0-9a-f]{{12}}", provenance)
    assert diagram("svg").startswith(f"<!-- {provenance} -->\n<svg ")
    assert Diagram(current=State.PING).provenance() != provenance


def test_a_png_carries_its_provenance_and_stays_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, tmp_path, GOOD)
    picture = diagram("png", "full")
    assert Diagram("full").provenance().encode() in picture
    at, kinds = 8, []
    while at < len(picture):
        (length,) = struct.unpack(">I", picture[at : at + 4])
        body = picture[at + 4 : at + 8 + length]
        assert struct.unpack(">I", picture[at + 8 + length : at + 12 + length]) == (zlib.crc32(body),)
        kinds.append(body[:4])
        at += 12 + length
    assert kinds == [b"IHDR", b"tEXt", b"IDAT", b"IEND"]


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (None, "png needs Graphviz, and there is no `dot` command; install it (apt-get install graphviz"),
        ("import sys; sys.exit('line one\\nError: no layout nop2')", "`dot` failed: Error: no layout nop2; "),
        ("import sys; sys.exit(3)", "`dot` failed: exit code 3; "),
        ("", "`dot` failed: exit code 0; "),
        ("import time; time.sleep(60)", "`dot` did not finish in 0.2 seconds; "),
    ],
)
def test_a_failure_names_its_remedy(script: str | None, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, tmp_path, script)
    with pytest.raises(DrawingFailed) as caught:
        Diagram().picture("png", timeout=0.2 if script and "sleep" in script else 60.0)
    assert str(caught.value).startswith(sentence)
    assert str(caught.value).endswith(caught.value.remedy)


def test_a_command_that_cannot_run_names_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, tmp_path, "")
    (tmp_path / "dot").write_text("#!/no/such/interpreter\n")
    with pytest.raises(DrawingFailed, match=r"`dot` cannot be run: .*; reinstall Graphviz"):
        diagram("png")


# --- notebooks --------------------------------------------------------------------------------------------------------


class Shown(NotebookDisplay):
    state = State.PING


def for_notebooks(svg: str) -> str:
    """The picture with a root that shrinks to a narrow cell; without that, Chromium clips it in a cell of 620 pixels."""
    return svg.replace("<svg xmlns", '<svg style="max-width:100%;height:auto" xmlns')


def test_a_notebook_shows_the_picture_without_graphviz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, tmp_path, None)
    assert Shown()._repr_svg_() == for_notebooks(diagram("svg", current=State.PING))
    assert Diagram("full")._repr_svg_() == for_notebooks(diagram("svg", "full"))
    assert repr(Diagram("full")) == f"<Diagram full of table {TABLE.fingerprint}>"


def test_a_realtime_shows_itself() -> None:
    assert issubclass(Realtime, NotebookDisplay)
    realtime = Realtime("https://cloud.appwrite.io/v1", project="demo")
    assert realtime._repr_svg_() == for_notebooks(diagram("svg", current=State.DISCONNECTED))
    assert repr(realtime) == "<Realtime demo at https://cloud.appwrite.io/v1: disconnected>"
