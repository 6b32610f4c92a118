"""What an audit costs: its CPU beside a bare decode of the same lines and beside DuckDB's own scan, and its memory.

The log is made by the real client in virtual time (`support.longlog`): 1,000 connections at once. The bare loop reads the file
line by line and decodes each into a Struct with the fields of the records that matter; nothing else. Each candidate runs in a
process of its own, so that its memory is its own.
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
from collections.abc import Callable
from pathlib import Path

import duckdb
import msgspec

from realtime_fsm.auditing.auditor import Auditor
from realtime_fsm.auditing.sources import blocks_of, open_log
from support.longlog import write

RESULTS = Path(__file__).parent / "AUDIT.md"
PARTS = (0.1, 0.5, 1.0)


class Bare(msgspec.Struct):
    """The fields that an auditor needs."""

    event: str
    machine: str
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
    change: str = ""
    subscription: str = ""
    round_trip: float = 0.0


def bare(path: str) -> int:
    decode, count = msgspec.json.Decoder(Bare).decode, 0
    with open(path, "rb") as file:  # noqa: PTH123  (as plainly as can be)
        for line in file:
            decode(line)
            count += 1
    return count


def audit(path: str) -> int:
    auditor, size, parts = Auditor(), Path(path).stat().st_size, list(PARTS)
    auditor.begin(path)
    with open_log(path) as file:
        read = 0
        for block in blocks_of(file):
            auditor.feed_block(block)
            read += len(block)
            if read >= parts[0] * size:
                say_memory(parts.pop(0), auditor.live)
    report = auditor.finish()
    print(json.dumps({"verdict": report.verdict}))
    return report.lines


def scan(path: str) -> int:
    with duckdb.connect() as database:
        rows = database.execute(
            "SELECT row, count(*) FROM read_json(?, format = 'newline_delimited') GROUP BY row", [path]
        ).fetchall()
    return sum(count for _, count in rows)


def say_memory(part: float, live: int) -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    print(json.dumps({"part": part, "megabytes": pages * os.sysconf("SC_PAGESIZE") / 1e6, "connections": live}))


CANDIDATES: dict[str, Callable[[str], int]] = {"bare": bare, "audit": audit, "duckdb": scan}


def child(name: str, path: str) -> None:
    before = time.process_time()
    lines = CANDIDATES[name](path)
    seconds = time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps({"lines": lines, "seconds": seconds, "peak": peak}))


def run(name: str, path: Path) -> list[dict[str, float]]:
    """One candidate, in a process of its own."""
    words = [sys.executable, "-m", "bench.auditlog", "--child", name, str(path)]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in told.splitlines()]


def size_of(word: str) -> int:
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9}
    return int(float(word[:-2]) * units[word[-2:].upper()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=size_of, default=size_of("1GB"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    parser.add_argument("--child", nargs=2)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audit.jsonl"
        print(f"-- a log of {options.size / 1e6:,.0f} MB, by the real client in virtual time ...", flush=True)
        lines = write(path, options.size)
        best: dict[str, float] = {}
        told: list[dict[str, float]] = []
        for number in range(options.rounds):
            for name in CANDIDATES:
                print(f"-- round {number + 1}: {name} ...", flush=True)
                answers = run(name, path)
                best[name] = min(best.get(name, 1e9), answers[-1]["seconds"])
                told = answers if name == "audit" else told
    text = list(report(options.size, lines, best, told))
    print("\n".join(text))
    if options.write:
        RESULTS.write_text("\n".join(text) + "\n", encoding="utf-8")


def report(size: int, lines: int, best: dict[str, float], told: list[dict[str, float]]) -> list[str]:
    million = lines / 1e6
    memory = [answer for answer in told if "part" in answer]
    verdict = next(answer["verdict"] for answer in told if "verdict" in answer)
    return [
        "# Results of `make bench-audit`",
        "",
        f"{os.cpu_count()} cores, CPython {platform.python_version()}; a log of {size / 1e6:,.0f} MB, {lines:,} lines,"
        " 1,000 connections at once.",
        f"The audit says: {verdict}.",
        "",
        "| CPU seconds for a million lines, best round | | |",
        "|---|---:|---:|",
        f"| bare loop: read, decode into a Struct | {best['bare'] / million:.2f} | 1.00 x |",
        f"| `realtime-fsm audit` (target: at most 2 x) | {best['audit'] / million:.2f} | {best['audit'] / best['bare']:.2f} x |",
        f"| DuckDB's own scan, all cores | {best['duckdb'] / million:.2f} | {best['duckdb'] / best['bare']:.2f} x |",
        "",
        "| part of the log | memory of the audit | connections followed |",
        "|---:|---:|---:|",
        *(f"| {100 * m['part']:.0f} % | {m['megabytes']:.0f} MB | {m['connections']:.0f} |" for m in memory),
    ]


if __name__ == "__main__":
    main()
