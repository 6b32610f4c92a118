"""The tests that concern a module: those that import it, those that are named after it, then those of its package."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

LONG = (
    "test_simulation",
    "test_bench",
    "test_mutants",
    "test_fleet",
    "test_uvloop",
    "test_peers",
    "test_cli_output",
)
"""Tests that judge no mutant: they take long, or measure."""
PACKAGES = {
    "protocol": "channels channel_checks frames payloads queries eras events options wishes recordings_client",
    "errors": "errors secrets",
    "fsm": "machine table_oracle form policies meanings names book budget pacer handover update identity presence farewell"
    " faults refused_requests repetitions server_fault wakeful retries canary client handover_client",
    "auditlog": "audit auditfile auditing_facts recordings_client",
    "runtime": "driver client inbox buffer callbacks canary catch_up gaps overflow pause readahead transport proxies tls dials"
    " identity presence handover_client eras_client audit shutdown farewell batches wakeful user_code retries floods"
    " ending_in_callables recordings_client",
    "client": "client callbacks sync sync_callables typed batches update official shutdown public console ending_in_callables",
    "cli": "cli cli_output auditing_command replay_command",
    "diagram": "diagram diagram_files",
    "audit": "audit auditing_facts auditing_broken auditing_conformant auditing_life auditing_outages auditing_sources"
    " auditing_sql auditing_exports auditing_command auditing_walks",
    "audit/formats": "auditing_command auditing_exports auditing_life",
    "replay": "replay replay_eras replay_command",
    "testing": "testing_server testing_url testing_events testing_faults testing_identity testing_peer testing_presence"
    " testing_queries testing_eras testing_server_fault testing_script recordings_server recordings_eras",
    "": "events errors catch_up audit public sync cli",
}
"""The tests of each package, in the order in which they are asked."""
TABLE = "realtime_fsm/fsm/table.py"
DRIFT = "tests/test_diagram_files.py::test_the_committed_diagrams_are_those_of_the_table"
"""The check that compares diagrams/ with the table; it would kill every mutant of the table by itself."""


@cache
def _texts(root: Path) -> dict[str, str]:
    return {test.stem: test.read_text() for test in sorted((root / "tests").glob("test_*.py"))}


@cache
def files_for(module: str, root: Path) -> list[str]:
    """The test files that concern a module, the nearest first; both relative to the root."""
    path = Path(module)
    dotted = ".".join(path.with_suffix("").parts)
    package, _, stem = dotted.rpartition(".")
    imports = re.compile(rf"(?:from|import) {re.escape(dotted)}\b|from {re.escape(package)} import (?:\([^)]*|[^(\n]*)\b{stem}\b")
    near, named = [], []
    for test, text in _texts(root).items():
        if test in LONG:
            continue
        if test.removeprefix("test_") in (stem, f"{path.parent.name}_{stem}"):
            named.append(test)
        elif stem in text and imports.search(text):
            near.append(test)
    place = path.parent.relative_to("realtime_fsm").as_posix()
    general = [f"test_{name}" for name in PACKAGES["" if place == "." else place].split()]
    chosen = dict.fromkeys([*named, *near, *general])
    return [f"tests/{stem}.py" for stem in chosen if stem not in LONG and (root / f"tests/{stem}.py").exists()]
