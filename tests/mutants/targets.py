"""Choose the tests of a module: its namesakes first, then tests that import the module, then tests of its package."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

LONG = (
    "simulation/simulation",
    "bench/bench",
    "mutants/mutants",
    "runtime/fleet",
    "runtime/uvloop",
    "testing/peers",
    "cli/output",
)
"""Tests that judge no mutant, because they take long or measure."""
PACKAGES = {
    "protocol": "protocol/channels protocol/channel_checks protocol/faults protocol/frames protocol/payloads"
    " protocol/queries protocol/eras events protocol/options protocol/spec runtime/recordings_client",
    "fsm": "fsm/machine fsm/table_oracle fsm/tablespec fsm/policies fsm/descriptions fsm/names fsm/subscriptions"
    " fsm/budget fsm/pacer fsm/handover client/update client/identity client/presence runtime/drain_check"
    " runtime/faults runtime/refused_requests fsm/subscribe_queue runtime/server_fault runtime/suspend fsm/retries"
    " runtime/canary client/realtime runtime/handover_client",
    "auditlog": "auditlog/writer auditlog/file audit/facts runtime/recordings_client",
    "runtime": "runtime/driver client/realtime runtime/stream_buffer runtime/event_buffer client/callbacks runtime/canary"
    " catch_up runtime/gaps runtime/overflow runtime/pause runtime/readahead runtime/transport runtime/proxies"
    " runtime/tls runtime/dials client/identity client/presence runtime/handover_client runtime/eras_client"
    " auditlog/writer runtime/shutdown runtime/drain_check client/batches runtime/suspend client/user_code"
    " fsm/retries runtime/floods client/ending_in_callables runtime/recordings_client",
    "client": "client/realtime client/callbacks client/blocking client/blocking_callables client/typed client/batches"
    " client/update client/appwrite_sdk runtime/shutdown public runtime/console client/ending_in_callables",
    "cli": "cli/main cli/listen cli/serve cli/demo cli/diagram cli/describe cli/output audit/command"
    " cli/replay cli/replay_view cli/replay_emit",
    "diagram": "diagram/drawing diagram/layout diagram/generated",
    "audit": "auditlog/writer audit/facts audit/broken_logs audit/conformant audit/statistics audit/outages"
    " audit/sources audit/sql audit/exports audit/command audit/stays audit/altered_walks",
    "audit/formats": "audit/command audit/page audit/exports audit/statistics",
    "replay": "replay/replayer replay/replayed_walks replay/divergence replay/test_writer replay/replay_eras"
    " replay/scenario cli/replay cli/replay_emit",
    "testing": "testing/server testing/url testing/backend testing/server_failures testing/upgrade testing/users"
    " testing/connection testing/presence testing/queries testing/wire testing/eras"
    " testing/virtual testing/memory testing/blocking testing/assertions"
    " testing/server_fault testing/script testing/recordings_server runtime/recordings_eras",
    "": "events errors secrets catch_up auditlog/writer public client/blocking cli/main",
}
"""The tests of each package, in the order of the run."""
TABLE = "realtime_fsm/fsm/table.py"
DRIFT = "tests/diagram/test_generated.py::test_the_committed_diagrams_are_those_of_the_table"
"""The check that compares diagrams/ with the table. It alone would kill every mutant of the table."""


@cache
def _texts(root: Path) -> dict[str, str]:
    """Return the text of each test file, by its path below tests/ without ``test_`` and ``.py``."""
    tests = root / "tests"
    return {_name(test.relative_to(tests)): test.read_text() for test in sorted(tests.rglob("test_*.py"))}


def _name(test: Path) -> str:
    return (test.parent / test.stem.removeprefix("test_")).as_posix()


def file_of(name: str) -> str:
    """Return the path of a test file, from its name in `PACKAGES`."""
    folder, _, stem = name.rpartition("/")
    return f"tests/{folder}/test_{stem}.py" if folder else f"tests/test_{stem}.py"


@cache
def files_for(module: str, root: Path) -> list[str]:
    """Return the test files of a module, the nearest first. All paths are relative to the root."""
    path = Path(module)
    dotted = ".".join(path.with_suffix("").parts)
    package, _, stem = dotted.rpartition(".")
    imports = re.compile(rf"(?:from|import) {re.escape(dotted)}\b|from {re.escape(package)} import (?:\([^)]*|[^(\n]*)\b{stem}\b")
    mirror = path.relative_to("realtime_fsm").with_suffix("").as_posix()
    near = [test for test, text in _texts(root).items() if stem in text and imports.search(text)]
    package = path.parent.relative_to("realtime_fsm").as_posix()
    general = PACKAGES["" if package == "." else package].split()
    chosen = dict.fromkeys([mirror, *near, *general])
    return [file_of(test) for test in chosen if test not in LONG and test in _texts(root)]
