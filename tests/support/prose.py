"""The banned words: docstrings, comments, messages and pages use one term for each concept, and name their actors.

``python -m support.prose [PATH ...]`` prints each finding with its place, and ends with 1 if there is one.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
BANNED = {
    # private words for what the field has a name for
    r"seats?": "context",
    r"wish(es)?": "subscription spec",
    r"rosters?": "registry",
    r"inbox(es)?": "buffer",
    r"farewells?": "drain check",
    r"retiring": "draining",
    r"mak(es?|ing) room": "is draining; is evicted",
    r"made room": "drained; was evicted",
    r"let(s|ting)? go of": "close, abort, release",
    r"ha(s|ve) come after": "has caught up",
    r"ow(ed|es|e)": "undelivered events",
    r"fares? well": "is confirmed",
    r"mend(s|ed|ing)?": "fix, repair, clear",
    r"sign of life": "a reply to the ping",
    r"brains?": "protocol core",
    r"swift(ly)?": "fast",
    r"the short way": "the fast path",
    r"newcomers?": "new subscriptions",
    r"innocents?": "accepted subscriptions",
    r"guilty": "rejected subscription",
    r"suspects?": "bisection groups",
    r"strangers?": "unexpected guest",
    r"twins?": "duplicates",
    r"dice|luck|by chance": "random source",
    r"at rest": "idle",
    r"takes? a place|has its turn|have their turns?": "reserves a dial slot; runs",
    r"late words?|(user|machine|server|client|connection)'s (own )?words?|a word of": "late frame; record; field",
    # actors and verbs
    r"whoever|whomever|nobody|somebody": "name the actor: server, consumer, user code",
    r"(is|are) none": "name the thing, and negate the verb",
    r"that (is|are) no": "is not a valid",
    r"for ever|as many as one likes": "unlimited; without end",
    r"the address(es)?": "the URL, or host and port",
    r"ha(s|ve) a file of (its|their) own|stands? in": "is in",
    r"says? what must hold": "defines",
    r"the laws?|the theory": "Invariant: or Design:",
    r"how (it|they|connections) lived?|(his|her|its|a|one) li(fe|ves) of": "statistics, lifetime",
    r"in words": "as text",
    r"(is|are) held (to|against)": "is checked against",
    r"of (its|their|the connection's) own accord|by (itself|themselves)": "automatically",
}
_FINDER = re.compile("|".join(rf"(?P<w{n}>\b(?:{word})\b)" for n, word in enumerate(BANNED)), re.IGNORECASE)
_SUBJECT = re.compile(r"(?:^|(?<=[.:;] ))(?:What|Who) (?!\w+ (?:for|of)\?)[^.?]*\.")
_QUOTED = re.compile(r"``[^`]*``|`[^`]*`|\"[^\"]*\"")
"""Quotations: code, names of protocol messages, words of others."""
RETIRED = frozenset(
    (
        "seat",
        "Seat",
        "shadow",
        "Shadow",
        "wish",
        "Wish",
        "roster",
        "Roster",
        "farewell",
        "Farewell",
        "foresight",
        "desk",
        "Desk",
        "absorb",
        "brain",
        "Brain",
        "blame_newcomers",
        "blames_newcomers",
    )
)
"""Private names that standard terms have replaced; no identifier takes one again."""
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**/*.md")


def findings(text: str, line: int) -> Iterator[tuple[int, str, str]]:
    """The banned words of a text that begins in a line: line, word, remedy."""
    quiet = _QUOTED.sub(lambda found: re.sub(r"[^\n]", "_", found[0]), text)
    for found in _FINDER.finditer(quiet):
        yield line + quiet[: found.start()].count("\n"), found[0], list(BANNED.values())[int((found.lastgroup or "w0")[1:])]
    for found in _SUBJECT.finditer(quiet):
        yield line + quiet[: found.start()].count("\n"), found[0].split()[0], "begin with the actor"


def _messages(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Docstrings and texts with a space: those that a person reads."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.value, node.lineno


def identifiers(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """The retired identifiers of a module, with their lines."""
    for node in ast.walk(tree):
        for field in ("name", "id", "attr", "arg"):
            name = getattr(node, field, None)
            if isinstance(name, str) and name.lstrip("_") in RETIRED:
                yield getattr(node, "lineno", 1), name, "a standard term has replaced this name"


def of_module(path: Path) -> Iterator[tuple[int, str, str]]:
    """The findings of a module."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    yield from identifiers(tree)
    for text, line in _messages(tree):
        yield from findings(text, line)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield from findings(token.string.lstrip("# "), token.start[0])


def of_page(path: Path) -> Iterator[tuple[int, str, str]]:
    """The findings of a page, outside its blocks of code."""
    text = re.sub(
        r"^```.*?^```",
        lambda block: "\n" * block[0].count("\n"),
        path.read_text(encoding="utf-8"),
        flags=re.MULTILINE | re.DOTALL,
    )
    yield from findings(text, 1)


def main(names: list[str]) -> int:
    """Print what is found in the modules and pages that are named, or in all."""
    pages = [page for pattern in PAGES for page in sorted(ROOT.glob(pattern))]
    modules = [*sorted((ROOT / "realtime_fsm").rglob("*.py")), *sorted((ROOT / "tests").rglob("*.py"))]
    wanted = [(ROOT / name).resolve() for name in names]
    count = 0
    for path in (*pages, *modules):
        if path == Path(__file__).resolve() or (wanted and not any(path == one or one in path.parents for one in wanted)):
            continue
        for line, word, remedy in sorted(set((of_module if path.suffix == ".py" else of_page)(path))):
            count += 1
            print(f"{path.relative_to(ROOT)}:{line}: {word!r}: {remedy}")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
