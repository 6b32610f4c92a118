"""Run the benchmarks: ``python -m bench.run``, in the folder tests/. ``make bench`` calls this module."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import compare, imports, links, machine, spread
from bench.measure import Bench
from bench.picture import picture
from bench.report import Section, document, table

BENCHMARKS: dict[str, Callable[[Bench], Section]] = {
    "events": compare.events,
    "paced": compare.paced,
    "fan-out": spread.fan_out,
    "routing": spread.routing,
    "dial": links.dial,
    "memory": links.memory,
    "many": links.many,
    "import": imports.imports,
    "audit": machine.audit,
    "trigger": machine.trigger,
}
_RESULTS, _PICTURE = "RESULTS.md", "events.svg"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks, print the results, and write them on request."""
    parser = argparse.ArgumentParser(description="Run the benchmarks.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and events, for a first look")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS), help="run only these")
    parser.add_argument("--write", type=Path, metavar="DIRECTORY", help=f"write {_RESULTS} and {_PICTURE} there")
    options = parser.parse_args(arguments)
    began = time.monotonic()

    def log(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)

    with Bench(quick=options.quick, log=log) as bench:
        sections = [BENCHMARKS[name](bench) for name in options.only]
    log("done")
    for section in sections:
        print("", *section.lines(profiles=set(options.only) != set(BENCHMARKS)), sep="\n")
    targets = [(section.title, target) for section in sections for target in section.targets]
    missed = [(f"{title}: {name}", *found) for title, target in targets if not target.met for name, *found, _ in [target.cells()]]
    print(f"{len(targets) - len(missed)} of {len(targets)} targets are met.")
    if missed:
        print("", *table(["not met", "found", "bound"], missed), sep="\n")
    if options.write is not None:
        (options.write / _RESULTS).write_text(document(sections, _PICTURE), encoding="utf-8")
        for section in sections:
            if section.figures:
                (options.write / _PICTURE).write_text(picture(section.title, section.figures, section.marked), encoding="utf-8")
        print(f"Written: {options.write / _RESULTS}")


if __name__ == "__main__":
    main()
