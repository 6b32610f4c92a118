"""The examples of the pages: run them, and write them for the type checkers.

The Python blocks of a page run in order, in one module. Hidden blocks call what the visible blocks define, and assert what the
page claims: ``<!--- invisible-code-block: python``, the block, ``-->``. A console block names commands that parse.

``python -m support.pages DIRECTORY`` writes the visible Python blocks of each page as one file, each on the lines of its
page, and the cells of each notebook.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import io
import json
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from textwrap import indent
from types import ModuleType
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

from sybil import Document, Example
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer
from sybil.parsers.myst import CodeBlockParser, PythonCodeBlockParser

from realtime_fsm.cli.main import _parser
from realtime_fsm.runtime.sockets import Socket
from realtime_fsm.runtime.transport import AiohttpTransport
from realtime_fsm.testing import RealtimeServer
from support.virtual import eventually as eventually  # for the hidden blocks

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    *(page for page in sorted(ROOT.glob("docs/**/*.md")) if "_build" not in page.parts),
]
_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def name_of(page: Path) -> str:
    """Return the path of a page below the root, as on the command line."""
    return Path(os.path.relpath(page, ROOT)).as_posix()


def module_of(page: Path) -> str:
    """Return the name of the module that a page's Python blocks make."""
    return re.sub(r"\W", "_", name_of(page).removesuffix(".md"))


def commands_of(console: str) -> Iterator[list[str]]:
    """Yield the words of each command after a ``$`` in a console block; a pipe, a semicolon or a redirection ends one."""
    for line in re.findall(r"^\$ (.+)", console.replace("\\\n", " "), re.MULTILINE):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        command: list[str] = []
        for word in lexer:
            if set(word) <= set("();<>|&"):
                yield command
                command = []
            else:
                command.append(word)
        yield command


def check_commands(example: Example) -> None:
    """Parse each command of this project in a console block.

    Raises:
        AssertionError: for a command that the command line does not understand, or a target that the Makefile does not have.
    """
    for command in commands_of(example.parsed):
        while command and "=" in command[0]:  # a variable of the environment
            del command[0]
        if command[:1] == ["make"]:
            assert {word for word in command[1:] if "=" not in word} <= _TARGETS, command
        if command[:1] == ["realtime-fsm"]:
            refusal, code = io.StringIO(), None
            try:
                with contextlib.redirect_stderr(refusal), contextlib.redirect_stdout(io.StringIO()):
                    _parser().parse_args(command[1:])
            except SystemExit as end:  # `--help` ends with 0
                code = end.code
            assert not code, f"{shlex.join(command)}: {refusal.getvalue()}"


def parse(page: Path) -> Document:
    """Return a page with its examples."""
    return Document.parse(str(page), PythonCodeBlockParser(), CodeBlockParser("console", check_commands))


def run(page: Path) -> int:
    """Run the examples of a page in order, in one module, and return their number."""
    document = parse(page)
    module = ModuleType(module_of(page))
    document.namespace = module.__dict__
    examples = list(document.examples())
    with patch.dict(sys.modules, {module.__name__: module}):  # annotations are looked up in their module
        for example in examples:
            example.evaluate()
    return len(examples)


def source_of(page: Path) -> str:
    """Return the visible Python blocks of a page, each on its lines of the page."""
    document = Document.parse(str(page))
    lines: list[str] = []
    for region in FencedCodeBlockLexer("python")(document):
        first = document.text.count("\n", 0, region.start) + 1
        lines += [""] * (first - len(lines))
        lines += region.lexemes["source"].splitlines()
    return "\n".join(lines) + "\n"


def blocks_of(page: Path, language: str) -> list[str]:
    """Return the visible blocks of a page in a language."""
    document = Document.parse(str(page))
    return [str(region.lexemes["source"]) for region in FencedCodeBlockLexer(language)(document)]


def cells_of(notebook: Path) -> list[str]:
    """Return the code of a notebook's cells."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def imports_of(page: Path) -> dict[str, set[str]]:
    """Return the names that a page's visible Python blocks import from each module of this package."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse(source_of(page))):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("realtime_fsm."):
            found.setdefault(str(node.module), set()).update(name.name for name in node.names)
    return found


@asynccontextmanager
async def appwrite(**options: Any) -> AsyncIterator[RealtimeServer]:
    """Start the embedded server, and lead every dial to it, whatever endpoint an example names; `options` are the server's."""
    async with RealtimeServer(**options) as server:
        with _leading_to(server):
            yield server


@contextmanager
def _leading_to(server: RealtimeServer) -> Iterator[None]:
    dial = AiohttpTransport.dial

    async def redirected(transport: AiohttpTransport, url: str, headers: Mapping[str, str]) -> Socket:
        asked, answering = urlsplit(url), urlsplit(server.endpoint)
        return await dial(transport, asked._replace(scheme="ws", netloc=answering.netloc).geturl(), headers)

    with patch.object(AiohttpTransport, "dial", redirected):
        yield


@asynccontextmanager
async def running(program: Awaitable[Any]) -> AsyncIterator[asyncio.Future[Any]]:
    """Run a program without end beside the check, and cancel it at the end; an exception of the program fails the check."""
    task = asyncio.ensure_future(program)
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


if __name__ == "__main__":
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for page in PAGES:
        if source := source_of(page).strip():
            (directory / f"{module_of(page)}.py").write_text(source_of(page), encoding="utf-8")
    for notebook in ROOT.glob("docs/examples/*.ipynb"):
        source = "async def cells() -> None:\n" + indent("\n".join(cells_of(notebook)), "    ")  # they may await
        (directory / f"{notebook.stem}.py").write_text(source, encoding="utf-8")
