"""The names of the package: each is loaded when it is used, and `diagram` stays the function."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import realtime_fsm


@pytest.mark.parametrize(
    "code",
    [
        "import realtime_fsm; realtime_fsm.diagram().splitlines()",
        "import realtime_fsm.diagram.mermaid; realtime_fsm.diagram().splitlines()",
        "from realtime_fsm import Realtime, diagram; diagram().splitlines()",
        "from realtime_fsm import *; diagram().splitlines(); Realtime",
        "import realtime_fsm; realtime_fsm.errors.Disposed; realtime_fsm.sync.Realtime",
        "import realtime_fsm, sys; assert not {'aiohttp', 'asyncio', 'msgspec'} & sys.modules.keys()",
    ],
)
def test_a_program_may_begin_with(code: str) -> None:
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_a_private_name_is_no_module() -> None:
    with pytest.raises(AttributeError, match="module 'realtime_fsm' has no attribute '_private'"):
        _ = realtime_fsm._private  # type: ignore[attr-defined]


def test_a_dependency_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_for_this_test.py").write_text("import missing_dependency")
    monkeypatch.setattr(realtime_fsm, "__path__", [*realtime_fsm.__path__, str(tmp_path)])
    with pytest.raises(ModuleNotFoundError, match="missing_dependency"):
        getattr(realtime_fsm, "broken_for_this_test")  # noqa: B009
