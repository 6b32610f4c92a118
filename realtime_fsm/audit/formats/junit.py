"""The report as JUnit's XML: a test case for each connection, as CI servers show them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from realtime_fsm.audit.report import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime_fsm.audit.report import ConnectionReport, Report

_UNWANTED = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_junit(report: Report) -> Iterator[str]:
    """Write the XML. A violation is a failure; a doubt, and a finding without a connection, is an error."""
    left_out = report.connections_total - len(report.connections)
    loose = [finding for finding in report.findings if finding.connection is None]
    failures = sum(connection.verdict == Verdict.VIOLATED.word for connection in report.connections)
    errors = sum(connection.verdict == Verdict.INCONCLUSIVE.word for connection in report.connections) + len(loose)
    tests = len(report.connections) + len(loose)
    sizes = f'tests="{tests}" failures="{failures}" errors="{errors}"'
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield f'<testsuites name="realtime-fsm audit" {sizes}>'
    yield f"<testsuite name={_attribute(f'table {report.machine}')} {sizes}>"
    yield "<properties>"
    told = {name: getattr(report, name) for name in ("verdict", "machine", "schema", "records")}
    for name, value in {**told, "connections left out": left_out}.items():
        yield f"<property name={_attribute(name)} value={_attribute(str(value))}/>"
    yield "</properties>"
    for finding in loose:
        yield f'<testcase classname="realtime_fsm.audit" name={_attribute(str(finding.place))}>'
        yield f"<error type={_attribute(finding.rule)} message={_attribute(finding.text)}/></testcase>"
    for connection in report.connections:
        yield from _case(connection)
    yield "</testsuite></testsuites>"


def _case(connection: ConnectionReport) -> Iterator[str]:
    seconds = sum(connection.life.states.values())
    yield (
        f'<testcase classname="realtime_fsm.audit" name={_attribute(connection.connection)} time="{seconds:.3f}" '
        f'assertions="{connection.records}">'
    )
    for finding in connection.findings:
        kind = {"violation": "failure", "doubt": "error"}.get(finding.weight)
        if kind is not None:
            said = _text(f"{finding.place}: {finding.text}\n" + "\n".join(finding.allowed))
            yield f"<{kind} type={_attribute(finding.rule)} message={_attribute(finding.text)}>{said}</{kind}>"
    yield "</testcase>"


def _attribute(text: str) -> str:
    return quoteattr(_UNWANTED.sub("?", text))


def _text(text: str) -> str:
    return escape(_UNWANTED.sub("?", text))
