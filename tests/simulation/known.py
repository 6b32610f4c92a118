"""The known defects: what the simulation has found and nobody has mended yet.

An invariant that names one of them is counted instead of ending the run. Whoever mends a defect strikes it from here; the
invariant then holds for good. That each is still one is held by tests/test_simulation.py.
"""

from __future__ import annotations

ON_TRUST = "a link is trusted while it makes room"

KNOWN: dict[str, str] = {
    ON_TRUST: "what a link owed that went silent, ended or fell behind while it made room is lost, and nobody is told",
}
