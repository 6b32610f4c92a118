"""Check the pages: recordings, sections and rules that someone cites exist, and every link leads somewhere."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from realtime_fsm.auditlog.records import RECORDS
from realtime_fsm.fsm.table import TABLE
from support.pages import blocks_of
from support.some import some

ROOT = Path(__file__).resolve().parents[1]
PROTOCOL = (ROOT / "docs" / "reference" / "protocol.md").read_text(encoding="utf-8")
RECORDINGS = [path.stem for path in (ROOT / "tests" / "recordings").glob("*.jsonl")]
PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted(
    ROOT.glob("docs/**/*.md")
)
README = ROOT / "README.md"
PROJECT = "https://github.com/realtime-fsm/realtime_fsm"
"""The URL of the project, as in `[project.urls]`. README uses it, because other sites show that page."""
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
_RECORDING = r"`((?:e\d-)?\d\d[a-z]?(?:-[a-z0-9-]+)?)`"
_WIDTH = 120


def citations() -> list[str]:
    """Return the text after each ``PROTOCOL:`` in the code, on one line."""
    sources = [*(ROOT / "realtime_fsm").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    found = [
        citation
        for source in some(sources)
        for citation in re.findall(
            r'PROTOCOL: ("[A-Z][^"]+"(?:,\s+rules? \d+(?: and \d+)?)?)', source.read_text(encoding="utf-8")
        )
    ]
    return [" ".join(citation.split()) for citation in found]


def facts() -> list[str]:
    """Return the listed facts and rules of the protocol, each on one line."""
    items = re.findall(r"^(?:-|\d+\.) (.+(?:\n +\S.*)*)", PROTOCOL, re.MULTILINE)
    return [" ".join(item.split()) for item in items]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_cited_recordings_exist() -> None:
    cited = set(re.findall(_RECORDING, PROTOCOL))
    assert len(cited) > 20
    assert {name for name in cited if not any(recording.startswith(name) for recording in RECORDINGS)} == set()


def test_every_fact_names_its_evidence() -> None:
    assert len(facts()) > 50
    assert [fact for fact in facts() if not re.search(rf"{_RECORDING}|\*Seen live\.\*", fact)] == []


def test_cited_sections_exist() -> None:
    cited = {citation.split('"')[1] for citation in citations()}
    assert len(cited) > 4
    assert cited - set(re.findall(r"^## (.+)$", PROTOCOL, re.MULTILINE)) == set()


def test_cited_rules_exist() -> None:
    cited = {number for citation in citations() for number in re.findall(r"\d+", citation.rpartition('"')[2])}
    assert len(cited) > 4
    assert cited - set(re.findall(r"^(\d+)\. ", PROTOCOL, re.MULTILINE)) == set()


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r"^( *)(```+).*?^\1\2$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def links(page: Path) -> list[tuple[str, str]]:
    """Return a page's links and pictures to files of this tree: path and anchor. The project's URL counts as the root."""
    found = re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", prose(page))
    named = re.findall(rf"\]\({PROJECT}/(?:blob|tree|raw)/main/([^)#]*)#?([^)]*)\)", prose(page))
    return found + [(os.path.relpath(ROOT / target, page.parent), anchor) for target, anchor in named]


def samples() -> Iterator[dict[str, Any]]:
    """Yield each record of the audit log that a page shows whole."""
    for page in PAGES:
        for block in blocks_of(page, "json"):
            text = block.strip()
            while text:
                sample, end = json.JSONDecoder().raw_decode(text)
                text = text[end:].strip()
                if str(sample.get("event")).startswith("realtime."):
                    yield sample


def test_each_record_that_a_page_shows_is_one_of_this_version() -> None:
    kinds = {record.__struct_config__.tag: record for record in RECORDS}
    rows = {row.id: row for row in TABLE.rows}
    for sample in some(samples()):
        assert sample.keys() - {"event", "level", *kinds[sample["event"]].__struct_encode_fields__} == set(), sample
        assert sample.get("machine", TABLE.fingerprint) == TABLE.fingerprint
        if sample["event"] == "realtime.transition":
            row = rows[sample["row"]]
            shown = sample["trigger"], sample["source"], sample["dest"]
            assert shown == (row.trigger.value, row.source.value, (row.dest or row.source).value), sample


def test_the_comparison_cites_a_test_for_each_feature() -> None:
    comparison = (ROOT / "docs" / "explanation" / "comparison.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^    \[`test_\w+`\]\[", comparison, re.MULTILINE)) > 20


@EACH_PAGE
def test_every_link_leads_somewhere(page: Path) -> None:
    files = [(page.parent / target if target else page, anchor) for target, anchor in links(page)]
    assert [file for file, _ in files if not file.exists()] == []
    assert [anchor for file, anchor in files if anchor and anchor not in anchors(file)] == []


def test_the_readme_shows_all_links_and_pictures_elsewhere_too() -> None:
    targets = re.findall(r"\]\(([^)]*)\)", prose(README))
    assert len(links(README)) > 5
    assert [target for target in targets if not target.startswith("https://")] == []
    kinds = {target: target.removeprefix(PROJECT).split("/")[1] for target in targets if target.startswith(f"{PROJECT}/")}
    for target, kind in some(kinds.items()):
        suffix = Path(target.partition("#")[0]).suffix
        assert kind == ("raw" if suffix == ".svg" else "blob" if suffix else "tree"), target


@pytest.mark.parametrize("page", [page for page in PAGES if "docs" in page.parts], ids=lambda page: page.name)
def test_lines_of_docs_are_short(page: Path) -> None:
    assert [line for line in page.read_text(encoding="utf-8").splitlines() if len(line) > _WIDTH] == []
