"""The pages under docs/: recordings that they cite exist, and sections that the code cites."""

from __future__ import annotations

import re
from pathlib import Path

from support.some import some

ROOT = Path(__file__).resolve().parents[1]
PROTOCOL = (ROOT / "docs" / "reference" / "protocol.md").read_text(encoding="utf-8")
RECORDINGS = [path.stem for path in (ROOT / "tests" / "recordings").glob("*.jsonl")]


def test_each_recording_that_the_protocol_cites_exists() -> None:
    cited = set(re.findall(r"`((?:e\d-)?\d\d[a-z]?(?:-[a-z0-9-]+)?)`", PROTOCOL))
    assert len(cited) > 20
    assert {name for name in cited if not any(recording.startswith(name) for recording in RECORDINGS)} == set()


def test_each_section_that_the_code_cites_is_there() -> None:
    headings = set(re.findall(r"^## (.+)$", PROTOCOL, re.MULTILINE))
    sources = [*(ROOT / "realtime_fsm").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    found = [
        name for source in some(sources) for name in re.findall(r'PROTOCOL: "([A-Z][^"]+)"', source.read_text(encoding="utf-8"))
    ]
    cited = {" ".join(name.split()) for name in found}
    assert len(cited) > 4
    assert cited - headings == set()


def test_each_page_links_to_files_that_exist() -> None:
    for page in some([*(ROOT / "docs").rglob("*.md"), ROOT / "CONTRIBUTING.md"]):
        links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
        assert [link for link in links if not (page.parent / link).exists()] == []
