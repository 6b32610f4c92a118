"""``realtime-fsm audit``: judge audit logs, and report."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_fsm.audit.answer import Answer
from realtime_fsm.audit.auditor import Auditor
from realtime_fsm.audit.formats.answer import answer_lines
from realtime_fsm.audit.formats.junit import as_junit
from realtime_fsm.audit.formats.text import as_markdown, as_text
from realtime_fsm.audit.formats.text_utils import printable
from realtime_fsm.audit.progress import Progress
from realtime_fsm.audit.report import Verdict
from realtime_fsm.audit.rules import RULES, Severity
from realtime_fsm.audit.sources import STDIN, Unreadable, open_log, read_lines, sort_by_content
from realtime_fsm.audit.sql import script
from realtime_fsm.audit.tail import refuse_packed
from realtime_fsm.cli import audit_times
from realtime_fsm.cli.arguments import LineFormatter, add_connections, add_renamed_fields
from realtime_fsm.cli.audit_follow import follow
from realtime_fsm.cli.output import discard_stdout, fail, pretty_json
from realtime_fsm.diagram.exported import read_table
from realtime_fsm.errors import BadOption

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from realtime_fsm.audit.report import Report

_usage_error = partial(fail, code=Verdict.UNUSABLE, command="realtime-fsm audit")
_EPILOG = """\
exit code: 0 conformant, 1 violated, 2 unusable input or misuse, 3 inconclusive (something is missing, repeated, out of order, or\
 of a table or schema that this version does not know)

The worst connections come first: violated ones, then the longest outage, then the lowest availability. Records that are lost,\
 repeated or out of order leave doubts, and are no violations.

rules that violate:      {violation}
rules that leave doubts: {doubt}
notes (see --fail-on):   {note}
"""


def add_parser(commands: Any) -> None:
    """Add the subcommand to the command line."""
    rules = {weight.value: ", ".join(rule.name for rule in RULES.values() if rule.weight is weight) for weight in Severity}
    parser: argparse.ArgumentParser = commands.add_parser(
        "audit",
        help="judge audit logs: do they show what the table and the policies allow?",
        description="Judge audit logs: whether every connection did what the table and its policies allow, and its statistics."
        "\nReads JSON lines, also as containers, shippers and loggers wrap or rename them, and pairs of keys and values;"
        " plain, .gz, .bz2, .xz, .zst, .tgz, or in UTF-16. Lines of other programs may stand between, and files in any order.",
        epilog=_EPILOG.format(**rules),
        formatter_class=LineFormatter,
    )
    parser.add_argument("files", metavar="FILE", nargs="*", help="a log; - for standard input")
    parser.add_argument(
        "--format", choices=("text", "json", "markdown", "html", "junit"), default="text",
        help="format of the report (%(default)s)",
    )  # fmt: skip
    parser.add_argument("-o", "--output", metavar="FILE", help="write the report there instead of to standard output")
    add_connections(parser, "look only at connections whose ids begin so; may be repeated")
    audit_times.add_arguments(parser)
    add_renamed_fields(parser)
    parser.add_argument(
        "--table", metavar="FILE", action="append", default=[],
        help="judge the records of another version by its table, as `realtime-fsm diagram --format json` of that version"
        " writes it; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--fail-on", metavar="RULE", action="append", default=[], choices=tuple(RULES),
        help="count the findings of this rule as violations, also where they are doubts or notes; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--coverage", action="store_true", help="name also the rules of the table that no record shows; JSON always does"
    )
    parser.add_argument(
        "--follow", action="store_true",
        help="go on reading as the files grow, like tail -F; tell each outage as it begins and ends; the report comes after"
        " Ctrl-C or SIGTERM",
    )  # fmt: skip
    parser.add_argument(
        "--sql", action="store_true",
        help="audit nothing, but write the views of DuckDB that give the figures of an audit; a FILE may be a glob or a URL such"
        " as 's3://bucket/logs/*.jsonl.gz', and Parquet; see --wrapped",
    )  # fmt: skip
    parser.add_argument(
        "--wrapped", action="store_true", help="let the views of --sql read records in wrappers, too; needs DuckDB 1.3"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Audit what the options say; return the exit code: 0 conformant, 1 violated, 2 unusable, 3 inconclusive."""
    if options.sql:
        return _write_sql(options)
    if options.wrapped:
        return _usage_error("--wrapped goes with --sql; the audit itself reads wrapped records anyway")
    if not options.files:
        return _usage_error("name a FILE, or - for standard input")
    if options.follow and STDIN in options.files:
        return _usage_error("--follow is for files; standard input is read to its end anyway")
    if options.follow and (folder := next((name for name in options.files if Path(name).is_dir()), None)) is not None:
        return _usage_error(f"{folder}: it is a directory; name the files in it")
    if options.at is not None and (misfit := _misfit(options)) is not None:
        return _usage_error(f"--at does not go with {misfit}")
    try:
        return _audit(options)
    except BadOption as refusal:
        return _usage_error(str(refusal))


def _misfit(options: argparse.Namespace) -> str | None:
    """Name an option that makes no sense beside ``--at``."""
    if options.format not in ("text", "json"):
        return f"--format {options.format}"
    return next((f"--{name}" for name in ("since", "until", "follow", "coverage") if getattr(options, name)), None)


def _audit(options: argparse.Namespace) -> int:
    names = dict(options.map)
    asked: dict[str, Any] = {
        "only": options.connection, "fail_on": options.fail_on, "detail": options.format == "html", "names": names,
        "tables": [read_table(name, "--table") for name in options.table],
    }  # fmt: skip
    if options.follow:
        refuse_packed("--follow", options.files)
        auditor = follow(options.files, **asked, **audit_times.resolve(options, []))
    else:
        order = sort_by_content(options.files, names)
        with audit_times.rereadable(options, order) as copies:
            auditor = Auditor(**asked, **audit_times.resolve(options, [copies.get(name, name) for name in order]))
            _read(auditor, order, copies)
    report = auditor.finish()
    found = report if auditor.answer is None else auditor.answer
    return _write(_rendered(found, options), options.output) or found.exit_code


def _write_sql(options: argparse.Namespace) -> int:
    judging = ("connection", "at", "since", "until", "map", "table", "fail_on", "coverage", "follow")
    strange = [name for name in judging if getattr(options, name)] + ["format"] * (options.format != "text")
    if strange:
        return _usage_error(f"--{strange[0].replace('_', '-')} does not go with --sql; ask the views for it")
    if STDIN in options.files:
        return _usage_error("--sql is for files: DuckDB reads them, and not the standard input of this command")
    return _write(iter(script(options.files, wrapped=options.wrapped).splitlines()), options.output)


def _read(auditor: Auditor, order: list[str], copies: dict[str, str]) -> None:
    with Progress(order, sys.stderr) as progress:
        for name in order:
            auditor.begin(name)
            try:
                with open_log(copies.get(name, name), progress.watch) as file:
                    auditor.feed(read_lines(file))
            except Unreadable as unreadable:
                auditor.unusable(name, str(unreadable))


def _write(lines: Iterator[str], output: str | None) -> int:
    """Write lines to the output; return 0, or the exit code of a failure."""
    try:
        # `open` takes a name as the user says it: `Path` drops a slash at the end.
        with nullcontext(sys.stdout) if output is None else open(output, "w", encoding="utf-8") as file:  # noqa: PTH123
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
    except BrokenPipeError:  # `realtime-fsm audit ... | head`: the reader has gone
        discard_stdout()
    except OSError as failure:
        return _usage_error(f"{output or 'standard output'}: {failure.strerror}")
    return 0


def _rendered(found: Report | Answer, options: argparse.Namespace) -> Iterator[str]:
    if options.format == "json":
        return iter((pretty_json(found),))
    if isinstance(found, Answer):
        return map(printable, answer_lines(found, options.at.zone))
    if options.format == "junit":
        return as_junit(found)
    if options.format == "html":
        from realtime_fsm.audit.formats.html import as_html

        return as_html(found, coverage=options.coverage)
    write = as_markdown if options.format == "markdown" else as_text
    return map(printable, write(found, coverage=options.coverage))
