"""The workflows, the forms for issues and the hooks: YAML that parses, names what exists, and asks for no right too many."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.dist import PROJECT, ROOT

FILES = sorted(path.relative_to(ROOT).as_posix() for path in (*ROOT.glob(".github/**/*.yml"), ROOT / ".pre-commit-config.yaml"))
WORKFLOWS = [name for name in FILES if "/workflows/" in name]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def load(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in load(name)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("name", FILES)
def test_it_is_a_mapping(name: str) -> None:
    assert isinstance(load(name), dict)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_an_action_is_pinned_and_a_job_ends_by_itself(name: str) -> None:
    used = [step["uses"] for step in steps(name) if "uses" in step]
    assert used
    assert [action for action in used if not re.search(r"@(v\d+|release/v\d+|[0-9a-f]{40})$", action)] == []
    assert all(job["timeout-minutes"] <= 60 for job in load(name)["jobs"].values())


@pytest.mark.parametrize("name", WORKFLOWS)
def test_only_what_publishes_may_write(name: str) -> None:
    workflow = load(name)
    assert workflow["permissions"] == {"contents": "read"}
    writers = {job for job, told in workflow["jobs"].items() if "write" in told.get("permissions", {}).values()}
    assert writers <= {"publish", "deploy"}


def test_every_python_of_the_classifiers_is_tested() -> None:
    promised = [text.rpartition(" ")[2] for text in PROJECT["project"]["classifiers"] if "Python :: 3." in text]
    jobs = load(".github/workflows/test.yml")["jobs"]
    assert [job["strategy"]["matrix"]["python"] for job in jobs.values()] == [promised, promised]


def test_a_release_is_attested_and_needs_no_token() -> None:
    publish = load(".github/workflows/release.yml")["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    (action,) = (step for step in publish["steps"] if step["uses"].startswith("pypa/gh-action-pypi-publish@"))
    assert action["with"] == {"attestations": True}


@pytest.mark.parametrize("name", [*FILES, ".ci/run"])
def test_a_target_or_a_test_that_it_names_exists(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    commands = re.findall(r"(?:run: |entry: |^)make ([a-z -]+)", text, re.MULTILINE)
    assert {word for words in commands for word in words.split()} <= TARGETS
    assert [path for path in re.findall(r"\btests/[\w/.]+", text) if not Path(ROOT, path).exists()] == []


def test_the_bug_report_asks_for_the_log_and_its_audit_and_warns_of_secrets() -> None:
    form = load(".github/ISSUE_TEMPLATE/bug.yml")["body"]
    required = {part["id"] for part in form if part.get("validations", {}).get("required")}
    assert {"log", "audit", "versions"} <= required
    assert "Never paste a session" in form[0]["attributes"]["value"]
    assert form[-1]["attributes"]["options"][0]["required"] is True
