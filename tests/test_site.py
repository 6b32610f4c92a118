"""Check the site of documentation without a build: each name, command, error and record is on a page, and cited tests exist."""

from __future__ import annotations

import argparse
import importlib
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import realtime_fsm
from generated import pages
from realtime_fsm import errors
from realtime_fsm.audit.rules import RULES
from realtime_fsm.auditlog.records import RECORDS
from realtime_fsm.cli.main import _parser
from realtime_fsm.fsm.table import TABLE
from realtime_fsm.remedies import REMEDIES
from support.some import some
from support.surface import MODULES, parsers

DOCS = Path(__file__).resolve().parents[1] / "docs"
API = [pages.fill(page.read_text(encoding="utf-8")) for page in sorted((DOCS / "reference" / "api").glob("*.md"))]
ERRORS = pages.fill((DOCS / "reference" / "errors.md").read_text(encoding="utf-8"))
INDEX = DOCS / "README.md"
"""The index for readers on GitHub; the site leaves it out."""
SOURCES = [page for page in DOCS.rglob("*.md") if "_build" not in page.parts]
_PLACE = re.compile(r"^\.\. (currentmodule|py:module|auto\w+|py:data|py:class):: ([\w.]+)", re.MULTILINE)


def described(text: str) -> Iterator[str]:
    """Yield the full name of each object that a page describes."""
    module = ""
    for kind, name in _PLACE.findall(text):
        if kind in ("currentmodule", "py:module", "automodule"):
            module = name
        else:
            yield f"{module}.{name}"


def test_each_public_name_is_described_once() -> None:
    names = ((module, name) for module in MODULES for name in importlib.import_module(module).__all__)
    public = {f"{module}.{name}" for module, name in names if not again(module, name)}
    found = Counter(name for text in (*API, ERRORS) for name in described(text))
    hint = "put the name on a page of docs/reference/api"
    assert sorted(public - found.keys()) == [], hint
    assert [name for name in some(public) if found[name] > 1] == []


def test_each_page_describes_public_names_only() -> None:
    for name in some([name for text in (*API, ERRORS) for name in described(text)]):
        module = next(module for module in sorted(MODULES, key=len, reverse=True) if name.startswith(f"{module}."))
        first = name.removeprefix(f"{module}.").partition(".")[0]
        assert first in importlib.import_module(module).__all__, name


def test_each_error_has_a_meaning_and_a_remedy() -> None:
    named = {name for name in realtime_fsm.__all__ if isinstance(kind := getattr(realtime_fsm, name), type)
             and issubclass(kind, errors.RealtimeError)}  # fmt: skip
    assert {name for _, name, _ in pages.error_tree()} | {"RealtimeError"} == named, "complete the tree in realtime_fsm/errors.py"
    assert REMEDIES.keys() == named, "complete realtime_fsm/remedies.py"


def test_each_error_hangs_below_its_base_in_the_tree() -> None:
    path = ["RealtimeError"]
    for depth, name, _ in some(list(pages.error_tree())):
        path[depth:] = [name]
        assert getattr(realtime_fsm, name).__mro__[1].__name__ == path[depth - 1], name


def again(module: str, name: str) -> bool:
    """Tell whether a name of a module is one of the package too."""
    return module != "realtime_fsm" and getattr(realtime_fsm, name, None) is getattr(importlib.import_module(module), name)


def words(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the arguments and options of a parser."""
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction | argparse._HelpAction):
            yield from action.option_strings or [str(action.metavar)]


def test_each_command_and_option_is_described() -> None:
    sections = dict(re.findall(r"^## (realtime-fsm.*)\n((?:(?!## ).*\n)*)", pages.commands() + "\n", re.MULTILINE))
    wanted = {parser.prog: list(words(parser)) for parser in parsers(_parser())}
    assert sections.keys() == wanted.keys()
    assert sum(map(len, wanted.values())) > 20
    pairs = [(command, word) for command, each in wanted.items() for word in each]
    assert [pair for pair in pairs if not re.search(rf"`{re.escape(pair[1])}[` ]", sections[pair[0]])] == []


def test_a_text_of_a_parser_does_not_break_a_table() -> None:
    lines = [line for line in pages.commands().splitlines() if line.startswith("| ")]
    assert len(lines) > 20
    assert [line for line in lines if len(re.findall(r"(?<!\\)\|", line)) != 3] == []


def test_options_and_quoted_words_are_code() -> None:
    assert pages.plain("with --as-user, 'forever' or `a --b`; the user's [x]") == (
        "with `--as-user`, `forever` or `a --b`; the user's \\[x\\]"
    )


def test_each_record_and_field_is_described() -> None:
    text = pages.records()
    for record in some(RECORDS):
        section = text.partition(f"### {record.__struct_config__.tag}\n")[2].partition("\n### ")[0]
        own = set(record.__struct_fields__) - set(record.__mro__[1].__struct_fields__)  # type: ignore[attr-defined]
        assert {name for name in own if f"| `{name}` |" not in section} == set(), record


def test_each_rule_of_the_audit_is_described() -> None:
    assert [name for name in RULES if f"| `{name}` | " not in pages.audit_rules()] == []


def test_each_transition_rule_has_a_target_that_the_states_link_to() -> None:
    targets = set(re.findall(r"^\| \[`(\w+)`\]\{#\1\} \|", pages.transitions(), re.MULTILINE))
    assert targets == {row.id for row in TABLE.rows}
    linked = set(re.findall(r"\(#(\w+)\)", pages.states()))
    assert linked
    assert linked <= targets


def test_each_marker_has_a_part_and_each_part_a_page() -> None:
    names = Counter(name for page in SOURCES for name, _ in pages.MARKER.findall(page.read_text("utf-8")))
    assert names.keys() == pages.PARTS.keys()
    assert [name for name in names if names[name] > 1 and name != "docstrings"] == []


def test_an_unknown_marker_is_refused() -> None:
    with pytest.raises(KeyError):
        pages.fill("[On the site only: nonsense](README.md)")


def test_each_marker_leads_to_the_section_that_names_the_site() -> None:
    assert "\n## On GitHub\n" in INDEX.read_text(encoding="utf-8")
    marked = [page for page in SOURCES if "[On the site only" in page.read_text("utf-8")]
    for page in some(marked):
        text = page.read_text(encoding="utf-8")
        links = {link.partition("#")[::2] for _, link in pages.MARKER.findall(text)}
        assert {((page.parent / place).resolve(), section) for place, section in links} == {(INDEX, "on-github")}
        assert "[On the site only" not in pages.fill(text), page


def test_each_page_of_directives_has_a_marker() -> None:
    wanted = [page for page in SOURCES if re.search(r"^\.\. auto", page.read_text("utf-8"), re.MULTILINE)]
    assert [page for page in some(wanted) if "docstrings" not in dict(pages.MARKER.findall(page.read_text("utf-8")))] == []


def test_the_pages_for_github_name_the_site() -> None:
    site = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Documentation"]
    for page in (INDEX, DOCS.parent / "README.md", DOCS / "reference" / "index.md", DOCS / "reference" / "api" / "index.md"):
        assert set(re.findall(r"https://[\w.-]+\.github\.io/[^)\s]*", page.read_text(encoding="utf-8"))) == {site}


@pytest.mark.parametrize("page", sorted((DOCS / "explanation").glob("*.md")), ids=lambda page: page.stem)
def test_cited_tests_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    places = dict(re.findall(r"^\[([^\]]+)\]: (\S+)$", text, re.MULTILINE))
    cited = [(name, places[key]) for name, key in re.findall(r"\[`(test_\w+)`\]\[([^\]]+)\]", text)]
    assert [name for name, place in cited if f"def {name}(" not in (page.parent / place).read_text(encoding="utf-8")] == []
    assert [place for place in places.values() if not (page.parent / place).exists()] == []


def test_the_page_of_guarantees_cites_tests() -> None:
    assert len(re.findall(r"\[`test_\w+`\]\[", (DOCS / "explanation" / "guarantees.md").read_text(encoding="utf-8"))) > 20
