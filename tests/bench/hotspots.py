"""Where the time goes: the first lines of a profile, without the paths of this machine."""

from __future__ import annotations

import cProfile
import io
import pstats

_LINES = 14


class Profile(cProfile.Profile):
    """A profile of what is done in its `with` block; `text` is what it shows."""

    @property
    def text(self) -> str:
        """The functions that took most of the time themselves."""
        out = io.StringIO()
        pstats.Stats(self, stream=out).strip_dirs().sort_stats("tottime").print_stats(_LINES)
        lines = (line.rstrip() for line in out.getvalue().splitlines())
        return "\n".join(line for line in lines if line and not line.lstrip().startswith(("Ordered by", "List reduced")))
