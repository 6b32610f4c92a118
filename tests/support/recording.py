"""The recordings of real servers: typed steps, ids that differ from run to run, and long texts that the recorder elided."""

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
NO_CONNECTION = "/"
"""The `conn` of a step without a connection."""

_CHOSEN_ID = re.compile(r'"([0-9a-f]{20})"')
_SESSION = re.compile(r'(?:a_session_p1(?:=|": ")|X-Appwrite-Session: )([^";\s]+)')
_ELIDED = re.compile(r" ?\.\.\.\[(\d+) chars\](?:\.\.\. )?")


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """One line of a recording. `note` is the last note before it."""

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
        """The whole message; empty for a step without a message."""
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
def load(name: str) -> tuple[RecordedStep, ...]:
    steps: list[RecordedStep] = []
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
            RecordedStep(
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
    """Steps of a recording that are not played, or not to the letter: their fields begin with the texts in `where`."""

    recording: str
    reason: str
    where: dict[str, str]

    def covers(self, recording: str, step: RecordedStep) -> bool:
        return recording == self.recording and all(str(getattr(step, name)).startswith(text) for name, text in self.where.items())


@dataclass(frozen=True, slots=True)
class RecordedLink:
    """One link of a recording: the steps of one connection, from its dial to its end."""

    recording: str
    name: str
    steps: tuple[RecordedStep, ...]

    @property
    def title(self) -> str:
        return f"{self.recording.partition('-')[0]}-{self.name.partition(' (')[0]}"

    @property
    def query(self) -> dict[str, list[str]]:
        """The parameters of the dial."""
        return parse_qs(urlsplit(self.target).query)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the dial that the caller chose."""
        pairs = (line.split(": ", 1) for line in self.steps[0].request[1:] if line)
        return {name: value for name, value in pairs if name in ("Cookie", "Origin") or name.startswith("X-")}

    @property
    def target(self) -> str:
        """The target of the dial; the recordings of another client library do not show it, and it was the default."""
        return self.steps[0].request[0].split()[1] if self.steps[0].request else "/v1/realtime?project=p1"

    @property
    def channels_in_url(self) -> bool:
        """Whether the client named its channels in the URL, or had to."""
        return self.recording.startswith("e") or "channels" in self.target

    @property
    def codes(self) -> list[int]:
        """The codes of the error frames."""
        return [code for step in self.steps if (code := step.code_of_error) is not None]

    @property
    def client_sends(self) -> bool:
        """Whether the client sent a message."""
        return any(step.dir == "send" for step in self.steps)

    @property
    def has_response(self) -> bool:
        """Whether the server acknowledged a request."""
        return any(step.frame.get("type") == "response" for step in self.steps)

    @property
    def variants(self) -> Iterator[str]:
        """The ways in which our client can take the part of the recorded client.

        - "": as recorded. Our client sends a ping in the place of a message that it never sends.
        - "subscribe": our client subscribes in the place of such a message that was answered by an error.
        - "session": our client sends the session of the recorded cookie in a header.
        - "disconnect": our client closes with `disconnect()`, otherwise with `dispose()`.
        - "unasked": our client has sent no request when the error comes.
        """
        yield ""
        if self.recording.startswith("03") and self.codes:
            yield "subscribe"
        elif 1008 in self.codes and self.client_sends and not self.has_response:
            yield "unasked"
        if self.headers.get("Cookie", "").startswith("a_session_p1=ey"):
            yield "session"
        if self.recording.startswith("11") and any(step.by == "client" for step in self.steps):
            yield "disconnect"

    def played(self, variant: str, excluded: Iterable[Excluded]) -> list[RecordedStep]:
        """The steps of a variant, without the excluded ones."""
        steps = [step for step in self.steps if not any(entry.covers(self.recording, step) for entry in excluded)]
        faults = [position for position, step in enumerate(steps) if step.code_of_error == 0]
        if variant == "" and faults:  # as the answer to a ping, a code 0 is the end of the link
            return steps[: faults[0] + 1]
        return steps

    @property
    def next_dial_refused(self) -> bool:
        """Whether the server refused the first dial after the end of this link."""
        last = max(step.index for step in self.steps if step.dir != "state")
        later = (step for step in load(self.recording)[last + 1 :] if step.dir == "open" or step.conn == NO_CONNECTION)
        return next((step.dir for step in later if step.dir in ("open", "exception")), "") == "exception"


@cache
def links(name: str) -> tuple[RecordedLink, ...]:
    """The links of a recording. A plain HTTP answer counts as one; notes and publications belong to no link."""
    found: dict[str, list[RecordedStep]] = {}
    current: dict[str, str] = {}
    for step in load(name):
        if step.op == "http":
            found[step.note] = [step]
        elif step.dir == "open" and not step.status:  # the request; the answer is another step, or not recorded
            number = sum(key.split("#")[0] == step.conn for key in found) + 1
            current[step.conn] = step.conn if number == 1 else f"{step.conn}#{number}"
            found[current[step.conn]] = [step]
        elif step.conn != NO_CONNECTION:
            found[current[step.conn]].append(step)
    return tuple(RecordedLink(name, key, tuple(steps)) for key, steps in found.items())


def rebuild(text: str, tail: str = "") -> str:
    """Put back the elided text: the character before the gap, repeated until the text has the recorded length.

    `tail` is the end of the text, for a recording that shows only its beginning.
    """
    found = _ELIDED.search(text)
    if found is None:
        return text
    before, after = text[: found.start()], text[found.end() :] or tail
    return before + before[-1] * (int(found[1]) - len(before) - len(after)) + after


class Ids:
    """The ids that the server chose: every run has other ids, and each one replaces one recorded id."""

    def __init__(self) -> None:
        self._now: dict[str, str] = {}

    def same(self, recorded: str, received: str) -> bool:
        """Tell whether two texts differ in such ids only; the first text with an id pairs it with the recorded id."""
        then, now = _CHOSEN_ID.split(recorded), _CHOSEN_ID.split(received)
        if then[::2] != now[::2]:
            return False
        return all(self._now.setdefault(old, new) == new for old, new in zip(then[1::2], now[1::2], strict=True))

    def renewed(self, recorded: str) -> str:
        """Return a recorded text with the ids of this run."""
        return _CHOSEN_ID.sub(lambda found: f'"{self._now.get(found[1], found[1])}"', recorded)


class RecordedSubscriptions:
    """Our client's subscriptions, by the recorded ids. Our client chooses other ids, and never uses an id a second time.

    Attributes:
        all_subscriptions: all subscriptions that were ever acknowledged.
    """

    def __init__(self) -> None:
        self.all_subscriptions: list[Subscription] = []
        self._current: list[tuple[str, Subscription]] = []

    def add(self, name: str, subscription: Subscription) -> None:
        """Add a subscription. A recorded id that is used again gets more channels; on a known channel, queries are replaced."""
        self.all_subscriptions.append(subscription)
        kept = [(other, old) for other, old in self._current if (other, old.channels) != (name, subscription.channels)]
        self._current = [*kept, (name, subscription)]

    @property
    def current(self) -> list[Subscription]:
        """The subscriptions that are not removed."""
        return [subscription for _, subscription in self._current]

    def remove(self, names: Iterable[str]) -> list[Subscription]:
        """Remove the subscriptions of some recorded ids, and return them."""
        removed = [entry for entry in self._current if entry[0] in set(names)]
        self._current = [entry for entry in self._current if entry not in removed]
        return [subscription for _, subscription in removed]

    def receivers(self, names: Iterable[str], channels: Iterable[str]) -> list[Subscription]:
        """The subscriptions that get an event for recorded ids; of several with one id, those on a channel of the event."""
        found: list[Subscription] = []
        for name in names:
            same = [subscription for other, subscription in self._current if other == name]
            found += same if len(same) == 1 else [each for each in same if set(each.channels) & set(channels)]
        return found


@cache
def secrets(*names: str) -> set[str]:
    """The sessions in recordings, and their secrets."""
    found = set()
    for step in (step for name in names for step in load(name)):
        found |= set(_SESSION.findall("\n".join(step.request)))
        if step.frame.get("type") == "authentication":
            data = step.frame.get("data")
            found.add(str(data.get("session", "")) if isinstance(data, dict) else "")
    found |= {json.loads(base64.b64decode(session))["secret"] for session in found if session.startswith("ey")}
    return {secret for secret in found if len(secret) > 4}  # any text may contain a shorter one
