"""The known defects: those that the simulation finds, and that are not fixed yet. The set is empty.

An invariant that names one of them is counted instead of ending the run. A fix removes its defect from here; the
invariant then holds for good. That each is still one is held by tests/simulation/test_simulation.py.
"""

from __future__ import annotations

KNOWN: dict[str, str] = {}
