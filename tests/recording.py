"""The recordings of real servers: typed steps, ids that differ from run to run, and long texts that were elided."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

RECORDINGS = Path(__file__).parent / "recordings"

_CHOSEN_ID = re.compile(r'"([0-9a-f]{20})"')
_ELIDED = re.compile(r" ?\.\.\.\[(\d+) chars\](?:\.\.\. )?")


@dataclass(frozen=True, slots=True)
class Step:
    """One line. `note` is the last note before it."""

    index: int
    note: str
    dir: str
    conn: str = "-"
    data: str = ""
    request: tuple[str, ...] = ()
    status: str = ""
    op: str | int = "text"
    fin: bool = True
    rsv: int = 0
    length: int | None = None
    by: str = ""
    code: int | None = None
    reason: str = ""
    lib: str = ""
    type: str = ""


@cache
def load(name: str) -> tuple[Step, ...]:
    steps: list[Step] = []
    note = ""
    for index, line in enumerate((RECORDINGS / f"{name}.jsonl").read_text(encoding="utf-8").split("\n")):
        if not line:
            continue
        raw = json.loads(line)
        data = raw.get("data")
        head = data if isinstance(data, dict) else {}
        text = data if isinstance(data, str) else "" if data is None or head else json.dumps(data)
        if raw["dir"] == "note":
            note = text
        steps.append(
            Step(
                index=index,
                note=note,
                dir=raw["dir"],
                conn=raw.get("conn") or f"{raw.get('lib', '')}/{raw.get('case', '')}",
                data=text,
                request=tuple(head.get("request", ())),
                status=head.get("status", ""),
                op=raw.get("op", "text"),
                fin=bool(raw.get("fin", 1)),
                rsv=raw.get("rsv", 0),
                length=raw.get("len"),
                by=raw.get("by", ""),
                code=raw.get("code"),
                reason=raw.get("reason", ""),
                lib=raw.get("lib", ""),
                type=raw.get("type", ""),
            )
        )
    return tuple(steps)


def rebuild(text: str, tail: str = "") -> str:
    """Put back what was elided: a run of the character before the gap, so long that the text has the length it says.

    `tail` is what the text ends with when the recording shows its beginning only.
    """
    found = _ELIDED.search(text)
    if found is None:
        return text
    before, after = text[: found.start()], text[found.end() :] or tail
    return before + before[-1] * (int(found[1]) - len(before) - len(after)) + after


class Ids:
    """Ids that the server chose: other ones in every run, but each always in the place of the same one."""

    def __init__(self) -> None:
        self._now: dict[str, str] = {}

    def same(self, recorded: str, received: str) -> bool:
        """Whether two texts differ in such ids only; they are learnt from the first text that they are in."""
        then, now = _CHOSEN_ID.split(recorded), _CHOSEN_ID.split(received)
        if then[::2] != now[::2]:
            return False
        return all(self._now.setdefault(old, new) == new for old, new in zip(then[1::2], now[1::2], strict=True))

    def renewed(self, recorded: str) -> str:
        """A recorded text, with the ids of this run."""
        return _CHOSEN_ID.sub(lambda found: f'"{self._now.get(found[1], found[1])}"', recorded)
