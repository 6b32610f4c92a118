"""Run the examples of the pages, and check the names that they show."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from support import pages
from support.some import some

EXAMPLES = [page for page in pages.PAGES if pages.parse(page).regions]
PYTHON = [page for page in EXAMPLES if pages.imports_of(page)]
INTERNAL = {"auditlog", "cli", "client", "fsm", "protocol", "runtime"}
FENCE = "`" * 3
HIDDEN = "<!--- invisible-code-block: python"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("page", EXAMPLES, ids=pages.name_of)
def test_the_examples_run_and_do_what_the_page_claims(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert pages.run(page) > 0


@pytest.mark.parametrize("page", PYTHON, ids=pages.name_of)
def test_the_examples_import_public_names_only(page: Path) -> None:
    for module, names in some(pages.imports_of(page).items()):
        assert not INTERNAL & {*module.split("."), *names}
        assert [name for name in names - set(import_module(module).__all__) if find_spec(f"{module}.{name}") is None] == []


def page_of(folder: Path, *lines: str) -> Path:
    page = folder / "page.md"
    page.write_text("\n".join(["# A page", "", *lines, ""]), encoding="utf-8")
    return page


def test_a_hidden_block_sees_the_visible_ones_and_fails_its_page(tmp_path: Path) -> None:
    page = page_of(tmp_path, f"{FENCE}python", "total = 3", FENCE, "", HIDDEN, "assert total == 4", "-->")
    with pytest.raises(AssertionError) as failed:
        pages.run(page)
    place = failed.traceback[-1]
    assert (str(place.path), place.lineno) == (str(page), 7)  # counted from 0


def test_a_program_is_not_started_by_its_page(tmp_path: Path) -> None:
    assert pages.run(page_of(tmp_path, f"{FENCE}python", 'if __name__ == "__main__":', "    raise SystemExit", FENCE)) == 1


def test_annotations_resolve_in_the_module_of_the_page(tmp_path: Path) -> None:
    body = ["import msgspec", "class Row(msgspec.Struct):", "    next: 'Row | None' = None"]
    check = ["assert msgspec.json.decode(b'{\"next\":{}}', type=Row) == Row(Row())"]
    assert pages.run(page_of(tmp_path, f"{FENCE}python", *body, FENCE, "", HIDDEN, *check, "-->")) == 2


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("realtime-fsm listen http://127.0.0.1/v1 rows", "required: --project"),
        ("APPWRITE_JWT=x realtime-fsm serve --evry 3 | head", "unrecognized arguments: --evry 3"),
        ("make everything", "everything"),
        ("cat log && realtime-fsm audit --format \\\n  poetry log > report  # a comment", "invalid choice: 'poetry'"),
    ],
)
def test_a_command_that_does_not_parse_fails_its_page(command: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=problem):
        pages.run(page_of(tmp_path, f"{FENCE}console", f"$ {command}", FENCE))


def test_commands_that_parse_are_not_run(tmp_path: Path) -> None:
    commands = ["$ realtime-fsm listen http://127.0.0.1:1/v1 --project p rows | head -3", "output", "$ make test  # all"]
    pages.run(page_of(tmp_path, f"{FENCE}console", *commands, FENCE))
    assert pages.parse(tmp_path / "page.md").regions


def test_the_source_keeps_the_lines_of_the_page_and_leaves_hidden_blocks_out(tmp_path: Path) -> None:
    page = page_of(
        tmp_path, f"{FENCE}python", "first = 1", FENCE, HIDDEN, "hidden = 1", "-->", f"{FENCE}python", "second = 2", FENCE
    )
    lines = page.read_text(encoding="utf-8").splitlines()
    source = pages.source_of(page).splitlines()
    assert {line: source.index(line) for line in source if line} == {
        line: lines.index(line) for line in ("first = 1", "second = 2")
    }


@pytest.mark.loopback
async def test_every_endpoint_leads_to_the_embedded_server(tmp_path: Path) -> None:
    lines = [
        "import asyncio", "", "from realtime_fsm import Realtime", "", "seen = []", "", "async def main():",
        '    async with Realtime("https://cloud.appwrite.io/v1", project="demo") as realtime:',
        '        async for event in await realtime.subscribe("rows"):', "            seen.append(event.id)",
    ]  # fmt: skip
    module: dict[str, Any] = {}
    exec("\n".join(lines), module)  # noqa: S102  (our own text)
    async with pages.appwrite() as server, pages.running(module["main"]()):
        await server.wait_for_subscriptions(1)
        server.publish(["databases.main.tables.orders.rows.1.create"], ["rows"], {"$id": "1"})
        await pages.eventually(lambda: module["seen"] == ["1"])


@pytest.mark.loopback
async def test_a_program_that_fails_fails_its_check() -> None:
    async def program() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with pages.running(program()) as task:
            await pages.eventually(task.done)
