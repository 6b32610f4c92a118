"""The table as JSON, for programs in any language.

The keys, in their order:

- ``format``: a number that grows when a later version removes a key, or changes its meaning.
- ``fingerprint``, ``initial``, ``final``, and ``current``: a state, or null.
- ``states``, ``triggers``: in the table's order; ``guards``, ``effects``, ``notes``: sorted by name. Each has its ``name`` and
  its meaning in ``means``; a trigger also has its ``notes`` in order.
- ``rows``: the transition rules, each with ``id``, ``source``, ``trigger``, ``dest`` (null where the state stays), ``guards``
  and ``effects`` in order, and the reason in ``why``. Within a pair of source and trigger, the machine asks them in this order.
- ``ignored``: the pairs without a rule, each with ``state``, ``trigger`` and the reason in ``why``; by state, then by trigger.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from realtime_fsm.diagram.markdown import first_sentence
from realtime_fsm.fsm.descriptions import STATES, TRIGGERS
from realtime_fsm.fsm.effects import EFFECTS
from realtime_fsm.fsm.guards import GUARDS
from realtime_fsm.fsm.notes import NOTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from realtime_fsm.diagram.arrows import StateTable
    from realtime_fsm.fsm.table import State

FORMAT = 1


def as_json(table: StateTable, state: State | None, current: State | None) -> str:
    """Return the table as indented JSON; a `state` limits it to the rules that leave or enter it, and to its ignored cells."""
    record: dict[str, Any] = {
        "format": FORMAT,
        "fingerprint": table.fingerprint,
        "initial": table.initial,
        "final": table.final,
        "current": current,
        "states": [
            {
                "name": each, "live": each.is_live, "group": STATES[each].kind.key, "means": STATES[each].description,
                "holds": STATES[each].resources, "advice": STATES[each].advice,
            }
            for each in table.states
        ],
        "triggers": [
            {
                "name": each, "side": TRIGGERS[each].source, "phrase": TRIGGERS[each].phrase, "means": TRIGGERS[each].description,
                "notes": table.notes[each],
            }
            for each in table.triggers
        ],
        "guards": _described({name for row in table.rows for name in row.guards}, GUARDS),
        "effects": _described({name for row in table.rows for name in row.effects}, EFFECTS),
        "notes": _described({name for names in table.notes.values() for name in names}, NOTES),
        "rows": [asdict(row) for row in table.rows if state is None or state in (row.source, row.dest)],
        "ignored": [
            {"state": where, "trigger": trigger, "why": table.ignored[where, trigger]}
            for where in table.states
            for trigger in table.triggers
            if (where, trigger) in table.ignored and state in (None, where)
        ],
    }  # fmt: skip
    return json.dumps(record, indent=2, ensure_ascii=False) + "\n"


def _described(names: set[str], registry: Mapping[str, Callable[..., object]]) -> list[dict[str, str]]:
    return [{"name": name, "means": first_sentence(registry, name)} for name in sorted(names)]
