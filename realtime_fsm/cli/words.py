"""The words of logs, reports and the table, each with its meaning and with advice.

Invariant: no text is written here. Each comes from the table, the records, the audit, or the errors and their remedies.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from inspect import cleandoc
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

import realtime_fsm
from realtime_fsm.audit.causes import KNOWN_CODES, MEANINGS
from realtime_fsm.audit.report import Verdict
from realtime_fsm.audit.rules import RULES, Severity
from realtime_fsm.audit.stats import StatsAccumulator
from realtime_fsm.auditlog.records import RETIRED
from realtime_fsm.auditlog.schema import FIELDS, KINDS
from realtime_fsm.diagram.arrows import plain_arrows
from realtime_fsm.diagram.markdown import first_sentence
from realtime_fsm.errors import BadOption, LinkFailure, Overdue, RealtimeError
from realtime_fsm.fsm.descriptions import STATES, TRIGGERS
from realtime_fsm.fsm.effects import EFFECTS
from realtime_fsm.fsm.guards import GUARDS
from realtime_fsm.fsm.notes import NOTES
from realtime_fsm.fsm.table import TABLE
from realtime_fsm.remedies import OVERDUE, REMEDIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from realtime_fsm.fsm.table import State

_NEAR = 5
_WEIGHTS = {
    Severity.VIOLATION: "The client did something that its table forbids. Report it, with the log.",
    Severity.DOUBT: "Look for the missing part of the log, or for a filter that drops its levels below INFO. The audit judges"
    " nothing that a doubt hides.",
    Severity.NOTE: "Nothing: it may happen to a conformant connection. `--fail-on` makes a violation of it.",
}
_REPEATED = " Repeated records hide nothing: name a copied log once, and leave repeated lines out with `awk '!seen[$0]++'`."
_AFTER_VERDICTS = {
    Verdict.CONFORMANT: "",
    Verdict.VIOLATED: _WEIGHTS[Severity.VIOLATION],
    Verdict.UNUSABLE: "Read the message: it names the file or the option.",
    Verdict.INCONCLUSIVE: _WEIGHTS[Severity.DOUBT] + _REPEATED,
}
_ERRORS: dict[str, type[RealtimeError]] = {name: getattr(realtime_fsm, name) for name in REMEDIES}


class Meaning(msgspec.Struct, frozen=True):
    """One meaning of a word.

    Attributes:
        word: the word.
        kind: ``"rule"``, ``"state"``, ``"trigger"``, ``"guard"``, ``"effect"``, ``"note"``, ``"cause"``, ``"error"``,
            ``"record"``, ``"field"``, ``"finding"``, ``"verdict"``, ``"figure"`` or ``"code"``.
        means: its meaning.
        facts: further facts by name, each with its lines.
        advice: the next step of a user who sees it; empty where nothing is to be done.
    """

    word: str
    kind: str
    means: str
    facts: dict[str, list[str]] = {}
    advice: str = ""


def _rules() -> Iterator[Meaning]:
    for row in TABLE.rows:
        cell = TABLE.cells[row.source, row.trigger]
        facts = {
            "from": [_state(row.source)],
            "on": [f"{row.trigger}: {TRIGGERS[row.trigger].description}"],
            "asked after": [other.id for other in cell[: cell.index(row)]],
            "if": _described(row.guards, GUARDS),
            "does": _described(row.effects, EFFECTS),
            "to": ["stays" if row.dest is None else _state(row.dest)],
            "same rule": [other.id for other in TABLE.rows if other.id[3:] == row.id[3:] and other is not row],
        }
        advice = STATES[row.dest].advice if row.dest is not None else ""
        yield Meaning(row.id, "rule", row.why, facts, advice)


def _state(state: State) -> str:
    return f"{state}: {STATES[state].brief}"


def _described(names: Iterable[str], registry: Mapping[str, Callable[..., object]]) -> list[str]:
    return [_plain(f"{name}: {first_sentence(registry, name)}") for name in names]


def _states() -> Iterator[Meaning]:
    arrows = plain_arrows(TABLE)
    for state in TABLE.states:
        about = STATES[state]
        facts = {
            "kind": [about.kind.value],
            "holds": [about.resources],
            "comes from": [f"{arrow.tail}: {', '.join(arrow.labels)}" for arrow in arrows if arrow.head == state],
            "leads to": [f"{arrow.head}: {', '.join(arrow.labels)}" for arrow in arrows if arrow.tail == state],
        }
        yield Meaning(state, "state", about.description, facts, about.advice)


def _triggers() -> Iterator[Meaning]:
    for trigger in TABLE.triggers:
        facts = {"comes from": [TRIGGERS[trigger].source.value], "notes": _described(TABLE.notes[trigger], NOTES)}
        facts["rules"] = [
            f"{state}: {' '.join(row.id for row in TABLE.cells[state, trigger])}"
            if (state, trigger) in TABLE.cells
            else f"{state}: ignored. {TABLE.ignored[state, trigger]}"
            for state in TABLE.states
        ]
        yield Meaning(trigger, "trigger", TRIGGERS[trigger].description, facts)


def _parts() -> Iterator[Meaning]:
    """Describe guards, effects and notes, with the rules or triggers that name each."""
    parts: tuple[tuple[str, Mapping[str, Callable[..., object]], str, Mapping[Any, tuple[str, ...]]], ...] = (
        ("guard", GUARDS, "rules", {row.id: row.guards for row in TABLE.rows}),
        ("effect", EFFECTS, "rules", {row.id: row.effects for row in TABLE.rows}),
        ("note", NOTES, "triggers", TABLE.notes),
    )
    for kind, registry, where, users in parts:
        for name in sorted({name for names in users.values() for name in names}):
            means = _plain(first_sentence(registry, name))
            yield Meaning(name, kind, means, {where: [user for user, names in users.items() if name in names]})


def _kinds_of(error: type[RealtimeError]) -> list[str]:
    """Return the words by which a log names an error."""
    if error is Overdue:
        return [Overdue(awaited, 0).kind for awaited in OVERDUE]
    return [error.kind] if issubclass(error, LinkFailure) and error is not LinkFailure else []


def _causes() -> Iterator[Meaning]:
    for name, error in _ERRORS.items():
        for kind in _kinds_of(error):
            advice = OVERDUE[kind.removesuffix("_overdue")] if error is Overdue else REMEDIES[name]
            yield Meaning(kind, "cause", _sentence(MEANINGS[kind]), {"error": [name]}, _plain(advice))
    yield Meaning(RETIRED, "cause", _sentence(MEANINGS[RETIRED]))


def _sentence(clause: str) -> str:
    return f"{clause[0].upper()}{clause[1:]}."


def _errors() -> Iterator[Meaning]:
    for name, error in _ERRORS.items():
        parents = [parent.__name__ for parent in error.__mro__[1:] if issubclass(parent, RealtimeError)]
        yield Meaning(name, "error", _summary(error), {"is a": parents, "as a cause": _kinds_of(error)}, _plain(REMEDIES[name]))


def _summary(kind: object) -> str:
    return _plain(cleandoc(kind.__doc__ or "").partition("\n\n")[0])


def _plain(text: str) -> str:
    """Write a text of a docstring for a terminal."""
    return " ".join(text.replace("``", "`").split())


def _log_words() -> Iterator[Meaning]:
    """Describe the records, their fields, and the findings of an audit."""
    for kind in KINDS:
        own = [f"{field.name}: {field.description}" for field in kind.fields if not field.common]
        yield Meaning(kind.event, "record", kind.description, {"fields": own})
    for name, field in FIELDS.items():
        records = [] if field.common else [kind.event for kind in KINDS if any(each.name == name for each in kind.fields)]
        means = dict.fromkeys(each.description for kind in KINDS for each in kind.fields if each.name == name)
        yield Meaning(name, "field", _plain(" / ".join(means)), {"in": records or ["every record"]})
    for rule in RULES.values():
        advice = _WEIGHTS[rule.weight] + _REPEATED * (rule.name == "seq")
        yield Meaning(rule.name, "finding", rule.statement, {"weight": [rule.weight.value]}, advice)


def _report_words() -> Iterator[Meaning]:
    """Describe the verdicts of an audit, its figures, and the codes that its causes show."""
    for verdict in Verdict:
        yield Meaning(verdict.word, "verdict", verdict.means, {"exit code": [str(verdict.value)]}, _AFTER_VERDICTS[verdict])
    for figure in ("availability", "mtbf", "mttr"):
        yield Meaning(figure, "figure", _summary(getattr(StatsAccumulator, figure)))
    for code, (means, advice) in KNOWN_CODES.items():
        yield Meaning(str(code), "code", means, advice=advice)


@cache
def by_kind() -> dict[str, list[Meaning]]:
    """Return all meanings by the plural of their kind: first those of the table."""
    found: dict[str, list[Meaning]] = {}
    for meaning in chain(_rules(), _states(), _triggers(), _parts(), _causes(), _errors(), _log_words(), _report_words()):
        facts = {name: lines for name, lines in meaning.facts.items() if lines}
        found.setdefault(f"{meaning.kind}s", []).append(replace(meaning, facts=facts))
    return found


@cache
def glossary() -> dict[str, list[Meaning]]:
    """Return the meanings of each word, in lower case."""
    found: dict[str, list[Meaning]] = {}
    for meaning in chain.from_iterable(by_kind().values()):
        found.setdefault(meaning.word.lower(), []).append(meaning)
    return found


def explain(word: str) -> Sequence[Meaning]:
    """Return the meanings of a word: of a kind of words all words, of a bare number the rules with that number.

    Raises:
        BadOption: for an unknown word; the text names the nearest ones.
    """
    asked, kinds = word.lower(), by_kind()
    rules = [meaning for meaning in kinds["rules"] if meaning.word[3:] == asked]
    meanings = glossary().get(asked) or kinds.get(asked) or rules
    if not meanings:
        near = [glossary()[each][0].word for each in get_close_matches(asked, glossary(), _NEAR)]
        hint = f"near are {', '.join(near)}" if near else "without a word, the command lists the kinds of words"
        raise BadOption("WORD", f"{word!r} is not known; {hint}")
    return meanings
