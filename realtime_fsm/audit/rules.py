"""The rules by name, and the weight of a finding of each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection


class Severity(Enum):
    """The weight of a finding."""

    VIOLATION = "violation"
    """The log shows something that the table or a policy forbids."""
    DOUBT = "doubt"
    """Something is missing or unknown."""
    NOTE = "note"
    """It may happen to a conformant connection, and counts only with `--fail-on`."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its name, also on the command line, its weight, and the statement that must hold."""

    name: str
    weight: Severity
    statement: str


_V, _D, _N = Severity.VIOLATION, Severity.DOUBT, Severity.NOTE

RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("form", _V, "A record has the fields of its kind, with values of their types."),
        Rule("row", _V, "A step follows a transition rule: the one that its facts choose for its state and trigger."),
        Rule("trigger", _V, "A step has the trigger of its transition rule."),
        Rule("source", _V, "A step begins where the step before ended, and where its transition rule begins."),
        Rule("dest", _V, "A step ends where its transition rule ends; where it began, if the rule stays."),
        Rule("cause", _V, "A step has a cause of failure where its transition rule is about one, and none elsewhere."),
        Rule("link", _V, "There is at most one link, and one that drains; with each dial the number grows by one."),
        Rule("attempt", _V, "Each dial counts as an attempt; only a new beginning or a link that proved itself forgives them."),
        Rule("request", _V, "One request is in flight at a time, and no ping beside it."),
        Rule("budget", _V, "At most 32 frames are sent on a link in 60 seconds, and none in the 60 after a 1013 or 429."),
        Rule("pong", _V, "A ping is answered, or given up, within its timeout and not before."),
        Rule("deadline", _V, "Dial, greeting, reply, idling, renewal and forgiving keep the times of the policies."),
        Rule("delay", _V, "A dial after a failure waits as long as the retry policy says."),
        Rule("healed", _V, "An outage lasts until everything desired is acknowledged, and 'subscribed' begins then."),
        Rule("kept", _V, "A server fault ends no subscription that was ever acknowledged."),
        Rule(
            "recovery",
            _V,
            "A server fault begins on a live link and ends once: by a proof that the server works, or with the link.",
        ),
        Rule("end", _V, "Nothing follows the end but the closing of the socket."),
        Rule("clock", _V, "Time never goes back, and the durations of records fit the moments of the steps."),
        Rule("era", _V, "Only a link of another era changes the era."),
        Rule("secret", _V, "No value looks like a secret."),
        Rule("seq", _D, "The numbers of a connection's records rise from 1 by one."),
        Rule("cut", _D, "Every record is whole."),
        Rule("table", _D, "The table is the one of this version."),
        Rule("schema", _D, "The records are of a version and a kind that this version knows."),
        Rule("late", _N, "The process is never busy or asleep for more than a second past a deadline."),
        Rule("open", _N, "The connection has been disposed of."),
        Rule("outage", _N, "No link is lost unless the user wants it."),
        Rule("fault", _N, "The server is never at fault."),
        Rule("gap", _N, "No subscription may have missed events."),
        Rule("dropped", _N, "No events are dropped."),
        Rule("rejected", _N, "No subscription is rejected."),
        Rule("malformed", _N, "Every message of the server is understood."),
        Rule("error", _N, "The connection never gives up."),
    )
}
"""All rules, in the order in which a report names them."""

ROUNDING = 0.002
"""The rounding of clocks and records, in seconds."""
SINGLE = 2**-22
"""The rounding of numbers that a shipper wrote in single precision, as a part of the number."""
LATE = 1.0
"""The lateness of a process that is worth a note, in seconds."""


def weigh(rule: str, fail_on: Collection[str]) -> Severity:
    """Weigh a finding; the rules of `fail_on` are violations, whatever their weight."""
    return Severity.VIOLATION if rule in fail_on else RULES[rule].weight


class RuleBreach(NamedTuple):
    """The name of the rule that a record breaks, and the reason."""

    rule: str
    text: str
