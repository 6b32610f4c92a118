"""The bar tells of long files only, and how far they are read."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from realtime_fsm.audit.progress import Progress

MIB = 1024 * 1024


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def files_of(path: Path, *sizes: int) -> list[str]:
    """Make files that take no room on the disk."""
    names = [path / f"log{number}" for number in range(len(sizes))]
    for name, size in zip(names, sizes, strict=True):
        with name.open("wb") as file:
            file.truncate(size)
    return [str(name) for name in names]


@pytest.mark.parametrize(
    ("sizes", "shown"),
    [((8 * MIB,), True), ((8 * MIB - 1,), False), ((3 * MIB, 5 * MIB), True), ((3 * MIB, 5 * MIB - 1), False), ((), False)],
)
def test_a_bar_is_shown_from_eight_mebibytes_on(sizes: tuple[int, ...], shown: bool, tmp_path: Path) -> None:
    terminal = Terminal()
    with Progress([*files_of(tmp_path, *sizes), str(tmp_path / "missing")], terminal) as progress:
        first = []
        for name in files_of(tmp_path, *sizes):
            with Path(name).open("rb") as file, progress.watch(file) as watched:
                first.append(watched.read(1))
    assert first == [b"\0"] * len(sizes)
    assert ("auditing [" in terminal.getvalue()) is shown
    assert terminal.getvalue().endswith("\r\x1b[K") is shown, "the line is cleared at the end"


def test_the_bar_grows_with_what_is_read_ten_times_a_second_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    now = 0.0
    monkeypatch.setattr("realtime_fsm.audit.progress.time.monotonic", lambda: now)
    progress = Progress(files_of(tmp_path, 16 * MIB), terminal)
    for now, count in ((0.0, 4), (0.09, 4), (0.1, 4), (0.15, 3), (0.25, 3)):  # noqa: B007  (the clock reads it)
        progress.add(count * MIB)
    assert terminal.getvalue().split("\r") == [
        "",
        f"auditing [{'#' * 8:<32}]  25% of 16 MB",
        f"auditing [{'#' * 24:<32}]  75% of 16 MB",
        f"auditing [{'#' * 32:<32}] 100% of 16 MB",
    ]
