"""The distributions: what wheel and sdist hold, and how they describe themselves."""

from __future__ import annotations

import os
import re
import tarfile
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

import pytest

import realtime_fsm
from support.dist import PROJECT, ROOT, build

GENERATED = {"__pycache__", "node_modules", "_build"}
FOLDERS = (".ci", ".github", "diagrams", "docs", "realtime_fsm", "tests")
FILES = (".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "SECURITY.md", "pyproject.toml")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the sdist."""
    wheel, sdist = build(tmp_path_factory.mktemp("dist"))
    return wheel, sdist


def tree(*folders: str) -> Iterator[str]:
    """The files of the repository in some folders."""
    for folder in folders:
        for place, below, names in os.walk(ROOT / folder):
            below[:] = [name for name in below if name not in GENERATED]
            yield from (Path(place, name).relative_to(ROOT).as_posix() for name in names)


def test_the_wheel_holds_the_package_and_nothing_else(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == set(tree("realtime_fsm"))
    assert "realtime_fsm/py.typed" in names


def test_the_sdist_holds_all_that_make_needs(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[1]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {*tree(*FOLDERS), *FILES} <= names
    assert names - {*tree(*FOLDERS), *FILES} <= {"PKG-INFO", "llms.txt", ".pre-commit-config.yaml"}


def test_the_description(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        described = Parser().parsestr(wheel.read(name).decode())
    assert described["Version"] == realtime_fsm.__version__
    assert described.get_all("Provides-Extra") == ["appwrite", "nats", "otel", "speed", "tui", "zst"]
    links = dict(link.split(", ") for link in described.get_all("Project-URL", []))
    assert links.keys() == {"Documentation", "Source", "Issues", "Changelog"}
    pythons = [text.rpartition(" ")[2] for text in described.get_all("Classifier", []) if "Python :: 3." in text]
    assert pythons == ["3.11", "3.12", "3.13", "3.14"]


@pytest.mark.parametrize("group", PROJECT["dependency-groups"])
def test_a_group_of_packages_is_locked_with_hashes_and_names_no_host(group: str) -> None:
    name = "requirements.txt" if group == "dev" else f"requirements-{group}.txt"
    lock = (ROOT / ".ci" / name).read_text(encoding="utf-8")
    assert "://" not in lock
    pins = {
        block.split("==")[0]: block.count("--hash=sha256:") for block in lock.replace("\\\n", " ").splitlines() if "==" in block
    }
    wanted = {re.split("[<>[]", text)[0] for text in PROJECT["dependency-groups"][group]}
    assert wanted <= pins.keys()
    assert all(pins.values())
