"""Profile a block: the first lines of cProfile, without the paths of the machine."""

from __future__ import annotations

import cProfile
import io
import pstats

_LINES = 14


class Profile(cProfile.Profile):
    """A profile of its `with` block."""

    @property
    def text(self) -> str:
        """Name the functions that took the most time of their own."""
        out = io.StringIO()
        pstats.Stats(self, stream=out).strip_dirs().sort_stats("tottime").print_stats(_LINES)
        lines = (line.rstrip() for line in out.getvalue().splitlines())
        return "\n".join(line for line in lines if line and not line.lstrip().startswith(("Ordered by", "List reduced")))
