"""The import of the package: fast, because it loads what each program needs, and nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

import realtime_fsm

LOADED_WHEN_USED = (
    "aiohttp.web", "asyncio.subprocess", "csv", "difflib", "duckdb", "importlib.metadata", "uvloop",
    "realtime_fsm.audit", "realtime_fsm.cli", "realtime_fsm.client.explanation", "realtime_fsm.client.health",
    "realtime_fsm.diagram.drawing", "realtime_fsm.diagram.graphviz",
    "realtime_fsm.replay", "realtime_fsm.testing",
)  # fmt: skip


def run(code: str) -> str:
    """Run some Python in a new process; return its output."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout


def test_the_import_loads_no_tool() -> None:
    loaded = set(run("import sys; from realtime_fsm import Realtime; print(*sys.modules)").split())
    from_the_libraries = set(run("import sys, aiohttp, transitions, structlog, msgspec; print(*sys.modules)").split())
    assert "realtime_fsm.client.realtime" in loaded
    own = loaded - from_the_libraries
    assert [name for name in LOADED_WHEN_USED if any(f"{other}.".startswith(f"{name}.") for other in own)] == []


@pytest.mark.parametrize("name", ["Diagram", "DrawingFailed", "diagram"])
def test_a_name_is_the_same_whatever_was_imported_before(name: str) -> None:
    code = (
        "import realtime_fsm.diagram.graphviz, realtime_fsm as r; from realtime_fsm import {0}; print({0} is r.{0}, {0}.__name__)"
    )
    assert run(code.format(name)).split() == ["True", name]


def test_dir_lists_every_name_before_it_is_loaded() -> None:
    for module in ("realtime_fsm", "realtime_fsm.audit", "realtime_fsm.diagram"):
        missing = run(f"import {module}, sys; m = sys.modules[{module!r}]; print(set(m.__all__) - set(dir(m)))")
        assert missing.strip() == "set()"


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'realtime_fsm' has no attribute 'Realtimes'"):
        _ = realtime_fsm.Realtimes  # type: ignore[attr-defined]
    assert run("import realtime_fsm.diagram, sys; print(hasattr(sys.modules['realtime_fsm.diagram'], 'drawings'))") == "False\n"
