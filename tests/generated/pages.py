"""The generated parts of pages, as Markdown: commands, errors, records, rules of the audit, states and transitions.

Invariant: each part comes from the code that runs, so no page can differ from the code. A page of the site holds the line
``[On the site only: NAME](PLACE)``, and the build puts the part of that name there. On GitHub the line leads the reader to the
section of ``docs/README.md`` that tells where the site is.
"""

from __future__ import annotations

import argparse
import inspect
import re
from typing import TYPE_CHECKING, Any

from generated.telemetrypage import telemetry_page
from realtime_fsm import errors, testing
from realtime_fsm.audit.rules import RULES, Severity
from realtime_fsm.auditlog.schema import KINDS
from realtime_fsm.cli.arguments import fold_lines
from realtime_fsm.cli.main import _parser
from realtime_fsm.diagram import Diagram
from realtime_fsm.remedies import REMEDIES
from realtime_fsm.testing import replay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import ModuleType

    from realtime_fsm.auditlog.schema import FieldInfo

_TYPES = {"integer": "integer", "float": "number", "string": "text", "boolean": "true or false", "json": "object"}
_WEIGHTS = {
    Severity.VIOLATION: "violation",
    Severity.DOUBT: "doubt: the result is inconclusive",
    Severity.NOTE: "note: counts with `--fail-on` only",
}
_WIDE = 8
"""The columns of a table of transition rules."""
_WIDTH = 100
"""The columns of a text that keeps its lines."""
_MARKS = re.compile(r"([\\`*_\[\]<>|#])")
_VERBATIM = re.compile(r"(`[^`]+`|(?<![\w-])--[a-z][a-z-]*|'[^' ]+')")
MARKER = re.compile(r"^\[On the site only: ([a-z-]+)\]\(([^)]*)\)$", re.MULTILINE)
"""The line of a page in whose place the build puts a part: the part's name, and the link for a reader of the source."""


def fill(source: str) -> str:
    """Replace each marker of a page with the generated part of its name.

    Raises:
        KeyError: for a name without a part.
    """
    return MARKER.sub(lambda found: PARTS[found[1]](), source)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Make a table."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def plain(text: str) -> str:
    """Escape a text, so that Markdown shows it as it is, and show its code, options and quoted words as code."""
    parts = _VERBATIM.split(" ".join(text.split()))
    return "".join(_code(part.strip("`'")) if number % 2 else _MARKS.sub(r"\\\1", part) for number, part in enumerate(parts))


def _code(text: str) -> str:
    return f"`{text}`"


# --- the command line -------------------------------------------------------------------------------------------------


def commands() -> str:
    """Describe each command with its arguments and options, from the parsers."""
    return "\n".join(_command(_parser()))


def _command(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f"## {parser.prog}\n"
    yield f"{plain(parser.description or '')}\n"
    yield f"```text\n{_usage(parser)}\n```\n"
    shown = [action for action in parser._actions if not isinstance(action, argparse._SubParsersAction | argparse._HelpAction)]
    for title, chosen in (("argument", False), ("option", True)):
        rows = [(_names(action), _help(parser, action)) for action in shown if bool(action.option_strings) == chosen]
        if rows:
            yield table((title, "meaning"), rows)
    if parser.epilog:
        yield _epilog(parser.epilog)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            about = {choice.dest: choice.help or "" for choice in action._choices_actions}
            rows = [(f"[`{name}`](#{sub.prog.replace(' ', '-')})", plain(about[name])) for name, sub in action.choices.items()]
            yield table(("command", "what it does"), rows)
            for sub in action.choices.values():
                yield from _command(sub)


def _usage(parser: argparse.ArgumentParser) -> str:
    formatter = argparse.HelpFormatter(parser.prog, width=78)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, "")
    return formatter.format_help().strip()


def _names(action: argparse.Action) -> str:
    value = action.metavar or ("" if action.nargs == 0 else "|".join(map(str, action.choices or ())) or action.dest.upper())
    if not action.option_strings:
        return _code(str(value)) + (" ..." if action.nargs in ("+", "*") else "")
    return ", ".join(_code(f"{option} {value}".strip().replace("|", "\\|")) for option in action.option_strings)


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    values = {name: value for name, value in vars(action).items() if value is not argparse.SUPPRESS}
    return plain((action.help or "") % (values | {"prog": parser.prog}))


def _epilog(text: str) -> str:
    """Show an epilog: one of several lines keeps them."""
    lines = "\n".join(fold_lines(text.strip(), _WIDTH))
    return f"```text\n{lines}\n```\n" if "\n" in text.strip() else f"{plain(text)}\n"


# --- the errors -------------------------------------------------------------------------------------------------------


def error_tree() -> Iterator[tuple[int, str, str]]:
    """Yield the depth, name and meaning of each error, in the order of the tree that the module of the errors draws."""
    for branch, name, meaning in re.findall(r"^ *((?:[│ ] {3})*[├└]── )(\w+) {2,}(.+)$", errors.__doc__ or "", re.MULTILINE):
        yield len(branch) // 4, name, meaning


def errors_tree() -> str:
    """Show the tree of errors, as the module of the errors draws it, with a link to each."""
    lines = ((depth - 1, f"{{py:exc}}`~realtime_fsm.{name}`: {meaning}") for depth, name, meaning in error_tree())
    return "".join(f"{'  ' * depth}- {line}\n" for depth, line in lines)


def errors_reference() -> str:
    """Describe each error by its docstring, with its remedy."""
    return "\n".join(
        [
            "```{eval-rst}",
            ".. currentmodule:: realtime_fsm\n",
            *map(_error, ["RealtimeError", *(name for _, name, _ in error_tree())]),
            "```",
        ]
    )


def _error(name: str) -> str:
    return f".. autoexception:: {name}\n   :show-inheritance:\n\n   **Remedy.** {REMEDIES[name]}\n"


# --- the testing kit --------------------------------------------------------------------------------------------------


def testing_names() -> str:
    """Describe each name of the testing kit."""
    return _names_of(testing, lambda name, value: f".. {'autoclass' if inspect.isclass(value) else 'autodata'}:: {name}\n")


def replay_names() -> str:
    """Describe the functions that an emitted test calls, and name the inputs that it holds, each with its meaning."""
    return _names_of(
        replay, lambda name, value: f".. py:class:: {name}\n\n   {inspect.cleandoc(value.__doc__ or '').splitlines()[0]}\n"
    )


def _names_of(module: ModuleType, otherwise: Callable[[str, Any], str]) -> str:
    """Describe the functions of a module, and each other name in the given way; a module may load its names on first use."""
    lines = ["```{eval-rst}", f".. currentmodule:: {module.__name__}\n"]
    for name in sorted(module.__all__, key=lambda name: (name[0].isupper(), name)):
        value = getattr(module, name)
        lines.append(f".. autofunction:: {name}\n" if inspect.isfunction(value) else otherwise(name, value))
    return "\n".join([*lines, "```"])


# --- the audit log ----------------------------------------------------------------------------------------------------


def records() -> str:
    """Describe the kinds of records and their fields, from the record types."""
    common = [field for field in KINDS[0].fields if field.common]
    lines = ["### Fields of every record\n", _fields(common)]
    for kind in KINDS:
        own = [field for field in kind.fields if not field.common]
        lines += [f"### {kind.event}\n", f"{plain(kind.description)}\n", _fields(own) if own else "It has no further fields.\n"]
    return "\n".join(lines)


def _fields(fields: Iterable[FieldInfo]) -> str:
    return table(("field", "value", "meaning"), ((_code(each.name), _type(each), plain(each.description)) for each in fields))


def _type(field: FieldInfo) -> str:
    values = ", ".join(map(_code, field.allowed_values)) or _TYPES[field.json_type]
    return values if field.required or field.common else f"{values}; optional"


def audit_rules() -> str:
    """List the rules of the audit, with the weight of a finding of each."""
    rows = ((_code(rule.name), plain(rule.statement), _WEIGHTS[rule.weight]) for rule in RULES.values())
    return table(("rule", "statement", "a finding is a"), rows)


# --- the table --------------------------------------------------------------------------------------------------------


def states() -> str:
    """Describe each state, as the diagrams do."""
    return _reference("overview")


def transitions() -> str:
    """Describe each transition rule, as the diagrams do."""
    return _reference("full")


def _reference(view: str) -> str:
    """Make a reference of the diagrams fit for the site: links that the site follows, and tables that fit a page."""
    text = Diagram(view).text("markdown")
    begin = re.search(r"^(?:## |\| )", text, re.MULTILINE)  # a page brings its own title and introduction
    assert begin is not None
    body = re.sub(r'<a id="(\w+)"></a>(`\w+`)', r"[\2]{#\1}", text[begin.start() :])
    body = re.sub(r"\(transitions\.md#(\w+)\)", r"(#\1)", body)
    return "".join(map(_narrow, body.splitlines(keepends=True)))


def _narrow(line: str) -> str:
    """Leave out the state, which the heading names, and the notes, which the trigger names."""
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    if len(cells) != _WIDE:
        return line.replace("| rows |", "| rules |")
    if cells[0] == "row":
        cells[0] = "rule"
    return f"| {' | '.join(cells[0:1] + cells[2:3] + cells[4:])} |\n"


def opentelemetry() -> str:
    """Name the records in OpenTelemetry, as the file in diagrams/ does, without its title."""
    return telemetry_page().split("\n\n", 2)[2]


def mermaid() -> str:
    """Show the overview as text for Mermaid, which the site draws as well."""
    return f"```mermaid\n{Diagram('overview').text('mermaid').strip()}\n```\n"


PARTS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "errors-tree": errors_tree,
    "errors": errors_reference,
    "testing-names": testing_names,
    "replay-names": replay_names,
    "records": records,
    "audit-rules": audit_rules,
    "states": states,
    "transitions": transitions,
    "opentelemetry": opentelemetry,
    "mermaid": mermaid,
    "docstrings": str,  # nothing: Sphinx makes this part, from the directives below the marker
}
"""The generated parts by name."""
