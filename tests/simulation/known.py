"""The known defects: what the simulation has found and nobody has mended yet.

An invariant that names one of them is counted instead of ending the run. Whoever mends a defect strikes it from here; the
invariant then holds for good.
"""

from __future__ import annotations

KNOWN: dict[str, str] = {}
