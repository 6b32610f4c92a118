"""``realtime-fsm explain``: tell the meaning of a word in a log, a report or the table, and the next step."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from realtime_fsm.cli.output import columns, fold, pretty_json
from realtime_fsm.cli.words import by_kind, explain

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

    from realtime_fsm.cli.words import Meaning

WORD = "WORD"
"""The name of the argument; the completion finds the argument by it."""
_INDENT = 15
_SHOWN = 6
_HEAD = "realtime-fsm explain WORD tells the meaning of each of these; explain causes lists all causes."


def add_parser(commands: Any) -> None:
    """Add the subcommand to the command line."""
    parser = commands.add_parser(
        "explain",
        help="tell the meaning of a rule, cause, error or other word, and what to do",
        description="Tell the meaning of a word in a log, a report or the table, and what to do: the id of a transition rule such"
        " as sub58, a cause such as error_frame, an error such as RetriesExhausted, a state, a trigger, a record or its field."
        " Without a word, list the kinds of words; with a kind such as causes, its words.",
    )
    parser.add_argument("words", metavar=WORD, nargs="*", help="a word, in upper or lower case")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="format of the answer (%(default)s)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the meanings; return the exit code."""
    if options.format == "json":
        answer = [meaning for word in options.words for meaning in explain(word)] if options.words else _words()
        print(pretty_json(answer))
        return 0
    asked = [explain(word) for word in options.words]  # all of them, before the first is printed
    for line in chain.from_iterable(map(_told, asked)) if asked else _list_kinds():
        print(line)
    return 0


def _words() -> dict[str, list[str]]:
    return {kind: [meaning.word for meaning in meanings] for kind, meanings in by_kind().items()}


def _list_kinds() -> Iterator[str]:
    yield from fold(_HEAD, columns())
    yield ""
    for kind, words in _words().items():
        more = ", ..." if len(words) > _SHOWN else ""
        yield from fold(f"{', '.join(words[:_SHOWN])}{more}", columns(), f"{kind:<9} {len(words):>3}  ", " " * _INDENT)


def _told(meanings: Sequence[Meaning]) -> Iterator[str]:
    """Tell the meanings of one word in full, and those of several words in a line each."""
    if len({meaning.word for meaning in meanings}) == 1:
        return chain.from_iterable(map(_lines, meanings))
    return (f"{meaning.word}: {meaning.means}" for meaning in meanings)


def _lines(meaning: Meaning) -> Iterator[str]:
    yield f"{meaning.word} ({meaning.kind})"
    yield from fold(meaning.means, columns(), "  ", "  ")
    for name, lines in meaning.facts.items():
        if all(" " not in line for line in lines):
            lines = [" ".join(lines)]
        yield from _labelled(name, lines)
    if meaning.advice:
        yield from _labelled("what to do", [meaning.advice])
    yield ""


def _labelled(name: str, lines: Iterable[str]) -> Iterator[str]:
    label = f"  {name}".ljust(_INDENT)
    for line in lines:
        yield from fold(line, columns(), label, " " * _INDENT)
        label = " " * _INDENT
