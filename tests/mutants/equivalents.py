"""List the mutants without a visible effect, each with the reason. The score leaves them out."""

EQUIVALENTS: dict[str, str] = {
    "realtime_fsm/audit/tracking.py:170: False  ->  (True)": "The first dial overwrites it, and only the end of a link reads it.",
    "realtime_fsm/diagram/mermaid.py:16: 165  ->  (166)": "No label of the table is that wide, so each picture stays the same.",
}
"""The reason by the mutant, in the notation of the run."""
