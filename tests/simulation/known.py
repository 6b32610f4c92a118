"""The known defects: what the simulation has found and nobody has mended yet. There is none.

An invariant that names one of them is counted instead of ending the run. Whoever mends a defect strikes it from here; the
invariant then holds for good. That each is still one is held by tests/simulation/test_simulation.py.
"""

from __future__ import annotations

KNOWN: dict[str, str] = {}
