"""The command: ``python -m bench.run``, in the folder tests/. ``make bench`` calls it; ``--help`` says the rest."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import compare, links, machine, spread
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
    "audit": machine.audit,
    "trigger": machine.trigger,
}
_RESULTS, _PICTURE = "RESULTS.md", "events.svg"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks, print what was found, and write it where it is asked for."""
    parser = argparse.ArgumentParser(description="The benchmarks.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and events: a look, not a result")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS), help="some of them")
    parser.add_argument("--write", type=Path, metavar="DIRECTORY", help=f"where to write {_RESULTS} and {_PICTURE}")
    given = parser.parse_args(arguments)
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)

    with Bench(quick=given.quick, say=say) as bench:
        sections = [BENCHMARKS[name](bench) for name in given.only]
    say("done")
    for section in sections:
        print("", *section.lines(profiles=set(given.only) != set(BENCHMARKS)), sep="\n")
    targets = [(section.title, target) for section in sections for target in section.targets]
    missed = [(f"{title}: {what}", *found) for title, target in targets if not target.met for what, *found, _ in [target.cells()]]
    print(f"{len(targets) - len(missed)} of {len(targets)} targets are met.")
    if missed:
        print("", *table(["not met", "found", "to reach"], missed), sep="\n")
    if given.write is not None:
        (given.write / _RESULTS).write_text(document(sections, _PICTURE), encoding="utf-8")
        for section in sections:
            if section.figures:
                (given.write / _PICTURE).write_text(picture(section.title, section.figures, section.marked), encoding="utf-8")
        print(f"Written: {given.write / _RESULTS}")


if __name__ == "__main__":
    main()
