"""``realtime-fsm explain``: tell the meaning of a word in a log, a report or the table, and the next step."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any

import msgspec

from realtime_fsm.cli.words import by_kind, explain

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from realtime_fsm.cli.words import Meaning

WORD = "WORD"
"""The name of the argument, by which the completion finds it."""
_WIDE = 100
_INDENT = 15
_SHOWN = 6


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
        print(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())
        return 0
    asked = [explain(word) for word in options.words]  # all of them, before the first is printed
    for meanings in asked:
        whole = len({meaning.word for meaning in meanings}) == 1
        for line in (line for meaning in meanings for line in (_lines(meaning) if whole else _short(meaning))):
            print(line)
    if not asked:
        for line in _list_kinds():
            print(line)
    return 0


def _words() -> dict[str, list[str]]:
    return {kind: [meaning.word for meaning in meanings] for kind, meanings in by_kind().items()}


def _list_kinds() -> Iterator[str]:
    yield "realtime-fsm explain WORD tells the meaning of each of these; explain causes lists all causes."
    yield ""
    for kind, words in _words().items():
        more = ", ..." if len(words) > _SHOWN else ""
        yield f"{kind:<9} {len(words):>3}  {', '.join(words[:_SHOWN])}{more}"


def _short(meaning: Meaning) -> Iterator[str]:
    yield f"{meaning.word}: {meaning.means}"


def _lines(meaning: Meaning) -> Iterator[str]:
    yield f"{meaning.word} ({meaning.kind})"
    yield from _paragraph(meaning.means)
    for name, lines in meaning.facts.items():
        if all(" " not in line for line in lines):
            lines = [" ".join(lines)]
        yield from _labelled(name, lines)
    if meaning.advice:
        yield from _labelled("what to do", [meaning.advice])
    yield ""


def _labelled(name: str, lines: Iterable[str]) -> Iterator[str]:
    label = name
    for line in lines:
        for part in _folded(line, _WIDE - _INDENT):
            yield f"  {label:<{_INDENT - 2}}{part}"
            label = ""


def _paragraph(text: str) -> Iterator[str]:
    yield from (f"  {line}" for line in _folded(text, _WIDE - 2))


def _folded(text: str, width: int) -> list[str]:
    return wrap(text, width, break_long_words=False, break_on_hyphens=False)
