"""The recordings of real servers: typed steps, ids that differ from run to run, and long texts that were elided."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from realtime_fsm import Subscription

RECORDINGS = Path(__file__).parents[1] / "recordings"
NOBODY = "/"
"""The `conn` of a step that belongs to no connection."""

_CHOSEN_ID = re.compile(r'"([0-9a-f]{20})"')
_SESSION = re.compile(r'(?:a_session_p1(?:=|": ")|X-Appwrite-Session: )([^";\s]+)')
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
    t: float = 0.0

    @property
    def frame(self) -> dict[str, Any]:
        """The message, whole; an empty one for what is none."""
        try:
            message = json.loads(rebuild(self.data))
        except ValueError:
            return {}
        return message if isinstance(message, dict) and isinstance(message.get("type"), str) else {}

    @property
    def code_of_error(self) -> int | None:
        """The code of an error frame; None for any other step."""
        frame = self.frame
        return frame["data"]["code"] if frame.get("type") == "error" else None


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
                t=raw["t"],
            )
        )
    return tuple(steps)


@dataclass(frozen=True, slots=True)
class Excluded:
    """Steps of a recording that are not played, or not to the letter: those whose fields begin with these texts."""

    recording: str
    reason: str
    where: dict[str, str]

    def covers(self, recording: str, step: Step) -> bool:
        return recording == self.recording and all(str(getattr(step, name)).startswith(text) for name, text in self.where.items())


@dataclass(frozen=True, slots=True)
class Recorded:
    """One link of a recording: the steps of one connection, from its dial to its end."""

    recording: str
    name: str
    steps: tuple[Step, ...]

    @property
    def title(self) -> str:
        return f"{self.recording.partition('-')[0]}-{self.name.partition(' (')[0]}"

    @property
    def query(self) -> dict[str, list[str]]:
        """What was dialed with; another client library's dials are not shown, and were like this."""
        return parse_qs(urlsplit(self.target).query)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the dial that are the caller's business."""
        pairs = (line.split(": ", 1) for line in self.steps[0].request[1:] if line)
        return {name: value for name, value in pairs if name in ("Cookie", "Origin") or name.startswith("X-")}

    @property
    def target(self) -> str:
        """What was dialed."""
        return self.steps[0].request[0].split()[1] if self.steps[0].request else "/v1/realtime?project=p1"

    @property
    def by_address(self) -> bool:
        """Whether channels travelled in the address, or were missing there."""
        return self.recording.startswith("e") or "channels" in self.target

    @property
    def codes(self) -> list[int]:
        """The codes of the error frames."""
        return [code for step in self.steps if (code := step.code_of_error) is not None]

    @property
    def talked(self) -> bool:
        """Whether the client sent something."""
        return any(step.dir == "send" for step in self.steps)

    @property
    def answered(self) -> bool:
        """Whether some request of the client was answered."""
        return any(step.frame.get("type") == "response" for step in self.steps)

    @property
    def variants(self) -> Iterator[str]:
        """How a client can be shown this link.

        - "": as recorded. For what it would not send, it sends the one thing that it sends by itself: a ping.
        - "subscribe": for what it would not send and was answered by an error, it asks for a subscription.
        - "session": the session of the recorded cookie is given to it as one.
        - "disconnect": it closes by `disconnect()`; else by `dispose()`.
        - "unasked": it has asked for nothing when the error comes.
        """
        yield ""
        if self.recording.startswith("03") and self.codes:
            yield "subscribe"
        elif 1008 in self.codes and self.talked and not self.answered:
            yield "unasked"
        if self.headers.get("Cookie", "").startswith("a_session_p1=ey"):
            yield "session"
        if self.recording.startswith("11") and any(step.by == "client" for step in self.steps):
            yield "disconnect"

    def played(self, variant: str, excluded: Iterable[Excluded]) -> list[Step]:
        """The steps of a variant, without those that are excluded."""
        steps = [step for step in self.steps if not any(entry.covers(self.recording, step) for entry in excluded)]
        faults = [position for position, step in enumerate(steps) if step.code_of_error == 0]
        if variant == "" and faults:  # as the answer to a ping, a code 0 is the end of the link
            return steps[: faults[0] + 1]
        return steps

    @property
    def refused_afterwards(self) -> bool:
        """Whether the first dial after the end of this link was refused."""
        last = max(step.index for step in self.steps if step.dir != "state")
        later = (step for step in load(self.recording)[last + 1 :] if step.dir == "open" or step.conn == NOBODY)
        return next((step.dir for step in later if step.dir in ("open", "exception")), "") == "exception"


@cache
def links(name: str) -> tuple[Recorded, ...]:
    """The links of a recording. A plain HTTP answer counts as one; what belongs to none (notes, publications) is left out."""
    found: dict[str, list[Step]] = {}
    current: dict[str, str] = {}
    for step in load(name):
        if step.op == "http":
            found[step.note] = [step]
        elif step.dir == "open" and not step.status:  # its request; the answer is a step of its own, or goes without saying
            number = sum(key.split("#")[0] == step.conn for key in found) + 1
            current[step.conn] = step.conn if number == 1 else f"{step.conn}#{number}"
            found[current[step.conn]] = [step]
        elif step.conn != NOBODY:
            found[current[step.conn]].append(step)
    return tuple(Recorded(name, key, tuple(steps)) for key, steps in found.items())


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


class Cast:
    """Who plays the recorded subscriptions: the client chooses its own ids, and never asks for an id a second time.

    Attributes:
        everyone: all that were ever acknowledged.
    """

    def __init__(self) -> None:
        self.everyone: list[Subscription] = []
        self._present: list[tuple[str, Subscription]] = []

    def enter(self, name: str, subscription: Subscription) -> None:
        """A recorded id that is asked for again gets more channels; its queries for a channel are replaced."""
        self.everyone.append(subscription)
        kept = [(other, part) for other, part in self._present if (other, part.channels) != (name, subscription.channels)]
        self._present = [*kept, (name, subscription)]

    @property
    def present(self) -> list[Subscription]:
        return [part for _, part in self._present]

    def leave(self, names: Iterable[str]) -> list[Subscription]:
        """Those who played these recorded ids."""
        going = [(name, part) for name, part in self._present if name in set(names)]
        self._present = [entry for entry in self._present if entry not in going]
        return [part for _, part in going]

    def meant(self, names: Iterable[str], channels: Iterable[str]) -> list[Subscription]:
        """Whom an event is for; where several play one recorded id, those who asked for one of its channels."""
        found: list[Subscription] = []
        for name in names:
            parts = [part for other, part in self._present if other == name]
            found += parts if len(parts) == 1 else [part for part in parts if set(part.channels) & set(channels)]
        return found


@cache
def secrets(*names: str) -> set[str]:
    """The sessions in recordings, and what is secret in them."""
    found = set()
    for step in (step for name in names for step in load(name)):
        found |= set(_SESSION.findall("\n".join(step.request)))
        if step.frame.get("type") == "authentication":
            data = step.frame.get("data")
            found.add(str(data.get("session", "")) if isinstance(data, dict) else "")
    found |= {json.loads(base64.b64decode(session))["secret"] for session in found if session.startswith("ey")}
    return {secret for secret in found if len(secret) > 4}  # shorter ones may stand in any text by chance
