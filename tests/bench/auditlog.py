"""Measure an audit: its CPU beside a bare decode and beside DuckDB's own scan, and its memory.

The real client makes the log in virtual time (`support.longlog`), with 1,000 connections at once. Four candidates read the log:

- a bare loop that decodes each line into a msgspec Struct with all fields of the records, and does nothing else;
- the same loop with a Struct of the fields that every auditor needs, which is the smallest possible decode;
- the audit, as the command runs it on a file;
- DuckDB, which counts the rows through `read_json`.

Each candidate runs in its own process, so its memory counts alone. The candidates alternate, so a disturbance of the machine
affects all of them. CPU time covers all threads and the reading of the file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from bench.process import TESTS, environment
from realtime_fsm.audit.auditor import Auditor
from realtime_fsm.audit.sources import open_log, read_blocks, split_lines
from support.longlog import Flat, write

RESULTS = Path(__file__).parent / "AUDIT.md"
PARTS = (0.1, 0.5, 1.0)
UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9}


class MinimalRecord(msgspec.Struct):
    """The fields that every auditor needs."""

    event: str
    connection_id: str
    seq: int
    timestamp: str
    link: int
    row: str = ""
    trigger: str = ""
    source: str = ""
    dest: str = ""
    dwell: float = 0.0
    attempt: int = 0
    sends: int = 0
    cause: str | None = None
    subscription: str = ""
    change: str = ""


def decode_lines(path: str, into: type[Any]) -> dict[str, Any]:
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(into).decode
    with open(path, "rb") as file:  # noqa: PTH123  (the plainest way)
        for line in file:
            decode(line)
    return {}


def audit(path: str) -> dict[str, Any]:
    auditor, marks = Auditor(), [part * Path(path).stat().st_size for part in PARTS]
    memory: list[tuple[float, int]] = []
    auditor.begin(path)
    with open_log(path) as file:
        done = 0
        for block in read_blocks(file):
            auditor.feed(split_lines(block))
            done += len(block)
            if done >= marks[len(memory)]:
                memory.append((peak(), len(auditor._connections.live)))
    report = auditor.finish()
    return {"verdict": report.verdict, "connections": report.connections_total, "memory": memory}


def scan(path: str) -> dict[str, Any]:
    import duckdb  # here, because an import takes memory

    with duckdb.connect() as database:
        database.execute("SELECT row, count(*) FROM read_json(?, format = 'newline_delimited') GROUP BY row", [path]).fetchall()
    return {}


def peak() -> float:
    """Return the peak of the resident set so far, in MB. Linux counts KB, and macOS counts bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


CANDIDATES: dict[str, Callable[[str], dict[str, Any]]] = {
    "bare": lambda path: decode_lines(path, Flat),
    "minimal": lambda path: decode_lines(path, MinimalRecord),
    "audit": audit,
    "duckdb": scan,
}


def child(name: str, path: str) -> None:
    before = time.process_time()
    result = CANDIDATES[name](path)
    print(json.dumps(result | {"seconds": time.process_time() - before, "peak": peak()}))


def run(name: str, path: Path) -> dict[str, Any]:
    """Run one candidate in its own process."""
    command = [sys.executable, "-m", "bench.auditlog", "--child", name, str(path)]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=TESTS, env=environment(), text=True).stdout
    return json.loads(result)  # type: ignore[no-any-return]


def size_of(text: str) -> int:
    try:
        return int(float(text[:-2]) * UNITS[text[-2:].upper()])
    except (KeyError, ValueError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 100MB") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=size_of, default=size_of("1GB"), help="size of the log, such as 100MB (1GB)")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds; the best one counts (%(default)s)")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audit.jsonl"
        print(f"-- a log of {options.size / 1e6:,.0f} MB, from the real client in virtual time ...", flush=True)
        lines = write(path, options.size)
        best: dict[str, dict[str, Any]] = {}
        for number in range(options.rounds):
            for name in CANDIDATES:
                print(f"-- round {number + 1}: {name} ...", flush=True)
                result = run(name, path)
                if name not in best or result["seconds"] < best[name]["seconds"]:
                    best[name] = result
    text = "\n".join(report(options.size, lines, options.rounds, best))
    print(f"\n{text}")
    if options.write:
        RESULTS.write_text(f"{text}\n", encoding="utf-8")


def report(size: int, lines: int, rounds: int, best: dict[str, dict[str, Any]]) -> Iterator[str]:
    audited = best["audit"]
    yield "# Results of `make bench-audit`"
    yield ""
    versions = f"CPython {platform.python_version()}, msgspec {msgspec.__version__}, DuckDB {version('duckdb')}"
    yield f"{os.cpu_count()} cores, {versions}."
    yield f"A log of {size / 1e6:,.0f} MB: {lines:,} lines of {audited['connections']:,} connections, 1,000 at a time."
    yield f"The audit's verdict: {audited['verdict']}. The best of {rounds} rounds."
    yield ""
    yield "| CPU seconds for a million lines | | | peak memory |"
    yield "|---|---:|---:|---:|"
    for name, label in (
        ("bare", "bare loop: read, decode into a Struct with all fields of the records"),
        ("minimal", "bare loop with the 15 fields that every auditor needs"),
        ("audit", "`realtime-fsm audit` (target: at most 4 times the first line)"),
        ("duckdb", "DuckDB's own scan: `count(*)` by row, all cores"),
    ):
        cpu = best[name]["seconds"]
        yield f"| {label} | {cpu / lines * 1e6:.2f} | {cpu / best['bare']['seconds']:.2f} x | {best[name]['peak']:.0f} MB |"
    yield ""
    yield "| part of the log | peak memory of the audit | connections followed |"
    yield "|---:|---:|---:|"
    for part, (megabytes, live) in zip(PARTS, audited["memory"], strict=True):
        yield f"| {part:.0%} | {megabytes:.0f} MB | {live:,} |"


if __name__ == "__main__":
    main()
