"""What an audit costs: its CPU beside a bare decode of the same lines and beside DuckDB's own scan, and its memory.

The log is made by the real client in virtual time (`support.longlog`): 1,000 connections at once. It is read by

- a bare loop that decodes each line into a msgspec Struct with all fields of the records, and does nothing else;
- the same with a Struct of only those fields that an auditor cannot do without, which is the least that one could decode;
- the audit, as the command runs it on a file;
- DuckDB, which counts the rows through `read_json`.

Each runs in a process of its own, so that its memory is its own, and in turn with the others, so that what disturbs the machine
disturbs all of them. CPU time is that of all threads, and reading the file is in it.
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


class Least(msgspec.Struct):
    """The fields that an auditor cannot do without."""

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


def decoded(path: str, into: type[Any]) -> dict[str, Any]:
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(into).decode
    with open(path, "rb") as file:  # noqa: PTH123  (as plainly as can be)
        for line in file:
            decode(line)
    return {}


def audit(path: str) -> dict[str, Any]:
    auditor, marks = Auditor(keep=False), [part * Path(path).stat().st_size for part in PARTS]
    memory: list[tuple[float, int]] = []
    auditor.begin(path)
    with open_log(path) as file:
        read = 0
        for block in read_blocks(file):
            auditor.feed(split_lines(block))
            read += len(block)
            if read >= marks[len(memory)]:
                memory.append((peak(), auditor.live))
    report = auditor.finish()
    return {"verdict": report.verdict, "connections": report.connections_total, "memory": memory}


def scan(path: str) -> dict[str, Any]:
    import duckdb  # here, because what is imported takes memory

    with duckdb.connect() as database:
        database.execute("SELECT row, count(*) FROM read_json(?, format = 'newline_delimited') GROUP BY row", [path]).fetchall()
    return {}


def peak() -> float:
    """The peak of the resident set so far, in MB; Linux tells it in KB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


CANDIDATES: dict[str, Callable[[str], dict[str, Any]]] = {
    "bare": lambda path: decoded(path, Flat),
    "least": lambda path: decoded(path, Least),
    "audit": audit,
    "duckdb": scan,
}


def child(name: str, path: str) -> None:
    before = time.process_time()
    told = CANDIDATES[name](path)
    print(json.dumps(told | {"seconds": time.process_time() - before, "peak": peak()}))


def run(name: str, path: Path) -> dict[str, Any]:
    """One candidate, in a process of its own."""
    words = [sys.executable, "-m", "bench.auditlog", "--child", name, str(path)]
    told = subprocess.run(words, check=True, stdout=subprocess.PIPE, cwd=TESTS, env=environment(), text=True).stdout
    return json.loads(told)  # type: ignore[no-any-return]


def size_of(word: str) -> int:
    try:
        return int(float(word[:-2]) * UNITS[word[-2:].upper()])
    except (KeyError, ValueError):
        raise argparse.ArgumentTypeError(f"{word!r} is no size such as 100MB") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=size_of, default=size_of("1GB"), help="of the log, such as 100MB (1GB)")
    parser.add_argument("--rounds", type=int, default=3, help="of which the best counts (%(default)s)")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audit.jsonl"
        print(f"-- a log of {options.size / 1e6:,.0f} MB, by the real client in virtual time ...", flush=True)
        lines = write(path, options.size)
        best: dict[str, dict[str, Any]] = {}
        for number in range(options.rounds):
            for name in CANDIDATES:
                print(f"-- round {number + 1}: {name} ...", flush=True)
                told = run(name, path)
                if name not in best or told["seconds"] < best[name]["seconds"]:
                    best[name] = told
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
    yield f"A log of {size / 1e6:,.0f} MB: {lines:,} lines of {audited['connections']:,} connections, 1,000 of them at a time."
    yield f"The audit's verdict: {audited['verdict']}. The best of {rounds} rounds."
    yield ""
    yield "| CPU seconds for a million lines | | | peak memory |"
    yield "|---|---:|---:|---:|"
    for name, label in (
        ("bare", "bare loop: read, decode into a Struct with all fields of the records"),
        ("least", "bare loop with the 15 fields that an auditor cannot do without"),
        ("audit", "`realtime-fsm audit` (target: at most four times the first line)"),
        ("duckdb", "DuckDB's own scan: `count(*)` by row, all cores"),
    ):
        cpu = best[name]["seconds"]
        yield f"| {label} | {cpu / lines * 1e6:.2f} | {cpu / best['bare']['seconds']:.2f} x | {best[name]['peak']:.0f} MB |"
    yield ""
    yield "| part of the log that is read | peak memory of the audit | connections followed |"
    yield "|---:|---:|---:|"
    for part, (megabytes, live) in zip(PARTS, audited["memory"], strict=True):
        yield f"| {part:.0%} | {megabytes:.0f} MB | {live:,} |"


if __name__ == "__main__":
    main()
