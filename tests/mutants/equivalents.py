"""List the mutants without a visible effect, each with the reason. The score leaves them out."""

EQUIVALENTS: dict[str, str] = {
    "realtime_fsm/audit/facts.py: error_answered: bool | None = False: False  ->  (True)": (
        "The first dial overwrites it, and only the end of a link reads it."
    ),
    "realtime_fsm/audit/sources.py: _BLOCK = 65_536: 65_536  ->  (65537)": (
        "A reader gives whole lines, whatever the size of the pieces in which the file comes."
    ),
    "realtime_fsm/fsm/machine.py: link.frames_received += 1: 1  ->  (2)": (
        "Two counts of one link are compared as equal or not, and no record tells the number."
    ),
    "realtime_fsm/fsm/presence.py: self._stored = False  # whether the server has ever stored the message: False  ->  (True)": (
        "Before the first `set` there is no message to restore, whether it counts as stored or not."
    ),
    "realtime_fsm/runtime/deduplication.py: self._leads = {key: ahead * side for key, ahead in self._leads.items() "
    "if ahead * side > 0}: ahead * side > 0  ->  (ahead * side >= 0)": "A lead of 0 is dropped where it arises.",
    "realtime_fsm/diagram/mermaid.py: _ROOM = 165: 165  ->  (166)": (
        "No label of the table is that wide, so each picture stays the same."
    ),
    "realtime_fsm/fsm/control.py: break: break  ->  continue": (
        "The size only grows, so no item after the first one that does not fit would fit."
    ),
    "realtime_fsm/runtime/outages.py: self.current.losses += 1: 1  ->  (2)": (
        "The gap reporter asks only whether there is one loss."
    ),
    "realtime_fsm/audit/facts.py: been_up: bool | None = False  # since the last call; an old link hides it: False  ->  (True)": (
        "Every rule that leads out of `disconnected` sets it, and no check reads it before."
    ),
}
"""The reason by the name of the mutant."""
