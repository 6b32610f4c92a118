"""Build wheel and sdist, and try each in an empty environment: ``python -m support.dist`` in tests/. `make dist` calls it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "dist"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SECONDS = 80.0
"""The most time that a command may take; the longest one installs four packages."""


def build(place: Path) -> list[Path]:
    """Build the wheel and the sdist in a folder; return both."""
    command = (sys.executable, "-m", "hatchling", "build", "-d", str(place))
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return sorted(place.glob("realtime_fsm-*"))


def try_in_empty_environment(built: Path) -> str | None:
    """Install a distribution, import the package, and run the demonstration, all outside of this tree.

    Returns:
        The output of the command that fails; None where all goes well.
    """
    with tempfile.TemporaryDirectory() as place:
        environment = Path(place, "env")
        venv.create(environment)
        programs = environment / ("Scripts" if sys.platform == "win32" else "bin")
        python = str(programs / "python")
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
        for command in (
            (*pip, "install", "--quiet", str(built)),
            (*pip, "check"),
            (python, "-c", "import realtime_fsm"),
            (str(programs / "realtime-fsm"), "demo"),
        ):
            done = subprocess.run(
                command, cwd=place, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS
            )
            if done.returncode:
                return f"{built.name}: {' '.join(command)}\n{done.stdout}"
    return None


def main() -> None:
    """Build, check the description, and try both at the same time."""
    began = time.monotonic()
    shutil.rmtree(DIST, ignore_errors=True)
    files = build(DIST)
    subprocess.run((sys.executable, "-m", "twine", "--no-color", "check", "--strict", *map(str, files)), check=True)
    with ThreadPoolExecutor() as pool:
        failed = [text for text in pool.map(try_in_empty_environment, files) if text is not None]
    if failed:
        sys.exit("\n".join(failed))
    print(
        f"== dist: each installs and works in an empty environment; both are in {DIST.name}/ ({time.monotonic() - began:.0f} s)"
    )


if __name__ == "__main__":
    main()
